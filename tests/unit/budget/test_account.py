"""The account of a budget: what a worker is granted, what counts as spent, and that changes never cross."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from assay.budget.account import (
    SHARED_OUT,
    Account,
    Holding,
    Need,
    change_account,
    let_go,
    open_account,
    quiet_seconds,
    read_account,
    recorded_usd,
    redrawn,
)
from assay.errors import BlobMissing
from assay.records import NO_COST, Outcome, Response, TrialStatus, Usage
from assay.storage import layout
from assay.storage.memory import MemoryStorage

RUN = "demo-1234567890"


def usd(text: str) -> Decimal:
    return Decimal(text)


def holding(granted: str, settled: str = "0", peak: str = "0") -> Holding:
    return Holding(granted_usd=usd(granted), settled_usd=usd(settled), peak_usd=usd(peak))


def need(settled: str = "0", reserved: str = "0", smallest: str = "0", wanted: str = "0") -> Need:
    return Need(usd(settled), usd(reserved), NO_COST, usd(smallest), usd(wanted))


def outcome(number: int, cost: str) -> Outcome:
    answer = Response(
        criterion="answer",
        text="x",
        finish_reason="stop",
        model="m",
        deployment="m",
        request_id=None,
        usage=Usage(),
        cost_usd=usd(cost),
        latency_seconds=0,
    )
    return Outcome(
        row_id=str(number), row_number=number, experiment="plain", status=TrialStatus.SUCCEEDED, responses=(answer,)
    )


class TestDrawing:
    def test_a_worker_is_granted_what_it_wants_while_there_is_plenty(self) -> None:
        """What is reserved or settled is kept, and a tranche comes on top."""
        drawn = redrawn(Account(limit_usd=usd("100")), "w1", need("1", "2", "0.5", "4"))

        assert drawn.holdings["w1"] == holding("7", "1")

    def test_tranches_shrink_as_the_rest_does(self) -> None:
        """Nobody draws more than a part of its even share of what is left."""
        account = Account(limit_usd=usd("14"), holdings={"w2": holding("2", "1")})

        drawn = redrawn(account, "w1", need(wanted="100"))

        assert drawn.holdings["w1"].granted_usd == usd("12") / 2 / SHARED_OUT

    def test_the_smallest_need_is_granted_beyond_the_share_and_never_beyond_the_limit(self) -> None:
        """The last request goes out as long as all of it can be paid."""
        account = Account(limit_usd=usd("10"), before_usd=usd("9"))

        assert redrawn(account, "w1", need(smallest="1")).holdings["w1"].granted_usd == usd("1")
        assert redrawn(account, "w1", need(smallest="1.01", wanted="5")).holdings["w1"].granted_usd == NO_COST

    def test_a_remnant_too_small_for_any_request_is_given_back(self) -> None:
        """Two workers with half a request each do not wait for each other for ever."""
        account = Account(limit_usd=usd("1"), holdings={"w1": holding("0.5"), "w2": holding("0.5")})

        after = redrawn(account, "w1", need(smallest="1"))

        assert after.holdings["w1"].granted_usd == NO_COST
        assert redrawn(after, "w2", need(smallest="1")).holdings["w2"].granted_usd == usd("1")

    def test_more_than_the_limit_is_counted_and_nothing_granted(self) -> None:
        """A request that cost more than was reserved shows as spent."""
        drawn = redrawn(Account(limit_usd=usd("1")), "w1", need("1.2", wanted="5"))

        assert drawn.spent_usd == drawn.counted_usd == usd("1.2")

    def test_drawing_again_with_the_same_need_changes_nothing(self) -> None:
        """A change that was made without an answer may be made once more."""
        wants = need("1", "2", "0.5", "4")
        drawn = redrawn(Account(limit_usd=usd("100")), "w1", wants)

        assert redrawn(drawn, "w1", wants) == drawn


class TestLettingGo:
    def test_what_a_dead_worker_recorded_is_spent_and_most_of_the_rest_is_free(self) -> None:
        """Outcomes say what was spent; on top comes what the dead worker can have had under way."""
        account = Account(limit_usd=usd("10"), before_usd=usd("1"), holdings={"dead": holding("5", "2", peak="0.1")})

        after = let_go(account, recorded_usd=usd("4"), answers_per_trial=2)

        assert after.spent_usd == after.counted_usd == usd("4.2")
        assert after.holdings["dead"].granted_usd == usd("2")

    def test_never_more_counts_than_could_be_spent(self) -> None:
        """What was granted bounds what was spent, unless the outcomes say more."""
        account = Account(limit_usd=usd("10"), holdings={"dead": holding("5", "4.9", peak="3")})

        assert let_go(account, usd("4.95"), 1).spent_usd == usd("5")
        assert let_go(account, usd("6"), 1).spent_usd == usd("6")

    def test_what_was_settled_counts_even_if_no_outcome_has_it(self) -> None:
        """An answer that was paid for and lost is paid for."""
        account = Account(limit_usd=usd("10"), holdings={"gone": holding("3", "3", peak="1")})

        assert let_go(account, usd("2"), 1).spent_usd == usd("3")


class TestStorage:
    async def test_an_account_begins_with_what_the_outcomes_cost(self) -> None:
        """Finished chunks count by their metadata, chunks under way by their lines, none twice."""
        storage = MemoryStorage()
        line = outcome(1, "0.5").model_dump_json().encode() + b"\n"
        await storage.write(layout.outcome(RUN, "plain", 0), line, metadata={"cost_usd": "0.5"})
        await storage.write(layout.checkpoint(RUN, "plain", 0), line)
        await storage.write(layout.checkpoint(RUN, "plain", 1), line + outcome(2, "0.25").model_dump_json().encode())

        await open_account(storage, RUN, usd("25"), "enforce")

        account = await read_account(storage, RUN)
        assert account and account.spent_usd == await recorded_usd(storage, RUN) == usd("1.25")

    async def test_an_account_is_opened_once(self) -> None:
        """A second opening keeps the first account."""
        storage = MemoryStorage()
        await open_account(storage, RUN, usd("25"), "enforce")
        await open_account(storage, RUN, usd("50"), "soft")

        assert await read_account(storage, RUN) == Account(limit_usd=usd("25"))

    async def test_changes_at_the_same_time_all_count(self) -> None:
        """A change that met another version is applied to the newest one."""
        storage = MemoryStorage()
        await open_account(storage, RUN, usd("25"), "enforce")

        def more(account: Account) -> Account:
            return account.model_copy(update={"before_usd": account.before_usd + 1})

        await asyncio.gather(*(change_account(storage, RUN, more) for _ in range(10)))

        account = await read_account(storage, RUN)
        assert account and account.spent_usd == 10

    async def test_how_long_an_account_was_quiet_is_told_by_storage(self) -> None:
        """The looker's own clock is not asked; a second look finds the first."""
        moment = datetime(2026, 11, 20, tzinfo=UTC)
        storage = MemoryStorage(now=lambda: moment)
        await open_account(storage, RUN, usd("25"), "enforce")
        moment += timedelta(minutes=3)

        assert await quiet_seconds(storage, RUN) == 180
        assert await quiet_seconds(storage, RUN) == 0

    async def test_without_an_account_there_is_nothing_to_change(self) -> None:
        """Who changes it opens it first."""
        with pytest.raises(BlobMissing):
            await change_account(MemoryStorage(), RUN, lambda account: account)
        assert await read_account(MemoryStorage(), RUN) is None
