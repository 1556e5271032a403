"""What judging yields: metrics, comparisons, and the statistical results inside them. Light on purpose.

`statistics/` fills the small results, `aggregates.py` and `comparisons.py` the records; reports and sinks read them.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from assay.records import Record
from assay.scoring.base import ScoreKind

Goal = Literal["maximise", "minimise"]
Verdict = Literal["better", "worse", "no difference shown", "not enough data"]
TestName = Literal["mcnemar_exact", "paired_t", "clustered_t", "wilcoxon", "sign", "permutation"]

CLUSTERED_TESTS: tuple[TestName, ...] = ("clustered_t", "permutation")
"""The tests that rows which share groups allow; the others take every row for independent."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its confidence interval at `level` (0.95 is 95 %).

    A bound is None when it is unbounded or could not be computed; `reason` then says which, and why.
    """

    estimate: float | None
    low: float | None
    high: float | None
    level: float
    method: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Significance:
    """A two-sided test of "no difference". `p_value` is None when there is nothing to test; `reason` says why."""

    test: str
    n: int
    statistic: float | None
    p_value: float | None
    method: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """A standardised effect size; positive when the variant's values are higher. `interval` where there is one."""

    name: str
    value: float | None
    reason: str | None = None
    interval: Interval | None = None


@dataclass(frozen=True, slots=True)
class Bounds:
    """How low and how high a mean difference could be, had every missing score been seen."""

    low: float | None
    high: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ChosenTest:
    """Which test fits the differences, by a fixed rule, and why."""

    name: TestName
    reason: str


@dataclass(frozen=True, slots=True)
class Equivalence:
    """Whether a mean difference is shown to lie within plus and minus `margin`; `interval` is at 1 - 2 alpha.

    `shown` is None when there is nothing to judge by; `reason` says why. `p_adjusted` is as a comparison's.
    """

    margin: float
    interval: Interval
    p_value: float | None
    shown: bool | None
    method: str
    reason: str | None = None
    p_adjusted: float | None = None


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The smallest true mean difference, in the score's units, that a test at `alpha` finds with chance `power`."""

    power: float
    alpha: float
    minimum_difference: float | None
    method: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class BinaryPairs:
    """The four counts of paired pass/fail values."""

    both: int
    only_baseline: int
    only_variant: int
    neither: int

    @property
    def n(self) -> int:
        return self.both + self.only_baseline + self.only_variant + self.neither

    @property
    def discordant(self) -> int:
        return self.only_baseline + self.only_variant


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two raters agree on the same `n` things. `exact` is the share of equal ratings.

    `weights` says how `kappa` counts disagreements: by their square ("quadratic"), or all alike ("none").
    `mean_difference` is the second rater's mean less the first one's. The correlations are None for ratings by name.
    """

    n: int
    exact: Interval
    kappa: Interval
    weights: Literal["quadratic", "none"]
    pearson: Interval | None = None
    spearman: float | None = None
    mean_difference: float | None = None


class MissingCounts(Record):
    """Why trials have no score. `unscored`: the trial succeeded and the scorer had no value for it."""

    failed: int = 0
    blocked: int = 0
    skipped: int = 0
    unscored: int = 0

    @property
    def total(self) -> int:
        return self.failed + self.blocked + self.skipped + self.unscored


class Metric(Record):
    """One score of one experiment, summarised over its trials. Missing trials are counted, never averaged in.

    `mean` of a binary score is its pass rate. `quantiles` maps "p05", "p25", "p50", "p75", "p95"; empty without scores.
    `failure_rate` and `block_rate` are shares of all trials; those that early stop has spared are none of them.
    `n_clusters` is how many groups of rows, or rows with repeats, the interval allows for; None when every trial stands
    for itself.
    """

    kind: ScoreKind
    n_trials: int
    n_scored: int
    missing: MissingCounts
    mean: float | None
    interval: Interval
    standard_deviation: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    quantiles: dict[str, float] = Field(default_factory=dict)
    failure_rate: float | None = None
    block_rate: float | None = None
    n_clusters: int | None = None


class Comparison(Record):
    """A variant set against the baseline on one score, paired by row id. Differences are variant minus baseline.

    `bounds` is where the mean difference over all rows could lie, whatever the missing scores would have been.
    `p_adjusted` is filled by `comparisons.adjust`, which also revises the verdict. `notes` are for the reader.
    `effect` goes with the test; `effects` are all that fit, it among them. `n_higher`, `n_lower` and `n_equal` count
    pairs by the variant's side. `probability_higher` is that of a higher pass rate, given the pairs (binary scores).
    `sensitivity` is at alpha over the number of comparisons. `n_repeats` is how many trials a row had at most.
    `kind` is what was tested, `score_kind` what one trial's score is; with repeats they differ.
    """

    kind: ScoreKind
    goal: Goal
    alpha: float
    n_rows: int
    n_pairs: int
    missing_baseline: int
    missing_variant: int
    missing_both: int
    baseline_mean: float | None
    variant_mean: float | None
    difference: float | None
    interval: Interval
    test: str
    test_reason: str
    statistic: float | None
    p_value: float | None
    p_adjusted: float | None = None
    effect: Effect
    odds_ratio: Interval | None = None
    bounds: Bounds
    verdict: Verdict
    verdict_reason: str
    notes: tuple[str, ...] = ()
    correction: str = "Holm"
    effects: tuple[Effect, ...] = ()
    equivalence: Equivalence | None = None
    sensitivity: Sensitivity | None = None
    probability_higher: float | None = None
    n_higher: int = 0
    n_lower: int = 0
    n_equal: int = 0
    n_clusters: int | None = None
    n_repeats: int = 1
    score_kind: ScoreKind | None = None

    @property
    def shown_kind(self) -> ScoreKind:
        """How its numbers are written: the mean of a row's repeats that pass or fail is still a share."""
        return self.score_kind or self.kind

    @property
    def win_rate(self) -> float | None:
        """Share of the pairs in which the variant has the better score, by the goal; equal ones count half."""
        if not self.n_pairs:
            return None
        wins = self.n_higher if self.goal == "maximise" else self.n_lower
        return (wins + self.n_equal / 2) / self.n_pairs
