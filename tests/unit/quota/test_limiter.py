"""The limiter: one worker and several, in virtual time, sharing a quota through one storage."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from virtual_time import Fleet, Worker, heaviest_window

from assay.errors import StorageError
from assay.quota.base import Charge, ChargeTooLarge, PermitExpired, Quota, Throttling
from assay.quota.bucket import BURST_SECONDS
from assay.quota.leases import LEASE_SECONDS
from assay.quota.limiter import LimiterDrained
from virtual_loop import run_virtually

QUOTA = Quota(requests_per_minute=120, tokens_per_minute=1_000_000)  # 2 requests per second in 4 partitions
SMALL = 100

Scenario = Callable[[Fleet], Awaitable[None]]


def in_fleet(scenario: Scenario, quota: Quota = QUOTA, **options: Any) -> Fleet:
    """Runs a scenario, drains the fleet, and gives it back."""

    async def run() -> Fleet:
        fleet = Fleet(quota, **options)
        try:
            await scenario(fleet)
        finally:
            await fleet.drain()
        return fleet

    return run_virtually(run())


async def load(worker: Worker, seconds: float, tokens: int = SMALL, at_once: int = 8) -> None:
    """Wants to send all the time, for so many seconds."""
    tasks = [asyncio.create_task(worker.send_forever(itertools.repeat(tokens))) for _ in range(at_once)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_the_first_permit_comes_within_a_second() -> None:
    """Also of the smallest quota: one partition is taken at once, and one charge of debt is allowed."""

    async def scenario(fleet: Fleet) -> None:
        await fleet.worker().send(SMALL)
        assert fleet.clock() <= 1.0

    in_fleet(scenario)


def test_a_lone_worker_uses_the_whole_quota() -> None:
    """All partitions are its own after the settling time, and it paces evenly."""

    async def scenario(fleet: Fleet) -> None:
        worker = fleet.worker()
        await load(worker, 120.0)
        assert sorted(worker.limiter.held) == [0, 1, 2, 3]
        assert len(fleet.sent_by(worker, since=60.0)) >= 0.97 * 2 * 60

    in_fleet(scenario)


@pytest.mark.parametrize("quota", [QUOTA, Quota(600, 60_000), Quota(6_000, 1_000_000)])
def test_a_fleet_stays_within_the_quota_in_every_window_and_uses_it(quota: Quota) -> None:
    """Requests in 10 seconds and tokens in 60, summed over the workers; never a partition with two owners."""

    async def scenario(fleet: Fleet) -> None:
        workers = [fleet.worker() for _ in range(3)]
        loads = asyncio.gather(*(load(worker, 180.0, tokens=900) for worker in workers))
        for _ in range(170):
            await asyncio.sleep(1.0)
            assert len(fleet.owners()) == len(set(fleet.owners()))
        await loads

    fleet = in_fleet(scenario, quota)
    requests = [(send.at, 1.0) for send in fleet.sends]
    tokens = [(send.at, float(send.tokens)) for send in fleet.sends]
    assert heaviest_window(requests, 10.0) <= quota.requests_per_minute / 6 + 1
    assert heaviest_window(tokens, 60.0) <= quota.tokens_per_minute + 900
    steady = sum(amount for at, amount in tokens if at >= 60.0) / 120 * 60
    capacity = min(quota.tokens_per_minute, quota.requests_per_minute * 900)
    assert steady >= 0.95 * capacity


def test_a_joiner_gets_its_share_from_a_worker_that_holds_all() -> None:
    """The holder sees the joiner's ticket at its next renewal and gives the surplus back."""

    async def scenario(fleet: Fleet) -> None:
        first, second = fleet.worker(), fleet.worker()
        loads = [asyncio.create_task(load(first, 100.0))]
        await asyncio.sleep(30.0)
        loads.append(asyncio.create_task(load(second, 70.0)))
        await asyncio.sleep(35.0)
        assert (len(first.limiter.held), len(second.limiter.held)) == (2, 2)
        await asyncio.gather(*loads)

    in_fleet(scenario)


def test_what_is_given_back_cools_down_before_another_can_have_it() -> None:
    """Between the giver's last send on its account and the taker's first lies what a bucket may have saved up."""
    given: list[float] = []
    taken: list[float] = []

    async def scenario(fleet: Fleet) -> None:
        first, second = fleet.worker(), fleet.worker()
        loads = [asyncio.create_task(load(first, 60.0))]
        await asyncio.sleep(10.0)
        loads.append(asyncio.create_task(load(second, 50.0)))
        while not taken:
            await asyncio.sleep(0.1)
            if len(first.limiter.held) == 2 and not given:
                given.append(fleet.clock())
            if second.limiter.held:
                taken.append(fleet.clock())
        await asyncio.gather(*loads)

    in_fleet(scenario)
    assert taken[0] - given[0] >= BURST_SECONDS - 0.1


def test_waiting_requests_are_served_in_order() -> None:
    """A small request does not overtake a large one: nobody starves."""
    order: list[int] = []

    async def scenario(fleet: Fleet) -> None:
        worker = fleet.worker()
        await worker.send(SMALL)

        async def send(tokens: int) -> None:
            await worker.send(tokens)
            order.append(tokens)

        await asyncio.gather(*(send(tokens) for tokens in (300_000, 1, 2, 3)))

    in_fleet(scenario)
    assert order == [300_000, 1, 2, 3]


def test_nobody_overtakes_a_waiting_request() -> None:
    """Also not in the moment in which a refund makes room."""

    async def scenario(fleet: Fleet) -> None:
        limiter = fleet.worker().limiter
        permit = await limiter.acquire(Charge(900_000))
        first = asyncio.create_task(limiter.acquire(Charge(SMALL)))
        await asyncio.sleep(1.0)
        permit.refund()
        await limiter.acquire(Charge(SMALL))
        assert first.done()

    in_fleet(scenario)


def test_a_permit_that_outlived_its_lease_is_refused() -> None:
    """The fence: a process that slept through its lease must not send with what it was granted before."""

    async def scenario(fleet: Fleet) -> None:
        worker = fleet.worker()
        permit = await worker.limiter.acquire(Charge(SMALL))
        worker.freeze()
        await asyncio.sleep(LEASE_SECONDS)
        with pytest.raises(PermitExpired):
            permit.sent()
        assert worker.limiter.held == ()

    in_fleet(scenario)


def test_a_frozen_worker_sends_nothing_from_partitions_that_others_took() -> None:
    """It wakes up, finds its leases gone, and joins anew; nobody noticed more than its absence."""

    async def scenario(fleet: Fleet) -> None:
        first, second = fleet.worker(), fleet.worker()
        loads = [asyncio.create_task(load(each, 200.0)) for each in (first, second)]
        await asyncio.sleep(30.0)
        first.freeze()
        await asyncio.sleep(85.0)
        assert len(second.limiter.held) == 4
        first.thaw()
        await asyncio.sleep(0.01)
        assert len(fleet.owners()) == len(set(fleet.owners()))
        await asyncio.gather(*loads)

    fleet = in_fleet(scenario)
    assert heaviest_window([(send.at, 1.0) for send in fleet.sends], 10.0) <= 20 + 2


def test_partitions_of_a_dead_worker_are_taken_over_empty() -> None:
    """Its ticket and leases run out; the heir begins at nothing and no window overflows."""

    async def scenario(fleet: Fleet) -> None:
        heir, dead = fleet.worker(), fleet.worker()
        loads = [asyncio.create_task(load(each, 200.0)) for each in (heir, dead)]
        await asyncio.sleep(40.0)
        assert len(dead.limiter.held) == 2
        dead.freeze()
        await asyncio.sleep(80.0)
        assert len(heir.limiter.held) == 4
        await asyncio.sleep(80.0)
        dead.thaw()
        await asyncio.gather(*loads)

    fleet = in_fleet(scenario)
    assert heaviest_window([(send.at, 1.0) for send in fleet.sends], 10.0) <= 20 + 2


def test_an_idle_worker_holds_nothing_and_costs_nothing() -> None:
    """After a minute without demand everything is released; new demand is served within a second."""

    async def scenario(fleet: Fleet) -> None:
        worker = fleet.worker()
        await load(worker, 10.0)
        await asyncio.sleep(61.0)
        assert worker.limiter.held == ()
        assert [entry.path async for entry in fleet.storage.list("quota/chat/v1/w/")] == []
        before = fleet.storage.operations.total()
        await asyncio.sleep(3600.0)
        assert fleet.storage.operations.total() == before
        again = fleet.clock()
        await worker.send(SMALL)
        assert fleet.clock() <= again + 1.0

    in_fleet(scenario)


def test_a_storage_outage_stops_the_worker_at_its_deadline_and_no_sooner() -> None:
    """Permits need no storage while the lease lasts; afterwards there are none, until storage is back."""

    async def scenario(fleet: Fleet) -> None:
        worker = fleet.worker()
        loading = asyncio.create_task(load(worker, 200.0))
        await asyncio.sleep(30.0)
        gone = fleet.clock()
        for operation in ("renew", "acquire", "list", "write"):
            fleet.storage.fail_next(operation, StorageError("away"), times=1000)
        await asyncio.sleep(9.0)
        assert fleet.sent_by(worker, since=gone + 8.0)
        await asyncio.sleep(50.0)
        assert not fleet.sent_by(worker, since=gone + LEASE_SECONDS)
        fleet.storage._faults.clear()
        back = fleet.clock()
        await asyncio.sleep(10.0)
        assert fleet.sent_by(worker, since=back)
        await loading

    fleet = in_fleet(scenario)
    assert fleet.telemetry.named("quota_round_failed")


def test_a_refund_lets_the_next_request_go_at_once() -> None:
    """What was not sent is not waited for."""

    async def scenario(fleet: Fleet) -> None:
        worker = fleet.worker()
        permit = await worker.limiter.acquire(Charge(900_000))
        waiting = asyncio.create_task(worker.send(SMALL))
        await asyncio.sleep(1.0)
        assert not waiting.done()
        before = fleet.clock()
        permit.refund()
        await waiting
        assert fleet.clock() == before

    in_fleet(scenario)


def test_a_refusal_by_the_service_holds_everybody_back_as_long_as_it_asked() -> None:
    """The gate shuts for this worker's requests, and the event says for how long."""

    async def scenario(fleet: Fleet) -> None:
        worker = fleet.worker()
        permit = await worker.send(SMALL)
        refused = fleet.clock()
        permit.throttled(Throttling(5.0))
        await worker.send(SMALL)
        assert fleet.clock() >= refused + 5.0

    fleet = in_fleet(scenario)
    assert [event["gate_seconds"] for event in fleet.telemetry.named("quota_throttled")] == [5.0]


def test_a_charge_above_the_quota_is_refused_at_once() -> None:
    """No wait can help; the message says what can."""

    async def scenario(fleet: Fleet) -> None:
        with pytest.raises(ChargeTooLarge, match=r"1000001 tokens.*1000000.*Lower max_tokens"):
            await fleet.worker().limiter.acquire(Charge(1_000_001))
        assert fleet.storage.operations.total() == 0

    in_fleet(scenario)


def test_a_charge_of_the_whole_quota_is_granted() -> None:
    """At the limit is not above it, also for a worker with a part of the quota."""

    async def scenario(fleet: Fleet) -> None:
        await fleet.worker().send(1_000_000)

    assert len(in_fleet(scenario).sends) == 1


def test_a_cancelled_waiter_takes_nothing() -> None:
    """Its place is free and its charge is not spent."""

    async def scenario(fleet: Fleet) -> None:
        worker = fleet.worker()
        await worker.send(SMALL)
        large = asyncio.create_task(worker.limiter.acquire(Charge(900_000)))
        small = asyncio.create_task(worker.send(SMALL))
        await asyncio.sleep(0.1)
        large.cancel()
        await small
        assert fleet.clock() < 5.0

    in_fleet(scenario)


def test_a_waiter_cancelled_in_the_moment_of_its_grant_gives_the_charge_back() -> None:
    """The permit was granted and will never be used."""

    async def scenario(fleet: Fleet) -> None:
        limiter = fleet.worker().limiter
        permit = await limiter.acquire(Charge(900_000))
        unlucky = asyncio.create_task(limiter.acquire(Charge(800_000)))
        await asyncio.sleep(1.0)
        permit.refund()
        while limiter._granting.has_waiters:  # noqa: ASYNC110 - there is no event: the moment of the grant is the point
            await asyncio.sleep(0)
        unlucky.cancel()
        before = fleet.clock()
        await limiter.acquire(Charge(SMALL))
        assert fleet.clock() == before

    in_fleet(scenario)


def test_drain_lets_what_was_sent_cool_down_first() -> None:
    """Whoever takes the partitions next begins to earn when our burst has left the window."""

    async def scenario(fleet: Fleet) -> None:
        worker = fleet.worker()
        await load(worker, 5.0)
        last = fleet.sends[-1].at
        await worker.limiter.drain()
        assert last + BURST_SECONDS <= fleet.clock() <= last + 5.0

    in_fleet(scenario)


def test_drain_refuses_waiters_and_frees_partitions_for_the_next_worker() -> None:
    """Whoever comes next need not wait for leases to end."""

    async def scenario(fleet: Fleet) -> None:
        first, second = fleet.worker(), fleet.worker()
        await load(first, 5.0)
        waiting = asyncio.create_task(first.limiter.acquire(Charge(900_000)))
        also_waiting = asyncio.create_task(first.limiter.acquire(Charge(900_000)))
        await asyncio.sleep(0.6)
        began = fleet.clock()
        await first.limiter.drain()
        await first.limiter.drain()
        assert fleet.clock() - began <= 5.0
        outcomes = await asyncio.gather(waiting, also_waiting, return_exceptions=True)
        assert isinstance(outcomes[1], LimiterDrained)
        with pytest.raises(LimiterDrained):
            await first.limiter.acquire(Charge(SMALL))
        await load(second, 3.0)
        assert len(second.limiter.held) == 4

    in_fleet(scenario)


def test_a_loop_that_ends_undrained_frees_partitions_for_the_next_worker() -> None:
    """A Functions worker ends its loop without a word to the app; the next one need not wait for leases to end."""

    async def scenario(fleet: Fleet) -> None:
        first, second = fleet.worker(), fleet.worker()
        await load(first, 5.0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await load(second, 3.0)
        assert len(second.limiter.held) == 4

    in_fleet(scenario)


def test_nothing_happens_before_the_first_demand() -> None:
    """A limiter that was only built costs no operation, and its drain neither."""

    async def scenario(fleet: Fleet) -> None:
        worker = fleet.worker()
        await asyncio.sleep(100.0)
        await worker.limiter.drain()
        assert fleet.storage.operations.total() == 0

    in_fleet(scenario)
