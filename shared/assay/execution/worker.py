"""The worker: one queue message in, one chunk's outcomes out. The queue triggers call it.

Any delivery may be a second one, and any line may be the last: what is safe is in the ledger.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime

from assay.errors import LeaseHeld, LeaseLost, MessageRefused, RunStopped, UserError
from assay.execution.control import read_control
from assay.execution.job import Jobs, NotYetAnswered, RowTrial, quarantine_message, read_message
from assay.execution.ledger import ChunkDone, Ledger, claimed
from assay.execution.measured_trial import MeasuredTrial
from assay.execution.stops import is_stopped, write_stop
from assay.middleware.redaction import default_redact
from assay.quota.base import QuotaElsewhere
from assay.records import ChunkMessage, Failure, Outcome, Row, TrialStatus
from assay.run_records import Plan
from assay.storage import layout
from assay.storage.base import Storage
from assay.telemetry import Redact, Telemetry, bound
from assay.telemetry_names import CHUNK_DURATION, CHUNK_SPAN, KIND, POISON, QUEUE, ROWS, SUITE

PUT_BACK_SECONDS = 10
JUDGE_LATER_SECONDS = 5

# A chunk without quota here goes back at once, nearly: those who put one back take no other for minutes, so that it
# soon comes to a worker with quota.
LEAVE_TO_OTHERS_SECONDS = 4.0
_SHORTEST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS, _LOOK_SECONDS = 30.0, 600.0, 3.0
# A function may run for 30 minutes (host.json); what is under way after this time still ends well before that.
LONGEST_TURN_SECONDS = 1200.0
POISON_QUEUE = f"{layout.TRIALS_QUEUE}-poison"


@dataclass(frozen=True, slots=True)
class Handled:
    """What became of a message. `ends_run` hints that the run may be done, or stopped; only storage knows."""

    run: str
    ends_run: bool = False


class TurnOver(Exception):
    """A small quota makes the chunk take longer than a function may run; its other rows come with another message."""


class RowsLeft(Exception):
    """The run was stopped before all rows of the chunk were asked about; what is done is in the checkpoint."""


@dataclass(slots=True)
class _Leaving:
    """Rows of a chunk that were not asked about; `elsewhere` when others have the quota."""

    rows: list[Row] = field(default_factory=list)
    elsewhere: QuotaElsewhere | None = None


@dataclass(frozen=True)
class Worker:
    """Works on chunks; `slots` bounds the trials under way in this process, over all its chunks.

    Once a trial finds that its run must stop, or that others hold the whole quota, those under way end and are kept,
    and no other of its chunk is begun. `working` is entered while it works on a chunk.
    """

    storage: Storage
    jobs: Jobs
    slots: asyncio.Semaphore
    linger_seconds: float
    now: Callable[[], datetime]
    telemetry: Telemetry
    stopped_runs: set[str] = field(default_factory=set)
    redact: Redact = field(default_factory=default_redact)
    working: Callable[[], AbstractAsyncContextManager[None]] = nullcontext
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    random: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic

    async def handle(self, body: str) -> Handled | None:
        """Works on the chunk that a message of the queue `trials` names, unless it is done or somebody else's.

        A chunk whose quota others hold goes back to the queue, and the call returns later, see `_leave_to_others`.
        None: the message names no chunk, and goes to the poison queue at once, as no other delivery would make it
        readable. Raises StorageError; the message then comes again, and ends in the poison queue too.
        """
        try:
            message = read_message(body)
            job = await self.jobs.of(message)
        except MessageRefused as refused:
            await self.storage.send(POISON_QUEUE, body)
            self.telemetry.problem("message_refused", reason=str(refused))
            self._count_poison("refused")
            return None
        except UserError as error:  # of a setting or a secret: no delivery would fare better before it is mended
            await self._stop_misled(message.run, error)
            return Handled(message.run, ends_run=True)
        with bound(run=message.run, experiment=message.experiment, chunk=message.chunk):
            if await self._is_stopped(message.run):
                self.telemetry.event("chunk_left", rows=message.rows)
                return Handled(message.run)
            if job.plan.early_stop and await self._is_over(job.plan, message):
                self.telemetry.event("chunk_waived", rows=message.rows)
                return Handled(message.run)
            try:
                # Before the claim: a chunk whose answers are not there must not look as if it were worked on.
                trial = await job.trials[message.experiment].of_chunk(message)
                async with self.working(), claimed(self.storage, message, self.linger_seconds) as ledger:
                    await self._work(message, job.suite, trial, ledger)
            except ChunkDone:
                self.telemetry.event("chunk_done_already")
            except RowsLeft:
                return Handled(message.run, ends_run=True)
            except QuotaElsewhere as elsewhere:
                await self._leave_to_others(body, elsewhere)
                return Handled(message.run)
            except (LeaseHeld, LeaseLost, TurnOver):
                await self._put_back(layout.TRIALS_QUEUE, body)
                return Handled(message.run)
            except NotYetAnswered:
                await self._put_back(layout.TRIALS_QUEUE, body, JUDGE_LATER_SECONDS)
                return Handled(message.run)
        return Handled(message.run, ends_run=job.is_last(message))

    async def bury(self, body: str) -> Handled | None:
        """Ends what a poisoned message was about: quarantines it and fails the trials that it left without outcome."""
        try:
            message = read_message(body)
            await self.jobs.plan_of(message)
        except MessageRefused as refused:
            await quarantine_message(self.storage, body, str(refused), None, self.now(), self.redact)
            self.telemetry.problem("message_quarantined", reason=str(refused))
            self._count_poison("unreadable")
            return None
        with bound(run=message.run, experiment=message.experiment, chunk=message.chunk):
            return await self._bury_chunk(body, message)

    async def _bury_chunk(self, body: str, message: ChunkMessage) -> Handled:
        reason = "every delivery of this chunk failed; see the log for its errors"
        try:
            async with claimed(self.storage, message, self.linger_seconds) as ledger:
                await quarantine_message(self.storage, body, reason, message.run, self.now(), self.redact)
                rows = await self._rows(message, ledger)
                await _all(ledger.add(_poisoned(message, row, reason)) for row in rows)
                await ledger.finish()
            self.telemetry.problem("chunk_poisoned", rows=len(rows))
            self._count_poison("poisoned")
        except ChunkDone:
            self.telemetry.event("chunk_done_already")
        except (LeaseHeld, LeaseLost):
            await self._put_back(POISON_QUEUE, body)
            return Handled(message.run)
        return Handled(message.run, ends_run=True)

    async def _work(self, message: ChunkMessage, suite: str, trial: RowTrial, ledger: Ledger) -> None:
        with self.telemetry.span(CHUNK_SPAN, {ROWS: message.rows}):
            leaving = await self._work_on_rows(message, suite, trial, ledger)
        if leaving.rows:
            raise leaving.elsewhere or (RowsLeft if message.run in self.stopped_runs else TurnOver)

    async def _work_on_rows(self, message: ChunkMessage, suite: str, trial: RowTrial, ledger: Ledger) -> _Leaving:
        """Gives the rows that were not asked about; without any, the chunk is finished."""
        began, rows = self.clock(), await self._rows(message, ledger)
        self.telemetry.event("chunk_started", rows=len(rows), from_checkpoint=message.rows - len(rows))
        leaving, until = _Leaving(), began + LONGEST_TURN_SECONDS
        trial = MeasuredTrial(self.telemetry, suite, message.repeat, trial)
        await _all(self._try(message.run, trial, row, ledger, leaving, until) for row in rows)
        if leaving.rows:
            self.telemetry.event("chunk_left", rows=len(leaving.rows))
            return leaving
        await ledger.finish()
        self.telemetry.event("chunk_finished", **ledger.tally.model_dump())
        self.telemetry.record(CHUNK_DURATION, self.clock() - began, {SUITE: suite})
        return leaving

    async def _rows(self, message: ChunkMessage, ledger: Ledger) -> list[Row]:
        """The chunk's rows that have no outcome yet."""
        name = layout.rows(message.run)
        lines = await self.storage.read(name, offset=message.offset, length=message.length)
        rows = (Row.model_validate_json(line) for line in lines.splitlines())
        return [row for row in rows if row.number not in ledger.safe_rows]

    async def _try(self, run: str, trial: RowTrial, row: Row, ledger: Ledger, leaving: _Leaving, until: float) -> None:
        # The slot is kept until the outcome is safe: so a crash repeats no more calls than there are slots.
        async with self.slots:
            ledger.check_claim()
            if run in self.stopped_runs or leaving.elsewhere or self.clock() >= until:
                leaving.rows.append(row)
                return
            try:
                outcome = await trial.run(row)
            except RunStopped as stopped:
                leaving.rows.append(row)
                await self._stop(run, stopped)
                return
            except QuotaElsewhere as elsewhere:
                leaving.rows.append(row)
                leaving.elsewhere = elsewhere
                return
            await ledger.add(outcome)

    async def _stop(self, run: str, stopped: RunStopped) -> None:
        if run not in self.stopped_runs:
            self.stopped_runs.add(run)
            self.telemetry.problem("run_stopped", run=run, reason=str(stopped))
            await write_stop(self.storage, run, stopped, self.now())

    async def _stop_misled(self, run: str, error: UserError) -> None:
        """Stops a run that this worker is not set up for, until a person has mended what the error names."""
        if not await self._is_stopped(run):
            found = self.redact(str(error))
            advice = f"Mend that, then go on with `assay resume {run}`."
            await self._stop(run, RunStopped(f"A worker cannot work on this run: {found}. {advice}"))

    async def _is_stopped(self, run: str) -> bool:
        """Looked up for every chunk, as a person may let the run go on."""
        if await is_stopped(self.storage, run):
            return True
        self.stopped_runs.discard(run)
        return False

    async def _is_over(self, plan: Plan, message: ChunkMessage) -> bool:
        """Whether early stop needs no more of the experiment; then the orchestrator ends its chunks as they are."""
        return message.experiment in (await read_control(self.storage, message.run)).over(plan)

    async def _leave_to_others(self, body: str, elsewhere: QuotaElsewhere) -> None:
        """Puts the chunk back for workers with quota, and keeps its place here empty until there may be quota again.

        A place that was free would be filled with the next message, which would have to be put back as well.
        """
        delay_seconds = LEAVE_TO_OTHERS_SECONDS * (1 + self.random())
        await self.storage.send(layout.TRIALS_QUEUE, body, delay_seconds=round(delay_seconds))
        pause_seconds = max(
            _SHORTEST_PAUSE_SECONDS, elsewhere.retry_after_seconds + _LOOK_SECONDS * (1 + self.random())
        )
        await self.sleep(min(pause_seconds, _LONGEST_PAUSE_SECONDS))

    def _count_poison(self, kind: str) -> None:
        self.telemetry.count(POISON, 1, {QUEUE: layout.TRIALS_QUEUE, KIND: kind})

    async def _put_back(self, queue: str, body: str, delay_seconds: int = PUT_BACK_SECONDS) -> None:
        """Lets the chunk come again, without counting as a failure: somebody else has it, its turn was long, or it is
        to judge what is not answered yet.
        """
        self.telemetry.event("chunk_put_back")
        await self.storage.send(queue, body, delay_seconds=delay_seconds)


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
        repeat=message.repeat,
        status=TrialStatus.FAILED,
        failure=Failure(kind="poisoned", message=reason),
    )
