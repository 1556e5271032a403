"""A run that must stop: what is paid for is kept, nothing more is asked, and the chunk can go on later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from worker_bench import (
    NOW,
    Asked,
    asked_row,
    begin_run,
    body_of,
    is_claimed,
    message_of,
    outcomes_of,
    safe_rows,
    worker,
)

from assay.budget.base import BudgetUsedUp
from assay.errors import RunStopped, UserError
from assay.execution.job import Jobs
from assay.execution.stops import read_stop
from assay.execution.trial import Trial
from assay.execution.worker import Handled
from assay.llm.base import ChatRequest
from assay.run_records import RunHeader
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry
from builders import RUN, row_id


def stops_at(number: int, error: Exception) -> Callable[[ChatRequest], Any]:
    """Answers every row but one, whose question may not be sent any more; all others take a little longer."""

    async def reply(request: ChatRequest) -> str:
        if asked_row(request) == row_id(number):
            raise error
        await asyncio.sleep(0)
        return "{}"

    return reply


async def test_trials_under_way_end_and_are_kept_and_no_other_begins() -> None:
    """The first that may not be sent stops the run: its neighbours are saved, the rows behind it are not asked."""
    storage, asked = MemoryStorage(), Asked(stops_at(2, BudgetUsedUp("Budget reached")))
    plan = await begin_run(storage, rows=8, rows_per_chunk=8)

    handled = await worker(storage, asked, concurrency=3).handle(body_of(plan))

    assert handled == Handled(RUN, ends_run=True)
    assert await safe_rows(storage, message_of(plan)) == {row_id(1), row_id(3)}
    assert asked.rows == [row_id(1), row_id(2), row_id(3)]
    assert await storage.find(layout.outcome(RUN, "plain", 0)) is None
    assert not await is_claimed(storage, message_of(plan))


async def test_the_reason_is_written_once() -> None:
    """The marker says why and when; later reasons do not replace it, and each process reports the stop once."""
    storage, telemetry = MemoryStorage(), RecordingTelemetry()
    plan = await begin_run(storage, rows=4, rows_per_chunk=4)
    asked = Asked(lambda request: stops_at(int(asked_row(request).split("-")[-1]), BudgetUsedUp("no money"))(request))

    await worker(storage, asked, telemetry=telemetry).handle(body_of(plan))
    await storage.delete(layout.checkpoint(RUN, "plain", 0))
    await worker(storage, Asked(stops_at(1, RunStopped("hopeless")))).handle(body_of(plan))

    stop = await read_stop(storage, RUN)
    assert stop and (stop.reason, stop.message, stop.at) == ("budget", "no money", NOW)
    assert len(telemetry.named("run_stopped")) == 1


async def test_a_stop_without_hope_says_so() -> None:
    """What is not the budget's is `hopeless`."""
    storage = MemoryStorage()
    plan = await begin_run(storage)

    await worker(storage, Asked(stops_at(1, RunStopped("check the key")))).handle(body_of(plan))

    stop = await read_stop(storage, RUN)
    assert stop and (stop.reason, stop.message) == ("hopeless", "check the key")


async def test_other_workers_leave_the_chunks_of_a_stopped_run() -> None:
    """The message is completed without a question, an outcome or a claim."""
    storage, asked = MemoryStorage(), Asked()
    plan = await begin_run(storage, rows=8, rows_per_chunk=4)
    await storage.write(layout.stop(RUN), b"{}")

    assert await worker(storage, asked).handle(body_of(plan, 2)) == Handled(RUN)
    assert asked.rows == []
    assert not [one async for one in storage.list(layout.checkpoints(RUN))]


async def test_a_resumed_run_asks_what_was_left_and_nothing_twice() -> None:
    """Once the marker is gone the same process goes on behind the checkpoint."""
    storage = MemoryStorage()
    plan = await begin_run(storage, rows=6, rows_per_chunk=6)
    is_over = True

    async def reply(request: ChatRequest) -> str:
        if is_over and asked_row(request) == row_id(2):
            raise BudgetUsedUp("no money")
        return "{}"

    asked = Asked(reply)
    process = worker(storage, asked, concurrency=2)
    await process.handle(body_of(plan))
    is_over = False
    await storage.delete(layout.stop(RUN))
    await process.handle(body_of(plan))

    assert [one.row_id for one in await outcomes_of(storage, message_of(plan))] == [row_id(n) for n in range(1, 7)]
    assert asked.rows.count(row_id(1)) == 1


async def test_a_chunk_whose_rows_were_all_under_way_ends_as_usual() -> None:
    """A stop leaves only rows that were not asked; a chunk without such is done."""
    storage = MemoryStorage()
    plan = await begin_run(storage, rows=2, rows_per_chunk=2)
    process = worker(storage, Asked())
    process.stopped_runs.add(RUN)

    assert await process.handle(body_of(plan)) == Handled(RUN)
    assert len(await outcomes_of(storage, message_of(plan))) == 2


async def test_a_worker_that_is_not_set_up_for_a_run_stops_it() -> None:
    """An endpoint or secret that is missing is for a person to mend: no chunk is poisoned and no trial fails."""
    storage, faults = MemoryStorage(), [UserError("no model endpoint 'west'"), UserError("no model endpoint 'east'")]
    plan = await begin_run(storage)

    async def trials_of(header: RunHeader) -> dict[str, Trial]:
        raise faults.pop(0)

    misled = replace(worker(storage, Asked()), jobs=Jobs(storage, trials_of))
    assert await misled.handle(body_of(plan)) == Handled(RUN, ends_run=True)
    stop = await read_stop(storage, RUN)
    assert stop and stop.message.startswith("A worker cannot work on this run: no model endpoint 'west'. Mend that")
    assert f"`assay resume {RUN}`" in stop.message

    await storage.delete(layout.stop(RUN))  # resumed too early
    await misled.handle(body_of(plan))
    stop = await read_stop(storage, RUN)
    assert stop and "'east'" in stop.message
