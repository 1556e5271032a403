"""A trial's clock: it counts what the trial does, not what it waits for."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from assay.execution.trial_clock import TrialClock, time_stands_still, trial_clock


class Loop:
    """A time that the test sets, in place of the event loop's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loop = asyncio.get_running_loop()
        self._passed = 0.0
        real = self._loop.time
        monkeypatch.setattr(self._loop, "time", lambda: real() + self._passed)

    async def pass_seconds(self, seconds: float) -> None:
        self._passed += seconds
        for _ in range(5):
            await asyncio.sleep(0)


async def test_waiting_for_a_permit_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice as long as the limit, and what was left before is left after."""
    loop = Loop(monkeypatch)
    steps = []
    with pytest.raises(TimeoutError):
        async with trial_clock(100.0) as clock:
            await loop.pass_seconds(60.0)
            with time_stands_still():
                await loop.pass_seconds(200.0)
                steps.append(round(clock.stood_seconds()))
            await loop.pass_seconds(39.0)
            steps.append(round(clock.stood_seconds()))
            await loop.pass_seconds(1.5)
            steps.append("too late")
    assert steps == [200, 200]
    assert clock.expired


async def test_waits_within_waits_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock goes on with the last of them."""
    loop = Loop(monkeypatch)
    async with trial_clock(10.0) as clock:
        with time_stands_still(), time_stands_still():
            await loop.pass_seconds(30.0)
        with time_stands_still():
            await loop.pass_seconds(5.0)
        assert round(clock.stood_seconds()) == 35


async def test_a_wait_that_outlasts_its_trial_moves_nothing() -> None:
    """What a trial began may end after it; a clock that is over is left alone."""
    kept: list[TrialClock] = []
    async with trial_clock(10.0) as clock:
        clock.stop()
        kept.append(clock)
    kept[0].go_on()
    kept[0].stop()
    assert not kept[0].expired


async def test_without_a_trial_nothing_stands_still() -> None:
    """Requests that belong to no trial pass the same code."""
    with time_stands_still():
        await asyncio.sleep(0)


async def test_a_cancellation_during_a_wait_is_no_timeout() -> None:
    """The one who cancelled hears of it."""

    async def wait() -> None:
        async with trial_clock(10.0):
            with time_stands_still():
                await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert task.cancelled()
