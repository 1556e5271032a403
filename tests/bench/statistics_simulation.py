"""How often intervals hold the truth and tests cry wolf: seeded simulations with the product's own functions.

`python -m tests.bench statistics` prints both tables of docs/statistics.md (about five minutes on one core).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from assay.scoring.results import Effect, Interval
from assay.scoring.statistics.binary import count_pairs, mcnemar_exact, newcombe_interval
from assay.scoring.statistics.choice import choose_test
from assay.scoring.statistics.clusters import clustered_mean, clustered_mean_interval, clustered_wilson_interval
from assay.scoring.statistics.effect_sizes import cliffs_delta, cohens_d, cohens_dz
from assay.scoring.statistics.equivalence import tost
from assay.scoring.statistics.intervals import bootstrap_mean_interval, mean_interval, wilson_interval
from assay.scoring.statistics.paired_tests import paired_t, permutation_test, sign_test, wilcoxon

SEED = 20_261_120
SIZES = (30, 100, 1_000)
COVERAGE_RUNS, BOOTSTRAP_RUNS, NULL_RUNS = 5_000, 2_000, 10_000
BOOTSTRAP_RESAMPLES, PERMUTATIONS = 1_999, 399
NULL_SIZE, FEW, GROUP_SIZE, WITHIN_GROUPS = 100, 10, 5, 0.3
ALPHA = 0.05

Random = np.random.Generator
Values = np.ndarray
wilson, newcombe, mcnemar = (lru_cache(None)(one) for one in (wilson_interval, newcombe_interval, mcnemar_exact))


@dataclass(frozen=True)
class Coverage:
    """An interval and how to draw it: `draw` gives the interval of a fresh sample and the truth it should hold."""

    interval: str
    scores: str
    draw: Callable[[Random, int], tuple[Interval, float]]
    runs: int = COVERAGE_RUNS

    def share(self, size: int) -> float:
        """Share of the intervals that hold the truth."""
        random = np.random.default_rng([SEED, size])
        return float(np.mean([_holds(*self.draw(random, size)) for _ in range(self.runs)]))


@dataclass(frozen=True)
class FalseAlarms:
    """A test and its p-value on a fresh sample without a difference; exact ones are allowed to be careful."""

    test: str
    scores: str
    p_value: Callable[[Random], float | None]
    exact: bool = False

    def share(self) -> float:
        """Share of the samples in which a difference is claimed; no p-value claims none."""
        random = np.random.default_rng([SEED, NULL_SIZE])
        p_values = [self.p_value(random) for _ in range(NULL_RUNS)]
        return float(np.mean([p is not None and p <= ALPHA for p in p_values]))


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low is not None and interval.high is not None and interval.low <= truth <= interval.high


# Scores. A judge's are skewed to the left, whole numbers from 0 to 10; waiting times are skewed to the right.

JUDGE_SKEW = (5.0, 2.0)
_GRADES = np.arange(11)


def judge_scores(random: Random, size: int) -> Values:
    """A judge's grades."""
    return np.round(10 * random.beta(*JUDGE_SKEW, size))


@lru_cache
def judge_mean() -> float:
    """The mean of all grades, by the beta distribution's mass around each."""
    from scipy import stats

    edges = np.clip((np.append(_GRADES, 11) - 0.5) / 10, 0, 1)
    return float(np.sum(_GRADES * np.diff(stats.beta.cdf(edges, *JUDGE_SKEW))))


def paired_grades(random: Random, size: int) -> tuple[Values, Values]:
    """Grades of two experiments on the same rows: half of a grade is the row's. No difference between them."""
    row = random.beta(*JUDGE_SKEW, size)
    return tuple(np.round(5 * (row + random.beta(*JUDGE_SKEW, size))) for _ in range(2))  # type: ignore[return-value]


def paired_times(random: Random, size: int) -> tuple[Values, Values]:
    """Two skewed values per row that share half of their making, without a difference."""
    row = random.exponential(1, size)
    return row + random.exponential(1, size), row + random.exponential(1, size)


def paired_passes(random: Random, size: int, gap: float = 0.0) -> tuple[Values, Values]:
    """Passes of two experiments whose rows differ in difficulty; the second passes more often by `gap` points."""
    ease = random.beta(2, 1, size) * (1 - gap)
    return (random.random(size) < ease).astype(float), (random.random(size) < ease + gap).astype(float)


def grouped(random: Random, size: int) -> tuple[Values, Values]:
    """Normal values in groups of five that share `WITHIN_GROUPS` of their variance, and the groups; mean 0."""
    groups = np.repeat(np.arange(size // GROUP_SIZE), GROUP_SIZE)
    shared = random.normal(0, WITHIN_GROUPS**0.5, size // GROUP_SIZE)[groups]
    return shared + random.normal(0, (1 - WITHIN_GROUPS) ** 0.5, len(groups)), groups


def grouped_passes(random: Random, size: int) -> tuple[Values, Values, float]:
    """Passes in groups of five with a pass rate each, and the mean rate of all groups there could be."""
    rate = random.uniform(0.2, 0.8)
    groups = np.repeat(np.arange(size // GROUP_SIZE), GROUP_SIZE)
    weight = (1 - WITHIN_GROUPS) / WITHIN_GROUPS
    rates = random.beta(rate * weight, (1 - rate) * weight, size // GROUP_SIZE)[groups]
    return (random.random(len(groups)) < rates).astype(float), groups, rate


def correlated_normals(random: Random, size: int) -> tuple[Values, Values]:
    """Two sides that correlate by one half; the second lies 0.4 standard deviations higher."""
    row = random.normal(0, 0.5**0.5, size)
    return row + random.normal(0, 0.5**0.5, size), 0.4 + row + random.normal(0, 0.5**0.5, size)


def _wilson(random: Random, size: int) -> tuple[Interval, float]:
    rate = random.uniform(0.05, 0.95)
    return wilson(int(random.binomial(size, rate)), size), rate


def _newcombe(random: Random, size: int) -> tuple[Interval, float]:
    gap = random.uniform(0, 0.2)
    return newcombe(count_pairs(*paired_passes(random, size, gap))), gap


def _clustered_wilson(random: Random, size: int) -> tuple[Interval, float]:
    passes, groups, rate = grouped_passes(random, size)
    return clustered_wilson_interval(passes, groups), rate


def _bootstrap(sample: Callable[[Random, int], Values]) -> Callable[[Random, int], Interval]:
    def interval(random: Random, size: int) -> Interval:
        return bootstrap_mean_interval(sample(random, size), int(random.integers(2**31)), 0.95, BOOTSTRAP_RESAMPLES)

    return interval


def _times(random: Random, size: int) -> Values:
    return random.exponential(1, size)


def _bounds(effect: Effect) -> Interval:
    assert effect.interval is not None
    return effect.interval


def _differences(pairs: tuple[Values, Values]) -> Values:
    return pairs[1] - pairs[0]


def _grade_pairs_with_delta(random: Random, size: int) -> Interval:
    return _bounds(cliffs_delta(*paired_grades(random, size)))


COVERAGES = (
    Coverage("Wilson", "pass rates of 5 to 95 %", _wilson),
    Coverage("Wilson, effective sample size", "pass rates of 20 to 80 % in groups of 5", _clustered_wilson),
    Coverage("Newcombe paired", "differences of 0 to 20 points", _newcombe),
    Coverage("t of a mean", "grades", lambda r, n: (mean_interval(judge_scores(r, n)), judge_mean())),
    Coverage("t of a mean", "exponential", lambda r, n: (mean_interval(_times(r, n)), 1.0)),
    Coverage("t of a difference", "grades", lambda r, n: (mean_interval(_differences(paired_grades(r, n))), 0.0)),
    Coverage("t of a difference", "exponential", lambda r, n: (mean_interval(_differences(paired_times(r, n))), 0.0)),
    Coverage(
        "BCa bootstrap of a mean", "grades", lambda r, n: (_bootstrap(judge_scores)(r, n), judge_mean()), BOOTSTRAP_RUNS
    ),
    Coverage("BCa bootstrap of a mean", "exponential", lambda r, n: (_bootstrap(_times)(r, n), 1.0), BOOTSTRAP_RUNS),
    Coverage("clustered t of a mean", "groups of 5", lambda r, n: (clustered_mean_interval(*grouped(r, n)), 0.0)),
    Coverage("Cohen's d_z, noncentral t", "normal", lambda r, n: (_bounds(cohens_dz(r.normal(0.4, 1, n))), 0.4)),
    Coverage("Cohen's d, Bonett", "normal", lambda r, n: (_bounds(cohens_d(*correlated_normals(r, n))), 0.4)),
    Coverage("Cliff's delta", "grades", lambda r, n: (_grade_pairs_with_delta(r, n), 0.0)),
)


def _chosen(pairs: tuple[Values, Values]) -> float | None:
    differences = _differences(pairs)
    chosen = choose_test("numeric", differences).name
    return (paired_t if chosen == "paired_t" else wilcoxon)(differences).p_value


def _permuted(random: Random) -> float | None:
    differences = _differences(paired_grades(random, NULL_SIZE))
    return permutation_test(differences, int(random.integers(2**31)), PERMUTATIONS).p_value


def _permuted_groups(random: Random) -> float | None:
    values, groups = grouped(random, NULL_SIZE)
    return permutation_test(values, int(random.integers(2**31)), PERMUTATIONS, groups).p_value


def _mcnemar(random: Random) -> float | None:
    return mcnemar(count_pairs(*paired_passes(random, NULL_SIZE))).p_value


def _five_variants(random: Random) -> float | None:
    row, baseline = random.normal(0, 1, (2, NULL_SIZE))
    variants = [row + random.normal(0, 1, NULL_SIZE) for _ in range(5)]
    p_values = [paired_t(variant - row - baseline).p_value for variant in variants]
    # Holm's smallest adjusted p-value; `holm` itself collects garbage in each of 10,000 calls, which takes minutes.
    return len(p_values) * min(p for p in p_values if p is not None)


def _at_the_margin(random: Random) -> float | None:
    return tost(random.normal(0.5, 1, NULL_SIZE), 0.5).p_value


FALSE_ALARMS = (
    FalseAlarms("McNemar exact", "pass or fail", _mcnemar, exact=True),
    FalseAlarms("chosen by the rule", "grades", lambda r: _chosen(paired_grades(r, NULL_SIZE))),
    FalseAlarms("chosen by the rule", "exponential", lambda r: _chosen(paired_times(r, NULL_SIZE))),
    FalseAlarms("chosen by the rule, 10 rows", "exponential", lambda r: _chosen(paired_times(r, FEW))),
    FalseAlarms("chosen by the rule, 10 rows", "normal", lambda r: _chosen((r.normal(size=FEW), r.normal(size=FEW)))),
    FalseAlarms("Wilcoxon", "grades", lambda r: wilcoxon(_differences(paired_grades(r, NULL_SIZE))).p_value),
    FalseAlarms(
        "Wilcoxon, Pratt", "grades", lambda r: wilcoxon(_differences(paired_grades(r, NULL_SIZE)), "pratt").p_value
    ),
    FalseAlarms(
        "sign", "exponential", lambda r: sign_test(_differences(paired_times(r, NULL_SIZE))).p_value, exact=True
    ),
    FalseAlarms("sign-flip permutation", "grades", _permuted, exact=True),
    FalseAlarms("clustered t", "groups of 5", lambda r: clustered_mean(*grouped(r, NULL_SIZE)).t_test().p_value),
    FalseAlarms("sign-flip permutation of groups", "groups of 5", _permuted_groups, exact=True),
    FalseAlarms("paired t, Holm over 5 variants", "normal", _five_variants, exact=True),
    FalseAlarms("equivalence, at the margin", "normal", _at_the_margin),
)


def measure() -> dict[str, str]:
    """Coverage by interval and number of values, then false alarms by test, in percent."""
    return dict([*_coverages(), *_false_alarms()])


def _coverages() -> Iterator[tuple[str, str]]:
    for one in COVERAGES:
        shares = ", ".join(f"{one.share(size):.1%} (n = {size:,})" for size in SIZES)
        yield f"coverage: {one.interval}, {one.scores}", shares


def _false_alarms() -> Iterator[tuple[str, str]]:
    for one in FALSE_ALARMS:
        allowed = "at most 5 %" if one.exact else "4.5 to 5.5 %"
        yield f"false alarms: {one.test}, {one.scores}", f"{one.share():.2%} ({allowed})"
