"""Timer triggers on a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import azure.functions as func
import pytest
from durable_harness import HandClock, settle
from function_bench import invoker, only_function

from assay.errors import UserError
from assay.local.timers import TimerListener

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Fired:
    """A timer function that records its calls."""

    def __init__(self, failing: bool = False) -> None:
        self.past_due: list[bool] = []
        self.failing = failing

    def listener(self, directory: Path, clock: HandClock, **trigger: Any) -> TimerListener:
        app = func.FunctionApp()

        @app.timer_trigger(arg_name="timer", **{"schedule": "0 */10 * * * *", **trigger})
        async def clean(timer: func.TimerRequest) -> None:
            self.past_due.append(timer.past_due)
            if self.failing:
                raise ValueError("no luck")

        return TimerListener(only_function(app), invoker(), directory, clock)


@asynccontextmanager
async def running(listener: TimerListener) -> AsyncIterator[None]:
    stopping = asyncio.Event()
    task = asyncio.create_task(listener.run(stopping))
    await settle()
    yield
    stopping.set()
    await task


async def test_a_timer_fires_at_each_time_of_its_schedule(tmp_path: Path) -> None:
    """Not before, and once each."""
    fired, clock = Fired(), HandClock(NOON)
    async with running(fired.listener(tmp_path, clock)):
        await clock.advance(minutes=9)
        before = list(fired.past_due)
        await clock.advance(minutes=1)
        await clock.advance(minutes=10)

    assert (before, fired.past_due) == ([], [False, False])


async def test_a_time_missed_while_no_host_ran_is_made_up_for(tmp_path: Path) -> None:
    """Once, however many were missed, and marked as past due."""
    fired, clock = Fired(), HandClock(NOON)
    async with running(fired.listener(tmp_path, clock)):
        pass
    await clock.advance(hours=5)
    async with running(fired.listener(tmp_path, clock)):
        pass

    assert fired.past_due == [True]


async def test_a_time_that_was_not_missed_is_not_made_up_for(tmp_path: Path) -> None:
    """A restart before the next time changes nothing."""
    fired, clock = Fired(), HandClock(NOON)
    for _ in range(3):
        async with running(fired.listener(tmp_path, clock)):
            await clock.advance(minutes=1)

    assert fired.past_due == []


async def test_an_unmonitored_timer_forgets_what_it_missed(tmp_path: Path) -> None:
    """useMonitor=False."""
    fired, clock = Fired(), HandClock(NOON)
    async with running(fired.listener(tmp_path, clock, use_monitor=False)):
        pass
    await clock.advance(hours=5)
    async with running(fired.listener(tmp_path, clock, use_monitor=False)):
        pass

    assert fired.past_due == []


async def test_a_timer_may_run_on_startup(tmp_path: Path) -> None:
    """And then goes on with its schedule."""
    fired, clock = Fired(), HandClock(NOON)
    async with running(fired.listener(tmp_path, clock, run_on_startup=True)):
        await clock.advance(minutes=10)

    assert fired.past_due == [False, False]


async def test_a_failure_does_not_stop_the_schedule(tmp_path: Path) -> None:
    """The next time comes all the same."""
    fired, clock = Fired(failing=True), HandClock(NOON)
    async with running(fired.listener(tmp_path, clock)):
        await clock.advance(minutes=10)
        await clock.advance(minutes=10)

    assert len(fired.past_due) == 2


def test_a_bad_schedule_is_refused_at_the_start(tmp_path: Path) -> None:
    """Not at the first time that never comes."""
    with pytest.raises(UserError, match="expected six"):
        Fired().listener(tmp_path, HandClock(), schedule="daily")
