"""The watchdog: one report per trial that has almost used up its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from worker_bench import turns

from assay.execution.watchdog import Watchdog
from assay.telemetry import RecordingTelemetry, bound


class Timers:
    """The calls to come, by when; `pass_seconds` makes those due."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], Any]]] = []

    def __call__(self, seconds: float, callback: Callable[[], Any]) -> Timers.Timer:
        self.waiting.append((seconds, callback))
        return Timers.Timer(self, self.waiting[-1])

    def pass_seconds(self, seconds: float) -> None:
        for due, callback in list(self.waiting):
            if due <= seconds:
                self.waiting.remove((due, callback))
                callback()

    class Timer:
        def __init__(self, timers: Timers, one: tuple[float, Callable[[], Any]]) -> None:
            self._timers, self._one = timers, one

        def cancel(self) -> None:
            if self._one in self._timers.waiting:
                self._timers.waiting.remove(self._one)


def test_a_trial_is_reported_once_at_95_percent_of_its_time() -> None:
    """Not before, and not again."""
    telemetry, timers = RecordingTelemetry(), Timers()
    with Watchdog(telemetry, timers).watching("T-1", 100.0), bound(run="run-1"):
        timers.pass_seconds(94.9)
        before = list(telemetry.events)
        timers.pass_seconds(95.0)
        timers.pass_seconds(99.0)
    assert before == []
    assert telemetry.named("trial_slow") == [{"run": "run-1", "row": "T-1", "limit_seconds": 100.0}]


def test_time_that_a_trial_waits_for_its_permits_is_not_counted() -> None:
    """It is reported when 95 % of its limit have passed without its waits."""
    telemetry, timers = RecordingTelemetry(), Timers()
    stood = [40.0, 40.0, 55.0, 55.0]
    with Watchdog(telemetry, timers).watching("T-1", 100.0, lambda: stood.pop(0) if len(stood) > 1 else stood[0]):
        timers.pass_seconds(95.0)
        assert [seconds for seconds, _ in timers.waiting] == [40.0]
        timers.pass_seconds(95.0)
        assert [seconds for seconds, _ in timers.waiting] == [15.0]
        assert telemetry.named("trial_slow") == []
        timers.pass_seconds(95.0)
        assert len(telemetry.named("trial_slow")) == 1


@pytest.mark.parametrize("error", [None, RuntimeError("no")])
def test_a_trial_that_ends_in_time_is_not_reported(error: Exception | None) -> None:
    """However it ends; others are watched on."""
    telemetry, timers = RecordingTelemetry(), Timers()
    watchdog = Watchdog(telemetry, timers)
    with watchdog.watching("T-2", 100.0):
        try:
            with watchdog.watching("T-1", 100.0):
                if error:
                    raise error
        except RuntimeError:
            pass
        timers.pass_seconds(95.0)
    assert [one["row"] for one in telemetry.named("trial_slow")] == ["T-2"]


async def test_the_event_loop_keeps_the_time_and_the_fields() -> None:
    """What is bound where a trial begins is on its report."""
    telemetry = RecordingTelemetry()
    with bound(run="run-1"), Watchdog(telemetry).watching("T-1", 1e-9):
        await turns(10)
    assert telemetry.named("trial_slow") == [{"run": "run-1", "row": "T-1", "limit_seconds": 1e-9}]
