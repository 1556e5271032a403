"""Leases on partitions and tickets of workers, over the in-memory storage with a clock in the test's hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from assay.errors import StorageError
from assay.quota.bucket import BURST_SECONDS
from assay.quota.leases import GUARD_SECONDS, LEASE_SECONDS, RENEWAL_SECONDS, PartitionLeases
from assay.quota.tickets import TICKET_SECONDS, Ticket, Tickets
from assay.storage.memory import MemoryStorage

PREFIX = "quota/chat/600-100000-4"
DEADLINE = LEASE_SECONDS - GUARD_SECONDS


class Bench:
    """One storage, and workers whose clock is the bench's."""

    def __init__(self) -> None:
        self.now = 100.0
        self.storage = MemoryStorage(self.clock, lambda: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.now))
        self.changes: list[tuple[float, float]] = []

    def clock(self) -> float:
        return self.now

    def leases(self) -> PartitionLeases:
        return PartitionLeases(self.storage, PREFIX, 4, self.clock, lambda share, at: self.changes.append((share, at)))

    def tickets(self, worker: str) -> Tickets:
        return Tickets(self.storage, PREFIX, worker)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_partitions_are_created_and_taken_once(bench: Bench) -> None:
    """The first worker makes the blobs; a second gets what is left."""
    first, second = bench.leases(), bench.leases()
    assert await first.take(range(4), wanted=3) == 3
    assert await second.take(range(4), wanted=4) == 1
    assert (first.held, second.held) == ((0, 1, 2), (3,))
    assert bench.changes[2] == (0.75, 100.0)


async def test_a_partition_is_ours_until_the_guard_before_the_leases_end(bench: Bench) -> None:
    """The deadline counts from before the request, on our own clock."""
    leases = bench.leases()
    await leases.take([0], wanted=1)
    bench.now += DEADLINE - 0.01
    assert leases.drop_expired(bench.now) == 0
    bench.now += 0.01
    assert leases.drop_expired(bench.now) == 1
    assert leases.held == ()


async def test_dropping_is_told_at_the_time_it_was_due(bench: Bench) -> None:
    """A process that slept must not earn for the time in which another had the partition."""
    leases = bench.leases()
    await leases.take([0], wanted=1)
    bench.now += 70.0
    leases.drop_expired(bench.now)
    assert bench.changes[-1] == (0.0, 100.0 + DEADLINE)


async def test_nobody_else_gets_a_partition_before_its_owner_has_stopped(bench: Bench) -> None:
    """Between the owner's deadline and the lease's end lies the guard."""
    first, second = bench.leases(), bench.leases()
    await first.take([0], wanted=1)
    bench.now += LEASE_SECONDS - 0.01
    assert await second.take([0], wanted=1) == 0
    bench.now += 0.01
    assert await second.take([0], wanted=1) == 1


def test_what_a_bucket_saves_up_cools_within_the_guard() -> None:
    """Else an heir would earn while the last owner's burst is still in the window."""
    assert BURST_SECONDS <= GUARD_SECONDS


async def test_a_renewal_extends_the_deadline(bench: Bench) -> None:
    """Due after 22 seconds, not before."""
    leases = bench.leases()
    await leases.take([0], wanted=1)
    await leases.renew_due(bench.now + RENEWAL_SECONDS - 0.01)
    assert bench.storage.operations["renew"] == 0
    bench.now += RENEWAL_SECONDS
    await leases.renew_due(bench.now)
    bench.now += DEADLINE - 0.01
    leases.drop_expired(bench.now)
    assert leases.held == (0,)


async def test_after_the_deadline_nothing_is_renewed(bench: Bench) -> None:
    """An expired lease could still be renewed, even when somebody had it and released it in between."""
    leases = bench.leases()
    await leases.take([0], wanted=1)
    bench.now += DEADLINE
    await leases.renew_due(bench.now)
    assert bench.storage.operations["renew"] == 0
    assert leases.held == ()


async def test_a_lost_lease_is_dropped_at_once(bench: Bench) -> None:
    """Whatever happened to it, it is not ours."""
    leases = bench.leases()
    await leases.take([0, 1], wanted=2)
    lease = leases.longest_tenure()
    assert lease is not None
    await bench.storage.release(f"{PREFIX}/p/{lease.index:02d}", lease.lease)
    bench.now += RENEWAL_SECONDS
    await leases.renew_due(bench.now)
    assert len(leases.held) == 1
    assert lease.index not in leases.held


async def test_a_failed_renewal_is_tried_again_and_the_lease_spent_until_its_deadline(bench: Bench) -> None:
    """Storage may be away for a moment without anybody waiting for it."""
    leases = bench.leases()
    await leases.take([0], wanted=1)
    bench.storage.fail_next("renew", StorageError("away"))
    bench.now += RENEWAL_SECONDS
    with pytest.raises(StorageError):
        await leases.renew_due(bench.now)
    assert leases.held == (0,)
    assert leases.next_renewal == bench.now + 2.0
    bench.now += 2.0
    await leases.renew_due(bench.now)
    assert leases.next_renewal == bench.now + RENEWAL_SECONDS


async def test_one_failure_among_several_takes_loses_none(bench: Bench) -> None:
    """A lease that was got is known, also when another request failed beside it."""
    leases = bench.leases()
    bench.storage.fail_next("write", StorageError("away"))
    with pytest.raises(StorageError):
        await leases.take(range(4), wanted=4)
    assert leases.held == (1, 2, 3)


async def test_what_is_retired_is_not_spent_from_and_free_after_release(bench: Bench) -> None:
    """Retiring stops the owner, releasing lets others in."""
    first, second = bench.leases(), bench.leases()
    await first.take(range(4), wanted=4)
    retired = first.retire(3)
    assert (first.held, bench.changes[-1]) == ((0,), (0.25, 100.0))
    assert await second.take(range(1, 4), wanted=3) == 0
    await first.release(retired)
    assert await second.take(range(1, 4), wanted=3) == 3


async def test_tickets_say_who_wants_and_holds_what(bench: Bench) -> None:
    """Everybody's but our own; the last word counts."""
    await bench.tickets("a").post(0)
    await bench.tickets("a").post(3)
    await bench.tickets("b").post(1)
    assert await bench.tickets("b").others() == [Ticket("a", 3)]


async def test_an_old_ticket_counts_no_more(bench: Bench) -> None:
    """Old is measured against the newest one, by the storage's clock alone."""
    await bench.tickets("dead").post(2)
    bench.now += TICKET_SECONDS + 0.1
    await bench.tickets("a").post(1)
    assert await bench.tickets("a").others() == []


async def test_a_withdrawn_ticket_is_gone(bench: Bench) -> None:
    """Withdrawing twice does nothing more."""
    await bench.tickets("a").post(2)
    await bench.tickets("a").withdraw()
    await bench.tickets("a").withdraw()
    assert await bench.tickets("b").others() == []
