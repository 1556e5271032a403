"""What a stop of the task hub lets finish, and what the next start goes on with."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from durable_harness import Bench, settle

from assay.local.host_settings import DurableTaskSettings


class Slow:
    """An activity that waits for its release."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.release = asyncio.Event()

    async def __call__(self, argument: Any) -> Any:
        self.begun.append(argument)
        await self.release.wait()
        return argument


def fan_out(context: Any) -> Any:
    return (yield context.task_all([context.call_activity("slow", number) for number in range(3)]))


ONE_AT_A_TIME = DurableTaskSettings(max_concurrent_activity_functions=1)


async def test_a_running_activity_is_let_finish_and_its_result_is_kept(tmp_path: Path) -> None:
    """After a drained stop only what had not begun is left to run."""
    first, second = Slow(), Slow()
    bench = Bench(tmp_path, fan_out, limits=ONE_AT_A_TIME, slow=first)
    await bench.start()
    stopping = asyncio.create_task(bench.hub.stop(drain_seconds=30))
    await settle()
    first.release.set()
    await stopping

    second.release.set()
    again = Bench(tmp_path, fan_out, limits=ONE_AT_A_TIME, slow=second)
    again.hub.start()
    await settle()

    assert (first.begun, second.begun) == ([0], [1, 2])
    assert again.output == [0, 1, 2]


async def test_an_activity_that_outlasts_the_drain_is_cancelled_and_runs_again(tmp_path: Path) -> None:
    """It has no result, so the next start calls it anew."""
    first, second = Slow(), Slow()
    bench = Bench(tmp_path, fan_out, limits=ONE_AT_A_TIME, slow=first)
    await bench.start()
    await bench.hub.stop(drain_seconds=0)

    second.release.set()
    again = Bench(tmp_path, fan_out, limits=ONE_AT_A_TIME, slow=second)
    again.hub.start()
    await settle()

    assert (first.begun, sorted(second.begun)) == ([0], [0, 1, 2])
    assert again.output == [0, 1, 2]


async def test_what_arrives_during_a_stop_waits_for_the_next_start(tmp_path: Path) -> None:
    """Events and new instances are on disk before they are confirmed."""

    def wait(context: Any) -> Any:
        return (yield context.wait_for_external_event("go"))

    bench = Bench(tmp_path, wait)
    await bench.start()
    await bench.hub.stop(drain_seconds=0)
    bench.hub.raise_event("i1", "go", '"late"')
    bench.hub.start_instance("main", "i2", None)
    episodes_after_the_stop = bench.functions.episodes

    again = Bench(tmp_path, wait)
    again.hub.start()
    await settle()

    assert episodes_after_the_stop == 1
    assert (again.output, again.hub.find("i2").status) == ("late", "Running")


async def test_a_timer_goes_on_from_its_own_time(tmp_path: Path) -> None:
    """Time passes while no hub runs."""

    def wait(context: Any) -> Any:
        yield context.create_timer(context.current_utc_datetime + timedelta(minutes=10))
        return "rung"

    bench = Bench(tmp_path, wait)
    await bench.start()
    await bench.hub.stop(drain_seconds=0)
    await bench.clock.advance(minutes=9)

    again = Bench(tmp_path, wait, clock=bench.clock)
    again.hub.start()
    await settle()
    status_before = again.status
    await bench.clock.advance(minutes=1)

    assert (status_before, again.output) == ("Running", "rung")


async def test_a_suspended_instance_stays_suspended(tmp_path: Path) -> None:
    """Until it is resumed, by whichever hub."""

    def wait(context: Any) -> Any:
        return (yield context.wait_for_external_event("go"))

    bench = Bench(tmp_path, wait)
    await bench.start()
    bench.hub.suspend("i1")
    await bench.event("go", 1)

    again = Bench(tmp_path, wait)
    again.hub.start()
    await settle()
    status_before = again.status
    again.hub.resume("i1")
    await settle()

    assert (status_before, again.output) == ("Suspended", 1)
