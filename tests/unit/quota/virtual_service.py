"""A modelled service in virtual time, workers that load it through a limiter, and a score from the service's log.

The service judges by the emulator's rules: requests over 10 (or 1) seconds, tokens over 60, refused requests free.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from virtual_time import Fleet, heaviest_window

from assay.local.emulated_quota import DeploymentQuota
from assay.quota.base import Charge, Limiter, Permit, Quota, QuotaElsewhere, Throttling

SMALL_QUOTA = Quota(600, 100_000)
LARGE_QUOTA = Quota(10_000, 2_000_000)

ESTIMATE_ERROR = 0.02
WARM_UP_SECONDS = 60.0

Load = Callable[[random.Random], Iterator[int]]


def chat(rng: random.Random) -> Iterator[int]:
    """Mean charge about 930 tokens: tokens are short before requests are."""
    while True:
        yield int(rng.lognormvariate(6.174, 0.45)) + 400


def short(rng: random.Random) -> Iterator[int]:
    """About 79 tokens: requests are short before tokens are."""
    while True:
        yield rng.randint(17, 21) + 60


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request as the service saw it."""

    at: float
    tokens: int
    admitted: bool
    flow: str = ""


@dataclass
class VirtualService:
    """One deployment behind a network of 5 to 35 milliseconds, one request in a hundred up to 300."""

    quota: Quota
    clock: Callable[[], float]
    rng: random.Random
    request_window_seconds: float = 10.0
    answer_seconds: float = 1.0
    tells_axis: bool = True
    log: list[Arrival] = field(default_factory=list)
    limits: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        self._judge = DeploymentQuota(
            self.quota.requests_per_minute,
            self.quota.tokens_per_minute,
            request_window_seconds=self.request_window_seconds,
        )
        self.tells_limits = False
        self.cut(1.0)

    def cut(self, factor: float) -> None:
        """From now on grants only this part of the quota."""
        self.limits = (int(self.quota.requests_per_minute * factor), int(self.quota.tokens_per_minute * factor))
        self._judge.set_limits(*self.limits)

    async def ask(self, tokens: int, flow: str) -> Throttling | None:
        """None when the request was answered."""
        await asyncio.sleep(self._network_seconds())
        verdict = self._judge.ask(self.clock(), tokens)
        self.log.append(Arrival(self.clock(), tokens, verdict.refused_by is None, flow))
        if verdict.refused_by is None:
            await asyncio.sleep(self.answer_seconds + self._network_seconds())
            return None
        await asyncio.sleep(self._network_seconds())
        return Throttling(verdict.retry_after_seconds, verdict.refused_by if self.tells_axis else None)

    def _network_seconds(self) -> float:
        return self.rng.uniform(0.005, 0.3 if self.rng.random() < 0.01 else 0.035)


@dataclass
class Client:
    """One worker's load: always so many requests that want a permit."""

    limiter: Limiter
    service: VirtualService
    rng: random.Random
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def saturate(self, charges: Iterable[int], flow: str = "") -> None:
        """Ends with the charges; answers may be outstanding then."""
        for tokens in charges:
            await self._send(tokens, flow)

    async def _send(self, tokens: int, flow: str) -> None:
        """Returns when the request has left; its answer, or its retry, goes on by itself."""
        estimate = max(1, round(tokens * self.rng.gauss(1.0, ESTIMATE_ERROR)))
        permit = await self._permit(Charge(estimate, flow))
        permit.sent()
        task = asyncio.create_task(self._answer(permit, tokens, flow))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _permit(self, charge: Charge) -> Permit:
        while True:
            try:
                return await self.limiter.acquire(charge)
            except QuotaElsewhere as elsewhere:
                await asyncio.sleep(elsewhere.retry_after_seconds + 2.0)

    async def _answer(self, permit: Any, tokens: int, flow: str) -> None:
        throttling = await self.service.ask(tokens, flow)
        if self.service.tells_limits:
            self.limiter.announced(*self.service.limits)
        if throttling is None:
            permit.settle(tokens)
            return
        permit.throttled(throttling)
        await asyncio.sleep(throttling.retry_after_seconds or 1.0)
        await self._send(tokens, flow)


@dataclass(frozen=True)
class Score:
    """What the service's log says. Windows are of offered requests, as parts of the limit."""

    used: float
    refused: float
    worst_10_seconds: float
    worst_60_seconds: float

    def __str__(self) -> str:
        return (
            f"util {100 * self.used:6.2f}  429 {100 * self.refused:5.2f} %  "
            f"10 s {100 * (self.worst_10_seconds - 1):+6.1f} %  60 s {100 * (self.worst_60_seconds - 1):+6.1f} %"
        )


def score(log: list[Arrival], quota: Quota, seconds: float, window_seconds: float = 10.0) -> Score:
    """Use of the axis that binds, after a minute of warming up; windows and refusals of the whole time."""
    admitted = [each for each in log if each.admitted and WARM_UP_SECONDS <= each.at < seconds]
    minutes = (seconds - WARM_UP_SECONDS) / 60
    requests = len(admitted) / minutes / quota.requests_per_minute
    tokens = sum(each.tokens for each in admitted) / minutes / quota.tokens_per_minute
    shortest = heaviest_window(((each.at, 1.0) for each in log), window_seconds)
    minute = heaviest_window(((each.at, float(each.tokens)) for each in log), 60.0)
    return Score(
        used=max(requests, tokens),
        refused=sum(not each.admitted for each in log) / len(log),
        worst_10_seconds=shortest / (quota.requests_per_minute * window_seconds / 60),
        worst_60_seconds=minute / quota.tokens_per_minute,
    )


async def saturated(
    quota: Quota,
    workers: int,
    load: Load,
    *,
    seconds: float,
    seed: int = 0,
    at_once: int = 8,
    service_window_seconds: float = 10.0,
    events: Callable[[VirtualService], Any] | None = None,
    **options: Any,
) -> list[Arrival]:
    """The service's log of a fleet that always has more to send than it may."""
    fleet = Fleet(quota, **options)
    rng = random.Random(seed)
    service = VirtualService(quota, fleet.clock, rng, service_window_seconds)
    clients = [Client(fleet.worker().limiter, service, rng) for _ in range(workers)]
    for worker in fleet.workers:
        worker.random.seed(f"{seed}-{worker.name}")
    tasks = [
        asyncio.create_task(client.saturate(load(rng))) for client, _ in itertools.product(clients, range(at_once))
    ]
    if events is not None:
        tasks.append(asyncio.create_task(events(service)))
    await asyncio.sleep(seconds)
    tasks.extend(task for client in clients for task in client.tasks)
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            raise outcome
    await fleet.drain()
    return [each for each in service.log if each.at < seconds]
