"""Computes the contents of a report from a run's outcomes. The evaluate step calls it; numpy and scipy come along."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from assay.llm.pricing import PriceTable, load_prices
from assay.planning.judges.catalogue import preference_scores
from assay.planning.preflight import aggregators_of, comparers_of, primary_score, scores_given
from assay.records import BadRow, Plan, Row, RunHeader, TrialStatus
from assay.reporting.columns import ExperimentColumns, GroupColumn
from assay.reporting.contents import (
    ComparedScore,
    Contents,
    DatasetFacts,
    Distribution,
    ExperimentResult,
    Latency,
    Prices,
    RunFacts,
    StatusCounts,
)
from assay.reporting.distributions import confusion, distributions
from assay.reporting.early_ends import (
    asked_pairs,
    early_stop_of,
    family_size,
    settled_comparisons,
    summary_of_asked,
)
from assay.reporting.gathering import Gathered, Writing, gather
from assay.reporting.judge_records import JudgeFacts
from assay.reporting.methods import method_of
from assay.reporting.money import Cost, RunCost
from assay.reporting.outcome_files import OutcomeFiles
from assay.reporting.recommendation import recommend
from assay.reporting.samples import Disagreement, cut
from assay.reporting.sampling import differing_scores, disagreements, expected_values
from assay.reporting.tables import Renderer, ResultFiles
from assay.reporting.wording import headline, missing_sentence, verdict_sentence
from assay.scoring.aggregates import summarise
from assay.scoring.base import Scorer
from assay.scoring.comparisons import adjust, compare
from assay.scoring.early_stop.verdicts import Followed
from assay.scoring.paired_scores import PairedScores
from assay.scoring.results import Comparison, Metric
from assay.scoring.statistics.arrays import Codes
from assay.scoring.summing_up import run_aggregators, run_comparers
from assay.scoring.views import ExperimentView
from assay.suite.models import Suite

MOST_BAD_ROWS = 20


def evaluate(
    header: RunHeader,
    suite: Suite,
    plan: Plan,
    outcomes: OutcomeFiles,
    bad_rows: Sequence[BadRow],
    quarantined_messages: int,
    rows: Iterable[Row] = (),
    prices: PriceTable | None = None,
    results: Path | None = None,
    followed: Followed | None = None,
    judges: Sequence[JudgeFacts] = (),
) -> Contents:
    """The report's contents; the same outcomes give equal ones, in whatever order the files hold them.

    With `results` that folder gets the result files of `tables.py`, of the same trials. `rows` are the dataset's, read
    once and only to say what was right where experiments disagree. Of two outcomes of a trial the first counts.
    `prices` are those that costs were made with; absent, the shipped ones. `followed` is what early stop has seen, of
    runs that may end early, `judges` what is known of the suite's judges. Raises LookupError for an outcome that the
    plan does not have, CheckFailed for what is no outcome.
    """
    scorers = scores_given(suite)
    primary = primary_score(suite)
    prices = prices or load_prices()
    gathered = _gather(outcomes, suite, prices, results)
    found, groups = _disagreements(gathered, outcomes, suite, rows)
    alpha = suite.comparison.alpha
    preferences, nothing = preference_scores(suite), frozenset[str]()
    metrics = {
        name: _metrics(columns, scorers, alpha, groups, nothing if at else preferences, followed)
        for at, (name, columns) in enumerate(gathered.columns.experiments.items())
    }
    comparisons = _compare_all(gathered, suite, scorers, header.seed, groups, followed)
    views = gathered.columns.views()
    contents = Contents(
        run=_run_facts(header, suite, plan),
        headline=_headline(suite, primary, gathered, comparisons),
        primary=primary,
        baseline=suite.baseline.name,
        experiments=_experiment_results(suite, gathered, metrics, views),
        comparisons=comparisons,
        disagreements=found,
        failures=gathered.failures.groups(),
        blocked=gathered.blocked.groups(),
        unscored=gathered.unscored.groups(),
        bad_rows=tuple(_cut_row(row) for row in bad_rows[:MOST_BAD_ROWS]),
        quarantined_messages=quarantined_messages,
        prices=_prices(gathered, prices),
        money=_money(gathered, suite, judges),
        comparers={one.experiment: _compared_views(suite, views[0], one) for one in views[1:]},
        early_stop=early_stop_of(followed, gathered.columns.experiments),
        judges=tuple(judges),
    )
    return contents.model_copy(update={"recommendation": recommend(contents)})


def _gather(outcomes: OutcomeFiles, suite: Suite, prices: PriceTable, results: Path | None) -> Gathered:
    scores = [one.name for one in scores_given(suite)]
    if results is None:
        return gather(outcomes, scores)
    renderer = Renderer.of(suite, prices)
    with ResultFiles(results, renderer.layout) as files:
        return gather(outcomes, scores, Writing(renderer, files))


def _disagreements(
    gathered: Gathered, outcomes: OutcomeFiles, suite: Suite, rows: Iterable[Row]
) -> tuple[dict[str, tuple[Disagreement, ...]], Codes | None]:
    """Where variants differ from the baseline, and which rows share a group; the rows are read once for both."""
    primary = primary_score(suite)
    baseline, *variants = gathered.columns.experiments.items()
    differing = gathered.answers.rows
    if primary and primary not in preference_scores(suite):
        differing = {name: differing_scores(baseline[1], columns, primary) for name, columns in variants}
    grouped = GroupColumn(rows, suite.comparison.group, outcomes.plan.rows) if suite.comparison.group else None
    column = next((one.expected_column for one in scores_given(suite) if one.name == primary), None)
    numbers = set().union(*differing.values())
    right = expected_values(grouped or rows, numbers, column) if column else {}
    return disagreements(outcomes, differing, primary, right), grouped.codes() if grouped else None


def _metrics(
    columns: ExperimentColumns,
    scorers: Sequence[Scorer],
    alpha: float,
    groups: Codes | None,
    never: frozenset[str],
    followed: Followed | None,
) -> dict[str, Metric]:
    """A metric of every score; one over no trials for those that this experiment `never` has."""
    clusters = columns.clusters(groups)

    def metric(scorer: Scorer) -> Metric:
        if scorer.name in never:
            return summarise([], scorer.kind, level=1 - alpha)
        if followed is not None:
            return summary_of_asked(columns, scorer, 1 - alpha, clusters)
        return summarise(columns.scores[scorer.name], scorer.kind, columns.missing(scorer.name), 1 - alpha, clusters)

    return {scorer.name: metric(scorer) for scorer in scorers}


def _compare_all(
    gathered: Gathered,
    suite: Suite,
    scorers: Sequence[Scorer],
    seed: int,
    groups: Codes | None,
    followed: Followed | None,
) -> tuple[ComparedScore, ...]:
    """Every variant on every score, the primary one first; together they are one family for the adjustment."""
    baseline, *variants = gathered.columns.experiments
    primary = primary_score(suite)
    in_order = sorted(scorers, key=lambda scorer: scorer.name != primary)
    pairs = [(scorer, variant) for scorer in in_order for variant in variants]
    methods = {one.name: method_of(suite, one.name, seed, len(pairs)) for one in scorers}
    preferences = preference_scores(suite)

    def result(scorer: Scorer, variant: str) -> Comparison:
        paired = _paired(gathered, baseline, variant, scorer.name, groups, followed)
        return compare(
            paired.as_preferences if scorer.name in preferences else paired,
            kind=scorer.kind,
            value_range=(0.0, 1.0) if scorer.kind == "binary" else scorer.value_range,
            method=methods[scorer.name],
            goal=suite.comparison.goal_of(scorer.name),
        )

    results = adjust([result(scorer, variant) for scorer, variant in pairs], suite.comparison.correction)
    places = [(scorer.name, variant) for scorer, variant in pairs]
    results = settled_comparisons(results, places, primary, followed, suite.comparison.correction)
    return tuple(
        _compared(baseline, variant, score, score == primary, result, family_size(score, primary, len(pairs), followed))
        for (score, variant), result in zip(places, results, strict=True)
    )


def _paired(
    gathered: Gathered, baseline: str, variant: str, score: str, groups: Codes | None, followed: Followed | None
) -> PairedScores:
    before, after = (gathered.columns.experiments[name] for name in (baseline, variant))
    if followed is not None:
        return asked_pairs(before, after, score, groups)
    return PairedScores.of(before.lines(score), after.lines(score), groups)


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


def _experiment_results(
    suite: Suite, gathered: Gathered, metrics: Mapping[str, dict[str, Metric]], views: Sequence[ExperimentView]
) -> tuple[ExperimentResult, ...]:
    shown = {one.name: _distributions(gathered, one) for one in scores_given(suite)}
    return tuple(
        _experiment_result(suite, one, gathered.columns.experiments[one.experiment]).model_copy(
            update={
                "metrics": metrics[one.experiment],
                "distributions": {name: by[one.experiment] for name, by in shown.items() if one.experiment in by},
                "confusions": {name: found for name in one.labels if (found := confusion(one, name))},
                "aggregates": run_aggregators(aggregators_of(suite), one),
            }
        )
        for one in views
    )


def _distributions(gathered: Gathered, scorer: Scorer) -> dict[str, Distribution]:
    columns = {name: one.scores[scorer.name] for name, one in gathered.columns.experiments.items()}
    return distributions(columns, scorer.kind)


def _experiment_result(suite: Suite, view: ExperimentView, columns: ExperimentColumns) -> ExperimentResult:
    experiment, tally = suite.experiment(view.experiment), columns.tally
    money = tally.costs.total()
    return ExperimentResult(
        name=experiment.name,
        baseline=experiment.baseline,
        description=experiment.description,
        deployment=experiment.model.deployment,
        statuses=_asked_counts(columns) if suite.early_stop else _status_counts(columns),
        usage=tally.usage,
        cost_usd=money.spent_usd,
        money=money,
        by_criterion=dict(tally.costs.costs()),
        latency=_latency(columns),
        models=dict(sorted(tally.models.items())),
        deployments=dict(sorted(tally.deployments.items())),
        metrics={},
        shortcuts=tally.shortcuts.shortcuts(experiment.model.max_tokens),
    )


def _compared_views(suite: Suite, baseline: ExperimentView, variant: ExperimentView) -> dict[str, Any]:
    return dict(run_comparers(comparers_of(suite), baseline, variant))


def _status_counts(columns: ExperimentColumns) -> StatusCounts:
    counts = {status.value: columns.count(status) for status in TrialStatus}
    return StatusCounts(**counts, without_outcome=columns.without_outcome)


def _asked_counts(columns: ExperimentColumns) -> StatusCounts:
    """Of a run that may end early: trials without an outcome are those that were not asked."""
    counts = _status_counts(columns)
    return counts.model_copy(update={"skipped": counts.skipped + counts.without_outcome, "without_outcome": 0})


def _latency(columns: ExperimentColumns) -> Latency | None:
    seconds = columns.quantiles("latency_seconds", (0.5, 0.9, 0.95, 0.99))
    if not seconds:
        return None
    first = dict(enumerate(columns.quantiles("first_token_seconds", (0.5, 0.95))))
    return Latency(
        p50_seconds=seconds[0],
        p90_seconds=seconds[1],
        p95_seconds=seconds[2],
        p99_seconds=seconds[3],
        first_token_p50_seconds=first.get(0),
        first_token_p95_seconds=first.get(1),
        tokens_per_second_p50=next(iter(columns.quantiles("tokens_per_second", (0.5,))), None),
    )


def _headline(suite: Suite, primary: str | None, gathered: Gathered, comparisons: Sequence[ComparedScore]) -> str:
    columns = gathered.columns.experiments.values()
    return headline(
        suite.baseline.name,
        primary,
        [(one.variant, one.result) for one in comparisons if one.primary],
        scored=any(of.has_scores(primary) for of in columns) if primary else False,
        answered=any(of.count(TrialStatus.SUCCEEDED) for of in columns),
    )


def _cut_row(row: BadRow) -> BadRow:
    return row.model_copy(update={"reason": cut(row.reason, 500), "found": cut(row.found, 500)})


def _prices(gathered: Gathered, table: PriceTable) -> Prices:
    unpriced = set[str]().union(*(one.tally.unpriced_models for one in gathered.columns.experiments.values()))
    return Prices(as_of=table.as_of, source=table.source, unpriced_models=tuple(sorted(unpriced)))


def _money(gathered: Gathered, suite: Suite, judges: Sequence[JudgeFacts]) -> RunCost:
    judging = sum((one.money for one in judges), Cost())
    total = sum((one.tally.costs.total() for one in gathered.columns.experiments.values()), judging)
    limits = suite.limits
    mode = None if limits.budget_usd is None else limits.budget
    return RunCost(**dict(total), budget_usd=limits.budget_usd, budget=mode)
