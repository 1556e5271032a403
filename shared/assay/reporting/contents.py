"""The contents of a report: the records of everything that any format shows. Their JSON is `summary.json`.

`evaluation.py` computes them once per run; `html.py` and `markdown.py` only lay them out.
"""

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from pydantic import Field, JsonValue

from assay.records import NO_COST, BadRow, Record, Usage
from assay.reporting import wording
from assay.reporting.judge_records import JudgeFacts
from assay.reporting.money import Cost, PlainDecimal, RunCost, cost_sentences
from assay.reporting.samples import Disagreement, Trouble
from assay.reporting.shortcuts import Shortcuts, shortcut_sentences
from assay.scoring.early_stop.results import EarlyStops
from assay.scoring.results import Comparison, Metric
from assay.suite.redacted_views import STRICTNESS, Treatment

_TREATED: dict[Treatment, str] = {"keep": "kept", "hash": "hashed", "mask": "masked", "drop": "left out"}


class DatasetFacts(Record):
    """Which bytes the run was about."""

    file: str
    size: int
    sha256: str


class RunFacts(Record):
    """What was run. `created_at` is when the run began; a report knows no other clock."""

    run: str
    suite: str
    description: str
    created_at: datetime
    seed: int
    alpha: float
    rows: int
    bad_rows: int
    trials: int
    suite_sha256: str
    dataset: DatasetFacts
    versions: dict[str, str]


class StatusCounts(Record):
    """Trials by their final state. `without_outcome`: planned, but no outcome ever came."""

    succeeded: int = 0
    failed: int = 0
    blocked: int = 0
    skipped: int = 0
    without_outcome: int = 0

    @property
    def unanswered(self) -> int:
        return self.failed + self.blocked + self.skipped + self.without_outcome


class Latency(Record):
    """Seconds that 50, 90, 95 and 99 % of the answered trials took at most; a trial's time is the sum of its answers'.

    The first token and the tokens per second are of single answers that were streamed; None when none was.
    """

    p50_seconds: float
    p90_seconds: float | None = None
    p95_seconds: float
    p99_seconds: float | None = None
    first_token_p50_seconds: float | None = None
    first_token_p95_seconds: float | None = None
    tokens_per_second_p50: float | None = None


class Distribution(Record):
    """How often a score lay where. A binary one has the edges 0, 0.5 and 1: `counts` are those of 0 and of 1.

    `counts[i]` are the values from `edges[i]` up to but not including `edges[i + 1]`, in the last bin including it. A
    score has the same edges in every experiment.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]


class Confusion(Record):
    """What was expected (a line of `counts` each) against what was answered (a column each), both in `labels`' order.

    Only trials that say what was expected are counted. With `others` there is one more line and column at the end, for
    that many labels that are too rare to be shown; nothing is lost in the sums.
    """

    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    others: int = 0


class ExperimentResult(Record):
    """One experiment: how its trials ended, what they took, and a metric per score."""

    name: str
    baseline: bool
    description: str
    deployment: str
    statuses: StatusCounts
    usage: Usage
    cost_usd: PlainDecimal
    money: Cost = Cost()
    by_criterion: dict[str, Cost] = Field(default_factory=dict)
    latency: Latency | None
    models: dict[str, int] = Field(description="Answers by the model that gave them")
    deployments: dict[str, int] = Field(
        default_factory=dict, description="Answers by the deployment that gave them, as the suite calls it"
    )
    metrics: dict[str, Metric]
    shortcuts: Shortcuts = Shortcuts()
    distributions: dict[str, Distribution] = Field(default_factory=dict, description="By score; without values none")
    confusions: dict[str, Confusion] = Field(default_factory=dict, description="By score, of those that sort")
    aggregates: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict, description="What the suite's aggregators found, by their names"
    )

    @property
    def deployments_sentence(self) -> str:
        """Who answered, when that was not only the deployment that the suite names first; else nothing."""
        if set(self.deployments) <= {self.deployment}:
            return ""
        named = [f"`{name}` ({wording.count(answers)})" for name, answers in self.deployments.items()]
        return f"{self.name}: answered by {wording.listed(named)}."


class ComparedScore(Record):
    """A variant against the baseline on one score, with the sentences that say so."""

    variant: str
    score: str
    primary: bool
    sentence: str
    missing_sentence: str | None
    higher: int = Field(description="Rows on which the variant's score is higher")
    lower: int = Field(description="Rows on which the variant's score is lower")
    result: Comparison


class Prices(Record):
    """Which price list costs are from, and the models it does not know: their answers count as nothing."""

    as_of: date
    source: str
    unpriced_models: tuple[str, ...]


class ViewFacts(Record):
    """Which view a report is of, and what became of the columns of the results that are not as they were.

    `experiments` are those it is of, where it is not of all.
    """

    name: str
    columns: dict[str, Treatment]
    experiments: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What readers must know of it."""
        by_treatment = {one: [f"`{name}`" for name, said in self.columns.items() if said == one] for one in STRICTNESS}
        named = [
            f"{wording.listed(names)} {'is' if len(names) == 1 else 'are'} {_TREATED[one]}"
            for one, names in by_treatment.items()
            if names
        ]
        of = f" of {wording.listed(list(self.experiments))}" if self.experiments else ""
        columns = f": {'; '.join(named)}" if named else ""
        return f"This is the view `{self.name}` of the results{of}, without samples of rows and answers{columns}."


class Contents(Record):
    """A whole report. Experiments stand with the baseline first, comparisons with the primary score first."""

    version: Literal[1] = 1
    run: RunFacts
    headline: str
    primary: str | None
    baseline: str
    experiments: tuple[ExperimentResult, ...]
    comparisons: tuple[ComparedScore, ...]
    disagreements: dict[str, tuple[Disagreement, ...]]
    failures: tuple[Trouble, ...]
    blocked: tuple[Trouble, ...]
    unscored: tuple[Trouble, ...] = Field(description="Answers that a scorer could not judge, by score")
    bad_rows: tuple[BadRow, ...] = Field(description="The first few; `run.bad_rows` is how many there are")
    quarantined_messages: int
    prices: Prices
    money: RunCost = RunCost()
    comparers: dict[str, dict[str, dict[str, JsonValue]]] = Field(
        default_factory=dict, description="What the suite's comparers found, by variant and by their names"
    )
    early_stop: EarlyStops | None = None
    recommendation: str = ""
    judges: tuple[JudgeFacts, ...] = ()
    view: ViewFacts | None = Field(None, description="Which view this is; absent: all there is")

    @property
    def primary_comparisons(self) -> tuple[ComparedScore, ...]:
        return tuple(one for one in self.comparisons if one.primary)

    @property
    def scores(self) -> tuple[str, ...]:
        """The names of all scores, the primary first."""
        names = tuple(self.experiments[0].metrics)
        return tuple(sorted(names, key=lambda name: name != self.primary))

    @property
    def cost_usd(self) -> Decimal:
        judging = sum((one.money.spent_usd for one in self.judges), NO_COST)
        return sum((one.cost_usd for one in self.experiments), judging)

    @property
    def usage(self) -> Usage:
        judging = sum((one.usage for one in self.judges), Usage())
        return sum((one.usage for one in self.experiments), judging)

    @property
    def cost_sentences(self) -> tuple[str, ...]:
        """What was thrown away, what is unknown, and whether a budget that only warns was exceeded."""
        return (*cost_sentences(self.money), *([self.money.notice] if self.money.notice else []))

    @property
    def deployment_sentences(self) -> tuple[str, ...]:
        """Which deployments answered, of experiments that spread their questions or fell back."""
        return tuple(said for one in self.experiments if (said := one.deployments_sentence))

    @property
    def shortcut_sentences(self) -> tuple[str, ...]:
        """What the cache and lowered limits spared each experiment."""
        return tuple(said for one in self.experiments for said in shortcut_sentences(one.name, one.shortcuts))

    @property
    def early_stop_sentences(self) -> tuple[str, ...]:
        """What was stopped early, what that saved and what is promised; none of a run that could not end early."""
        return self.early_stop.sentences if self.early_stop else ()

    @property
    def unanswered(self) -> int:
        """Trials without an answer, whatever the reason; those that early stop has saved are none of them."""
        saved = self.early_stop.saved_trials if self.early_stop else 0
        return sum(one.statuses.unanswered for one in self.experiments) - saved
