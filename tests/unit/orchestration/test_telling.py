"""What telemetry is told of a run: how far it is, and its span when it ends."""

from __future__ import annotations

from decimal import Decimal

import pytest

from assay.orchestration.budgets import Terms
from assay.orchestration.telling import tell_of_progress, tell_of_run
from assay.run_records import Progress, Stage, Tally
from assay.telemetry import RecordingTelemetry
from assay.telemetry_names import BUDGET_USE, COST, ERROR_TYPE, RUN_SPAN, STAGE, SUITE, TRIAL_COUNT
from builders import RUN, run_header

SEEN = Progress(
    run=RUN,
    stage=Stage.ASKING,
    trials_total=40,
    chunks_total=4,
    chunks_done=1,
    tally=Tally(trials=10, succeeded=8, failed=2, cost_usd=Decimal("0.5")),
)


def test_a_look_tells_counts_money_and_budget() -> None:
    """The workbook reads progress and cost of a run from these events."""
    telemetry = RecordingTelemetry()
    tell_of_progress(telemetry, run_header(), SEEN, Terms(Decimal(2), "soft"))
    assert telemetry.named("run_watched") == [
        {
            "run": RUN,
            "done": 1,
            "total": 4,
            "suite": "support-triage",
            "trials": 10,
            "trials_total": 40,
            "failed": 2,
            "cost_usd": 0.5,
            "budget_usd": 2.0,
        }
    ]
    assert telemetry.values(BUDGET_USE) == [(0.25, {SUITE: "support-triage"})]


def test_without_a_budget_no_part_of_it_is_told() -> None:
    """A gauge at nought would look like an unspent budget."""
    telemetry = RecordingTelemetry()
    tell_of_progress(telemetry, run_header(), SEEN, None)
    assert telemetry.values(BUDGET_USE) == []
    assert telemetry.named("run_watched")[0]["budget_usd"] is None


@pytest.mark.parametrize(("stage", "error"), [("done", None), ("failed", "failed"), ("stopped", "stopped")])
def test_a_run_that_ends_has_a_span(stage: str, error: str | None) -> None:
    """Marked as an error where the run did not end well."""
    telemetry = RecordingTelemetry()
    tell_of_run(telemetry, run_header(), SEEN.model_copy(update={"stage": Stage(stage)}))
    ((name, attributes),) = telemetry.spans
    assert (name, attributes[SUITE], attributes[STAGE]) == (RUN_SPAN, "support-triage", stage)
    assert (attributes[TRIAL_COUNT], attributes[COST]) == (40, Decimal("0.5"))
    assert attributes.get(ERROR_TYPE) == error
