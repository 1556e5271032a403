"""A fleet of limiters that share one storage in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from assay.errors import StorageError
from assay.quota.base import Charge, Permit, PermitExpired, Quota, QuotaElsewhere
from assay.quota.limiter import BlobLeaseLimiter
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry

BEGIN = datetime(2026, 11, 20, tzinfo=UTC)


@dataclass(frozen=True)
class Send:
    """One request that left a worker."""

    at: float
    worker: str
    tokens: int


@dataclass
class Worker:
    """A limiter whose process can be frozen and killed."""

    fleet: Fleet
    name: str
    thawed: asyncio.Event = field(default_factory=asyncio.Event)
    loads: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.thawed.set()
        self.random = random.Random(f"{self.fleet.seed} {self.name}")
        storage = MemoryView(self.fleet.storage, self)
        self.limiter = BlobLeaseLimiter(
            storage,  # type: ignore[arg-type]
            "chat",
            self.fleet.quota,
            self.name,
            telemetry=self.fleet.telemetry,
            clock=self.fleet.clock,
            sleep=self.sleep,
            random=self.random.random,
            **self.fleet.options,
        )

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.thawed.wait()

    async def send(self, tokens: int) -> Permit:
        """Gets a permit and sends; a permit that ran out is replaced. Comes again when others hold the whole quota."""
        while True:
            try:
                permit = await self.limiter.acquire(Charge(tokens))
            except QuotaElsewhere as elsewhere:
                await self.sleep(elsewhere.retry_after_seconds + 2.0)
                continue
            await self.thawed.wait()
            try:
                permit.sent()
            except PermitExpired:
                self.fleet.expired += 1
                continue
            self.fleet.sends.append(Send(self.fleet.clock(), self.name, tokens))
            return permit

    async def send_forever(self, charges: Iterable[int]) -> None:
        for tokens in charges:
            await self.send(tokens)

    def load(self, tokens: int, at_once: int = 8) -> None:
        """Wants to send all the time, until `rest`."""
        self.rest()
        self.loads = [asyncio.create_task(self.send_forever(itertools.repeat(tokens))) for _ in range(at_once)]

    def rest(self) -> None:
        for task in self.loads:
            task.cancel()
        self.loads = []

    def freeze(self) -> None:
        self.thawed.clear()

    def thaw(self) -> None:
        self.thawed.set()


class MemoryView:
    """One worker's way to the shared storage: hangs while the worker is frozen."""

    def __init__(self, storage: MemoryStorage, worker: Worker) -> None:
        self._storage = storage
        self._worker = worker

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._storage, name)
        if name == "list":
            return self._list

        async def call(*args: Any, **options: Any) -> Any:
            self._count()
            await self._pass()
            result = await method(*args, **options)
            await self._pass()
            return result

        return call

    async def _list(self, prefix: str) -> Any:
        self._count()
        await self._pass()
        async for entry in self._storage.list(prefix):
            yield entry
        await self._pass()

    def _count(self) -> None:
        self._worker.fleet.empty_handed += 0 if self._worker.limiter.held else 1

    async def _pass(self) -> None:
        """Half of the way there or back; an outage is told after a moment, as a client gives up."""
        fleet = self._worker.fleet
        await self._worker.thawed.wait()
        if fleet.clock() < fleet.storage_away_until:
            await asyncio.sleep(1.0)
            raise StorageError("storage is away")
        if fleet.latency_seconds:
            await asyncio.sleep(fleet.latency_seconds / 2)
        await self._worker.thawed.wait()


class Fleet:
    """Workers that share one quota through one storage, and a record of everything they sent."""

    def __init__(self, quota: Quota, seed: int = 0, **options: Any) -> None:
        self.seed = seed
        self.quota = quota
        self.options = options
        self.clock = asyncio.get_running_loop().time
        # Azure dates blobs in whole seconds.
        time = self.clock
        self.storage = MemoryStorage(time, lambda: BEGIN + timedelta(seconds=int(time())))
        self.empty_handed = 0
        """Storage operations of workers that hold nothing."""
        self.latency_seconds = 0.0
        self.storage_away_until = -1.0
        self.telemetry = RecordingTelemetry()
        self.sends: list[Send] = []
        self.expired = 0
        self.workers: list[Worker] = []

    def worker(self) -> Worker:
        self.workers.append(Worker(self, f"w{len(self.workers)}"))
        return self.workers[-1]

    async def drain(self) -> None:
        for worker in self.workers:
            worker.rest()
            worker.thaw()
            await worker.limiter.drain()

    def owners(self) -> list[int]:
        """Every partition once per worker that holds it."""
        return sorted(index for worker in self.workers for index in worker.limiter.held)

    def sent_by(self, worker: Worker, since: float = 0.0) -> list[Send]:
        return [send for send in self.sends if send.worker == worker.name and send.at >= since]


def heaviest_window(amounts: Iterable[tuple[float, float]], seconds: float) -> float:
    """The largest sum of amounts in any window of this length; `amounts` are (time, amount) in order of time."""
    window: deque[tuple[float, float]] = deque()
    total = heaviest = 0.0
    for at, amount in amounts:
        window.append((at, amount))
        total += amount
        while window[0][0] <= at - seconds:
            total -= window.popleft()[1]
        heaviest = max(heaviest, total)
    return heaviest
