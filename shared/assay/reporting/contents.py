"""The contents of a report: everything that any format shows, computed once per run from its outcomes.

`evaluate` makes them; their JSON is `summary.json`; `html.py` and `markdown.py` only lay them out.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Literal

from pydantic import Field

from assay.llm.pricing import PriceTable, load_prices
from assay.planning.preflight import primary_score, scorers_of
from assay.records import NO_COST, BadRow, Outcome, Plan, Record, Row, RunHeader, TrialStatus, Usage
from assay.reporting import wording
from assay.reporting.columns import ExperimentColumns, GroupColumn
from assay.reporting.methods import method_of
from assay.reporting.money import Cost, PlainDecimal, RunCost, cost_sentences
from assay.reporting.samples import Disagreement, DisagreementSampler, Trouble, TroubleSampler, cut
from assay.reporting.shortcuts import Shortcuts, shortcut_sentences
from assay.reporting.wording import headline, missing_sentence, verdict_sentence
from assay.scoring.aggregates import summarise
from assay.scoring.base import Scorer
from assay.scoring.comparisons import adjust, compare
from assay.scoring.paired_scores import PairedScores
from assay.scoring.results import Comparison, Metric
from assay.scoring.statistics.arrays import Codes
from assay.suite.models import Suite

MOST_BAD_ROWS = 20


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
    """Seconds that 50 % and 95 % of the trials took at most; a trial's time is the sum of its answers' times."""

    p50_seconds: float
    p95_seconds: float


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
        return sum((one.cost_usd for one in self.experiments), NO_COST)

    @property
    def usage(self) -> Usage:
        return sum((one.usage for one in self.experiments), Usage())

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
    def unanswered(self) -> int:
        """Trials without an answer, whatever the reason."""
        return sum(one.statuses.unanswered for one in self.experiments)


def evaluate(
    header: RunHeader,
    suite: Suite,
    plan: Plan,
    outcomes: Iterable[Outcome],
    bad_rows: Sequence[BadRow],
    quarantined_messages: int,
    rows: Iterable[Row] = (),
    prices: PriceTable | None = None,
) -> Contents:
    """The report's contents. The outcomes may come in any order and are read once; the same ones give equal contents.

    `rows` are the dataset's, read once and only to say what was right where experiments disagree. A second outcome of
    the same trial is ignored. `prices` are those that costs were made with; absent, the shipped ones. Raises
    LookupError for an outcome of a row or experiment that the plan does not have.
    """
    scorers = scorers_of(suite)
    primary = primary_score(suite)
    gathered = _Gathered(plan, scorers, primary)
    for outcome in outcomes:
        gathered.add(outcome)
    expected = next((one.expected_column for one in scorers if one.name == primary), None)
    grouped = GroupColumn(rows, suite.comparison.group, plan.rows) if suite.comparison.group else None
    disagreements = gathered.disagreements.samples(grouped or rows, expected)
    groups = grouped.codes() if grouped else None
    alpha = suite.comparison.alpha
    metrics = {name: _metrics(gathered.columns[name], scorers, alpha, groups) for name in plan.experiments}
    comparisons = _compare_all(gathered, suite, scorers, header.seed, groups)
    return Contents(
        run=_run_facts(header, suite, plan),
        headline=_headline(suite, primary, gathered, comparisons),
        primary=primary,
        baseline=suite.baseline.name,
        experiments=tuple(_experiment_result(suite, name, gathered, metrics[name]) for name in plan.experiments),
        comparisons=comparisons,
        disagreements=disagreements,
        failures=gathered.failures.groups(),
        blocked=gathered.blocked.groups(),
        unscored=gathered.unscored.groups(),
        bad_rows=tuple(_cut_row(row) for row in bad_rows[:MOST_BAD_ROWS]),
        quarantined_messages=quarantined_messages,
        prices=_prices(gathered, prices or load_prices()),
        money=_money(gathered, suite),
    )


class _Gathered:
    """What is kept of the outcomes: columns of numbers, and a few samples."""

    def __init__(self, plan: Plan, scorers: Sequence[Scorer], primary: str | None) -> None:
        names = [scorer.name for scorer in scorers]
        self.columns = {
            name: ExperimentColumns.empty(plan.rows, names, plan.repeats_of(name)) for name in plan.experiments
        }
        self.disagreements = DisagreementSampler(plan.experiments[0], plan.experiments[1:], primary)
        self.failures = TroubleSampler(plan.experiments)
        self.blocked = TroubleSampler(plan.experiments)
        self.unscored = TroubleSampler(plan.experiments)

    def add(self, outcome: Outcome) -> None:
        if not self.columns[outcome.experiment].add(outcome):
            return
        self.disagreements.add(outcome)
        if outcome.failure is not None:
            blocked = outcome.status is TrialStatus.BLOCKED
            kinds = self.blocked if blocked else self.failures
            failure = outcome.failure
            kinds.add(outcome, failure.kind, failure.message, failure.request_id)
        for score in outcome.scores:
            if score.value is None:
                self.unscored.add(outcome, score.name, score.reason or "no reason given")


def _metrics(
    columns: ExperimentColumns, scorers: Sequence[Scorer], alpha: float, groups: Codes | None
) -> dict[str, Metric]:
    clusters = columns.clusters(groups)
    return {
        scorer.name: summarise(
            columns.scores[scorer.name], scorer.kind, columns.missing(scorer.name), 1 - alpha, clusters
        )
        for scorer in scorers
    }


def _compare_all(
    gathered: _Gathered, suite: Suite, scorers: Sequence[Scorer], seed: int, groups: Codes | None
) -> tuple[ComparedScore, ...]:
    """Every variant on every score, the primary one first; together they are one family for the adjustment."""
    baseline, *variants = gathered.columns
    primary = primary_score(suite)
    in_order = sorted(scorers, key=lambda scorer: scorer.name != primary)
    pairs = [(scorer, variant) for scorer in in_order for variant in variants]
    methods = {one.name: method_of(suite, one.name, seed, len(pairs)) for one in scorers}
    results = adjust(
        [
            compare(
                _paired(gathered, baseline, variant, scorer.name, groups),
                kind=scorer.kind,
                value_range=(0.0, 1.0) if scorer.kind == "binary" else scorer.value_range,
                method=methods[scorer.name],
            )
            for scorer, variant in pairs
        ],
        suite.comparison.correction,
    )
    return tuple(
        _compared(baseline, variant, scorer.name, scorer.name == primary, result, len(pairs))
        for (scorer, variant), result in zip(pairs, results, strict=True)
    )


def _paired(gathered: _Gathered, baseline: str, variant: str, score: str, groups: Codes | None) -> PairedScores:
    before, after = gathered.columns[baseline].lines(score), gathered.columns[variant].lines(score)
    return PairedScores.of(before, after, groups)


def _compared(baseline: str, variant: str, score: str, primary: bool, result: Comparison, family: int) -> ComparedScore:
    return ComparedScore(
        variant=variant,
        score=score,
        primary=primary,
        sentence=verdict_sentence(variant, baseline, score, result, family),
        missing_sentence=missing_sentence(variant, baseline, result),
        higher=result.n_higher,
        lower=result.n_lower,
        result=result,
    )


def _run_facts(header: RunHeader, suite: Suite, plan: Plan) -> RunFacts:
    dataset = header.dataset
    return RunFacts(
        run=header.run,
        suite=header.suite_name,
        description=suite.description,
        created_at=header.created_at,
        seed=header.seed,
        alpha=suite.comparison.alpha,
        rows=plan.rows,
        bad_rows=plan.bad_rows,
        trials=plan.trials,
        suite_sha256=header.suite_sha256,
        dataset=DatasetFacts(file=dataset.file, size=dataset.size, sha256=dataset.sha256),
        versions=dict(sorted(header.versions.items())),
    )


def _experiment_result(suite: Suite, name: str, gathered: _Gathered, metrics: dict[str, Metric]) -> ExperimentResult:
    experiment, columns = suite.experiment(name), gathered.columns[name]
    return ExperimentResult(
        name=name,
        baseline=experiment.baseline,
        description=experiment.description,
        deployment=experiment.model.deployment,
        statuses=_status_counts(columns),
        usage=columns.usage,
        cost_usd=columns.costs.total().spent_usd,
        money=columns.costs.total(),
        by_criterion=dict(columns.costs.costs()),
        latency=_latency(columns),
        models=dict(sorted(columns.models.items())),
        deployments=dict(sorted(columns.deployments.items())),
        metrics=metrics,
        shortcuts=columns.shortcuts.shortcuts(experiment.model.max_tokens),
    )


def _status_counts(columns: ExperimentColumns) -> StatusCounts:
    counts = {status.value: columns.count(status) for status in TrialStatus}
    return StatusCounts(**counts, without_outcome=columns.without_outcome)


def _latency(columns: ExperimentColumns) -> Latency | None:
    p50, p95 = columns.latency_quantile(0.5), columns.latency_quantile(0.95)
    return None if p50 is None or p95 is None else Latency(p50_seconds=p50, p95_seconds=p95)


def _headline(suite: Suite, primary: str | None, gathered: _Gathered, comparisons: Sequence[ComparedScore]) -> str:
    columns = gathered.columns.values()
    return headline(
        suite.baseline.name,
        primary,
        [(one.variant, one.result) for one in comparisons if one.primary],
        scored=any(of.has_scores(primary) for of in columns) if primary else False,
        answered=any(of.count(TrialStatus.SUCCEEDED) for of in columns),
    )


def _cut_row(row: BadRow) -> BadRow:
    return row.model_copy(update={"reason": cut(row.reason, 500), "found": cut(row.found, 500)})


def _prices(gathered: _Gathered, table: PriceTable) -> Prices:
    unpriced = set[str]().union(*(columns.unpriced_models for columns in gathered.columns.values()))
    return Prices(as_of=table.as_of, source=table.source, unpriced_models=tuple(sorted(unpriced)))


def _money(gathered: _Gathered, suite: Suite) -> RunCost:
    total = sum((columns.costs.total() for columns in gathered.columns.values()), Cost())
    limits = suite.limits
    mode = None if limits.budget_usd is None else limits.budget
    return RunCost(**dict(total), budget_usd=limits.budget_usd, budget=mode)
