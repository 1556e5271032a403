"""A budget shared by workers: never more is sent than may be paid, no call waits on storage, nothing is stranded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from assay.budget.account import Account, AccountSpoilt, Need, read_account, redrawn
from assay.budget.base import BudgetUsedUp
from assay.budget.tranches import (
    FIRST_REQUESTS,
    IDLE_SECONDS,
    LOOK_SECONDS,
    PATIENCE_SECONDS,
    POLL_SECONDS,
    TrancheBudget,
)
from assay.errors import RunStopped, StorageError
from assay.records import NO_COST
from assay.storage import layout
from assay.storage.base import BlobEntry
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry
from virtual_loop import run_virtually

RUN = "demo-1234567890"
HIGHEST = Decimal("0.010")


class Slow(MemoryStorage):
    """Storage whose calls take a while, as over a network."""

    async def read_version(self, path: str) -> tuple[BlobEntry, bytes]:
        await asyncio.sleep(0.02)
        return await super().read_version(path)

    async def replace(self, path: str, content: bytes, *, etag: str) -> str:
        await asyncio.sleep(0.02)
        return await super().replace(path, content, etag=etag)


class Fleet:
    """Workers that share one budget; `billed` is what the service charged them."""

    def __init__(self, limit: str, *, mode: str = "enforce", seed: int = 1) -> None:
        self.storage, self.telemetry = Slow(), RecordingTelemetry()
        self.limit, self.mode, self.random = Decimal(limit), mode, random.Random(seed)
        self.billed, self.sent, self.longest_wait = NO_COST, 0, 0.0

    def budget(self, name: str) -> TrancheBudget:
        return TrancheBudget(
            self.storage,
            RUN,
            name,
            self.limit,
            self.mode,  # type: ignore[arg-type]
            asyncio.get_running_loop().time,
            asyncio.sleep,
            self.telemetry,
        )

    async def ask(self, budget: TrancheBudget, cost: Callable[[], Decimal] | None = None) -> None:
        began = asyncio.get_running_loop().time()
        reservation = await budget.reserve(HIGHEST)
        self.longest_wait = max(self.longest_wait, asyncio.get_running_loop().time() - began)
        self.sent += 1
        paid = cost() if cost else HIGHEST * Decimal(str(round(self.random.uniform(0.1, 1.0), 3)))
        self.billed += paid
        await asyncio.sleep(self.random.uniform(0.2, 2.0))
        reservation.settle(paid)

    async def ask_until_stopped(self, budget: TrancheBudget, slots: int = 16, requests: int = 10**9) -> None:
        left = requests

        async def slot() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                try:
                    await self.ask(budget)
                except RunStopped:
                    return

        await asyncio.gather(*(slot() for _ in range(slots)))

    async def account(self) -> Account:
        found = await read_account(self.storage, RUN)
        assert found
        return found

    @property
    def operations(self) -> int:
        return sum(self.storage.operations.values())


def played(fleet: Fleet, scenario: Callable[[], Awaitable[None]]) -> Fleet:
    async def play() -> None:
        await scenario()

    run_virtually(play())
    return fleet


def kill(budget: TrancheBudget) -> None:
    """Its process is gone: it says nothing more, and gives nothing back."""
    budget._give_back = lambda: asyncio.sleep(0)  # type: ignore[method-assign]
    budget._keeper.cancel()  # type: ignore[union-attr]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sixteen_workers_spend_the_budget_and_not_a_cent_more(seed: int) -> None:
    """The bill never exceeds the limit, and less than one request's highest cost is left over."""
    fleet = Fleet("20", seed=seed)

    async def scenario() -> None:
        budgets = [fleet.budget(f"w{number}") for number in range(16)]
        await asyncio.gather(*(fleet.ask_until_stopped(one) for one in budgets))

    played(fleet, scenario)

    assert fleet.limit - HIGHEST < fleet.billed <= fleet.limit


def test_answers_of_storage_that_get_lost_overspend_nothing() -> None:
    """A change that was made, and about which nobody heard, is made once more without counting twice."""
    fleet = Fleet("5")
    made = fleet.storage.replace

    async def unreliable(path: str, content: bytes, *, etag: str) -> str:
        fate = fleet.random.random()
        if fate < 0.1:
            raise StorageError("lost before")
        answer = await made(path, content, etag=etag)
        if fate < 0.2:
            raise StorageError("lost after")
        return answer

    fleet.storage.replace = unreliable  # type: ignore[method-assign]

    async def scenario() -> None:
        budgets = [fleet.budget(f"w{number}") for number in range(8)]
        await asyncio.gather(*(fleet.ask_until_stopped(one) for one in budgets))

    played(fleet, scenario)

    assert fleet.limit - HIGHEST < fleet.billed <= fleet.limit


def test_killed_workers_leave_no_more_than_their_tranches_unused() -> None:
    """Their money stays counted: the others spend the rest, and together never more than the limit."""
    fleet = Fleet("5")

    async def scenario() -> None:
        dead, live = fleet.budget("dead"), [fleet.budget(f"w{number}") for number in range(4)]
        killed = asyncio.create_task(fleet.ask_until_stopped(dead))
        working = asyncio.gather(*(fleet.ask_until_stopped(one) for one in live))
        await asyncio.sleep(3)
        killed.cancel()
        kill(dead)
        await working

    played(fleet, scenario)
    account = asyncio.run(fleet.account())

    left = account.holdings["dead"]
    assert left.granted_usd > left.settled_usd
    assert account.counted_usd <= fleet.limit and fleet.billed <= fleet.limit
    assert fleet.billed >= fleet.limit - (left.granted_usd - left.settled_usd) - HIGHEST


def test_while_money_is_left_storage_is_hardly_asked_and_never_waited_for() -> None:
    """A long run makes at most one storage call in fifty requests, and only its first requests wait."""
    fleet = Fleet("2000")

    async def scenario() -> None:
        budgets = [fleet.budget(f"w{number}") for number in range(16)]
        await asyncio.gather(*(fleet.ask_until_stopped(one, requests=300) for one in budgets))
        fleet.longest_wait = 0.0
        await asyncio.gather(*(fleet.ask_until_stopped(one, requests=3_000) for one in budgets))

    played(fleet, scenario)

    assert fleet.longest_wait == 0.0
    assert fleet.operations <= 0.02 * fleet.sent


def test_what_is_not_needed_any_more_is_given_back() -> None:
    """A worker that has nothing to ask holds nothing after a while, and others can spend all of it."""
    fleet = Fleet("1")

    async def scenario() -> None:
        budget = fleet.budget("w1")
        await fleet.ask(budget)
        await asyncio.sleep(IDLE_SECONDS + 1)

    played(fleet, scenario)
    account = asyncio.run(fleet.account())

    assert account.spent_usd == account.counted_usd == fleet.billed


def test_a_worker_that_ends_gives_back_what_it_did_not_reserve() -> None:
    """The end of the event loop, and `drain`, leave only what requests on their way may cost."""
    fleet = Fleet("1")

    async def scenario() -> None:
        budget = fleet.budget("w1")
        await budget.reserve(HIGHEST)
        await budget.drain()
        await budget.drain()

    played(fleet, scenario)

    assert asyncio.run(fleet.account()).counted_usd == HIGHEST


def test_near_the_end_a_request_waits_for_money_that_others_hold() -> None:
    """While somebody's reservation may be settled for less, a request waits instead of stopping the run."""
    fleet = Fleet("0.015")

    async def scenario() -> None:
        first, second = fleet.budget("w1"), fleet.budget("w2")
        held = await first.reserve(HIGHEST)
        waiting = asyncio.create_task(second.reserve(HIGHEST))
        await asyncio.sleep(20)
        assert not waiting.done()
        held.settle(Decimal("0.001"))
        (await waiting).settle(HIGHEST)

    played(fleet, scenario)


def test_the_run_stops_when_others_neither_spend_nor_give_back() -> None:
    """The money of a worker that died stays counted, and nobody waits for it for ever."""
    fleet = Fleet("0.015")

    async def scenario() -> None:
        dead = fleet.budget("dead")
        await dead.reserve(HIGHEST)
        kill(dead)
        began = asyncio.get_running_loop().time()
        with pytest.raises(BudgetUsedUp, match=r"Budget reached.*0\.01 USD.*0\.0000 of 0\.02 USD|Budget reached"):
            await fleet.budget("w2").reserve(HIGHEST)
        assert asyncio.get_running_loop().time() - began <= PATIENCE_SECONDS + 20

    played(fleet, scenario)


def test_a_request_waits_for_one_that_takes_long_while_its_worker_lives() -> None:
    """A worker that holds money says so when it looks, so that nobody takes it for dead."""
    fleet = Fleet("0.015")

    async def scenario() -> None:
        first, second = fleet.budget("w1"), fleet.budget("w2")
        held = await first.reserve(HIGHEST)
        waiting = asyncio.create_task(second.reserve(HIGHEST))
        await asyncio.sleep(5 * PATIENCE_SECONDS)
        assert not waiting.done()
        held.settle(Decimal("0.001"))
        (await waiting).release()

    played(fleet, scenario)


def test_a_slow_worker_shares_what_it_drew_with_those_who_wait() -> None:
    """It drew when it was alone, needs minutes for it, and gives part of it back when it next looks."""
    fleet = Fleet("0.5")

    async def scenario() -> None:
        first, second = fleet.budget("slow"), fleet.budget("fast")
        await fleet.ask(first)
        slow = asyncio.create_task(fleet.ask_until_stopped(first, slots=1, requests=60))
        await fleet.ask_until_stopped(second, slots=16, requests=30)
        assert fleet.longest_wait <= LOOK_SECONDS + POLL_SECONDS[1]
        slow.cancel()

    played(fleet, scenario)


def test_the_first_tranche_is_small_and_later_ones_grow() -> None:
    """A worker that is alone at the start leaves most of the budget to those who come."""
    fleet = Fleet("100")

    async def scenario() -> None:
        budget = fleet.budget("w1")
        await fleet.ask(budget)
        assert (await fleet.account()).counted_usd <= (FIRST_REQUESTS + 1) * HIGHEST
        await fleet.ask_until_stopped(budget, requests=1_000)
        assert (await fleet.account()).counted_usd > fleet.billed + FIRST_REQUESTS * HIGHEST

    played(fleet, scenario)


def test_whoever_waits_is_counted_among_those_who_share() -> None:
    """One that could draw nothing is marked as waiting, until it could."""
    account = redrawn(Account(limit_usd=Decimal(1)), "rich", Need(NO_COST, NO_COST, NO_COST, wanted_usd=Decimal(9)))
    crowded = account.model_copy(update={"limit_usd": account.counted_usd})

    waits = redrawn(crowded, "poor", Need(NO_COST, NO_COST, NO_COST, HIGHEST, HIGHEST, HIGHEST))
    served = redrawn(account, "poor", Need(NO_COST, NO_COST, NO_COST, HIGHEST, HIGHEST, HIGHEST))

    assert waits.has_others_waiting("rich") and waits.sharers("rich") == 2
    assert not served.has_others_waiting("rich")


def test_a_run_that_cannot_pay_one_request_stops_at_once() -> None:
    """Nothing can come back, so nothing is waited for."""
    fleet = Fleet("0.009")

    async def scenario() -> None:
        began = asyncio.get_running_loop().time()
        with pytest.raises(BudgetUsedUp):
            await fleet.budget("w1").reserve(HIGHEST)
        assert asyncio.get_running_loop().time() - began < 1

    played(fleet, scenario)


def test_what_was_recorded_before_the_account_was_opened_counts() -> None:
    """A run that goes on under a budget has spent what its outcomes say."""
    fleet = Fleet("1")

    async def scenario() -> None:
        await fleet.storage.write(layout.outcome(RUN, "plain", 0), b"", metadata={"cost_usd": "0.995"})
        with pytest.raises(BudgetUsedUp):
            await fleet.budget("w1").reserve(HIGHEST)

    played(fleet, scenario)


def test_a_raised_limit_lets_the_same_worker_go_on() -> None:
    """A stop ends the requests that waited, not the budget: after a raise the next one is granted."""
    fleet = Fleet("0.009")

    async def scenario() -> None:
        budget = fleet.budget("w1")
        with pytest.raises(BudgetUsedUp):
            await budget.reserve(HIGHEST)
        raised = (await fleet.account()).model_copy(update={"limit_usd": Decimal(1)})
        await fleet.storage.write(layout.budget(RUN), raised.model_dump_json().encode(), overwrite=True)
        (await budget.reserve(HIGHEST)).release()

    played(fleet, scenario)


def test_released_money_is_free_again_and_an_unknown_cost_counts_in_full() -> None:
    """`release` gives all back, `settle(None)` nothing; a second end of a reservation changes nothing."""
    fleet = Fleet("1")

    async def scenario() -> None:
        budget = fleet.budget("w1")
        released, unknown = await budget.reserve(HIGHEST), await budget.reserve(HIGHEST)
        released.release()
        released.settle(HIGHEST)
        unknown.settle(None)
        await budget.drain()

    played(fleet, scenario)

    assert asyncio.run(fleet.account()).counted_usd == HIGHEST


def test_a_request_that_gives_up_waiting_holds_no_money() -> None:
    """Cancelled before or after it was served, a waiter leaves nothing reserved."""
    fleet = Fleet("1")

    async def scenario() -> None:
        budget = fleet.budget("w1")
        waiting = asyncio.create_task(budget.reserve(HIGHEST))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.sleep(IDLE_SECONDS + 1)

    played(fleet, scenario)

    assert asyncio.run(fleet.account()).counted_usd == NO_COST


def test_storage_that_does_not_answer_only_delays() -> None:
    """A request waits for storage only when no money is at hand, and goes on by itself."""
    fleet = Fleet("1")

    async def scenario() -> None:
        fleet.storage.fail_next("read_version", StorageError("away"), times=3)
        await fleet.ask(fleet.budget("w1"))

    played(fleet, scenario)

    assert [name for name, _ in fleet.telemetry.events] == ["budget_unreachable"] * 3
    assert fleet.sent == 1


def test_a_soft_budget_stops_nobody() -> None:
    """A budget turned soft grants whatever is asked."""
    fleet = Fleet("0.015", mode="soft")

    async def scenario() -> None:
        await fleet.ask_until_stopped(fleet.budget("w1"), requests=50)

    played(fleet, scenario)

    assert fleet.sent == 50
    assert fleet.billed > fleet.limit


@pytest.mark.parametrize("content", [b"", b'{"limit_usd":"1","mo', b'{"total": 1}', b'{"limit_usd":"NaN"}'])
def test_an_account_that_cannot_be_read_stops_the_run(content: bytes) -> None:
    """Nobody knows what is left, so nothing is spent; and nobody waits for ever."""
    fleet = Fleet("1")

    async def scenario() -> None:
        await fleet.storage.write(layout.budget(RUN), content)
        budget = fleet.budget("w")
        with pytest.raises(AccountSpoilt, match=f"assay resume {RUN}"):
            await budget.reserve(HIGHEST)
        await budget.drain()

    assert played(fleet, scenario).sent == 0


def test_no_failure_lets_a_request_wait_for_ever() -> None:
    """Whatever goes wrong while money is drawn is told to those who wait; the next request finds out anew."""
    fleet = Fleet("1")

    async def scenario() -> None:
        budget = fleet.budget("w")
        fleet.storage.fail_next("read_version", ZeroDivisionError("a mistake"))
        with pytest.raises(ZeroDivisionError):
            await budget.reserve(HIGHEST)
        await fleet.ask(budget)
        await budget.drain()

    assert played(fleet, scenario).sent == 1
