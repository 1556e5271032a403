"""Whatever moment the process dies at, a new one goes on from the history file to the same output."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.durable_functions import RetryOptions
from durable_harness import Bench, HandClock, SnapshotStore, settle

from assay.local.durable import InstanceOver
from assay.local.durable_records import Started
from assay.local.durable_store import HistoryStore
from assay.telemetry import RecordingTelemetry

pytestmark = pytest.mark.filterwarnings("ignore:Potential duplicate Task completion")
EXPECTED = {"round": 2, "sum": 30, "retried": "ok", "event": "now", "early": "soon"}


def everything(context: Any) -> Any:
    """A fan-out, a retry, a timer, events early and late, a failure that is caught, and continue_as_new."""
    number = context.get_input()
    squares = yield context.task_all([context.call_activity("square", each) for each in range(5)])
    retried = yield context.call_activity_with_retry("flaky", RetryOptions(1000, 3), number)
    early = yield context.wait_for_external_event("early")
    if number == 1:
        context.continue_as_new(2)
        return None
    event = context.wait_for_external_event("go")
    timer = context.create_timer(context.current_utc_datetime + timedelta(days=1))
    yield context.task_any([event, timer])
    try:
        yield context.call_activity("fail")
    except Exception:
        context.set_custom_status("caught")
    return {"round": number, "sum": sum(squares), "retried": retried, "event": event.result, "early": early}


class FailOnce:
    def __init__(self) -> None:
        self.rounds: set[int] = set()

    def __call__(self, number: int) -> str:
        if number not in self.rounds:
            self.rounds.add(number)
            raise ValueError("first time")
        return "ok"


def fail(argument: Any) -> None:
    raise ValueError("always")


def bench_on(directory: Path, clock: HandClock, store: HistoryStore | None = None) -> Bench:
    return Bench(directory, everything, store=store, clock=clock, square=lambda n: n * n, flaky=FailOnce(), fail=fail)


async def drive(bench: Bench) -> None:
    """Do what the outside world does, as often as needed: raise the events that are waited for, let time pass."""
    for _ in range(12):
        await settle()
        if bench.hub.find("i1").is_over:
            return
        await bench.clock.advance(seconds=2)
        with suppress(InstanceOver):
            await bench.event("early", "soon")
            await bench.event("go", "now")


async def complete_run(directory: Path) -> SnapshotStore:
    store = SnapshotStore(directory)
    bench = bench_on(directory, HandClock(), store)
    await bench.start(1)
    await drive(bench)
    assert bench.output == EXPECTED
    return store


async def test_a_kill_after_any_write_changes_nothing_of_the_output(tmp_path: Path) -> None:
    """Reload from the file as it was after every single write, and finish."""
    snapshots = (await complete_run(tmp_path / "whole")).snapshots
    assert len(snapshots) > 30

    for number, content in enumerate(snapshots):
        bench = await resumed(tmp_path / str(number), content)
        assert bench.output == EXPECTED, f"after write {number}"


async def test_a_kill_in_the_middle_of_a_write_loses_only_that_write(tmp_path: Path) -> None:
    """A torn last line is cut off, and what it said happens again."""
    appended = (await complete_run(tmp_path / "whole")).appended
    assert len(appended) > 30

    for number, content in enumerate(appended):
        bench = await resumed(tmp_path / str(number), content[:-7])
        assert bench.output == EXPECTED, f"in write {number}"


async def resumed(directory: Path, content: bytes) -> Bench:
    directory.mkdir()
    (directory / "i1.jsonl").write_bytes(content)
    clock = HandClock()
    await clock.advance(hours=1)
    bench = bench_on(directory, clock)
    bench.hub.start()
    await drive(bench)
    await bench.close()
    return bench


async def test_an_activity_in_flight_runs_again_after_a_kill(tmp_path: Path) -> None:
    """At least once: scheduled, no result on disk, so it is called again; one with a result is not."""
    content = (await complete_run(tmp_path / "whole")).snapshots
    with_one_result = next(each for each in content if each.count(b'"received"') == 1)
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "i1.jsonl").write_bytes(with_one_result)

    bench = bench_on(tmp_path / "again", HandClock())
    bench.hub.start()
    await settle()

    assert [argument for name, argument in bench.functions.calls if name == "square"] == [1, 2, 3, 4]


async def test_a_torn_line_is_reported_and_cut_before_anything_is_appended(tmp_path: Path) -> None:
    """The next record starts on a line of its own."""
    telemetry = RecordingTelemetry()
    store = HistoryStore(tmp_path, telemetry)
    started = Started(instance_id="i1", name="main", input=None, created=HandClock().now())
    store.replace("i1", [started])
    with (tmp_path / "i1.jsonl").open("ab") as file:
        file.write(b'{"record":"paus')

    lines = list(store.load())

    assert lines == [[started]]
    assert telemetry.named("durable_history_cut") == [{"file": "i1.jsonl", "lost_bytes": 15}]
    assert list(store.load()) == [[started]]


async def test_a_creation_that_was_cut_short_is_forgotten(tmp_path: Path) -> None:
    """Its caller never got an answer."""
    (tmp_path / "i1.jsonl").write_bytes(b'{"record":"star')
    store = HistoryStore(tmp_path, RecordingTelemetry())

    assert list(store.load()) == []
    assert list(tmp_path.iterdir()) == []


async def test_continue_as_new_keeps_the_file_small(tmp_path: Path) -> None:
    """The file holds the current execution only."""

    def forever(context: Any) -> Any:
        number = yield context.wait_for_external_event("tick")
        context.continue_as_new(number)

    bench = Bench(tmp_path, forever)
    await bench.start()
    sizes = []
    for number in range(10, 60):
        await bench.event("tick", number)
        sizes.append((tmp_path / "i1.jsonl").stat().st_size)

    assert max(sizes) - min(sizes) < 20


@pytest.mark.parametrize("instance_id", ["a/b", "..", "run 7 — ü", "x" * 1000])
async def test_any_instance_id_has_a_file_inside_the_folder(tmp_path: Path, instance_id: str) -> None:
    """An id cannot leave the folder or be too long for it."""
    started = Started(instance_id=instance_id, name="main", input=None, created=HandClock().now())
    store = HistoryStore(tmp_path / "hub", RecordingTelemetry())

    store.replace(instance_id, [started])

    assert list(store.load()) == [[started]]
    assert [path.name for path in tmp_path.iterdir()] == ["hub"]
