"""Replay rules: the real engine and the task hub agree on numbers, results and time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.durable_functions import RetryOptions
from durable_harness import Bench, settle

from assay.local.host_settings import DurableTaskSettings

EARLY_EVENT = pytest.mark.filterwarnings("ignore:Potential duplicate Task completion")


async def test_a_chain_of_activities_passes_results_on(tmp_path: Path) -> None:
    """Each call gets its own number, so each result reaches its own yield."""

    def chain(context: Any) -> Any:
        total = context.get_input()
        for _ in range(5):
            total = yield context.call_activity("double", total)
        return total

    bench = Bench(tmp_path, chain, double=lambda number: number * 2)
    await bench.start(3)

    assert (bench.status, bench.output) == ("Completed", 96)
    assert [argument for _, argument in bench.functions.calls] == [3, 6, 12, 24, 48]


async def test_a_fan_out_returns_results_in_call_order(tmp_path: Path) -> None:
    """task_all keeps the order of its tasks, whatever order they end in."""

    async def slow_first(number: int) -> int:
        for _ in range(10 - number):
            await settle_once()
        return number

    def fan_out(context: Any) -> Any:
        return (yield context.task_all([context.call_activity("slow_first", number) for number in range(10)]))

    bench = Bench(tmp_path, fan_out, slow_first=slow_first)
    await bench.start()

    assert bench.output == list(range(10))


async def test_an_empty_fan_out_completes_at_once(tmp_path: Path) -> None:
    """task_all of nothing does not wait."""

    def fan_out(context: Any) -> Any:
        return (yield context.task_all([]))

    bench = Bench(tmp_path, fan_out)
    await bench.start()

    assert bench.status == "Completed"


async def test_a_failing_activity_raises_in_the_orchestrator(tmp_path: Path) -> None:
    """The exception names the activity and its error, and can be caught."""

    def careful(context: Any) -> Any:
        try:
            yield context.call_activity("fail")
        except Exception as error:
            return str(error)

    bench = Bench(tmp_path, careful, fail=fail)
    await bench.start()

    assert bench.status == "Completed"
    assert "Activity function 'fail' failed: ValueError: no luck" in bench.output


async def test_an_uncaught_failure_fails_the_instance_with_its_text(tmp_path: Path) -> None:
    """The error is read out of the engine's exception, without the protocol's JSON."""

    def careless(context: Any) -> Any:
        context.set_custom_status("working")
        yield context.call_activity("fail")

    bench = Bench(tmp_path, careless, fail=fail)
    await bench.start()

    assert bench.status == "Failed"
    assert bench.output.startswith("Activity function 'fail' failed: ValueError: no luck")
    assert "OutOfProcData" not in bench.output
    assert bench.hub.find("i1").custom_status == "working"


async def test_a_retry_waits_and_tries_again(tmp_path: Path) -> None:
    """The pause of the retry options lies between two attempts."""
    bench = Bench(tmp_path, retrying(attempts=3), flaky=Flaky(failures=2))
    await bench.start()
    calls_before_the_pause = len(bench.functions.calls)
    await bench.clock.advance(seconds=5)
    await bench.clock.advance(seconds=5)

    assert calls_before_the_pause == 1
    assert (bench.status, bench.output) == ("Completed", ["ok", "after"])


async def test_the_last_failed_attempt_is_followed_by_one_more_pause(tmp_path: Path) -> None:
    """The engine numbers a timer after the last attempt too; without it every later number would be wrong."""
    bench = Bench(tmp_path, retrying(attempts=2), flaky=Flaky(failures=9))
    await bench.start()
    await bench.clock.advance(seconds=5)
    status_after_the_last_attempt = bench.status
    await bench.clock.advance(seconds=5)

    assert status_after_the_last_attempt == "Running"
    assert bench.status == "Completed"
    assert bench.output[0].startswith("Activity function 'flaky' failed")
    assert bench.output[1] == "after"


async def test_many_retries_that_fail_together_keep_their_numbers(tmp_path: Path) -> None:
    """Failures go to the engine one by one, so hidden timers and retries of several tasks do not mix."""
    flaky = {number: Flaky(failures=number % 3) for number in range(12)}

    def fan_out(context: Any) -> Any:
        options = RetryOptions(1000, 3)
        calls = [context.call_activity_with_retry("flaky", options, number) for number in range(12)]
        plain = context.call_activity("plain", "p")
        results = yield context.task_all([*calls, plain])
        return [*results, (yield context.call_activity("plain", "q"))]

    bench = Bench(tmp_path, fan_out, flaky=lambda number: f"{flaky[number](number)}{number}", plain=lambda text: text)
    await bench.start()
    for _ in range(4):
        await bench.clock.advance(seconds=1)

    assert bench.output == [*(f"ok{number}" for number in range(12)), "p", "q"]


async def test_a_timer_fires_at_its_time_and_not_before(tmp_path: Path) -> None:
    """The orchestrator's clock is that of the history."""

    def wait(context: Any) -> Any:
        begun = context.current_utc_datetime
        yield context.create_timer(begun + timedelta(minutes=10))
        return (context.current_utc_datetime - begun).total_seconds()

    bench = Bench(tmp_path, wait)
    await bench.start()
    await bench.clock.advance(minutes=9)
    status_before = bench.status
    await bench.clock.advance(minutes=1)

    assert status_before == "Running"
    assert bench.output == 600


async def test_a_timer_of_many_days_is_cut_into_short_ones(tmp_path: Path) -> None:
    """Beyond six days the engine makes a chain of three-day timers; the hub follows it."""

    def wait(context: Any) -> Any:
        yield context.create_timer(context.current_utc_datetime + timedelta(days=8))
        return (yield context.call_activity("echo", "done"))

    bench = Bench(tmp_path, wait, echo=lambda text: text)
    await bench.start()
    for _ in range(7):
        await bench.clock.advance(days=1)
    status_before = bench.status
    await bench.clock.advance(days=1)

    assert (status_before, bench.output) == ("Running", "done")


async def test_an_event_wins_over_a_timer(tmp_path: Path) -> None:
    """task_any returns the task that ended first; the other one does no harm later."""
    bench = Bench(tmp_path, event_or_timeout)
    await bench.start()
    await bench.event("go", {"by": "alice"})
    await bench.clock.advance(hours=2)

    assert bench.output == ["event", {"by": "alice"}]


async def test_a_timer_wins_over_an_event_that_does_not_come(tmp_path: Path) -> None:
    """The same orchestrator, timed out."""
    bench = Bench(tmp_path, event_or_timeout)
    await bench.start()
    await bench.clock.advance(hours=1)

    assert bench.output == ["timeout", None]


@EARLY_EVENT
async def test_an_event_raised_before_the_wait_is_kept(tmp_path: Path) -> None:
    """An instance gets an event that came while it did something else."""

    def late(context: Any) -> Any:
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=10))
        return (yield context.wait_for_external_event("go"))

    bench = Bench(tmp_path, late)
    await bench.start()
    await bench.event("go", "early")
    await bench.clock.advance(seconds=10)

    assert bench.output == "early"


async def test_events_of_different_names_find_their_waits(tmp_path: Path) -> None:
    """Waits take no number; they are told apart by name."""

    def wait_two(context: Any) -> Any:
        waits = [context.wait_for_external_event(name) for name in ("a", "b")]
        values = yield context.task_all(waits)
        return [*values, (yield context.call_activity("echo", "c"))]

    bench = Bench(tmp_path, wait_two, echo=lambda text: text)
    await bench.start()
    await bench.event("b", 2)
    await bench.event("a", 1)

    assert bench.output == [1, 2, "c"]


async def test_continue_as_new_starts_over_with_the_new_input(tmp_path: Path) -> None:
    """The history begins again; the instance keeps its id and its creation time."""

    def count(context: Any) -> Any:
        number = context.get_input()
        yield context.call_activity("echo", number)
        if number < 20:
            context.continue_as_new(number + 1)
            return None
        return number

    bench = Bench(tmp_path, count, echo=lambda number: number)
    await bench.start(1)

    assert bench.output == 20
    assert len(bench.hub.history(bench.hub.find("i1"))) < 12


@EARLY_EVENT
async def test_continue_as_new_keeps_events_nobody_has_seen(tmp_path: Path) -> None:
    """An event that came before any wait for it is carried into the next execution, as in Azure."""

    def restart(context: Any) -> Any:
        if context.get_input() == "first":
            yield context.create_timer(context.current_utc_datetime + timedelta(seconds=10))
            context.continue_as_new("second")
            return None
        return (yield context.wait_for_external_event("go"))

    bench = Bench(tmp_path, restart)
    await bench.start("first")
    await bench.event("go", "kept")
    await bench.clock.advance(seconds=10)

    assert bench.output == "kept"


async def test_continue_as_new_does_not_repeat_an_event_that_was_seen(tmp_path: Path) -> None:
    """What a wait took is not raised again."""

    def collect(context: Any) -> Any:
        seen = context.get_input()
        seen.append((yield context.wait_for_external_event("go")))
        if len(seen) < 3:
            context.continue_as_new(seen)
            return None
        return seen

    bench = Bench(tmp_path, collect)
    await bench.start([])
    for number in range(3):
        await bench.event("go", number)

    assert bench.output == [0, 1, 2]


async def test_events_that_arrive_together_are_all_seen_across_continue_as_new(tmp_path: Path) -> None:
    """Each external event has an episode of its own, so none is lost to a continue_as_new in the same episode."""

    def collect(context: Any) -> Any:
        seen = context.get_input()
        seen.append((yield context.wait_for_external_event("go")))
        if len(seen) < 5:
            context.continue_as_new(seen)
            return None
        return seen

    bench = Bench(tmp_path, collect)
    await bench.start([])
    for number in range(5):
        bench.hub.raise_event("i1", "go", str(number))
    await settle()

    assert bench.output == [0, 1, 2, 3, 4]


async def test_a_task_of_an_old_execution_does_not_answer_for_a_new_one(tmp_path: Path) -> None:
    """After continue_as_new, numbers begin again at 0; late results of the old tasks are dropped."""

    def race(context: Any) -> Any:
        if context.get_input() == "first":
            slow = context.call_activity("slow", "old")
            yield context.task_any([slow, context.call_activity("echo", "quick")])
            context.continue_as_new("second")
            return None
        timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        yield timer
        return "timer"

    release: list[bool] = []

    async def slow(text: str) -> str:
        while not release:
            await settle_once()
        return text

    bench = Bench(tmp_path, race, slow=slow, echo=lambda text: text)
    await bench.start("first")
    release.append(True)
    await settle()
    status_with_the_timer_pending = bench.status
    await bench.clock.advance(hours=1)

    assert (status_with_the_timer_pending, bench.output) == ("Running", "timer")


async def test_a_custom_status_is_shown_and_replaced(tmp_path: Path) -> None:
    """The last status set is the one shown."""

    def report(context: Any) -> Any:
        context.set_custom_status({"phase": "one"})
        yield context.wait_for_external_event("next")
        context.set_custom_status({"phase": "two"})
        yield context.wait_for_external_event("end")

    bench = Bench(tmp_path, report)
    await bench.start()
    first = bench.hub.find("i1").custom_status
    await bench.event("next")

    assert (first, bench.hub.find("i1").custom_status) == ({"phase": "one"}, {"phase": "two"})


async def test_is_replaying_is_true_only_for_what_ran_before(tmp_path: Path) -> None:
    """Code guarded by is_replaying runs once per step."""
    lines: list[str] = []

    def talk(context: Any) -> Any:
        for step in range(3):
            if not context.is_replaying:
                lines.append(f"step {step}")
            yield context.call_activity("echo", step)
        if not context.is_replaying:
            lines.append("end")

    bench = Bench(tmp_path, talk, echo=lambda number: number)
    await bench.start()

    assert lines == ["step 0", "step 1", "step 2", "end"]


async def test_a_feature_that_is_not_supported_fails_with_its_name(tmp_path: Path) -> None:
    """Entities, sub-orchestrations and call_http are not part of the local host; it says so."""

    def parent(context: Any) -> Any:
        yield context.call_sub_orchestrator("child")

    bench = Bench(tmp_path, parent)
    await bench.start()

    assert (bench.status, bench.output) == ("Failed", "The local host does not support sub-orchestrations.")


async def test_activities_run_at_most_as_many_at_once_as_allowed(tmp_path: Path) -> None:
    """maxConcurrentActivityFunctions bounds a fan-out."""
    running: list[int] = []
    most: list[int] = [0]

    async def busy(number: int) -> int:
        running.append(number)
        most[0] = max(most[0], len(running))
        await settle_once()
        running.remove(number)
        return number

    def fan_out(context: Any) -> Any:
        return (yield context.task_all([context.call_activity("busy", number) for number in range(20)]))

    limits = DurableTaskSettings(max_concurrent_activity_functions=3)
    bench = Bench(tmp_path, fan_out, limits=limits, busy=busy)
    await bench.start()

    assert bench.output == list(range(20))
    assert most == [3]


def event_or_timeout(context: Any) -> Any:
    event = context.wait_for_external_event("go")
    timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    winner = yield context.task_any([event, timer])
    if winner is event:
        timer.cancel()
        return ["event", event.result]
    return ["timeout", None]


def retrying(attempts: int) -> Any:
    def orchestrator(context: Any) -> Any:
        try:
            first = yield context.call_activity_with_retry("flaky", RetryOptions(5000, attempts), "x")
        except Exception as error:
            first = str(error)
        second = yield context.call_activity("flaky", "y")
        return [first, "after" if second == "after" else second]

    return orchestrator


class Flaky:
    """Fails so many times for "x" and numbers, then succeeds; answers "after" to "y"."""

    def __init__(self, failures: int) -> None:
        self._failures = failures

    def __call__(self, argument: Any) -> str:
        if argument == "y":
            return "after"
        if self._failures:
            self._failures -= 1
            raise ValueError("no luck")
        return "ok"


def fail(argument: Any) -> None:
    raise ValueError("no luck")


async def settle_once() -> None:
    await asyncio.sleep(0)
