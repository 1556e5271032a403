"""A job: what a worker keeps of a run while it works on its chunks. Read once per run and process."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import ValidationError

from assay.errors import BlobExists, BlobMissing, MessageRefused
from assay.field_problems import field_sentence
from assay.middleware.redaction import default_redact
from assay.planning.frozen import read_header, read_plan
from assay.records import ChunkMessage, Outcome, Row
from assay.run_records import Plan, Refusal, RunHeader, is_run_id
from assay.storage import layout
from assay.storage.base import Blobs
from assay.telemetry import Redact

KEPT_JOBS = 8
SHOWN_CHARACTERS = 2_000


class RowTrial(Protocol):
    """How the rows of one chunk are tried, or their answers judged."""

    async def run(self, row: Row) -> Outcome:
        """The row's outcome. RunStopped, QuotaElsewhere and cancellation pass; nothing else is raised."""
        ...


class ChunkTrial(Protocol):
    """How every row of one experiment is tried (`trial.py`), or every answer to it judged (`judging.py`)."""

    async def of_chunk(self, message: ChunkMessage) -> RowTrial:
        """What one chunk needs. Raises NotYetAnswered when the answers that it is to judge are not there."""
        ...


Trials = Mapping[str, ChunkTrial]
"""By experiment, and by the name of each judgement."""


class NotYetAnswered(Exception):
    """The answers that a chunk is to judge are not all there; the message comes again later."""


@dataclass(frozen=True)
class Job:
    """A run's plan, and how each of its experiments is tried and judged."""

    plan: Plan
    trials: Trials
    suite: str = ""

    def is_last(self, message: ChunkMessage) -> bool:
        """Whether the message is the plan's last; when it ends, the run is probably over."""
        return message == next(self.plan.messages(self.plan.chunks - 1, self.plan.chunks))


class Jobs:
    """The jobs of the runs that this process works on; the least recently used is forgotten."""

    def __init__(self, blobs: Blobs, trials_of: Callable[[RunHeader], Awaitable[Trials]]) -> None:
        self._blobs, self._trials_of = blobs, trials_of
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._reading = asyncio.Lock()

    async def of(self, message: ChunkMessage) -> Job:
        """The job of a message. Raises MessageRefused when the message does not fit the run's plan."""
        if message.run not in self._jobs:
            async with self._reading:
                await self._read(message.run)
        job = self._jobs[message.run]
        self._jobs.move_to_end(message.run)
        _check(message, job.plan)
        return job

    async def plan_of(self, message: ChunkMessage) -> Plan:
        """The plan that a message fits. Asks for no model, as `of` does. Raises MessageRefused."""
        job = self._jobs.get(message.run)
        plan = job.plan if job else await self._read_plan(message.run)
        _check(message, plan)
        return plan

    async def _read(self, run: str) -> None:
        if run in self._jobs:
            return
        plan = await self._read_plan(run)
        header = await read_header(self._blobs, run)
        self._jobs[run] = Job(plan, await self._trials_of(header), header.suite_name)
        while len(self._jobs) > KEPT_JOBS:
            self._jobs.popitem(last=False)

    async def _read_plan(self, run: str) -> Plan:
        try:
            return await read_plan(self._blobs, run)
        except BlobMissing:
            raise MessageRefused(f"there is no run '{run}' with a plan") from None


def read_message(body: str) -> ChunkMessage:
    """The chunk message in a queue message's text. Raises MessageRefused."""
    try:
        message = ChunkMessage.model_validate_json(body)
    except ValidationError as error:
        first = field_sentence(error.errors()[0], "the message")
        raise MessageRefused(f"not a chunk message: {first}") from None
    # Checked before the name becomes a part of blob paths.
    if not is_run_id(message.run):
        raise MessageRefused(f"not a chunk message: {ascii(message.run)[:100]} is not a run's id")
    return message


async def quarantine_message(
    blobs: Blobs, body: str, reason: str, run: str | None, at: datetime, redact: Redact | None = None
) -> None:
    """Keeps a message that could not be processed, for a person; the same message again changes nothing.

    What it says is redacted, with the shipped patterns alone unless there is a better `redact`.
    """
    clean = redact or default_redact()
    digest = hashlib.sha256(body.encode()).hexdigest()[:16]
    path = f"{layout.run_messages(run)}{digest}.json" if run else layout.refused_message(digest)
    record = Refusal(
        kind="message",
        subject=digest,
        reason=clean(reason),
        at=at,
        run=run,
        content=clean(body).replace("\x00", "\\x00")[:SHOWN_CHARACTERS],
    )
    try:
        await blobs.write(path, record.model_dump_json(indent=1).encode())
    except BlobExists:
        return


def _check(message: ChunkMessage, plan: Plan) -> None:
    if message.experiment not in plan.names:
        known = ", ".join(plan.names)
        raise MessageRefused(f"run '{message.run}' has no experiment '{message.experiment}'. It has: {known}")
    fault = f"chunk {message.chunk} of run '{message.run}' is not what the plan says"
    try:
        expected = plan.message(message.experiment, message.chunk)
    except IndexError as error:
        raise MessageRefused(f"{fault}: {error}") from None
    if expected != message:
        said = expected.model_dump(include={"repeat", "first_row", "rows", "offset", "length"})
        raise MessageRefused(f"{fault}: {said}")
