"""What telemetry is told of a run: how far it is, and, when it ends, its span. The steps call it."""

from assay.orchestration.budgets import Terms
from assay.run_records import Progress, RunHeader
from assay.telemetry import Telemetry, bound
from assay.telemetry_names import BUDGET_USE, COST, ERROR_TYPE, RUN_SPAN, STAGE, SUITE, TRIAL_COUNT


def tell_of_progress(telemetry: Telemetry, header: RunHeader, progress: Progress, terms: Terms | None) -> None:
    """An event with counts and cost, and the part of the budget, as it is now, that is spent."""
    tally = progress.tally
    budget_usd = terms.limit_usd if terms else None
    telemetry.event(
        "run_watched",
        run=header.run,
        done=progress.chunks_done,
        total=progress.chunks_total,
        suite=header.suite_name,
        trials=tally.trials,
        trials_total=progress.trials_total,
        failed=tally.failed,
        cost_usd=float(tally.cost_usd),
        budget_usd=float(budget_usd) if budget_usd is not None else None,
    )
    if budget_usd:
        telemetry.record(BUDGET_USE, float(tally.cost_usd / budget_usd), {SUITE: header.suite_name})


def tell_of_run(telemetry: Telemetry, header: RunHeader, progress: Progress) -> None:
    """The run's span, from its admission until now. Told again when the run goes on and ends once more."""
    stage = progress.stage.value
    attributes = {
        SUITE: header.suite_name,
        STAGE: stage,
        TRIAL_COUNT: progress.trials_total,
        COST: progress.tally.cost_usd,
    }
    with bound(run=header.run), telemetry.span(RUN_SPAN, attributes, began=header.created_at) as span:
        if stage in ("failed", "stopped"):
            span.set({ERROR_TYPE: stage})
