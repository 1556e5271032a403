"""What part of a run of the bench is scored."""

from __future__ import annotations

import pytest

from bench.quota.loads import LOADS, QUOTAS
from bench.quota.runs import RunPlan


@pytest.mark.parametrize(("seconds", "warm_up"), [(90, 30), (120, 60), (150, 30), (300, 60), (329, 89), (40, 20)])
def test_whole_minutes_are_scored_after_half_a_minute_at_least(seconds: float, warm_up: float) -> None:
    """Else a load that comes once a minute in a burst might be seen twice in a minute and a half."""
    plan = RunPlan(quota=QUOTAS["S"], load=LOADS["chat"], workers=1, seconds=seconds)
    assert plan.warm_up == warm_up


def test_a_disturbed_run_is_scored_from_the_half_minute_on() -> None:
    """What the fault costs is part of the score, wherever it lies."""
    plan = RunPlan(quota=QUOTAS["S"], load=LOADS["chat"], workers=1, seconds=120, is_disturbed=True)
    assert plan.warm_up == 30


def test_a_worker_has_slots_for_three_times_what_the_quota_needs() -> None:
    """So that a saturated fleet always waits for permits, and never for answers."""
    chat, large = LOADS["chat"], QUOTAS["L"]
    in_flight = chat.requests_per_second(large) * chat.mean_seconds
    assert 4 * chat.slots(large, 4) >= 3 * in_flight
    assert chat.slots(QUOTAS["S"], 64) == 16
