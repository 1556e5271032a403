"""The limiter over Azurite: real leases, real time, three workers for a few seconds."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from assay.local.azurite import Azurite
from assay.quota.base import Charge, Quota
from assay.quota.limiter import BlobLeaseLimiter
from assay.quota.shares import partition_count
from assay.quota.state import quota_state, quota_states
from assay.storage.azure import AzureStorage
from assay.telemetry import RecordingTelemetry

pytestmark = pytest.mark.azurite

QUOTA = Quota(requests_per_minute=1_200, tokens_per_minute=10_000_000)  # 20 requests per second
PARTITIONS = partition_count(QUOTA)
SECONDS = 5.0


@pytest.fixture
async def storage(azurite: Azurite) -> AsyncIterator[AzureStorage]:
    storage = AzureStorage.from_connection_string(azurite.connection_string)
    yield storage
    await storage.close()


def fleet(storage: AzureStorage, telemetry: RecordingTelemetry) -> list[BlobLeaseLimiter]:
    deployment = f"chat-{uuid.uuid4().hex[:8]}"
    return [BlobLeaseLimiter(storage, deployment, QUOTA, name, telemetry=telemetry) for name in ("a", "b", "c")]


async def load(limiter: BlobLeaseLimiter, sends: list[float]) -> None:
    while True:
        permit = await limiter.acquire(Charge(100))
        permit.sent()
        sends.append(time.monotonic())


async def everything_held_by(limiter: BlobLeaseLimiter) -> None:
    """Leases of 33 seconds that nobody released would outlast this wait."""
    async with asyncio.timeout(20.0):
        while len(limiter.held) < PARTITIONS:  # noqa: ASYNC110 - a limiter does not announce what it holds
            await asyncio.sleep(0.05)


async def test_three_workers_share_one_quota_and_leave_nothing_behind(storage: AzureStorage) -> None:
    """Every partition has one owner, together they stay within the quota, and after a drain all are free."""
    telemetry, sends = RecordingTelemetry(), []
    limiters = fleet(storage, telemetry)
    loads = [asyncio.create_task(load(limiter, sends)) for limiter in limiters]
    began = time.monotonic()
    await asyncio.sleep(SECONDS)
    owned = [index for limiter in limiters for index in limiter.held]
    for task in loads:
        task.cancel()
    elapsed = time.monotonic() - began
    await asyncio.gather(*(limiter.drain() for limiter in limiters))

    assert telemetry.named("quota_round_failed") == []
    assert len(owned) == len(set(owned))
    assert all(sum(index in limiter.held for limiter in limiters) == 0 for index in owned)
    assert 10 <= len(sends) <= QUOTA.requests_per_minute / 60 * elapsed + len(limiters)


async def test_a_drained_workers_partitions_are_free_at_once(storage: AzureStorage) -> None:
    """The next worker need not wait for leases to end."""
    first, second, _ = fleet(storage, RecordingTelemetry())
    for limiter in (first, second):
        loads = [asyncio.create_task(load(limiter, [])) for _ in range(8)]
        await everything_held_by(limiter)
        for task in loads:
            task.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        await limiter.drain()


async def test_a_joining_worker_gets_its_share_on_real_leases(storage: AzureStorage) -> None:
    """It breaks a lease of the holder of all, who hears of it at its next renewal and gives half away."""
    telemetry = RecordingTelemetry()
    first, second, _ = fleet(storage, telemetry)
    loads = [asyncio.create_task(load(first, [])) for _ in range(8)]
    await everything_held_by(first)
    loads += [asyncio.create_task(load(second, [])) for _ in range(8)]
    async with asyncio.timeout(20.0):
        while len(second.held) < PARTITIONS // 2:  # noqa: ASYNC110 - a limiter does not announce what it holds
            await asyncio.sleep(0.05)
    assert set(first.held).isdisjoint(second.held)
    for task in loads:
        task.cancel()
    await asyncio.gather(*loads, return_exceptions=True)
    await asyncio.gather(first.drain(), second.drain())
    assert telemetry.named("quota_round_failed") == []


async def test_what_a_person_sees_of_it(storage: AzureStorage) -> None:
    """The listing's lease states and the tickets' words; when all have left, nobody holds anything."""
    deployment = f"westeurope/chat-{uuid.uuid4().hex[:8]}"
    limiter = BlobLeaseLimiter(storage, deployment, QUOTA, "a", telemetry=RecordingTelemetry())
    loads = [asyncio.create_task(load(limiter, [])) for _ in range(8)]
    await everything_held_by(limiter)
    await asyncio.sleep(0.5)
    state = await quota_state(storage, deployment, datetime.now(UTC))
    assert state is not None
    assert (state.held, state.config.source) == (PARTITIONS, "suite")
    assert [(holder.worker, holder.holds) for holder in state.holders] == [("a", PARTITIONS)]
    for task in loads:
        task.cancel()
    await asyncio.gather(*loads, return_exceptions=True)
    await limiter.drain()
    state = await quota_state(storage, deployment, datetime.now(UTC))
    assert state is not None
    assert (state.held, state.holders) == (0, ())
    assert deployment in {each.deployment for each in await quota_states(storage, datetime.now(UTC))}
