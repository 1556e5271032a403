"""The contract of the limiter port, over all four limiters, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf, isfinite

import pytest

from assay.errors import AssayError
from assay.quota.adaptive import AdaptiveLimiter
from assay.quota.base import Charge, ChargeTooLarge, Limiter, Quota, Throttling
from assay.quota.granting import LimiterDrained
from assay.quota.limiter import BlobLeaseLimiter
from assay.quota.none import NoLimiter
from assay.quota.window import WindowLimiter
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry
from virtual_loop import run_virtually

QUOTA = Quota(requests_per_minute=120, tokens_per_minute=1_000_000)
SETTLED = Quota(requests_per_minute=6_000, tokens_per_minute=60_000, accounting="settled")
SMALL = Charge(100)

Make = Callable[[Quota, RecordingTelemetry], Limiter]


def now() -> float:
    return asyncio.get_running_loop().time()


def blob_lease(quota: Quota, telemetry: RecordingTelemetry) -> Limiter:
    from datetime import UTC, datetime, timedelta

    begin = datetime(2026, 11, 20, tzinfo=UTC)
    storage = MemoryStorage(now, lambda: begin + timedelta(seconds=now()))
    return BlobLeaseLimiter(storage, "chat", quota, "w", telemetry=telemetry, clock=now, random=lambda: 0.5)


def window(quota: Quota, telemetry: RecordingTelemetry) -> Limiter:
    return WindowLimiter("chat", quota, telemetry=telemetry, clock=now)


def adaptive(quota: Quota, telemetry: RecordingTelemetry) -> Limiter:
    limiter = AdaptiveLimiter("chat", telemetry=telemetry, clock=now)
    limiter.announced(quota.requests_per_minute, quota.tokens_per_minute)
    return limiter


def none(quota: Quota, telemetry: RecordingTelemetry) -> Limiter:
    return NoLimiter()


every_limiter = pytest.mark.parametrize("make", [none, window, adaptive, blob_lease])
that_limits = pytest.mark.parametrize("make", [window, adaptive, blob_lease])
with_a_quota = pytest.mark.parametrize("make", [window, blob_lease])


def run(make: Make, scenario: Callable[[Limiter], Awaitable[None]], quota: Quota = QUOTA) -> RecordingTelemetry:
    """Runs a scenario with a limiter that has settled under load and rested, drains it, and gives back what it told."""
    telemetry = RecordingTelemetry()

    async def story() -> None:
        limiter = make(quota, telemetry)
        while now() < 60.0:
            await send(limiter, 1)
            await asyncio.sleep(0.01)
        await asyncio.sleep(10.0)
        await scenario(limiter)
        await limiter.drain()

    run_virtually(story())
    return telemetry


async def send(limiter: Limiter, number: int, charge: Charge = SMALL) -> float:
    """Sends so many requests, one after the other; returns the seconds that took."""
    began = now()
    for _ in range(number):
        (await limiter.acquire(charge)).sent()
    return now() - began


@every_limiter
def test_a_permit_can_be_sent_settled_and_refunded_in_any_order(make: Make) -> None:
    """Whoever asks need not know which limiter it has."""

    async def scenario(limiter: Limiter) -> None:
        permit = await limiter.acquire(SMALL)
        permit.sent()
        permit.settle(50)
        permit.refund()
        permit.throttled(Throttling(1.0))
        permit.settle(50)

    run(make, scenario)


@every_limiter
def test_nothing_is_waited_for_when_nothing_was_sent(make: Make) -> None:
    """And the estimate says so."""

    async def scenario(limiter: Limiter) -> None:
        assert limiter.wait_seconds(SMALL) == 0.0
        assert await send(limiter, 1) == 0.0

    run(make, scenario)


@every_limiter
def test_a_second_drain_does_nothing(make: Make) -> None:
    """Shutdown may come from two sides."""

    async def scenario(limiter: Limiter) -> None:
        await limiter.drain()
        await limiter.drain()

    run(make, scenario)


@that_limits
def test_a_drained_limiter_refuses_and_says_that_no_wait_helps(make: Make) -> None:
    """Those who wait and those who come."""

    async def scenario(limiter: Limiter) -> None:
        await limiter.acquire(Charge(900_000))
        waiting = asyncio.create_task(limiter.acquire(Charge(900_000)))
        await asyncio.sleep(0.1)
        await limiter.drain()
        with pytest.raises(LimiterDrained):
            await waiting
        with pytest.raises(LimiterDrained):
            await limiter.acquire(SMALL)
        assert limiter.wait_seconds(SMALL) == inf

    run(make, scenario)


@that_limits
def test_the_pace_is_that_of_the_quota(make: Make) -> None:
    """Two requests a second, a little less for the margins, after what was saved up."""

    async def scenario(limiter: Limiter) -> None:
        await send(limiter, 10)
        assert 19.5 <= await send(limiter, 40) <= 21.0

    run(make, scenario)


@that_limits
def test_a_charge_above_the_limit_is_refused_at_once(make: Make) -> None:
    """No wait can help."""

    async def scenario(limiter: Limiter) -> None:
        assert limiter.wait_seconds(Charge(1_000_001)) == inf
        with pytest.raises(ChargeTooLarge):
            await limiter.acquire(Charge(1_000_001))

    run(make, scenario)


@that_limits
@pytest.mark.parametrize("tokens", [100, 60_000])
def test_the_estimated_wait_is_about_the_wait(make: Make, tokens: int) -> None:
    """With those who wait already, on the axis that binds."""

    async def scenario(limiter: Limiter) -> None:
        await send(limiter, 5)
        ahead = [asyncio.create_task(send(limiter, 1, Charge(tokens))) for _ in range(30)]
        await asyncio.sleep(0.01)
        expected, began = limiter.wait_seconds(SMALL), now()
        await send(limiter, 1)
        assert expected == pytest.approx(now() - began, rel=0.2)
        await asyncio.gather(*ahead)

    run(make, scenario)


@that_limits
def test_the_estimated_wait_of_another_flow_leaves_out_whom_it_need_not_wait_for(make: Make) -> None:
    """Flows take turns, so a long queue of one is hardly a wait for another."""

    async def scenario(limiter: Limiter) -> None:
        await send(limiter, 5)
        ahead = [asyncio.create_task(send(limiter, 1, Charge(100, "a"))) for _ in range(60)]
        await asyncio.sleep(0.01)
        assert limiter.wait_seconds(Charge(100, "a")) >= 25.0
        assert limiter.wait_seconds(Charge(100, "b")) <= 3.0
        for each in ahead:
            each.cancel()
        await asyncio.gather(*ahead, return_exceptions=True)

    run(make, scenario)


@pytest.mark.parametrize("flow", ["a", "b"])
@that_limits
def test_a_cancelled_waiter_is_forgotten(make: Make, flow: str) -> None:
    """Its flow is not charged and nobody waits for it."""

    async def scenario(limiter: Limiter) -> None:
        await send(limiter, 5)
        unlucky = asyncio.create_task(limiter.acquire(Charge(999_999, flow)))
        await asyncio.sleep(0.01)
        unlucky.cancel()
        assert await send(limiter, 2, Charge(100, "a")) <= 2.0

    run(make, scenario)


@that_limits
def test_a_short_experiment_behind_a_long_one_ends_within_twice_its_fair_time(make: Make) -> None:
    """150 requests behind 1,500 that wait already: turn by turn that is the time of 300."""

    async def scenario(limiter: Limiter) -> None:
        long = [asyncio.create_task(send(limiter, 1, Charge(100, "a"))) for _ in range(1_500)]
        await asyncio.sleep(5.0)
        began = now()
        await asyncio.gather(*(send(limiter, 1, Charge(100, "b")) for _ in range(150)))
        assert now() - began <= 2 * 300 / 20
        for each in long:
            each.cancel()
        await asyncio.gather(*long, return_exceptions=True)

    run(make, scenario, Quota(1_200, 1_000_000))


@that_limits
def test_a_dear_request_is_not_starved_by_cheap_ones_of_another_flow(make: Make) -> None:
    """It gets its turn when its flow has had the fewest tokens, and goes into debt for it."""

    async def scenario(limiter: Limiter) -> None:
        cheap = [asyncio.create_task(send(limiter, 1, Charge(100, "cheap"))) for _ in range(200)]
        await asyncio.sleep(1.0)
        assert await send(limiter, 1, Charge(300_000, "dear")) <= 3.0
        for each in cheap:
            each.cancel()
        await asyncio.gather(*cheap, return_exceptions=True)

    run(make, scenario)


@with_a_quota
def test_a_provisioned_deployment_gets_back_what_an_answer_did_not_use(make: Make) -> None:
    """There the service corrects its own charge too; a second word on the same request changes nothing."""

    async def scenario(limiter: Limiter) -> None:
        permit = await limiter.acquire(Charge(30_000))
        permit.sent()
        permit.settle(500)
        permit.settle(0)
        permit.refund()
        assert await send(limiter, 2) <= 1.0

    run(make, scenario, SETTLED)


@with_a_quota
def test_a_standard_deployment_gets_nothing_back(make: Make) -> None:
    """The service keeps the charge it made at arrival, so crediting the answer would overrun the quota."""

    async def scenario(limiter: Limiter) -> None:
        permit = await limiter.acquire(Charge(30_000))
        permit.sent()
        permit.settle(500)
        assert await send(limiter, 2) >= 25.0

    run(make, scenario, Quota(6_000, 60_000))


@that_limits
def test_a_refusal_holds_everybody_back_and_is_told(make: Make) -> None:
    """As long as the service asked; refusals of what was sent before change nothing."""

    async def scenario(limiter: Limiter) -> None:
        first, second = await limiter.acquire(SMALL), await limiter.acquire(SMALL)
        first.sent()
        second.sent()
        first.throttled(Throttling(5.0))
        second.throttled(Throttling(15.0))
        assert limiter.wait_seconds(SMALL) >= 5.0
        assert 5.0 <= await send(limiter, 1) <= 6.0

    told = run(make, scenario).named("quota_throttled")
    assert [event["gate_seconds"] for event in told] == [5.0]


@with_a_quota
def test_after_a_gate_one_request_goes_first(make: Make) -> None:
    """Whether the service lets it in is known soon; the others wait for that, and then do not burst."""

    async def scenario(limiter: Limiter) -> None:
        permit = await limiter.acquire(SMALL)
        permit.sent()
        permit.throttled(Throttling(5.0))
        began, sends = now(), []
        for _ in range(25):
            await send(limiter, 1)
            sends.append(now() - began)
        assert sends[0] == pytest.approx(5.0, abs=0.1)
        assert sends[1] >= 6.0
        assert sends[-1] - sends[1] >= 23 / 20 * 0.95

    run(make, scenario, Quota(1_200, 1_000_000))


@with_a_quota
def test_an_announced_limit_below_the_quota_sets_the_pace_without_a_burst(make: Make) -> None:
    """And its end too."""

    async def scenario(limiter: Limiter) -> None:
        limiter.announced(60, None)
        await send(limiter, 10)
        assert 19.5 <= await send(limiter, 20) <= 21.5
        limiter.announced(120, None)
        assert 9.0 <= await send(limiter, 20) <= 11.0

    told = run(make, scenario).named("quota_announced")
    assert [event["requests_per_minute"] for event in told] == [60, 120]


@with_a_quota
def test_an_announced_limit_above_the_quota_is_told_once_and_not_taken(make: Make) -> None:
    """Somebody may have raised the quota, for whom we do not know."""

    async def scenario(limiter: Limiter) -> None:
        for _ in range(3):
            limiter.announced(1_200, None)
        await send(limiter, 10)
        assert await send(limiter, 40) >= 19.5

    assert len(run(make, scenario).named("quota_announced_above")) == 1


@with_a_quota
def test_before_anything_is_held_the_estimate_is_a_few_seconds(make: Make) -> None:
    """A router must not take a deployment for lost that was only never asked."""

    async def story() -> None:
        limiter = make(QUOTA, RecordingTelemetry())
        assert isfinite(limiter.wait_seconds(SMALL))
        await limiter.drain()

    run_virtually(story())


@that_limits
def test_the_facts_are_words_for_others_to_read(make: Make) -> None:
    """How much was granted, and what holds it back."""

    async def scenario(limiter: Limiter) -> None:
        await asyncio.sleep(45.0)
        before = limiter.facts()  # type: ignore[attr-defined]
        await send(limiter, 2, Charge(1_000))
        facts = limiter.facts()  # type: ignore[attr-defined]
        assert int(facts["requests_last_minute"]) == int(before["requests_last_minute"]) + 2
        assert int(facts["tokens_last_minute"]) == int(before["tokens_last_minute"]) + 2_000
        assert facts["requests_factor"] == "1.000"
        assert facts["requests_per_minute"] == "120"
        assert facts["gate_seconds"] == "0.0"

    run(make, scenario)


def test_a_failure_of_the_granting_reaches_whoever_waits() -> None:
    """Else a mistake of ours would be a worker that hangs."""

    async def scenario(limiter: Limiter) -> None:
        await send(limiter, 5)
        limiter._granting._demanded = lambda _: 1 / 0  # type: ignore[attr-defined]
        with pytest.raises(ZeroDivisionError):
            await limiter.acquire(SMALL)

    run(window, scenario)


def test_a_drained_limiter_is_an_error_of_ours() -> None:
    """So that callers can catch it with the others."""
    assert issubclass(LimiterDrained, AssayError)
