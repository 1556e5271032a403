"""What virtual time measures better than processes: many repeats, long times, wrong clocks. Same limiter, no waiting.

A3 joining, A10 more workers than partitions, A12 clocks, A15 properties, A16 the model of the cost.
"""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from random import Random
from typing import Any

from assay.quota.base import Quota
from assay.quota.leases import LEASE_SECONDS, RENEWAL_SECONDS
from assay.quota.limiter import BlobLeaseLimiter
from assay.quota.shares import partition_count

from .loads import LOADS, QUOTAS, Prompts
from .options import Options
from .results import Bound, Result
from .scoring import Arrival, Limits, Span, percentile, score, worst_windows
from .stage import ROOT

for folder in (ROOT / "tests", ROOT / "tests" / "unit" / "quota"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

from virtual_time import BEGIN, Fleet, Worker  # noqa: E402

from virtual_loop import run_virtually  # noqa: E402

VIRTUAL = "virtual time"
CHAT = LOADS["chat"]
AT_ONCE = 16
STORAGE_SECONDS = 0.02
MOST_UNTIL_SHARE = 20.0
LEAST_UTILISATION = 0.97
MOST_PARKED_OPERATIONS = 20.0
COST_TOLERANCE = 0.10
WRONG_SECONDS = 5.0
MOST_OVER_60 = 0.01
SHORTEST_SWEEP, LONGEST_SWEEP, SWEEPS_TIMES_PARTITIONS = 12.0, 20.0, 135.0
PARTITIONS_PER_REQUEST_PER_SECOND = 0.75
HOUR = 3_600.0
COUNTED_AFTER_SECONDS, COUNTED_SECONDS = 60.0, 600.0


class CountedStorage:
    """A storage that counts the calls to it by kind, as a bill would."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not callable(method):
            return method

        def call(*args: Any, **options: Any) -> Any:
            self.calls[name] += 1
            return method(*args, **options)

        return call


def make_fleet(quota: Quota, seed: int) -> Fleet:
    fleet = Fleet(quota, seed=seed, mean_charge_tokens=round(CHAT.mean_charge))
    fleet.latency_seconds = STORAGE_SECONDS
    fleet.storage = CountedStorage(fleet.storage)
    return fleet


def load(fleet: Fleet, worker: Worker, seed: int) -> None:
    """Wants to send chat requests all the time."""
    prompts = Prompts(CHAT, worker.name, seed)

    async def slot() -> None:
        while True:
            await worker.send(prompts.next().tokens + CHAT.max_tokens)

    worker.loads = [asyncio.create_task(slot()) for _ in range(AT_ONCE)]


def _in_fleet(quota: Quota, seed: int, scenario: Callable[[Fleet], Any]) -> Any:
    async def run() -> Any:
        fleet = make_fleet(quota, seed)
        try:
            return await scenario(fleet)
        finally:
            await fleet.drain()

    return run_virtually(run())


def joins(options: Options) -> Iterator[Result]:
    """A3: seconds until every joiner holds its smallest share, and what that cost."""
    repeats = 10 if options.is_full else 3
    for before, joining in ((8, 4), (1, 15), (15, 1)):
        took = [seconds for seed in range(repeats) for seconds in _joined(before, joining, seed)]
        p50, p90 = percentile(took, 0.5), percentile(took, 0.9)
        notes = {"p50": p50, "max": max(took), "repeats": repeats}
        bounds = [Bound("p90 seconds until a joiner holds its share", p90, most=MOST_UNTIL_SHARE)]
        yield Result("A3", {"case": f"{before} -> {before + joining}", "quota": "L"}, bounds, VIRTUAL, notes)


def _joined(before: int, joining: int, seed: int) -> list[float]:
    async def scenario(fleet: Fleet) -> list[float]:
        return await _join(fleet, before, joining, seed)

    return list(_in_fleet(_quota("L"), seed, scenario))


async def _join(fleet: Fleet, before: int, joining: int, seed: int) -> list[float]:
    for _ in range(before):
        load(fleet, fleet.worker(), seed)
    # Not always at the same moment of the holders' renewals.
    await asyncio.sleep(60.0 + 2.3 * seed)
    began = fleet.clock()
    joiners = [fleet.worker() for _ in range(joining)]
    for worker in joiners:
        load(fleet, worker, seed)
    due = partition_count(fleet.quota, round(CHAT.mean_charge)) // (before + joining)
    return list(await asyncio.gather(*(_seconds_until_held(fleet, worker, due, began) for worker in joiners)))


async def _seconds_until_held(fleet: Fleet, worker: Worker, due: int, began: float) -> float:
    for _ in range(480):
        if len(worker.limiter.held) >= due:
            break
        await asyncio.sleep(0.25)
    return fleet.clock() - began


def crowd(options: Options) -> Iterator[Result]:
    """A10: four workers for each partition; the quota is used, and those without one cost next to nothing."""
    quota, workers = _quota("S"), 16
    seconds = 1_200.0

    async def scenario(fleet: Fleet) -> tuple[float, float, int]:
        for _ in range(workers):
            load(fleet, fleet.worker(), 1)
        await asyncio.sleep(120.0)
        before = fleet.empty_handed
        await asyncio.sleep(seconds)
        span = Span(120.0, 120.0 + seconds)
        found = score(_arrivals(fleet), [Limits(0.0, quota.requests_per_minute, quota.tokens_per_minute)], span)
        return found.utilisation, found.over["tokens"][60], fleet.empty_handed - before

    utilisation, over, operations = _in_fleet(quota, 1, scenario)
    partitions = partition_count(quota, round(CHAT.mean_charge))
    parked = operations * HOUR / seconds / (workers - partitions)
    bounds = [
        Bound("utilisation", utilisation, least=LEAST_UTILISATION),
        Bound("tokens over, 60 s", over, most=1.5 * CHAT.mean_charge / quota.tokens_per_minute),
        Bound("storage operations per hour and parked worker", parked, most=MOST_PARKED_OPERATIONS),
    ]
    yield Result("A10", {"case": f"{workers} workers, {partitions} partitions", "quota": "S"}, bounds, VIRTUAL)


def clocks(options: Options) -> Iterator[Result]:
    """A12: every worker's wall clock is wrong by up to five seconds; sharing may be slower, never unsafe."""
    took: list[float] = []
    over = -1.0
    for seed in range(10 if options.is_full else 3):
        seconds, worst = _in_fleet(_quota("L"), seed, _join_with_wrong_clocks(seed))
        took += seconds
        over = max(over, worst)
    bounds = [
        Bound("p90 seconds until a joiner holds its share", percentile(took, 0.9), most=LEASE_SECONDS),
        Bound("tokens over, 60 s", over, most=MOST_OVER_60),
    ]
    yield Result("A12", {"case": "8 -> 12, wall clocks up to 5 s off", "quota": "L"}, bounds, VIRTUAL)


def _join_with_wrong_clocks(seed: int) -> Callable[[Fleet], Any]:
    async def scenario(fleet: Fleet) -> tuple[list[float], float]:
        _make_clocks_wrong(fleet, seed)
        took = await _join(fleet, 8, 4, seed)
        await asyncio.sleep(60.0)
        quota = Limits(0.0, fleet.quota.requests_per_minute, fleet.quota.tokens_per_minute)
        return took, worst_windows(_arrivals(fleet), [quota])["tokens"][60]

    return scenario


def _make_clocks_wrong(fleet: Fleet, seed: int) -> None:
    """Each worker that joins from now on gets a wall clock of its own, if the limiter takes one at all."""
    if "now" not in inspect.signature(BlobLeaseLimiter.__init__).parameters:
        return
    draw, join = Random(seed), fleet.worker

    def worker() -> Worker:
        error = draw.uniform(-WRONG_SECONDS, WRONG_SECONDS)
        fleet.options = {**fleet.options, "now": lambda: BEGIN + timedelta(seconds=fleet.clock() + error)}
        return join()

    fleet.worker = worker  # type: ignore[method-assign]


def properties(options: Options) -> Iterator[Result]:
    """A15: random joins, crashes, pauses and outages; the property tests of the limiter."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        str(ROOT / "tests" / "unit" / "quota" / "test_limiter_properties.py"),
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    summary = ended.stdout.strip().splitlines()[-1:] or [ended.stderr[-200:]]
    bounds = [Bound("exit code of the property tests", ended.returncode, most=0)]
    yield Result("A15", {"case": "properties"}, bounds, VIRTUAL, {"summary": summary[0]})


def cost(options: Options) -> Iterator[Result]:
    """A16: storage operations in an hour of two saturated workers, computed and counted."""
    for partitions in (4, 16, 64) if options.is_full else (4, 16):
        quota = _quota_of(partitions)
        counted = _in_fleet(quota, 1, _count_operations)
        computed = computed_operations(partitions)
        ratio = sum(counted.values()) / computed
        bounds = [Bound("counted over computed", ratio, least=1 - COST_TOLERANCE, most=1 + COST_TOLERANCE)]
        notes = {"counted_per_hour": counted, "computed_per_hour": round(computed)}
        yield Result("A16", {"case": f"{partitions} partitions"}, bounds, VIRTUAL, notes)


def computed_operations(partitions: int) -> float:
    """Per hour: every partition renewed each 22 s, and one listing each 12 to 20 s for the whole fleet."""
    sweep = min(max(SWEEPS_TIMES_PARTITIONS / partitions, SHORTEST_SWEEP), LONGEST_SWEEP)
    return HOUR / RENEWAL_SECONDS * partitions + HOUR / sweep


async def _count_operations(fleet: Fleet) -> dict[str, float]:
    for _ in range(2):
        load(fleet, fleet.worker(), 1)
    await asyncio.sleep(COUNTED_AFTER_SECONDS)
    fleet.storage.calls.clear()
    await asyncio.sleep(COUNTED_SECONDS)
    return {kind: round(count * HOUR / COUNTED_SECONDS) for kind, count in fleet.storage.calls.items()}


def _quota_of(partitions: int) -> Quota:
    """A quota of chat requests that is cut into so many partitions."""
    per_second = (partitions + 0.5) / PARTITIONS_PER_REQUEST_PER_SECOND
    quota = Quota(round(600 * per_second), round(60 * per_second * round(CHAT.mean_charge)))
    assert partition_count(quota, round(CHAT.mean_charge)) == partitions, "the rule of partitions is another by now"
    return quota


def _quota(name: str) -> Quota:
    return Quota(QUOTAS[name].requests, QUOTAS[name].tokens)


def _arrivals(fleet: Fleet) -> list[Arrival]:
    return [Arrival(send.at, send.tokens, 200, None, send.at, admitted=True) for send in fleet.sends]
