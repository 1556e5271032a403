"""The adaptive limiter: a quota that nobody told it is found by asking for more until it is refused."""

from __future__ import annotations

import asyncio
import random

from virtual_service import Arrival, Client, VirtualService, score, short

from assay.quota.adaptive import FIRST_REQUESTS_PER_MINUTE, UNLIMITED_PER_MINUTE, AdaptiveLimiter, LearnedLimits
from assay.quota.base import Quota
from assay.telemetry import RecordingTelemetry
from virtual_loop import run_virtually

QUOTA = Quota(1_200, 1_000_000)


def saturated(seconds: float, *, tells_limits: bool) -> list[Arrival]:
    """The log of a service whose quota the limiter has to find out."""

    async def story() -> list[Arrival]:
        clock, rng = asyncio.get_running_loop().time, random.Random(1)
        service = VirtualService(QUOTA, clock, rng)
        service.tells_limits = tells_limits
        client = Client(AdaptiveLimiter("chat", telemetry=RecordingTelemetry(), clock=clock), service, rng)
        tasks = [asyncio.create_task(client.saturate(short(rng))) for _ in range(8)]
        await asyncio.sleep(seconds)
        tasks.extend(client.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.limiter.drain()
        return service.log

    return run_virtually(story())


def test_limits_that_the_service_tells_are_used_like_a_quota() -> None:
    """Nothing needs to be found out by refusals."""
    scored = score(saturated(300.0, tells_limits=True), QUOTA, 300.0)
    assert scored.used >= 0.97
    assert scored.refused <= 0.002


def test_limits_that_nobody_tells_are_found_and_probed_carefully() -> None:
    """Most of the quota is used, at the price of a refusal now and then."""
    scored = score(saturated(600.0, tells_limits=False), QUOTA, 600.0)
    assert scored.used >= 0.80
    assert scored.refused <= 0.01


def test_the_pace_grows_with_each_request_that_waited_and_falls_with_a_refusal() -> None:
    """Quickly until the first refusal, slowly afterwards."""
    learned = LearnedLimits()
    for _ in range(15):
        learned.granted()
    assert learned.at(0.0) == (2 * FIRST_REQUESTS_PER_MINUTE, UNLIMITED_PER_MINUTE)
    learned.refused(0.0)
    low = learned.at(0.0)[0]
    assert low < 2 * FIRST_REQUESTS_PER_MINUTE
    learned.granted()
    assert 0 < learned.at(0.0)[0] - low < 1


def test_an_announced_limit_is_taken_up_and_down_and_forgotten_after_a_while() -> None:
    """There is no configured quota to stay below."""
    learned = LearnedLimits()
    assert not learned.hear(6_000, 500_000, 0.0)
    assert learned.at(1.0) == (6_000, 500_000)
    assert learned.largest_charge(1.0) == 500_000
    learned.hear(3_000, -1, 2.0)
    assert learned.at(3.0) == (3_000, 500_000)
    assert learned.at(1_000.0) == (FIRST_REQUESTS_PER_MINUTE, UNLIMITED_PER_MINUTE)
