"""A suite, dropped files, and the steps of a run over them in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from assay.execution.ledger import metadata_of, tally
from assay.orchestration.ingest import Ingest
from assay.orchestration.steps import AskingSteps
from assay.records import ChunkMessage, Failure, Outcome, Score, TrialStatus
from assay.run_records import Plan, Progress, Refusal, RunHeader
from assay.storage import layout
from assay.storage.base import Storage
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry
from builders import response

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
DROP = "inbox/triage/tickets.csv"
SUITE = """\
version: 1
name: triage
dataset: {id: id, max_bad_rows: 50%}
defaults: {model: {deployment: gpt-4o-mini}}
experiments:
  - {name: plain, baseline: true, user: "Sort: {{ text }}"}
  - {name: short, user: "Sort shortly: {{ text }}"}
scorers: [{plugin: label_match, name: correct, path: label, expected: label}]
limits: {rows_per_message: 3}
"""
LABELS = ("billing", "delivery")
HEADER = "id,text,label\n"


def dataset(rows: int) -> str:
    """A CSV file with so many good rows."""
    return HEADER + "".join(f"T-{number},Grüße {number},{LABELS[number % 2]}\n" for number in range(1, rows + 1))


CSV = dataset(7)


class Now:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.moment = NOW

    def __call__(self) -> datetime:
        return self.moment

    def advance(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


def ingest(storage: Storage, *, max_file_bytes: int = 100_000, now: Any = None, telemetry: Any = None) -> Ingest:
    return Ingest(storage, max_file_bytes, {"assay": "0.1.0"}, now or Now(), telemetry or RecordingTelemetry())


def asking(storage: Storage, *, queue_depth: int = 4, now: Any = None, telemetry: Any = None) -> AskingSteps:
    return AskingSteps(storage, queue_depth, now or Now(), telemetry or RecordingTelemetry())


async def with_suite(text: str = SUITE, name: str = "triage") -> MemoryStorage:
    storage = MemoryStorage()
    await storage.write(layout.suite_file(name), text.encode())
    return storage


async def drop(storage: Storage, content: str | bytes = CSV, path: str = DROP, **metadata: str) -> str:
    """Puts a file into the inbox, replacing the one before; gives its path."""
    data = content.encode() if isinstance(content, str) else content
    await storage.write(path, data, metadata=metadata, overwrite=True)
    return path


async def admitted(storage: Storage, content: str | bytes = CSV) -> str:
    """The id of a run that has just begun."""
    run = await ingest(storage).admit(await drop(storage, content))
    assert run is not None
    return run


async def planned(storage: Storage, content: str | bytes = CSV) -> str:
    """The id of a run that has its plan."""
    run = await admitted(storage, content)
    assert await asking(storage).plan(run) == {"refused": False}
    return run


async def header_of(storage: Storage, run: str) -> RunHeader:
    return RunHeader.model_validate_json(await storage.read(layout.header(run)))


async def plan_of(storage: Storage, run: str) -> Plan:
    return Plan.model_validate_json(await storage.read(layout.plan(run)))


async def progress_of(storage: Storage, run: str) -> Progress:
    return Progress.model_validate_json(await storage.read(layout.progress(run)))


async def refused_files(storage: Storage) -> list[Refusal]:
    """All quarantine records of files."""
    paths = [one.path async for one in storage.list("quarantine/files/")]
    return [Refusal.model_validate_json(await storage.read(path)) for path in paths]


async def blobs_of(storage: Storage, prefix: str) -> dict[str, bytes]:
    """Every blob below the prefix with its content."""
    return {one.path: await storage.read(one.path) async for one in storage.list(prefix)}


async def answer(storage: Storage, message: ChunkMessage) -> list[Outcome]:
    """Writes the outcome blob of a chunk as the worker does; every fifth row has failed."""
    lines = (await storage.read(layout.rows(message.run), offset=message.offset, length=message.length)).splitlines()
    outcomes = [_outcome(message, number) for number in range(message.first_row, message.first_row + len(lines))]
    content = b"".join(one.model_dump_json().encode() + b"\n" for one in outcomes)
    path = layout.outcome(message.run, message.experiment, message.chunk)
    await storage.write(path, content, metadata=metadata_of(tally(outcomes)))
    return outcomes


def _outcome(message: ChunkMessage, number: int) -> Outcome:
    """Right on every row but the third; every fifth row has failed."""
    failed = number % 5 == 0
    label = LABELS[(number + (number % 3 == 0)) % 2]
    answered = response(f'{{"label": "{label}"}}', "answer", cost_usd="0.001")
    score = Score(name="correct", value=float(number % 3 > 0))
    return Outcome(
        row_id=f"T-{number}",
        row_number=number,
        experiment=message.experiment,
        repeat=message.repeat,
        status=TrialStatus.FAILED if failed else TrialStatus.SUCCEEDED,
        responses=() if failed else (answered,),
        scores=() if failed else (score,),
        failure=Failure(kind="server_error", message="no luck", criterion="answer") if failed else None,
    )


async def answered(storage: Storage, content: str | bytes = CSV) -> str:
    """The id of a run whose every chunk has its outcomes."""
    run = await planned(storage, content)
    plan = await plan_of(storage, run)
    for message in plan.messages(0, plan.chunks):
        await answer(storage, message)
    return run
