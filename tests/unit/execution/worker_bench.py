"""A run with rows, a plan and a model that answers at once, and workers over it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from assay.errors import LeaseHeld
from assay.execution.job import Jobs
from assay.execution.ledger import read_outcomes
from assay.execution.trial import Trial
from assay.execution.watchdog import Watchdog
from assay.execution.worker import Worker
from assay.llm.base import ChatRequest
from assay.llm.pricing import load_prices
from assay.llm.scripted import scripted_answer
from assay.middleware.base import Question, Reply, Spent
from assay.planning.prompts import compile_prompts
from assay.records import Attempt, ChunkMessage, Outcome, Row
from assay.run_records import Plan, RowRange, RunHeader
from assay.storage import layout
from assay.storage.base import Storage
from assay.storage.memory import MemoryStorage
from assay.suite.models import Suite
from assay.telemetry import RecordingTelemetry
from builders import RUN, row_id, run_header, suite

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
EXPERIMENTS = ("plain", "short")
CLAIM_ENDS_SECONDS = 16.0


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Asked:
    """An `ask` that answers at once. `rows` are the ids asked about; `reply` may raise or wait."""

    def __init__(self, reply: Callable[[ChatRequest], Any] | None = None) -> None:
        self.rows: list[str] = []
        self.under_way = self.most_under_way = 0
        self._reply = reply or (lambda request: "{}")

    async def __call__(self, question: Question) -> Reply:
        request = question.request
        self.rows.append(asked_row(request))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            await asyncio.sleep(0)
            reply = self._reply(request)
            text = await reply if asyncio.iscoroutine(reply) else reply
        finally:
            self.under_way -= 1
        answer = scripted_answer(text)
        spent = Spent(answer.usage, load_prices().cost(answer.model, answer.usage))
        return Reply(answer, request.deployment, (Attempt(number=1, status=200),), spent=spent)


def asked_row(request: ChatRequest) -> str:
    """The id of the row that a request is about."""
    return request.messages[-1].content.removeprefix("Ticket ").partition(":")[0]


async def turns(count: int) -> None:
    """Lets other tasks go on for a while, without time passing."""
    for _ in range(count):
        await asyncio.sleep(0)


def chunk_rows(count: int) -> list[Row]:
    return [
        Row(row_id=row_id(number), number=number, line=number + 1, fields=_fields(number))
        for number in range(1, count + 1)
    ]


def _fields(number: int) -> dict[str, Any]:
    return {"ticket_id": row_id(number), "subject": f"Größe {number}", "queue": "billing"}


async def begin_run(
    storage: Storage, rows: int = 4, rows_per_chunk: int = 4, run: str = RUN, repeats: tuple[int, ...] = ()
) -> Plan:
    """Writes header, rows and plan of a run."""
    lines = [one.model_dump_json().encode() + b"\n" for one in chunk_rows(rows)]
    ranges, offset = [], 0
    for first in range(0, rows, rows_per_chunk):
        part = lines[first : first + rows_per_chunk]
        ranges.append(RowRange(first_row=first + 1, rows=len(part), offset=offset, length=sum(map(len, part))))
        offset += ranges[-1].length
    plan = Plan(run=run, rows=rows, bad_rows=0, experiments=EXPERIMENTS, ranges=tuple(ranges), repeats=repeats)
    header = run_header(suite(EXPERIMENTS), run=run)
    await storage.write(layout.header(run), header.model_dump_json(by_alias=True).encode())
    await storage.write(layout.rows(run), b"".join(lines))
    await storage.write(layout.plan(run), plan.model_dump_json().encode())
    return plan


def message_of(plan: Plan, index: int = 0) -> ChunkMessage:
    return list(plan.messages(0, plan.chunks))[index]


def body_of(plan: Plan, index: int = 0) -> str:
    return message_of(plan, index).model_dump_json()


def trial(ask: Any, of: Suite | None = None, experiment: str = "plain", scorers: Any = ()) -> Trial:
    found = (of or suite(EXPERIMENTS)).experiment(experiment)
    limits = (of or suite(EXPERIMENTS)).limits
    watchdog = Watchdog(RecordingTelemetry())
    return Trial(RUN, found, compile_prompts(found), tuple(scorers), limits, ask, watchdog)


def worker(
    storage: Storage, ask: Any, *, concurrency: int = 8, linger_seconds: float = 0, telemetry: Any = None
) -> Worker:
    """A worker as a fresh process would have it."""

    async def trials_of(header: RunHeader) -> dict[str, Trial]:
        of = Suite.model_validate(header.suite)
        return {one.name: trial(ask, of, one.name) for one in of.experiments}

    return Worker(
        storage=storage,
        jobs=Jobs(storage, trials_of),
        slots=asyncio.Semaphore(concurrency),
        linger_seconds=linger_seconds,
        now=lambda: NOW,
        telemetry=telemetry or RecordingTelemetry(),
    )


async def outcomes_of(storage: Storage, message: ChunkMessage) -> list[Outcome]:
    """What the chunk's outcome blob holds."""
    return read_outcomes(await storage.read(layout.outcome(message.run, message.experiment, message.chunk)))


async def safe_rows(storage: Storage, message: ChunkMessage) -> set[str]:
    """Ids of the rows whose outcome would survive a crash right now."""
    places = (layout.outcome, layout.checkpoint)
    found: set[str] = set()
    for place in places:
        path = place(message.run, message.experiment, message.chunk)
        if await storage.find(path):
            found |= {one.row_id for one in read_outcomes(await storage.read(path))}
    return found


async def is_claimed(storage: MemoryStorage, message: ChunkMessage) -> bool:
    """Whether somebody holds the chunk's checkpoint."""
    path = layout.checkpoint(message.run, message.experiment, message.chunk)
    if await storage.find(path) is None:
        return False
    try:
        lease = await storage.acquire(path, 15)
    except LeaseHeld:
        return True
    await storage.release(path, lease)
    return False
