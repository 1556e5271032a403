"""How much of a bare `AsyncOpenAI` loop's speed is left when a worker asks: no quota, a model of 5 ms, one process.

Both sides ask the same emulator the same prompts at the same concurrency; the worker is made by `Runtime`, with a run's
middleware at work, reads its chunks from Azurite and writes outcomes there.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from openai import AsyncAzureOpenAI, DefaultAioHttpClient
from tests.bench.quota.stage import cpu_seconds
from tests.end_to_end.small_suite import COLOURS, SUITE, write_emulator

from assay.llm.base import ChatMessage
from assay.local.azurite import start_azurite
from assay.local.stack import running_child
from assay.planning.prompts import compile_prompts
from assay.records import ChunkMessage, Outcome, Response, Row
from assay.run_records import DatasetReference, Plan, RowRange, RunHeader
from assay.runtime import Runtime
from assay.settings import Settings
from assay.storage import layout
from assay.storage.base import Storage
from assay.suite.loading import load_suite
from assay.suite.models import Suite

ROOT = Path(__file__).resolve().parents[2]
TRIALS = 2_000
ROWS_PER_CHUNK = 50
CONCURRENCY = 64
ROUNDS = 3
LATENCY_MS = 5.0
EXPERIMENT = "plain"
# A stated quota is what lowers `max_tokens`; no limiter keeps it here, so that the path is measured and not the quota.
ON_QUOTA = """
quota: {small-model: {requests_per_minute: 1000000, tokens_per_minute: 1000000000}}
limits: {limiter: none, adaptive_max_tokens: true}
"""
BARE, BARE_AIOHTTP, WORKER = "bare loop", "bare loop on aiohttp", "worker"


@dataclass(frozen=True)
class Servers:
    """The emulator's address and process, and storage's connection string."""

    endpoint: str
    emulator_pid: int
    storage: str


@dataclass(frozen=True)
class Round:
    """What one side took for all trials."""

    seconds: float
    cpu_seconds: float
    emulator_cpu_seconds: float


def measure() -> dict[str, str]:
    """Trials per second of both sides, CPU per trial, and the ratio: medians of three rounds in turns."""
    with servers_running() as servers:
        sides = asyncio.run(_measure(servers))
    figures = {"trials per round, concurrency": f"{TRIALS:,}, {CONCURRENCY}"}
    for side, rounds in sides.items():
        figures |= _figures(side, rounds)
    for side in (BARE, BARE_AIOHTTP):
        figures |= _compared(side, sides[side], sides[WORKER])
    return figures


def _compared(side: str, bare: list[Round], worker: list[Round]) -> dict[str, str]:
    """CPU time is not disturbed by what else the machine does."""
    pairs = list(zip(bare, worker, strict=True))
    speeds = [theirs.seconds / ours.seconds for theirs, ours in pairs]
    efforts = [theirs.cpu_seconds / ours.cpu_seconds for theirs, ours in pairs]
    return {
        f"worker against {side}: throughput": f"{statistics.median(speeds):.0%} ({_list(speeds, '.0%')})",
        f"worker against {side}: by CPU time": f"{statistics.median(efforts):.0%} ({_list(efforts, '.0%')})",
    }


def _figures(side: str, rounds: list[Round]) -> dict[str, str]:
    speeds = [TRIALS / one.seconds for one in rounds]
    cpu = [1000 * one.cpu_seconds / TRIALS for one in rounds]
    busy = [one.emulator_cpu_seconds / one.seconds for one in rounds]
    return {
        f"{side}: trials/s": f"{statistics.median(speeds):.0f} ({_list(speeds, '.0f')})",
        f"{side}: CPU per trial": f"{statistics.median(cpu):.2f} ms ({_list(cpu, '.2f')})",
        f"{side}: the emulator's core was busy": _list(busy, ".0%"),
    }


def _list(values: list[float], form: str) -> str:
    return ", ".join(f"{value:{form}}" for value in values)


@contextmanager
def servers_running() -> Iterator[Servers]:
    """Emulator and storage, each a process of its own."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        home = Path(name)
        (home / "logs").mkdir()
        emulator = write_emulator(home, TRIALS, LATENCY_MS)
        azurite = start_azurite(home / "azurite", ROOT / "tools" / "azurite")
        command = ["-m", "assay.local.openai_emulator", "--config", str(emulator), "--no-quota"]
        command += ["--latency-ms", str(LATENCY_MS)]
        try:
            with running_child(home, "emulator", command, {}) as (pid, port):
                yield Servers(f"http://127.0.0.1:{port}", pid, azurite.connection_string)
        finally:
            azurite.stop()


async def _measure(servers: Servers) -> dict[str, list[Round]]:
    suite = load_suite(SUITE + ON_QUOTA)
    sides: dict[str, list[Round]] = {BARE: [], BARE_AIOHTTP: [], WORKER: []}
    for number in range(ROUNDS):
        sides[BARE].append(await _bare_round(servers, suite, _client(servers)))
        aiohttp = _client(servers, http_client=DefaultAioHttpClient())
        sides[BARE_AIOHTTP].append(await _bare_round(servers, suite, aiohttp))
        sides[WORKER].append(await worker_round(servers, suite, f"colours-{number}"))
    return sides


def _client(servers: Servers, **options: Any) -> AsyncAzureOpenAI:
    return AsyncAzureOpenAI(
        azure_endpoint=servers.endpoint, api_key="any", api_version="2024-10-21", max_retries=0, **options
    )


async def _bare_round(servers: Servers, suite: Suite, client: AsyncAzureOpenAI) -> Round:
    model = suite.experiment(EXPERIMENT).model
    prompts = [_messages(suite, row) for row in _rows()]
    slots = asyncio.Semaphore(CONCURRENCY)

    async def ask(messages: tuple[ChatMessage, ...]) -> None:
        async with slots:
            await client.chat.completions.create(
                model=model.deployment,
                messages=[{"role": one.role, "content": one.content} for one in messages],  # type: ignore[misc]
                max_tokens=model.max_tokens,
                temperature=model.temperature,
                response_format={"type": "json_object"},
            )

    async with client, timed(servers) as rounds:
        await asyncio.gather(*(ask(messages) for messages in prompts))
    return rounds[0]


async def worker_round(servers: Servers, suite: Suite, run: str) -> Round:
    """A run of its own, worked on by one worker."""
    runtime = Runtime(Settings.load(worker_settings(servers)))
    try:
        messages = await begin(runtime.storage, suite, run, TRIALS)
        async with timed(servers) as rounds:
            await work(runtime, messages)
        await check(runtime.storage, messages, TRIALS)
    finally:
        await runtime.close()
    return rounds[0]


def worker_settings(servers: Servers) -> dict[str, str]:
    """A worker's settings."""
    return {
        "ASSAY_STORAGE": servers.storage,
        "AZURE_OPENAI_ENDPOINT": servers.endpoint,
        "AZURE_OPENAI_API_KEY": "any",
        "ASSAY_WORKER_CONCURRENCY": str(CONCURRENCY),
    }


async def work(runtime: Runtime, messages: list[ChunkMessage]) -> None:
    """Works on all chunks at once."""
    await asyncio.gather(*(runtime.worker.handle(one.model_dump_json()) for one in messages))


@asynccontextmanager
async def timed(servers: Servers) -> AsyncIterator[list[Round]]:
    """Puts what the block took into the list."""
    rounds: list[Round] = []
    began, cpu, emulator = time.perf_counter(), time.process_time(), cpu_seconds(servers.emulator_pid)
    yield rounds
    rounds.append(
        Round(
            time.perf_counter() - began,
            time.process_time() - cpu,
            cpu_seconds(servers.emulator_pid) - emulator,
        )
    )


def _rows(trials: int = TRIALS) -> list[Row]:
    return [
        Row(
            row_id=f"I-{n:05d}",
            number=n,
            line=n + 1,
            fields={"id": f"I-{n:05d}", "text": f"thing number {n}", "label": COLOURS[n % 4]},
        )
        for n in range(1, trials + 1)
    ]


def _messages(suite: Suite, row: Row) -> tuple[ChatMessage, ...]:
    (prompt,) = compile_prompts(suite.experiment(EXPERIMENT))
    return prompt.render(row.fields)


async def begin(storage: Storage, suite: Suite, run: str, trials: int) -> list[ChunkMessage]:
    """Writes what a run consists of; the messages of its chunks."""
    lines = [row.model_dump_json().encode() + b"\n" for row in _rows(trials)]
    ranges, offset = [], 0
    for first in range(0, trials, ROWS_PER_CHUNK):
        part = lines[first : first + ROWS_PER_CHUNK]
        ranges.append(RowRange(first_row=first + 1, rows=len(part), offset=offset, length=sum(map(len, part))))
        offset += ranges[-1].length
    plan = Plan(run=run, rows=trials, bad_rows=0, experiments=(EXPERIMENT,), ranges=tuple(ranges))
    await storage.write(layout.header(run), _header(suite, run).model_dump_json(by_alias=True).encode())
    await storage.write(layout.rows(run), b"".join(lines))
    await storage.write(layout.plan(run), plan.model_dump_json().encode())
    return list(plan.messages(0, plan.chunks))


def _header(suite: Suite, run: str) -> RunHeader:
    return RunHeader(
        run=run,
        suite_name=suite.name,
        suite=suite.model_dump(mode="json", by_alias=True),
        suite_source=SUITE + ON_QUOTA,
        suite_sha256="",
        dataset=DatasetReference(path="inbox/colours/items.csv", file="items.csv", etag="", size=0, sha256=""),
        seed=suite.seed,
        created_at=datetime.now(UTC),
    )


async def check(storage: Storage, messages: list[ChunkMessage], trials: int) -> None:
    """Ends the benchmark if the work was not done as it should be."""
    found = [one async for one in storage.list(layout.outcomes(messages[0].run))]
    succeeded = sum(int((one.metadata or {})["succeeded"]) for one in found)
    if succeeded != trials:
        raise SystemExit(f"{succeeded} of {trials} trials succeeded: this is no measurement")
    responses = [one for entry in found for one in await _responses(storage, entry.path)]
    lowered = sum(one.limit_sent is not None for one in responses)
    asked_again = sum(one.reruns for one in responses)
    if lowered < trials / 2 or asked_again:
        raise SystemExit(f"{lowered} lower limits were sent, {asked_again} asked again; expected most of all, and none")


async def _responses(storage: Storage, path: str) -> list[Response]:
    lines = (await storage.read(path)).splitlines()
    return [response for line in lines for response in Outcome.model_validate_json(line).responses]
