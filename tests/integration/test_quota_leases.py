"""The limiter over Azurite: real leases, real time, three workers for a few seconds."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import pytest

from assay.local.azurite import Azurite
from assay.quota.base import Charge, Quota
from assay.quota.limiter import BlobLeaseLimiter
from assay.storage.azure import AzureStorage
from assay.telemetry import RecordingTelemetry

pytestmark = pytest.mark.azurite

QUOTA = Quota(requests_per_minute=1_200, tokens_per_minute=10_000_000)  # 20 requests per second in 18 partitions
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
        while len(limiter.held) < 18:  # noqa: ASYNC110 - a limiter does not announce what it holds
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
    permit = await first.acquire(Charge(100))
    permit.sent()
    await everything_held_by(first)
    await first.drain()
    await second.acquire(Charge(100))
    await everything_held_by(second)
    await second.drain()
