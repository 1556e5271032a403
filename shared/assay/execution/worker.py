"""The worker: one queue message in, one chunk's outcomes out. The queue triggers call it.

Any delivery may be a second one, and any line may be the last: what is safe is in the ledger.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from datetime import datetime

from assay.errors import LeaseHeld, LeaseLost, MessageRefused
from assay.execution.job import Jobs, quarantine_message, read_message
from assay.execution.ledger import ChunkDone, Ledger, claimed
from assay.execution.trial import Trial
from assay.records import ChunkMessage, Failure, Outcome, Row, TrialStatus
from assay.storage import layout
from assay.storage.base import Storage
from assay.telemetry import Telemetry, bound

PUT_BACK_SECONDS = 10
POISON_QUEUE = f"{layout.TRIALS_QUEUE}-poison"


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of a message. `ends_run` hints that the run's last chunk may be done; only the listing knows."""

    run: str
    ends_run: bool = False


@dataclass(frozen=True)
class Worker:
    """Works on chunks; `slots` bounds the trials under way in this process, over all its chunks."""

    storage: Storage
    jobs: Jobs
    slots: asyncio.Semaphore
    linger_seconds: float
    now: Callable[[], datetime]
    telemetry: Telemetry

    async def handle(self, body: str) -> Handled | None:
        """Works on the chunk that a message of the queue `trials` names, unless it is done or somebody else's.

        None: the message names no chunk, and goes to the poison queue at once, as no other delivery would make it
        readable. Raises StorageError; the message then comes again, and ends in the poison queue too.
        """
        try:
            message = read_message(body)
            job = await self.jobs.of(message)
        except MessageRefused as refused:
            await self.storage.send(POISON_QUEUE, body)
            self.telemetry.problem("message_refused", reason=str(refused))
            return None
        with bound(run=message.run, experiment=message.experiment, chunk=message.chunk):
            try:
                async with claimed(self.storage, message, self.linger_seconds) as ledger:
                    await self._work(message, job.trials[message.experiment], ledger)
            except ChunkDone:
                self.telemetry.event("chunk_done_already")
            except (LeaseHeld, LeaseLost):
                await self._put_back(layout.TRIALS_QUEUE, body)
                return Handled(message.run)
        return Handled(message.run, ends_run=job.is_last(message))

    async def bury(self, body: str) -> Handled | None:
        """Ends what a poisoned message was about: quarantines it and fails the trials that it left without outcome."""
        try:
            message = read_message(body)
            await self.jobs.plan_of(message)
        except MessageRefused as refused:
            await quarantine_message(self.storage, body, str(refused), None, self.now())
            self.telemetry.problem("message_quarantined", reason=str(refused))
            return None
        with bound(run=message.run, experiment=message.experiment, chunk=message.chunk):
            return await self._bury_chunk(body, message)

    async def _bury_chunk(self, body: str, message: ChunkMessage) -> Handled:
        reason = "every delivery of this chunk failed; see the log for its errors"
        try:
            async with claimed(self.storage, message, self.linger_seconds) as ledger:
                await quarantine_message(self.storage, body, reason, message.run, self.now())
                rows = await self._rows(message, ledger)
                await _all(ledger.add(_poisoned(message, row, reason)) for row in rows)
                await ledger.finish()
            self.telemetry.problem("chunk_poisoned", rows=len(rows))
        except ChunkDone:
            self.telemetry.event("chunk_done_already")
        except (LeaseHeld, LeaseLost):
            await self._put_back(POISON_QUEUE, body)
            return Handled(message.run)
        return Handled(message.run, ends_run=True)

    async def _work(self, message: ChunkMessage, trial: Trial, ledger: Ledger) -> None:
        rows = await self._rows(message, ledger)
        self.telemetry.event("chunk_started", rows=len(rows), from_checkpoint=message.rows - len(rows))
        await _all(self._try(trial, row, ledger) for row in rows)
        await ledger.finish()
        self.telemetry.event("chunk_finished", **ledger.tally.model_dump())

    async def _rows(self, message: ChunkMessage, ledger: Ledger) -> list[Row]:
        """The chunk's rows that have no outcome yet."""
        name = layout.rows(message.run)
        lines = await self.storage.read(name, offset=message.offset, length=message.length)
        rows = (Row.model_validate_json(line) for line in lines.splitlines())
        return [row for row in rows if row.number not in ledger.safe_rows]

    async def _try(self, trial: Trial, row: Row, ledger: Ledger) -> None:
        # The slot is kept until the outcome is safe: so a crash repeats no more calls than there are slots.
        async with self.slots:
            ledger.check_claim()
            await ledger.add(await trial.run(row))

    async def _put_back(self, queue: str, body: str) -> None:
        """Somebody else has the chunk, or had it when it died: look again later, without counting as a failure."""
        self.telemetry.event("chunk_put_back")
        await self.storage.send(queue, body, delay_seconds=PUT_BACK_SECONDS)


async def _all(works: Iterable[Coroutine[None, None, None]]) -> None:
    """Runs all at once; the first error cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _poisoned(message: ChunkMessage, row: Row, reason: str) -> Outcome:
    return Outcome(
        row_id=row.row_id,
        row_number=row.number,
        experiment=message.experiment,
        status=TrialStatus.FAILED,
        failure=Failure(kind="poisoned", message=reason),
    )
