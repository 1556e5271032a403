"""The worker: any delivery may be a second one, any line may be the last."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest
from worker_bench import (
    CLAIM_ENDS_SECONDS,
    Asked,
    Clock,
    asked_row,
    begin_run,
    body_of,
    is_claimed,
    message_of,
    outcomes_of,
    safe_rows,
    turns,
    worker,
)

from assay.errors import StorageError, UserError
from assay.execution import ledger as ledger_module
from assay.execution.ledger import read_outcomes
from assay.execution.worker import LONGEST_TURN_SECONDS, POISON_QUEUE, Handled
from assay.llm.base import ChatRequest
from assay.quota.base import QuotaElsewhere
from assay.records import Outcome, TrialStatus
from assay.run_records import Refusal
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry
from builders import RUN, row_id
from faults import Strike, as_storage, struck


async def refusals(storage: MemoryStorage, prefix: str) -> list[Refusal]:
    return [Refusal.model_validate_json(await storage.read(one.path)) async for one in storage.list(prefix)]


async def all_outcomes(storage: MemoryStorage) -> list[Outcome]:
    paths = [one.path async for one in storage.list(layout.outcomes(RUN))]
    return [outcome for path in paths for outcome in read_outcomes(await storage.read(path))]


async def test_a_chunk_gets_one_outcome_per_row_of_its_range() -> None:
    """Rows come from the message's byte range, whatever characters they hold."""
    storage, asked = MemoryStorage(), Asked()
    plan = await begin_run(storage, rows=7, rows_per_chunk=3)

    handled = await worker(storage, asked).handle(body_of(plan, 2))

    assert handled == Handled(RUN)
    found = await outcomes_of(storage, message_of(plan, 2))
    assert [(one.row_id, one.row_number, one.experiment) for one in found] == [
        (row_id(number), number, "plain") for number in (4, 5, 6)
    ]
    assert asked.rows == [row_id(number) for number in (4, 5, 6)]


async def test_a_whole_run_has_one_outcome_per_row_and_experiment() -> None:
    """All chunks at once, in one process."""
    storage, asked = MemoryStorage(), Asked()
    plan = await begin_run(storage, rows=10, rows_per_chunk=3)
    mine = worker(storage, asked)

    handled = await asyncio.gather(*(mine.handle(body_of(plan, index)) for index in range(plan.chunks)))

    pairs = sorted((one.experiment, one.row_number) for one in await all_outcomes(storage))
    assert pairs == [(name, number) for name in ("plain", "short") for number in range(1, 11)]
    assert [one.ends_run for one in handled] == [False] * 7 + [True]


@pytest.mark.parametrize("body", ["garbage", '{"v": 1}'])
async def test_garbage_goes_to_the_poison_queue_at_its_first_delivery_and_is_quarantined_there(body: str) -> None:
    """A repetition would make it no more readable, and would keep chunks waiting."""
    storage = MemoryStorage()
    mine = worker(storage, Asked())

    assert await mine.handle(body) is None

    assert storage.messages(POISON_QUEUE) == [body]
    assert await mine.bury(body) is None
    (refusal,) = await refusals(storage, f"{layout.QUARANTINE}/messages/")
    assert (refusal.content, refusal.run) == (body, None)
    assert "not a chunk message" in refusal.reason


async def test_a_delivery_after_the_end_costs_no_model_call() -> None:
    """Queues deliver at least once; money is spent once."""
    storage, asked, telemetry = MemoryStorage(), Asked(), RecordingTelemetry()
    plan = await begin_run(storage)
    mine = worker(storage, asked, telemetry=telemetry)
    first = await mine.handle(body_of(plan, 1))

    second = await mine.handle(body_of(plan, 1))

    assert len(asked.rows) == 4
    assert first == second == Handled(RUN, ends_run=True)
    assert telemetry.named("chunk_done_already") == [{"run": RUN, "experiment": "short", "chunk": 0}]


async def test_two_deliveries_at_once_ask_once() -> None:
    """The second worker puts the message back and leaves the chunk alone."""
    storage = MemoryStorage()
    plan = await begin_run(storage)
    asked = [Asked(), Asked()]
    bodies = (worker(storage, one).handle(body_of(plan, 1)) for one in asked)

    handled = await asyncio.gather(*bodies)

    assert sorted(len(one.rows) for one in asked) == [0, 4]
    assert sorted(one.ends_run for one in handled) == [False, True]
    assert storage.messages(layout.TRIALS_QUEUE) == [body_of(plan, 1)]


async def test_a_lease_lost_in_the_middle_puts_the_message_back_and_doubles_nothing() -> None:
    """Whoever was too slow stops at its next outcome; the one who took over ends the chunk."""
    clock = Clock()
    storage = MemoryStorage(clock)
    plan = await begin_run(storage)
    message, second = message_of(plan), Asked()

    async def taken_over(request: ChatRequest) -> str:
        await turns(20)
        if asked_row(request) == row_id(3):
            clock.seconds += CLAIM_ENDS_SECONDS
            await worker(storage, second).handle(body_of(plan))
        return "{}"

    first = Asked(taken_over)
    handled = await worker(storage, first, concurrency=1).handle(body_of(plan))

    assert handled == Handled(RUN)
    assert second.rows == [row_id(3), row_id(4)]
    assert [one.row_number for one in await outcomes_of(storage, message)] == [1, 2, 3, 4]
    assert storage.messages(layout.TRIALS_QUEUE) == [body_of(plan)]


async def test_a_lease_lost_to_a_worker_under_way_puts_the_message_back() -> None:
    """While the other one holds the chunk, nothing can be added; the message waits for its end."""
    clock = Clock()
    storage = MemoryStorage(clock)
    plan = await begin_run(storage)
    message = message_of(plan)
    checkpoint = layout.checkpoint(message.run, message.experiment, message.chunk)

    async def taken_over(request: ChatRequest) -> str:
        await turns(20)
        if asked_row(request) == row_id(3):
            clock.seconds += CLAIM_ENDS_SECONDS
            await storage.acquire(checkpoint, 15)
        return "{}"

    handled = await worker(storage, Asked(taken_over), concurrency=1).handle(body_of(plan))

    assert handled == Handled(RUN)
    assert storage.messages(layout.TRIALS_QUEUE) == [body_of(plan)]
    assert storage.take_messages(layout.TRIALS_QUEUE) == []
    assert await safe_rows(storage, message) == {row_id(1), row_id(2)}


async def test_a_worker_that_stood_still_asks_nothing_more_for_any_of_its_chunks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its claims ran out meanwhile: what others may ask by now is not paid for twice."""
    clock = Clock()
    monkeypatch.setattr(ledger_module, "monotonic", clock)
    storage = MemoryStorage(clock)
    plan = await begin_run(storage, rows=12, rows_per_chunk=4)

    async def standing_still(request: ChatRequest) -> str:
        await turns(20)
        clock.seconds += CLAIM_ENDS_SECONDS
        return "{}"

    asked = Asked(standing_still)
    mine = worker(storage, asked, concurrency=1)
    await asyncio.gather(*(mine.handle(body_of(plan, index)) for index in range(plan.chunks)))

    assert len(asked.rows) == 1
    assert len(storage.messages(layout.TRIALS_QUEUE)) == plan.chunks


async def test_a_chunk_without_quota_here_goes_back_with_what_is_done_and_its_place_rests() -> None:
    """Trials under way are kept, the others are left to a worker with quota; nothing counts as a failure."""
    storage = MemoryStorage()
    plan = await begin_run(storage, rows=8, rows_per_chunk=8)
    paused: list[float] = []

    async def pause(seconds: float) -> None:
        assert not await is_claimed(storage, message_of(plan))
        assert storage.messages(layout.TRIALS_QUEUE) == [body_of(plan)]
        paused.append(seconds)

    async def crowded(request: ChatRequest) -> str:
        if asked_row(request) == row_id(2):
            raise QuotaElsewhere("others hold it", retry_after_seconds=200.0)
        await turns(5)
        return "{}"

    first, second = Asked(crowded), Asked()
    mine = replace(worker(storage, first, concurrency=3), sleep=pause)
    assert await mine.handle(body_of(plan)) == Handled(RUN)
    assert await safe_rows(storage, message_of(plan)) == {row_id(1), row_id(3)}
    assert first.rows == [row_id(1), row_id(2), row_id(3)]
    assert 200.0 < paused[0] < 210.0

    await worker(storage, second).handle(body_of(plan))
    assert [one.status for one in await outcomes_of(storage, message_of(plan))] == [TrialStatus.SUCCEEDED] * 8
    assert sorted(second.rows) == [row_id(number) for number in (2, 4, 5, 6, 7, 8)]


async def test_a_renewed_claim_is_sure_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk may take longer than a claim lasts."""
    monkeypatch.setattr(ledger_module, "RENEW_SECONDS", 0)
    clock = Clock()
    monkeypatch.setattr(ledger_module, "monotonic", clock)
    storage = MemoryStorage(clock)
    plan = await begin_run(storage)

    async def slow(request: ChatRequest) -> str:
        clock.seconds += CLAIM_ENDS_SECONDS / 2
        await turns(20)
        return "{}"

    asked = Asked(slow)
    await worker(storage, asked, concurrency=1).handle(body_of(plan))

    assert len(asked.rows) == 4


async def test_trials_under_way_are_bounded_over_all_chunks_of_the_process() -> None:
    """Concurrency is the process's, not the chunk's."""
    storage = MemoryStorage()
    plan = await begin_run(storage, rows=12, rows_per_chunk=4)

    async def slow(request: ChatRequest) -> str:
        await turns(20)
        return "{}"

    asked = Asked(slow)
    mine = worker(storage, asked, concurrency=3)
    await asyncio.gather(*(mine.handle(body_of(plan, index)) for index in range(plan.chunks)))

    assert asked.most_under_way == 3
    assert len(asked.rows) == 24


async def test_a_slot_is_free_only_once_its_outcome_is_safe() -> None:
    """So a kill repeats at most as many calls as there are slots, however many answers wait to be written."""
    storage, asked = MemoryStorage(), Asked()
    plan = await begin_run(storage, rows=6, rows_per_chunk=6)
    unsafe_when_asked: list[int] = []

    async def count_unsafe(_request: ChatRequest) -> str:
        unsafe_when_asked.append(len(asked.rows) - len(await safe_rows(storage, message_of(plan))))
        return "{}"

    asked = Asked(count_unsafe)
    await worker(storage, asked, concurrency=2).handle(body_of(plan))

    assert len(unsafe_when_asked) == 6
    assert max(unsafe_when_asked) <= 2


async def test_an_error_in_one_trial_cancels_the_others_and_is_raised() -> None:
    """A bug shows as itself, not as a group of errors, and the chunk is free for the next delivery."""
    storage = MemoryStorage()
    plan = await begin_run(storage)

    async def broken(request: ChatRequest) -> str:
        if asked_row(request) == row_id(2):
            raise ZeroDivisionError("bug")
        await asyncio.sleep(3600)
        return "{}"

    with pytest.raises(ZeroDivisionError, match="bug"):
        await worker(storage, Asked(broken)).handle(body_of(plan))
    assert not await is_claimed(storage, message_of(plan))


async def test_rows_that_are_not_what_the_plan_says_end_no_chunk() -> None:
    """A damaged rows file must not look like a finished chunk."""
    storage = MemoryStorage()
    plan = await begin_run(storage)
    lines = (await storage.read(layout.rows(RUN))).splitlines(keepends=True)
    await storage.write(layout.rows(RUN), b"".join(lines[:3]), overwrite=True)

    with pytest.raises(StorageError, match="3 of 4 rows"):
        await worker(storage, Asked()).handle(body_of(plan))

    assert await storage.find(layout.outcome(RUN, "plain", 0)) is None


# --- burying


@pytest.mark.parametrize("body", ["garbage", "{}", '{"v": 1, "run": "../x"}'])
async def test_buried_garbage_is_quarantined_without_a_run(body: str) -> None:
    """Nobody knows whose it was; nothing else happens."""
    storage, telemetry = MemoryStorage(), RecordingTelemetry()

    assert await worker(storage, Asked(), telemetry=telemetry).bury(body) is None

    (record,) = await refusals(storage, "quarantine/messages/")
    assert (record.run, record.content) == (None, body)
    assert record.reason.startswith("not a chunk message")
    assert len(telemetry.named("message_quarantined")) == 1


async def test_a_buried_chunk_keeps_safe_outcomes_and_fails_the_other_rows() -> None:
    """No row is left without an outcome, so the run can end; no model is asked."""
    storage = MemoryStorage()
    plan = await begin_run(storage)
    message = message_of(plan)

    async def broken(request: ChatRequest) -> str:
        if asked_row(request) == row_id(3):
            raise ZeroDivisionError("bug")
        return "{}"

    with pytest.raises(ZeroDivisionError):
        await worker(storage, Asked(broken), concurrency=1).handle(body_of(plan))
    safe = await safe_rows(storage, message)
    asked = Asked()

    handled = await worker(storage, asked).bury(body_of(plan))

    assert handled == Handled(RUN, ends_run=True)
    assert asked.rows == []
    found = await outcomes_of(storage, message)
    assert [one.row_number for one in found] == [1, 2, 3, 4]
    assert {one.row_id for one in found if one.status is TrialStatus.SUCCEEDED} == safe != set()
    assert {one.failure.kind for one in found if one.failure} == {"poisoned"}
    (record,) = await refusals(storage, layout.run_messages(RUN))
    assert (record.run, record.content) == (RUN, body_of(plan))


async def test_burying_twice_changes_nothing() -> None:
    """The poison queue delivers at least once, too."""
    storage = MemoryStorage()
    plan = await begin_run(storage)
    mine = worker(storage, Asked())
    await mine.bury(body_of(plan))
    before = await outcomes_of(storage, message_of(plan))

    assert await mine.bury(body_of(plan)) == Handled(RUN, ends_run=True)

    assert await outcomes_of(storage, message_of(plan)) == before
    assert len(await refusals(storage, layout.run_messages(RUN))) == 1


async def test_burying_a_chunk_that_ended_after_all_changes_nothing() -> None:
    """A message can end up poisoned although one delivery did the work; its outcomes stand."""
    storage = MemoryStorage()
    plan = await begin_run(storage)
    mine = worker(storage, Asked())
    await mine.handle(body_of(plan))

    await mine.bury(body_of(plan))

    assert {one.status for one in await outcomes_of(storage, message_of(plan))} == {TrialStatus.SUCCEEDED}
    assert await refusals(storage, layout.run_messages(RUN)) == []


async def test_a_chunk_that_somebody_works_on_is_buried_later() -> None:
    """The poisoned message goes back to its own queue and hints at nothing."""
    storage, telemetry = MemoryStorage(), RecordingTelemetry()
    plan = await begin_run(storage)
    checkpoint = layout.checkpoint(RUN, "plain", 0)
    await storage.open_journal(checkpoint)
    await storage.acquire(checkpoint, 15)

    handled = await worker(storage, Asked(), telemetry=telemetry).bury(body_of(plan))

    assert handled == Handled(RUN)
    assert storage.messages(POISON_QUEUE) == [body_of(plan)]
    assert telemetry.named("chunk_poisoned") == []


async def test_a_chunk_can_be_buried_when_the_model_settings_are_broken() -> None:
    """What made every delivery fail must not keep the run from ending."""
    storage = MemoryStorage()
    plan = await begin_run(storage)
    mine = worker(storage, Asked())

    async def no_trials(of: object) -> None:
        raise UserError("no model endpoint")

    mine.jobs._trials_of = no_trials  # type: ignore[assignment]
    await mine.bury(body_of(plan))

    assert len(await outcomes_of(storage, message_of(plan))) == 4


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 10))
async def test_burying_stopped_at_any_call_and_then_again_ends_the_chunk(at: int, after: bool) -> None:
    """Every row has one outcome, the message is kept once, and the checkpoint is gone."""
    clock = Clock()
    storage = MemoryStorage(clock)
    plan = await begin_run(storage)
    dying = as_storage(struck(storage, Strike(at, StorageError("dead"), after=after, for_good=True)))
    with suppress(StorageError):
        await worker(dying, Asked()).bury(body_of(plan))
    clock.seconds += CLAIM_ENDS_SECONDS

    assert await worker(storage, Asked()).bury(body_of(plan)) == Handled(RUN, ends_run=True)

    assert [one.row_number for one in await outcomes_of(storage, message_of(plan))] == [1, 2, 3, 4]
    assert len(await refusals(storage, layout.run_messages(RUN))) == 1
    assert await storage.find(layout.checkpoint(RUN, "plain", 0)) is None


async def test_a_message_that_cannot_be_put_back_is_not_acknowledged() -> None:
    """Then the host delivers it again; it is never lost between two queues."""
    storage = MemoryStorage()
    plan = await begin_run(storage)
    await storage.open_journal(layout.checkpoint(RUN, "plain", 0))
    await storage.acquire(layout.checkpoint(RUN, "plain", 0), 15)
    storage.fail_next("send", StorageError("down"))

    with pytest.raises(StorageError, match="down"):
        await worker(storage, Asked()).handle(body_of(plan))


async def test_a_chunk_that_takes_too_long_is_continued_by_another_message() -> None:
    """A small quota may make it longer than a function may run; what is done stays done, nothing fails."""
    storage, now = MemoryStorage(), [0.0]
    plan = await begin_run(storage)

    def reply(request: ChatRequest) -> str:
        now[0] += LONGEST_TURN_SECONDS / 2
        return "{}"

    slow = replace(worker(storage, Asked(reply), concurrency=1), clock=lambda: now[0])
    assert await slow.handle(body_of(plan)) == Handled(RUN)
    assert await safe_rows(storage, message_of(plan)) == {row_id(1), row_id(2)}
    assert storage.messages("trials") == [body_of(plan)]

    await slow.handle(body_of(plan))
    assert len(await outcomes_of(storage, message_of(plan))) == 4
