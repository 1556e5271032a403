"""Computes the contents of a report from a run's outcomes. The evaluate step calls it; numpy and scipy come along."""

from collections.abc import Iterable, Sequence

from assay.llm.pricing import PriceTable, load_prices
from assay.planning.preflight import primary_score, scorers_of
from assay.records import BadRow, Outcome, Plan, Row, RunHeader, TrialStatus
from assay.reporting.columns import ExperimentColumns, GroupColumn
from assay.reporting.contents import (
    ComparedScore,
    Contents,
    DatasetFacts,
    ExperimentResult,
    Latency,
    Prices,
    RunFacts,
    StatusCounts,
)
from assay.reporting.methods import method_of
from assay.reporting.money import Cost, RunCost
from assay.reporting.samples import DisagreementSampler, TroubleSampler, cut
from assay.reporting.wording import headline, missing_sentence, verdict_sentence
from assay.scoring.aggregates import summarise
from assay.scoring.base import Scorer
from assay.scoring.comparisons import adjust, compare
from assay.scoring.paired_scores import PairedScores
from assay.scoring.results import Comparison, Metric
from assay.scoring.statistics.arrays import Codes
from assay.suite.models import Suite

MOST_BAD_ROWS = 20


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
                goal=suite.comparison.goal_of(scorer.name),
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
    if p50 is None or p95 is None:
        return None
    p90, p99 = columns.latency_quantile(0.9), columns.latency_quantile(0.99)
    return Latency(p50_seconds=p50, p90_seconds=p90, p95_seconds=p95, p99_seconds=p99)


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
