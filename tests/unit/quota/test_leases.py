"""Leases on partitions and tickets of workers, over the in-memory storage with a clock in the test's hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

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
        return Tickets(self.storage, PREFIX, worker, self.clock, lambda: {"factor": "0.990"})


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


@pytest.mark.parametrize("renewals", [0, 1])
async def test_a_slow_answer_makes_no_lease_longer(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, renewals: int
) -> None:
    """The service counted while the answer was on its way, when taking as when renewing."""
    leases, asked_at = bench.leases(), bench.now
    for name in ("acquire", "renew"):
        quick = getattr(bench.storage, name)

        async def slow(*args: Any, quick: Any = quick) -> Any:
            answer = await quick(*args)
            bench.now += 2.0
            return answer

        monkeypatch.setattr(bench.storage, name, slow)
    await leases.take([0], wanted=1)
    for _ in range(renewals):
        asked_at = bench.now = bench.now + RENEWAL_SECONDS
        await leases.renew_due(bench.now)
    assert leases.drop_expired(asked_at + DEADLINE - 0.01) == 0
    assert leases.drop_expired(asked_at + DEADLINE) == 1


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


async def test_a_renewal_that_reaches_storage_late_strands_nothing(bench: Bench) -> None:
    """Nobody heard its answer; what ran out here is released as soon as it is cool."""
    first, second = bench.leases(), bench.leases()
    await first.take([0], wanted=1)
    (tenure,) = first._held.values()
    bench.now += DEADLINE
    first.drop_expired(bench.now)
    await bench.storage.renew(f"{PREFIX}/p/00", tenure.lease)
    await first.release_expired(bench.now)
    assert await second.take([0], wanted=1) == 0
    bench.now += GUARD_SECONDS
    await first.release_expired(bench.now)
    assert await second.take([0], wanted=1) == 1
    await first.release_expired(bench.now)
    assert bench.storage.operations["release"] == 1


async def test_what_another_has_by_now_is_not_released(bench: Bench) -> None:
    """A lease that ran out at storage too, and was taken."""
    first, second = bench.leases(), bench.leases()
    await first.take([0], wanted=1)
    bench.now += LEASE_SECONDS
    await second.take([0], wanted=1)
    bench.storage.fail_next("release", StorageError("away"))
    first.drop_expired(bench.now)
    with pytest.raises(StorageError):
        await first.release_expired(bench.now)
    await first.release_expired(bench.now)
    assert bench.storage.operations["release"] == 2
    bench.now += RENEWAL_SECONDS
    await second.renew_due(bench.now)
    assert second.held == (0,)


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
    bench.now += DEADLINE - 0.01
    assert leases.drop_expired(bench.now) == 0


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
    assert (len(first.held), bench.changes[-1]) == (1, (0.25, 100.0))
    assert await second.take(range(4), wanted=3) == 0
    await first.release(retired)
    assert await second.take(range(4), wanted=4) == 3


async def test_renewals_take_turns(bench: Bench) -> None:
    """Taken together, renewed one by one in equal steps: a worker looks at storage often, at no more cost."""
    leases = bench.leases()
    await leases.take(range(4), wanted=4)
    renewed_at = []
    for _ in range(2 * 22 * 10 + 1):
        bench.now += 0.1
        before = bench.storage.operations["renew"]
        await leases.renew_due(bench.now)
        renewed_at += [bench.now - 100.0] * (bench.storage.operations["renew"] - before)
    assert renewed_at == pytest.approx([5.5 * turn for turn in range(1, 9)], abs=0.11)


async def test_nobodys_turn_comes_too_late_when_others_are_given_back(bench: Bench) -> None:
    """The steps grow, and the last in the row must not wait for them."""
    leases = bench.leases()
    await leases.take(range(4), wanted=4)
    await leases.release(leases.retire(2))
    for _ in range(60):
        bench.now += 1.0
        await leases.renew_due(bench.now)
    assert len(leases.held) == 2
    assert bench.storage.operations["renew"] <= 2 * 60 / RENEWAL_SECONDS + 1


async def test_a_broken_lease_is_spent_from_until_it_is_given_back(bench: Bench) -> None:
    """The holder hears of it at its next renewal, and gives that partition away first."""
    first, second = bench.leases(), bench.leases()
    await first.take(range(4), wanted=4)
    assert await second.ring(2) == LEASE_SECONDS
    bench.now += RENEWAL_SECONDS
    await first.renew_due(bench.now)
    await first.renew_due(bench.now)
    await first.renew_due(bench.now)
    assert (len(first.held), first.broken) == (4, 1)
    retired = first.retire(1)
    assert [tenure.index for tenure in retired] == [2]
    await first.release(retired)
    assert await second.take([2], wanted=1) == 1


async def test_a_broken_lease_that_is_not_given_back_ends_with_its_deadline(bench: Bench) -> None:
    """It cannot be renewed, so it must not be spent from after that."""
    first, second = bench.leases(), bench.leases()
    await first.take([0], wanted=1)
    await second.ring(0)
    bench.now += DEADLINE - 0.01
    await first.renew_due(bench.now)
    assert first.held == (0,)
    bench.now += 0.01
    assert first.drop_expired(bench.now) == 1


async def test_tickets_say_who_wants_and_holds_what(bench: Bench) -> None:
    """Everybody's but our own; the last word counts, as far as leases confirm it."""
    leases = bench.leases()
    await leases.take(range(3), wanted=2)
    await bench.tickets("a").post(Ticket("a", 0.0, turns=(0,), wants=1))
    await bench.tickets("a").post(Ticket("a", 0.0, turns=(0, 1, 3), wants=4, debt_seconds=12.0))
    mine = bench.tickets("b")
    await mine.post(Ticket("b", 0.0))
    (ticket,) = (await mine.look()).others("b")
    assert (ticket.worker, ticket.held, ticket.wants, ticket.debt_seconds) == ("a", (0, 1), 4, 12.0)
    assert ticket.facts == {"factor": "0.990"}


async def test_a_partition_belongs_to_who_claimed_it_last(bench: Bench) -> None:
    """A ticket may be older than the loss of a lease."""
    leases = bench.leases()
    await leases.take([0], wanted=1)
    await bench.tickets("a").post(Ticket("a", 0.0, turns=(0,)))
    bench.now += 1.0
    await bench.tickets("b").post(Ticket("b", 0.0, turns=(0,)))
    held = {ticket.worker: ticket.held for ticket in (await bench.tickets("c").look()).tickets}
    assert held == {"a": (), "b": (0,)}


async def test_an_old_ticket_counts_no_more_unless_its_leases_do(bench: Bench) -> None:
    """Old is measured by the storage's clock alone; whoever renews leases is alive, however old its ticket."""
    leases = bench.leases()
    await leases.take([0], wanted=1)
    await bench.tickets("holder").post(Ticket("holder", 0.0, turns=(0,)))
    await bench.tickets("dead").post(Ticket("dead", 0.0, turns=(1,)))
    bench.now += RENEWAL_SECONDS
    await leases.renew_due(bench.now)
    bench.now += TICKET_SECONDS - RENEWAL_SECONDS - 4.0
    await leases.renew_due(bench.now)
    bench.now += 5.0
    mine = bench.tickets("a")
    await mine.post(Ticket("a", 0.0))
    assert [ticket.worker for ticket in (await mine.look()).others("a")] == ["holder"]


async def test_others_can_tell_when_a_worker_renews_next(bench: Bench) -> None:
    """By the storage's time alone: a ticket's age and the order of the turns say it."""
    leases = bench.leases()
    await leases.take(range(2), wanted=2)
    ticket = Ticket("a", 0.0, turns=leases.held, turn_seconds=leases.next_turn - bench.now)
    await bench.tickets("a").post(ticket)
    for _ in range(100):
        bench.now += 0.3
        await leases.renew_due(bench.now)
    mine = bench.tickets("b")
    await mine.post(Ticket("b", 0.0))
    board = await mine.look()
    index, at = board.tickets[0].turns_from(board.now)[0]
    assert index == leases.held[0]
    assert at - board.now == pytest.approx(leases.next_turn - bench.now, abs=1.1)


async def test_partitions_of_a_dead_debtor_are_free_when_its_debt_is_earned(bench: Bench) -> None:
    """What a dead worker spent ahead must not be spent again by its heir."""
    leases = bench.leases()
    await leases.take([0], wanted=1)
    await bench.tickets("dead").post(Ticket("dead", 0.0, turns=(0,), debt_seconds=50.0))
    free = []
    for _ in range(60):
        bench.now += 1.0
        mine = bench.tickets("a")
        await mine.post(Ticket("a", 0.0))
        free.append(0 in (await mine.look()).free(1))
    assert 49 <= free.index(True) <= 51


async def test_a_ticket_that_cannot_be_read_claims_nothing(bench: Bench) -> None:
    """Whatever is written there, a worker must live with it."""
    nonsense = {"holds": "x,1e9", "wants": "inf", "turn_seconds": "nan", "debt_seconds": "-4"}
    await bench.storage.write(f"{PREFIX}/w/odd", b"", metadata=nonsense)
    (ticket,) = (await bench.tickets("a").look()).others("a")
    assert (ticket.held, ticket.wants, ticket.turn_seconds, ticket.debt_seconds) == ((), 1, 0.0, 0.0)


async def test_a_withdrawn_ticket_is_gone(bench: Bench) -> None:
    """Withdrawing twice does nothing more."""
    tickets = bench.tickets("a")
    await tickets.post(Ticket("a", 0.0))
    await tickets.withdraw()
    await tickets.withdraw()
    assert (await bench.tickets("b").look()).others("b") == []
