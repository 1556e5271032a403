"""The ledger: no outcome is lost, none is doubled, whoever dies and whatever fails."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from worker_bench import (
    CLAIM_ENDS_SECONDS,
    Asked,
    Clock,
    asked_row,
    begin_run,
    body_of,
    chunk_rows,
    is_claimed,
    message_of,
    outcomes_of,
    safe_rows,
    turns,
    worker,
)

from assay.errors import BlobMissing, LeaseHeld, LeaseLost, StorageError
from assay.execution import ledger as ledger_module
from assay.execution.ledger import ChunkDone, claimed, metadata_of, read_outcomes, tally
from assay.llm.base import ChatRequest
from assay.records import ChunkMessage, Outcome, TrialStatus
from assay.run_records import Tally
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from builders import RUN, blocked, failed, outcome, response, row_id
from faults import Strike, as_storage, struck

LONG = 3600.0


def one_chunk(rows: int = 3) -> ChunkMessage:
    return ChunkMessage(run=RUN, experiment="plain", chunk=0, first_row=1, rows=rows, offset=0, length=100)


def checkpoint(message: ChunkMessage) -> str:
    return layout.checkpoint(message.run, message.experiment, message.chunk)


async def in_checkpoint(storage: MemoryStorage, message: ChunkMessage) -> list[int]:
    return [one.row_number for one in read_outcomes(await storage.read(checkpoint(message)))]


async def test_an_outcome_is_in_the_checkpoint_before_add_returns() -> None:
    """What `add` has returned for survives any crash."""
    storage, message = MemoryStorage(), one_chunk(rows=3)

    async with claimed(storage, message, 0) as ledger:
        for number in (2, 1):
            await ledger.add(outcome(number))
            assert number in await in_checkpoint(storage, message)
        await ledger.add(outcome(3))
        assert [one.row_number for one in await outcomes_of(storage, message)] == [1, 2, 3]


async def test_the_last_outcome_ends_the_chunk_with_a_tally_as_metadata() -> None:
    """One listing tells counts, tokens and cost; the checkpoint is gone."""
    storage, message = MemoryStorage(), one_chunk(rows=3)
    outcomes = [outcome(1), failed(2), blocked(3)]

    async with claimed(storage, message, 0) as ledger:
        await asyncio.gather(*map(ledger.add, outcomes))
        await ledger.finish()

    entry = await storage.find(layout.outcome(RUN, "plain", 0))
    assert entry is not None
    assert Tally.model_validate(dict(entry.metadata)) == tally(outcomes)
    assert entry.metadata["succeeded"] == entry.metadata["failed"] == entry.metadata["blocked"] == "1"
    assert await storage.find(checkpoint(message)) is None


async def test_outcomes_of_one_moment_share_an_append() -> None:
    """A group costs one request, not one per outcome."""
    storage, message = MemoryStorage(), one_chunk(rows=7)

    async with claimed(storage, message, 0) as ledger:
        await asyncio.gather(*(ledger.add(outcome(number)) for number in range(1, 7)))
        assert storage.operations["append"] == 1
        await ledger.add(outcome(7))


async def test_a_group_too_large_for_one_append_goes_out_in_several() -> None:
    """Storage refuses a block that is too large, and a chunk that cannot be kept would be paid for again and again."""
    storage, message = MemoryStorage(), one_chunk(rows=4)
    long_answer = "x" * (ledger_module.BLOCK_BYTES // 2)
    large = [outcome(number, "plain", None, response(text=long_answer)) for number in (1, 2, 3)]

    async with claimed(storage, message, 0) as ledger:
        await asyncio.gather(*map(ledger.add, large))
        assert storage.operations["append"] == 3
        assert await in_checkpoint(storage, message) == [1, 2, 3]
        await ledger.add(outcome(4))


async def test_lingering_gathers_outcomes_of_several_moments() -> None:
    """While the ledger lingers, later outcomes join the group; the last one of the chunk ends the wait at once."""
    storage, message = MemoryStorage(), one_chunk(rows=3)

    async with claimed(storage, message, LONG) as ledger:
        adding = []
        for number in (1, 2, 3):
            adding.append(asyncio.create_task(ledger.add(outcome(number))))
            await asyncio.sleep(0)
        await asyncio.gather(*adding)

    assert storage.operations["append"] == 0
    assert len(await outcomes_of(storage, message)) == 3


class GatedStorage(MemoryStorage):
    """The first append announces itself and waits; then it fails if `error` is set."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.begun, self.proceed = asyncio.Event(), asyncio.Event()
        self._error = error

    async def append(self, path: str, content: bytes, *, lease: str) -> None:
        if not self.begun.is_set():
            self.begun.set()
            await self.proceed.wait()
            if self._error:
                raise self._error
        await super().append(path, content, lease=lease)


async def test_the_last_outcome_is_not_kept_waiting_by_an_append_under_way() -> None:
    """Outcomes that complete the chunk while a group is being written go out right after it."""
    storage, message = GatedStorage(), one_chunk(rows=3)

    async with claimed(storage, message, 0) as ledger:
        first = asyncio.create_task(ledger.add(outcome(1)))
        await storage.begun.wait()
        ledger._linger = LONG
        rest = [asyncio.create_task(ledger.add(outcome(number))) for number in (2, 3)]
        await turns(3)
        storage.proceed.set()
        await asyncio.wait_for(asyncio.gather(first, *rest), 5)

    assert len(await outcomes_of(storage, message)) == 3


async def test_a_chunk_costs_few_requests() -> None:
    """Apart from appends a chunk takes at most nine requests."""
    storage = MemoryStorage()
    plan = await begin_run(storage, rows=6, rows_per_chunk=6)
    mine = worker(storage, one_at_a_time(), concurrency=1)
    await mine.handle(body_of(plan, 1))
    storage.operations.clear()

    await mine.handle(body_of(plan, 0))

    assert storage.operations.pop("append") == 5
    assert storage.operations.total() <= 9, storage.operations


async def test_a_second_worker_gets_lease_held() -> None:
    """A chunk is worked on by one worker at a time."""
    storage, message = MemoryStorage(), one_chunk()

    async with claimed(storage, message, 0) as ledger:
        with pytest.raises(LeaseHeld):
            async with claimed(storage, message, 0):
                pytest.fail("two workers have one chunk")
        await asyncio.gather(*(ledger.add(outcome(number)) for number in (1, 2, 3)))


async def test_a_chunk_with_outcomes_is_done_and_leaves_no_checkpoint() -> None:
    """A second delivery after the end touches nothing but its own traces."""
    storage, message = MemoryStorage(), one_chunk(rows=1)
    async with claimed(storage, message, 0) as ledger:
        await ledger.add(outcome(1))

    with pytest.raises(ChunkDone):
        async with claimed(storage, message, 0):
            pytest.fail("the chunk is done")
    assert await storage.find(checkpoint(message)) is None


async def test_the_holder_that_finishes_right_now_counts_as_holder() -> None:
    """Between opening and leasing the checkpoint it may vanish; then another delivery will see the outcomes."""
    storage, message = MemoryStorage(), one_chunk()
    storage.fail_next("acquire", BlobMissing("gone"))

    with pytest.raises(LeaseHeld):
        async with claimed(storage, message, 0):
            pytest.fail("there is nothing to claim")


async def test_what_another_worker_made_safe_just_before_the_claim_is_known() -> None:
    """Two deliveries may open the checkpoint together; the later claim still sees what the earlier one wrote."""
    storage, message = MemoryStorage(), one_chunk(rows=2)
    await storage.open_journal(checkpoint(message))

    async def open_journal(path: str) -> bool:
        with suppress(RuntimeError):
            async with claimed(storage, message, 0) as quicker:
                await quicker.add(outcome(1))
                raise RuntimeError("stopped")
        return True

    slower = struck(storage)
    slower.open_journal = open_journal  # type: ignore[attr-defined]
    async with claimed(as_storage(slower), message, 0) as ledger:
        assert ledger.safe_rows == {1}
        await ledger.add(outcome(2))


async def test_a_lost_lease_shows_at_the_next_outcome_and_changes_nothing() -> None:
    """After another worker has taken over, the first one can add nothing."""
    clock = Clock()
    storage, message = MemoryStorage(clock), one_chunk(rows=3)

    async with claimed(storage, message, 0) as first:
        await first.add(outcome(1))
        clock.seconds += CLAIM_ENDS_SECONDS
        async with claimed(storage, message, 0) as second:
            assert second.safe_rows == {1}
            with pytest.raises(LeaseLost):
                await first.add(failed(2))
            await second.add(outcome(2))
            await second.add(outcome(3))

    found = await outcomes_of(storage, message)
    assert [(one.row_number, one.status) for one in found] == [(n, TrialStatus.SUCCEEDED) for n in (1, 2, 3)]


async def test_two_workers_that_both_end_the_chunk_leave_one_set_of_outcomes() -> None:
    """The outcome blob is created once; the later one changes nothing and takes no harm."""
    clock = Clock()
    storage, message = MemoryStorage(clock), one_chunk(rows=1)

    async with claimed(storage, message, 0) as first:
        clock.seconds += CLAIM_ENDS_SECONDS
        async with claimed(storage, message, 0) as second:
            await second.add(outcome(1))
            await first.add(failed(1))

    assert [one.status for one in await outcomes_of(storage, message)] == [TrialStatus.SUCCEEDED]


async def test_the_claim_is_renewed_while_the_block_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long chunk keeps its lease, even when a renewal fails now and then."""
    monkeypatch.setattr(ledger_module, "RENEW_SECONDS", 0)
    clock = Clock()
    storage, message = MemoryStorage(clock), one_chunk(rows=1)
    storage.fail_next("renew", StorageError("busy"))

    async with claimed(storage, message, 0) as ledger:
        for _ in range(5):
            clock.seconds += 10
            await turns(20)
        with pytest.raises(LeaseHeld):
            async with claimed(storage, message, 0):
                pytest.fail("the claim ran out")
        await ledger.add(outcome(1))


async def test_a_failed_block_gives_the_claim_up_and_keeps_the_checkpoint() -> None:
    """The next delivery need not wait, and finds what was safe."""
    storage, message = MemoryStorage(), one_chunk(rows=3)

    with pytest.raises(RuntimeError):
        async with claimed(storage, message, 0) as ledger:
            await ledger.add(outcome(1))
            raise RuntimeError("bug")

    assert not await is_claimed(storage, message)
    async with claimed(storage, message, 0) as ledger:
        assert ledger.safe_rows == {1}
        await asyncio.gather(*(ledger.add(outcome(number)) for number in (2, 3)))


@pytest.mark.parametrize("operation", ["find", "read"])
async def test_an_error_while_claiming_gives_the_claim_up(operation: str) -> None:
    """No lease is left behind by a delivery that did not even begin."""
    storage, message = MemoryStorage(), one_chunk()
    storage.fail_next(operation, StorageError("down"))

    with pytest.raises(StorageError, match="down"):
        async with claimed(storage, message, 0):
            pytest.fail("not reached")

    assert not await is_claimed(storage, message)


async def test_all_outcomes_known_from_the_start_end_the_chunk() -> None:
    """A checkpoint that holds everything needs no model call to become the outcome blob."""
    storage, message = MemoryStorage(), one_chunk(rows=2)
    await storage.open_journal(checkpoint(message))
    lease = await storage.acquire(checkpoint(message), 15)
    lines = b"".join(outcome(number).model_dump_json().encode() + b"\n" for number in (2, 1, 2))
    await storage.append(checkpoint(message), lines, lease=lease)
    await storage.release(checkpoint(message), lease)

    async with claimed(storage, message, 0) as ledger:
        assert ledger.safe_rows == {1, 2}
        await ledger.finish()

    assert [one.row_number for one in await outcomes_of(storage, message)] == [1, 2]


async def test_a_chunk_cannot_finish_with_a_row_missing() -> None:
    """Rows that could not be found must not end as a short outcome blob or a vanished checkpoint."""
    storage, message = MemoryStorage(), one_chunk(rows=3)

    with pytest.raises(StorageError, match="1 of 3 rows"):
        async with claimed(storage, message, 0) as ledger:
            await ledger.add(outcome(1))
            await ledger.finish()

    assert await in_checkpoint(storage, message) == [1]
    assert await storage.find(layout.outcome(RUN, "plain", 0)) is None


async def test_a_failed_append_fails_its_own_outcomes_only() -> None:
    """Outcomes that arrived while an append was failing get an append of their own instead of waiting for ever."""
    storage, message = GatedStorage(StorageError("down")), one_chunk(rows=4)

    async with claimed(storage, message, 0) as ledger:
        first = asyncio.create_task(ledger.add(outcome(1)))
        await storage.begun.wait()
        second = asyncio.create_task(ledger.add(outcome(2)))
        await turns(3)
        storage.proceed.set()
        results = await asyncio.wait_for(asyncio.gather(first, second, return_exceptions=True), 5)

        assert isinstance(results[0], StorageError)
        assert results[1] is None
        assert await in_checkpoint(storage, message) == [2]
        await asyncio.gather(*(ledger.add(outcome(number)) for number in (1, 3, 4)))

    assert [one.row_number for one in await outcomes_of(storage, message)] == [1, 2, 3, 4]


async def test_a_failed_outcome_blob_leaves_its_rows_unsafe() -> None:
    """Rows whose only writing failed are not reported as safe."""
    storage, message = MemoryStorage(), one_chunk(rows=2)
    storage.fail_next("write", StorageError("down"))

    async with claimed(storage, message, 0) as ledger:
        await ledger.add(outcome(1))
        with pytest.raises(StorageError):
            await ledger.add(outcome(2))
        assert ledger.safe_rows == {1}
        await ledger.add(outcome(2))


async def test_cancelling_keeps_what_was_added_and_gives_the_claim_up() -> None:
    """A drain does not wait for the linger, loses nothing that was paid for, and lets the next worker in at once."""
    storage, message = MemoryStorage(), one_chunk(rows=3)
    added = asyncio.Event()

    async def work() -> None:
        async with claimed(storage, message, LONG) as ledger:
            adding = asyncio.create_task(ledger.add(outcome(1)))
            await asyncio.sleep(0)
            added.set()
            await adding

    task = asyncio.create_task(work())
    await added.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 4)

    assert await in_checkpoint(storage, message) == [1]
    assert not await is_claimed(storage, message)


def test_the_tally_of_nothing_is_storable() -> None:
    """Metadata values are never empty."""
    assert Tally.model_validate(metadata_of(tally([]))) == Tally()


def test_a_tally_counts_every_status_once() -> None:
    """Counts add up to the trials; tokens and cost to those of the responses."""
    outcomes = [outcome(1), outcome(2), failed(3), blocked(4), outcome(5, status="skipped")]

    counted = tally(outcomes)

    assert (counted.trials, counted.succeeded, counted.failed, counted.blocked, counted.skipped) == (5, 2, 1, 1, 1)
    assert counted.cost_usd == sum(one.cost_usd for one in outcomes)
    assert counted.input_tokens == sum(one.usage.input_tokens for one in outcomes)


# --- attacks: every call of a worker is struck once, in every way


ROWS = 5
CALLS = 18


async def calls_of_a_whole_chunk() -> int:
    storage = MemoryStorage()
    plan = await begin_run(storage, rows=ROWS, rows_per_chunk=ROWS)
    counted = struck(storage)
    await worker(as_storage(counted), one_at_a_time(), concurrency=1).handle(body_of(plan))
    return len(counted.calls)


def one_at_a_time() -> Asked:
    """Answers slowly enough that every outcome is an append of its own."""

    async def later(request: ChatRequest) -> str:
        await turns(12)
        return "{}"

    return Asked(later)


async def test_the_attacks_below_reach_every_call() -> None:
    """The numbers of the attacked calls cover a whole chunk."""
    assert ROWS + 6 < await calls_of_a_whole_chunk() <= CALLS


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, CALLS + 1))
async def test_after_a_crash_at_any_call_the_next_worker_asks_only_for_rows_not_safe(at: int, after: bool) -> None:
    """One outcome per row in the end, and nothing that was safe is paid for twice."""
    clock = Clock()
    storage = MemoryStorage(clock)
    plan = await begin_run(storage, rows=ROWS, rows_per_chunk=ROWS)
    message = message_of(plan)
    dying = struck(storage, Strike(at, StorageError("the process is dead"), after=after, for_good=True))
    with suppress(StorageError):
        await asyncio.wait_for(worker(as_storage(dying), one_at_a_time(), concurrency=1).handle(body_of(plan)), 5)
    safe = await safe_rows(storage, message)
    clock.seconds += CLAIM_ENDS_SECONDS

    second = Asked()
    await worker(storage, second).handle(body_of(plan))

    assert [one.row_id for one in await outcomes_of(storage, message)] == [one.row_id for one in chunk_rows(ROWS)]
    assert sorted(second.rows) == sorted({one.row_id for one in chunk_rows(ROWS)} - safe)
    assert await storage.find(checkpoint(message)) is None
    assert not storage.messages(layout.TRIALS_QUEUE)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, CALLS + 1))
async def test_one_storage_error_at_any_call_loses_and_doubles_nothing(at: int, after: bool) -> None:
    """Deliveries are repeated until one succeeds; each ends, and the outcomes are complete and single."""
    clock = Clock()
    storage = MemoryStorage(clock)
    plan = await begin_run(storage, rows=ROWS, rows_per_chunk=ROWS)
    message = message_of(plan)
    flaky = struck(storage, Strike(at, StorageError("down"), after=after))
    asked = one_at_a_time()
    mine = worker(as_storage(flaky), asked, concurrency=1)

    deliveries = await deliver_until_done(mine, storage, clock, body_of(plan))

    assert deliveries <= 3
    found = await outcomes_of(storage, message)
    assert [one.row_id for one in found] == [one.row_id for one in chunk_rows(ROWS)]
    assert len(asked.rows) <= ROWS + 2  # the row that could not be written, and the one being asked meanwhile
    assert await storage.find(checkpoint(message)) is None


async def deliver_until_done(mine: Any, storage: MemoryStorage, clock: Clock, body: str) -> int:
    """Plays the host: a failed delivery is repeated, and so is what was put back."""
    for delivery in range(1, 6):
        try:
            await asyncio.wait_for(mine.handle(body), 5)
        except StorageError:
            continue
        clock.seconds += CLAIM_ENDS_SECONDS
        if not storage.take_messages(layout.TRIALS_QUEUE):
            return delivery
    raise AssertionError("the chunk never ended")


@pytest.mark.parametrize("added", range(ROWS))
async def test_a_drain_at_any_time_keeps_safe_rows_and_frees_the_chunk(added: int) -> None:
    """Cancelled in the middle, a worker leaves its chunk to be taken over at once."""
    storage = MemoryStorage()
    plan = await begin_run(storage, rows=ROWS, rows_per_chunk=ROWS)
    message = message_of(plan)
    reached = asyncio.Event()

    async def stuck_at_last(request: ChatRequest) -> str:
        if asked_row(request) == row_id(added + 1):
            reached.set()
            await asyncio.Event().wait()
        return "{}"

    first = asyncio.create_task(worker(storage, Asked(stuck_at_last), concurrency=1).handle(body_of(plan)))
    await reached.wait()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert not await is_claimed(storage, message)
    assert len(await safe_rows(storage, message)) == added

    second = Asked()
    await worker(storage, second).handle(body_of(plan))

    assert second.rows == [row_id(number) for number in range(added + 1, ROWS + 1)]
    assert len(await outcomes_of(storage, message)) == ROWS


def test_lines_of_a_checkpoint_may_repeat_a_row() -> None:
    """An append that was retried by the transport is harmless: rows are kept by number."""
    line = outcome(1).model_dump_json().encode() + b"\n"

    assert [one.row_number for one in read_outcomes(line + b"\n" + line)] == [1, 1]
    assert isinstance(read_outcomes(line)[0], Outcome)
