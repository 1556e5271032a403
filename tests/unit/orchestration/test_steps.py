"""The steps up to the last outcome: each can run again at any time, and after a stop at any point."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from run_bench import (
    CSV,
    DROP,
    HEADER,
    NOW,
    SUITE,
    Now,
    admitted,
    answer,
    asking,
    blobs_of,
    dataset,
    drop,
    ingest,
    plan_of,
    planned,
    progress_of,
    refused_files,
    with_suite,
)

from assay.errors import BlobMissing, StorageError
from assay.orchestration.progress import count_progress, done_chunks, read_progress
from assay.orchestration.steps import DEEPEST_QUEUE
from assay.planning.frozen import read_header, read_plan
from assay.records import BadRow, ChunkMessage, Row
from assay.run_records import Plan, Stage, Tally
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry
from faults import Strike, as_storage, struck

BAD_CSV = CSV.replace("T-3,Grüße 3,delivery\n", "T-3\n").replace("T-5,", "T-4,")


def sent(storage: MemoryStorage) -> list[ChunkMessage]:
    return [ChunkMessage.model_validate_json(text) for text in storage.messages(layout.TRIALS_QUEUE)]


def chunks(messages: list[ChunkMessage]) -> list[tuple[str, int]]:
    return [(one.experiment, one.chunk) for one in messages]


def much_later() -> Now:
    """So long after the beginning that the pace is slow and the window is the setting's."""
    now = Now()
    now.advance(10_000)
    return now


# --- plan


async def test_a_plan_divides_rows_into_ranges_of_bytes() -> None:
    """Every range of `rows.jsonl` holds exactly the rows that it says."""
    storage = await with_suite()
    run = await planned(storage)

    plan = await plan_of(storage, run)

    assert (plan.rows, plan.bad_rows, plan.experiments) == (7, 0, ("plain", "short"))
    rows = []
    for one in plan.ranges:
        lines = (await storage.read(layout.rows(run), offset=one.offset, length=one.length)).splitlines()
        assert len(lines) == one.rows
        rows += [Row.model_validate_json(line) for line in lines]
    assert [row.number for row in rows] == list(range(1, 8))
    assert [row.fields["text"] for row in rows] == [f"Grüße {number}" for number in range(1, 8)]


async def test_planning_twice_gives_the_same_blobs() -> None:
    """The second time finds the plan and does nothing."""
    storage = await with_suite()
    run = await planned(storage, BAD_CSV)
    before = await blobs_of(storage, f"runs/{run}/")
    storage.operations.clear()

    assert await asking(storage).plan(run) == {"refused": False}

    assert dict(storage.operations) == {"find": 1}
    assert await blobs_of(storage, f"runs/{run}/") == before


async def test_planning_anew_gives_the_same_bytes() -> None:
    """The plan depends on nothing but the run."""
    first, second = await with_suite(), await with_suite()

    runs = [await planned(one, BAD_CSV) for one in (first, second)]

    assert runs[0] == runs[1]
    for path in (layout.rows(runs[0]), layout.plan(runs[0]), layout.bad_rows(runs[0])):
        assert await first.read(path) == await second.read(path)


async def test_bad_rows_are_set_aside_with_line_and_reason() -> None:
    """People find what to mend; the good rows go on."""
    storage = await with_suite()
    run = await planned(storage, BAD_CSV)

    bad = [BadRow.model_validate_json(line) for line in (await storage.read(layout.bad_rows(run))).splitlines()]

    assert [one.line for one in bad] == [4, 6]
    assert "T-4" in bad[1].reason
    assert (await plan_of(storage, run)).bad_rows == 2


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 7))
async def test_planning_stopped_at_any_call_and_then_again_gives_the_same_plan(at: int, after: bool) -> None:
    """Whatever was written before the stop."""
    untouched = await with_suite()
    run = await planned(untouched, BAD_CSV)
    storage = await with_suite()
    assert await admitted(storage, BAD_CSV) == run
    dying = struck(storage, Strike(at, StorageError("dead"), after=after, for_good=True))

    with pytest.raises(StorageError):
        await asking(as_storage(dying)).plan(run)
    assert await asking(storage).plan(run) == {"refused": False}

    for path in (layout.rows(run), layout.plan(run), layout.bad_rows(run)):
        assert await storage.read(path) == await untouched.read(path)


async def test_the_attack_above_reaches_every_call() -> None:
    """Looking, header, download, two uploads and the plan."""
    storage = await with_suite()
    run = await admitted(storage, BAD_CSV)
    counted = struck(storage)

    await asking(as_storage(counted)).plan(run)

    assert counted.calls == ["find", "read", "download", "upload", "upload", "write"]


async def test_a_plan_written_by_another_instance_meanwhile_stands() -> None:
    """Activities can run twice at once; they write the same."""
    storage = await with_suite()
    run = await admitted(storage)
    twin = struck(storage)

    async def find(path: str) -> None:
        await asking(storage).plan(run)

    twin.find = find  # type: ignore[attr-defined]

    assert await asking(as_storage(twin)).plan(run) == {"refused": False}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (HEADER + "T-1\nT-2\nT-3,fine,billing\n", "2 of 3 rows are bad"),
        (HEADER + "T-1\n", "not one of 1 rows can be used"),
    ],
)
async def test_a_refused_dataset_fails_the_run_and_is_quarantined(content: str, expected: str) -> None:
    """Both say why; no row is planned, and nothing is tried again."""
    storage, telemetry = await with_suite(), RecordingTelemetry()
    run = await admitted(storage, content)

    assert await asking(storage, telemetry=telemetry).plan(run) == {"refused": True}
    assert await asking(storage).plan(run) == {"refused": True}

    progress = await progress_of(storage, run)
    assert progress.stage is Stage.FAILED
    assert expected in progress.message
    (record,) = await refused_files(storage)
    assert (record.run, record.reason, record.kind) == (run, progress.message, "file")
    assert telemetry.named("run_failed")[0]["run"] == run
    assert await storage.find(layout.plan(run)) is None


async def test_a_dataset_replaced_by_the_same_bytes_still_plans() -> None:
    """What counts is the content, not the version of the blob."""
    storage = await with_suite()
    run = await admitted(storage)
    await drop(storage)

    assert await asking(storage).plan(run) == {"refused": False}


async def test_a_dataset_replaced_by_other_bytes_is_refused() -> None:
    """The run's digest is in its manifest; other rows must not be planned under it."""
    storage = await with_suite()
    run = await admitted(storage)
    await drop(storage, dataset(8))

    assert await asking(storage).plan(run) == {"refused": True}

    assert "was replaced before it was read" in (await progress_of(storage, run)).message


async def test_a_dataset_that_is_gone_is_refused() -> None:
    """Dropping it again takes the same run up."""
    storage = await with_suite()
    run = await admitted(storage)
    await storage.delete(DROP)

    assert await asking(storage).plan(run) == {"refused": True}
    assert "is gone; drop it again" in (await progress_of(storage, run)).message

    assert await ingest(storage).admit(await drop(storage)) == run
    assert await asking(storage).plan(run) == {"refused": False}


async def test_a_run_without_a_header_cannot_be_planned() -> None:
    """The orchestrator retries and then fails the run."""
    with pytest.raises(BlobMissing):
        await asking(MemoryStorage()).plan("triage-0")


async def test_nothing_of_a_dataset_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Temporary files end with the step, also when it fails."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    storage = await with_suite()
    run = await admitted(storage)
    storage.fail_next("upload", StorageError("down"))

    with suppress(StorageError):
        await asking(storage).plan(run)
    await asking(storage).plan(run)

    assert list(tmp_path.iterdir()) == []


# --- dispatch


async def test_dispatch_fills_the_window_and_no_more() -> None:
    """The queue stays shallow, so that stopping a run is quick."""
    storage = await with_suite()
    run = await planned(storage)
    steps = asking(storage, queue_depth=4)

    assert await steps.dispatch(run, 0, 0, False) == 4

    messages = sent(storage)
    assert chunks(messages) == [("plain", 0), ("short", 0), ("plain", 1), ("short", 1)]
    assert messages == list((await plan_of(storage, run)).messages(0, 4))


async def test_messages_hold_references_only() -> None:
    """No row travels in a message."""
    storage = await with_suite()
    await asking(storage).dispatch(await planned(storage), 0, 0, False)

    for text in storage.messages(layout.TRIALS_QUEUE):
        references = {"v", "run", "experiment", "chunk", "repeat", "first_row", "rows", "offset", "length"}
        assert set(json.loads(text)) == references
        assert len(text) < 300


async def test_dispatch_tops_up_what_has_been_done() -> None:
    """As many as were finished; at the end of the plan, nothing more."""
    storage = await with_suite()
    run = await planned(storage)
    steps = asking(storage, queue_depth=4, now=much_later())
    await steps.dispatch(run, 0, 0, False)

    assert await steps.dispatch(run, 4, 0, False) == 4
    assert await steps.dispatch(run, 4, 1, False) == 5
    assert await steps.dispatch(run, 5, 4, False) == 6
    assert await steps.dispatch(run, 6, 5, False) == 6

    assert len(sent(storage)) == len(set(chunks(sent(storage)))) == 6


async def test_a_dispatch_repeated_after_a_failure_sends_every_chunk() -> None:
    """Some twice at most; workers sort doubles out."""
    storage = await with_suite()
    run = await planned(storage)
    storage.fail_next("send", StorageError("down"))
    steps = asking(storage, queue_depth=6)

    with pytest.raises(StorageError):
        await steps.dispatch(run, 0, 0, False)
    assert await steps.dispatch(run, 0, 0, False) == 6

    assert set(chunks(sent(storage))) == set(chunks(list((await plan_of(storage, run)).messages(0, 6))))


async def test_lost_chunks_are_sent_again_without_those_that_are_done() -> None:
    """And those not yet sent are sent only as the window allows."""
    storage, telemetry = await with_suite(), RecordingTelemetry()
    run = await planned(storage)
    messages = list((await plan_of(storage, run)).messages(0, 6))
    for one in (messages[0], messages[3]):
        await answer(storage, one)

    cursor = await asking(storage, queue_depth=3, now=much_later(), telemetry=telemetry).dispatch(run, 4, 2, True)

    assert cursor == 5
    assert chunks(sent(storage)) == chunks([messages[1], messages[2], messages[4]])
    assert [one["chunks"] for one in telemetry.named("chunks_sent_again")] == [3]


async def test_a_run_taken_up_again_does_not_send_what_it_did_before() -> None:
    """It begins at the plan's start, but most of it may be done."""
    storage = await with_suite()
    run = await planned(storage)
    messages = list((await plan_of(storage, run)).messages(0, 6))
    for one in (messages[0], messages[1], messages[4]):
        await answer(storage, one)

    cursor = await asking(storage, queue_depth=3, now=much_later()).dispatch(run, 0, 3, False)

    assert cursor == 6
    assert chunks(sent(storage)) == chunks([messages[2], messages[3], messages[5]])


async def test_the_window_is_about_a_minutes_work() -> None:
    """Once chunks come in, the pace counts; before that the setting does."""
    storage, now = await with_suite(SUITE.replace("rows_per_message: 3", "rows_per_message: 1")), Now()
    run = await ingest(storage, now=now).admit(await drop(storage, dataset(1_000)))
    assert run is not None
    steps = asking(storage, queue_depth=10, now=now)
    await steps.plan(run)

    assert await steps.dispatch(run, 0, 0, False) == 10
    now.advance(30)
    assert await steps.dispatch(run, 10, 10, False) == 30
    assert await steps.dispatch(run, 30, 30, False) == 90
    now.advance(10_000)
    assert await steps.dispatch(run, 90, 90, False) == 100


async def test_the_window_has_a_bottom() -> None:
    """However fast a run is, what waits in the queue is bounded."""
    storage = await with_suite(SUITE.replace("rows_per_message: 3", "rows_per_message: 1"))
    run = await planned(storage, dataset(1_000))

    cursor = await asking(storage, queue_depth=10).dispatch(run, 500, 500, False)

    assert cursor - 500 == DEEPEST_QUEUE


# --- watch


async def test_watch_counts_from_a_listing_and_reads_no_outcome() -> None:
    """One listing tells a run's progress, whatever its size."""
    storage, now = await with_suite(), Now()
    run = await planned(storage)
    outcomes = [
        one for message in (await plan_of(storage, run)).messages(0, 3) for one in await answer(storage, message)
    ]
    now.advance(60)
    storage.operations.clear()

    seen = await asking(storage, now=now).watch(run)

    assert dict(storage.operations) == {"read": 2, "list": 1, "find": 1, "write": 1}
    assert (seen["done"], seen["total"]) == (3, 6)
    assert seen["seconds"] >= 0
    progress = await progress_of(storage, run)
    assert (progress.stage, progress.chunks_done, progress.chunks_total) == (Stage.ASKING, 3, 6)
    assert (progress.trials_total, progress.bad_rows) == (14, 0)
    assert (progress.tally.trials, progress.tally.failed) == (len(outcomes), 1)
    assert progress.tally.cost_usd == sum(one.cost_usd for one in outcomes)
    assert {name: one.trials for name, one in progress.by_experiment.items()} == {"plain": 6, "short": 3}
    assert (progress.started_at, progress.updated_at) == (NOW, now())


async def test_watching_again_counts_nothing_twice() -> None:
    """Progress is counted anew each time."""
    storage = await with_suite()
    run = await planned(storage)
    for message in (await plan_of(storage, run)).messages(0, 6):
        await answer(storage, message)

    seen = [await asking(storage).watch(run) for _ in range(2)]

    assert [(one["done"], one["total"]) for one in seen] == [(6, 6), (6, 6)]
    assert (await progress_of(storage, run)).tally.trials == 14


async def test_watch_has_a_result_for_the_history_that_is_small() -> None:
    """Whatever the run's size."""
    storage = await with_suite()

    assert len(json.dumps(await asking(storage).watch(await planned(storage)))) < 100


async def test_an_experiment_without_outcomes_counts_as_nothing() -> None:
    """It shows from the beginning."""
    storage = await with_suite()
    run = await planned(storage)

    header, plan = await read_header(storage, run), await read_plan(storage, run)
    progress = await count_progress(storage, header, plan, Stage.ASKING, NOW)

    assert progress.by_experiment == {"plain": Tally(), "short": Tally()}


async def test_done_chunks_are_known_by_experiment_and_number() -> None:
    """From names alone."""
    storage = await with_suite()
    run = await planned(storage)
    messages = list((await plan_of(storage, run)).messages(0, 6))
    for one in (messages[1], messages[4]):
        await answer(storage, one)

    assert await done_chunks(storage, run) == {("short", 0), ("plain", 2)}


# --- fail


async def test_a_failed_run_keeps_its_counts_and_says_why() -> None:
    """People see how far it came."""
    storage = await with_suite()
    run = await planned(storage)
    await answer(storage, next((await plan_of(storage, run)).messages(0, 1)))
    await asking(storage).watch(run)

    for _ in range(2):
        await asking(storage).fail(run, "no disk")

    progress = await progress_of(storage, run)
    assert (progress.stage, progress.message, progress.chunks_done) == (Stage.FAILED, "no disk", 1)


async def test_a_run_without_progress_can_fail() -> None:
    """The failure may have come before anything was written."""
    storage = MemoryStorage()
    assert await read_progress(storage, "triage-0") is None

    await asking(storage).fail("triage-0", "no header")

    assert (await progress_of(storage, "triage-0")).message == "no header"


def test_a_plan_gives_messages_by_range_and_within_it_the_baseline_first() -> None:
    """Experiments stay side by side, so that they can be compared early."""
    plan = Plan(run="r", rows=0, bad_rows=0, experiments=("a", "b"), ranges=())

    assert list(plan.messages(0, 10)) == []
