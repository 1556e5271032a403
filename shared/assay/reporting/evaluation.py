"""Computes the contents of a report from a run's outcomes. The evaluate step calls it; numpy and scipy come along."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from assay.planning.preflight import aggregators_of, comparers_of
from assay.records import BadRow, Row, TrialStatus
from assay.reporting.columns import ExperimentColumns, GroupColumn
from assay.reporting.comparing import compared_scores, metrics_of
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
    early_stop_of,
)
from assay.reporting.finished_run import FinishedRun
from assay.reporting.gathering import Gathered, Writing, gather
from assay.reporting.headline import headline
from assay.reporting.money import Cost, RunCost
from assay.reporting.recommendation import recommend
from assay.reporting.samples import Disagreement, cut
from assay.reporting.sampling import differing_scores, disagreements, expected_values
from assay.reporting.tables import Renderer, ResultFiles
from assay.scoring.base import Scorer
from assay.scoring.statistics.arrays import Codes
from assay.scoring.summing_up import run_aggregators, run_comparers
from assay.scoring.views import ExperimentView
from assay.suite.models import Suite

MOST_BAD_ROWS = 20


def evaluate(run: FinishedRun, rows: Iterable[Row] = (), results: Path | None = None) -> Contents:
    """The report's contents; the same outcomes give equal ones, in whatever order the files hold them.

    With `results` that folder gets the result files of `tables.py`, of the same trials. `rows` are the dataset's, read
    once and only to say what was right where experiments disagree. Of two outcomes of a trial the first counts. Raises
    LookupError for an outcome that the plan does not have, CheckFailed for what is no outcome.
    """
    gathered = _gather(run, results)
    found, groups = _disagreements(run, gathered, rows)
    comparisons = compared_scores(run, gathered, groups)
    views = gathered.columns.views()
    contents = Contents(
        run=_run_facts(run),
        headline=_headline(run, gathered, comparisons),
        primary=run.primary,
        baseline=run.suite.baseline.name,
        experiments=_experiment_results(run, gathered, views, groups),
        comparisons=comparisons,
        disagreements=found,
        failures=gathered.failures.groups(),
        blocked=gathered.blocked.groups(),
        unscored=gathered.unscored.groups(),
        bad_rows=tuple(_cut_row(row) for row in run.bad_rows[:MOST_BAD_ROWS]),
        quarantined_messages=run.quarantined_messages,
        prices=_prices(run, gathered),
        money=_money(run, gathered),
        comparers={one.experiment: _compared_views(run.suite, views[0], one) for one in views[1:]},
        early_stop=early_stop_of(run.followed, gathered.columns.experiments),
        judges=tuple(run.judges),
    )
    return contents.model_copy(update={"recommendation": recommend(contents)})


def _gather(run: FinishedRun, results: Path | None) -> Gathered:
    scores = [one.name for one in run.scorers]
    if results is None:
        return gather(run.outcomes, scores)
    renderer = Renderer.of(run.suite, run.prices)
    with ResultFiles(results, renderer.layout) as files:
        return gather(run.outcomes, scores, Writing(renderer, files))


def _disagreements(
    run: FinishedRun, gathered: Gathered, rows: Iterable[Row]
) -> tuple[dict[str, tuple[Disagreement, ...]], Codes | None]:
    """Where variants differ from the baseline, and which rows share a group; the rows are read once for both."""
    (_, baseline), *variants = gathered.columns.experiments.items()
    differing = gathered.answers.rows
    if run.primary and run.primary not in run.preferences:
        differing = {name: differing_scores(baseline, columns, run.primary) for name, columns in variants}
    group = run.suite.comparison.group
    grouped = GroupColumn(rows, group, run.plan.rows) if group else None
    column = next((one.expected_column for one in run.scorers if one.name == run.primary), None)
    numbers = set().union(*differing.values())
    right = expected_values(grouped or rows, numbers, column) if column else {}
    return disagreements(run.outcomes, differing, run.primary, right), grouped.codes() if grouped else None


def _run_facts(run: FinishedRun) -> RunFacts:
    header, suite, plan = run.header, run.suite, run.plan
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
    run: FinishedRun, gathered: Gathered, views: Sequence[ExperimentView], groups: Codes | None
) -> tuple[ExperimentResult, ...]:
    shown = {one.name: _distributions(gathered, one) for one in run.scorers}
    return tuple(
        _experiment_result(run.suite, one, columns).model_copy(
            update={
                "metrics": metrics_of(run, columns, groups, run.preferences if one.baseline else frozenset()),
                "distributions": {name: by[one.experiment] for name, by in shown.items() if one.experiment in by},
                "confusions": {name: found for name in one.labels if (found := confusion(one, name))},
                "aggregates": run_aggregators(aggregators_of(run.suite), one),
            }
        )
        for one, columns in zip(views, gathered.columns.experiments.values(), strict=True)
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


def _headline(run: FinishedRun, gathered: Gathered, comparisons: Sequence[ComparedScore]) -> str:
    columns = gathered.columns.experiments.values()
    return headline(
        run.suite.baseline.name,
        run.primary,
        [(one.variant, one.result) for one in comparisons if one.primary],
        scored=any(of.has_scores(run.primary) for of in columns) if run.primary else False,
        answered=any(of.count(TrialStatus.SUCCEEDED) for of in columns),
    )


def _cut_row(row: BadRow) -> BadRow:
    return row.model_copy(update={"reason": cut(row.reason, 500), "found": cut(row.found, 500)})


def _prices(run: FinishedRun, gathered: Gathered) -> Prices:
    unpriced = set[str]().union(*(one.tally.unpriced_models for one in gathered.columns.experiments.values()))
    return Prices(as_of=run.prices.as_of, source=run.prices.source, unpriced_models=tuple(sorted(unpriced)))


def _money(run: FinishedRun, gathered: Gathered) -> RunCost:
    judging = sum((one.money for one in run.judges), Cost())
    total = sum((one.tally.costs.total() for one in gathered.columns.experiments.values()), judging)
    limits = run.suite.limits
    mode = None if limits.budget_usd is None else limits.budget
    return RunCost(**dict(total), budget_usd=limits.budget_usd, budget=mode)
