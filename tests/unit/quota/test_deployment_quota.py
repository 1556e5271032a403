"""One quota per deployment: who writes it, whose numbers hold, and how its partitions change safely."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from virtual_time import BEGIN, Fleet, heaviest_window

from assay.errors import NameRefused, StorageError, UserError
from assay.quota.base import Quota
from assay.quota.deployments import (
    CLOCKS_SECONDS,
    Deployment,
    Limits,
    checked_deployment,
    config_path,
    read_quota,
    set_quota,
)
from assay.quota.leases import LEASE_SECONDS
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry
from virtual_loop import run_virtually

SUITE = Quota(600, 100_000)
REREAD_SECONDS = 60.0


class Bench:
    """A storage, and a clock that stands still."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.storage = MemoryStorage(lambda: self.seconds)
        self.telemetry = RecordingTelemetry()

    def deployment(self, own: Quota = SUITE) -> Deployment:
        return Deployment(
            self.storage,
            "chat",
            own,
            clock=lambda: self.seconds,
            telemetry=self.telemetry,
            now=lambda: BEGIN + timedelta(seconds=self.seconds),
            reread_seconds=REREAD_SECONDS,
        )

    async def set(self, requests: int, tokens: int, **options: Any) -> Any:
        now = BEGIN + timedelta(seconds=self.seconds)
        return await set_quota(
            self.storage, "chat", Limits(requests, tokens, **options), now, reread_seconds=REREAD_SECONDS
        )


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_the_first_worker_writes_down_what_its_suite_says(bench: Bench) -> None:
    """The next one reads it, whatever its own suite says; the path holds the deployment and a number only."""
    first = await bench.deployment().terms()
    second = await bench.deployment(Quota(6_000, 2_000_000)).terms()
    assert first.prefix == second.prefix == "quota/chat/v1"
    assert (first.partitions, second.partitions, second.quota) == (4, 4, SUITE)
    written = json.loads(await bench.storage.read(config_path("chat")))
    assert (written["version"], written["source"], written["requests_per_minute"]) == (1, "suite", 600)


async def test_of_a_suite_and_what_is_written_the_smaller_holds(bench: Bench) -> None:
    """On each axis."""
    await bench.deployment().terms()
    assert (await bench.deployment(Quota(6_000, 50_000)).terms()).quota == Quota(600, 50_000)


async def test_a_suite_that_says_more_is_told_of_once(bench: Bench) -> None:
    """Somebody believes in a quota that is not there."""
    await bench.deployment().terms()
    greedy = bench.deployment(Quota(700, 100_000))
    await greedy.terms()
    await greedy.terms()
    (problem,) = bench.telemetry.named("quota_suite_says_more")
    assert (problem["requests_per_minute"], problem["suite_requests_per_minute"]) == (600, 700)


async def test_an_operators_word_wins_over_suites(bench: Bench) -> None:
    """Also where it grants more than they say; the accounting stays, and so do the partitions."""
    await bench.deployment(Quota(600, 100_000, "settled")).terms()
    written = await bench.set(900, 130_000)
    assert (written.version, written.cut, written.valid_from, written.accounting) == (2, 1, None, "settled")
    terms = await bench.deployment().terms()
    assert (terms.quota, terms.prefix) == (Quota(900, 130_000, "settled"), "quota/chat/v1")
    assert bench.telemetry.named("quota_suite_says_more") == []


async def test_other_partitions_are_used_when_everybody_knows_of_them(bench: Bench) -> None:
    """Until then the old ones are, with the lower limits, and between both there is a pause for wrong clocks."""
    await bench.deployment().terms()
    written = await bench.set(6_000, 2_000_000)
    seconds = (written.valid_from - BEGIN).total_seconds()
    assert seconds >= REREAD_SECONDS + LEASE_SECONDS + CLOCKS_SECONDS
    before = await bench.deployment().terms()
    assert (before.prefix, before.partitions, before.quota) == ("quota/chat/v1", 4, SUITE)
    bench.seconds = seconds - CLOCKS_SECONDS - 1
    assert (await bench.deployment().terms()).until == seconds - CLOCKS_SECONDS
    bench.seconds = seconds - CLOCKS_SECONDS
    assert (await bench.deployment().terms()).prefix == ""
    bench.seconds = seconds
    after = await bench.deployment().terms()
    assert (after.prefix, after.partitions, after.quota) == ("quota/chat/v2", 25, Quota(6_000, 2_000_000))


async def test_lower_limits_hold_at_once(bench: Bench) -> None:
    """Partitions of less are spent before they are cut anew."""
    await bench.set(6_000, 2_000_000)
    await bench.set(600, 100_000)
    terms = await bench.deployment().terms()
    assert (terms.partitions, terms.quota) == (25, SUITE)


async def test_a_change_under_way_is_not_changed(bench: Bench) -> None:
    """Workers that read the first word only would spend beside those that read the second."""
    await bench.deployment().terms()
    await bench.set(6_000, 2_000_000)
    with pytest.raises(UserError, match="is being changed already"):
        await bench.set(600, 100_000)


async def test_a_worker_that_can_read_no_more_has_an_end(bench: Bench) -> None:
    """It may not spend when others begin with what it did not read."""
    terms = await bench.deployment().terms()
    assert terms.until == REREAD_SECONDS + LEASE_SECONDS
    written = await bench.set(6_000, 2_000_000)
    assert terms.until + CLOCKS_SECONDS <= (written.valid_from - BEGIN).total_seconds()


async def test_what_cannot_be_read_is_an_error_that_says_what_to_do(bench: Bench) -> None:
    """Nothing is spent on a guess."""
    await bench.storage.write(config_path("chat"), b'{"version": "x"}')
    with pytest.raises(StorageError, match=r"quota/chat/config.json is no quota.*Delete it"):
        await read_quota(bench.storage, "chat")


@pytest.mark.parametrize("name", ["", "a/b/c", "../x", "a b", "/a", "a/", ".a", "a" * 256])
def test_a_deployment_that_is_no_path_is_refused(name: str) -> None:
    """It becomes a part of blob names."""
    with pytest.raises(NameRefused):
        checked_deployment(name)


@pytest.mark.parametrize("name", ["gpt-4o-mini", "westeurope/gpt-4o-mini", "a.b_c"])
def test_a_deployment_may_have_a_region(name: str) -> None:
    """One slash, where the same name is used in several."""
    assert checked_deployment(name) == name


def fleet_of(quota: Quota, clocks: tuple[float, ...]) -> Fleet:
    """Workers whose wall clocks are wrong by so many seconds."""
    fleet = Fleet(quota, reread_seconds=REREAD_SECONDS)
    for error in clocks:
        fleet.options["now"] = lambda error=error: BEGIN + timedelta(seconds=fleet.clock() + error)
        fleet.worker().load(1_000)
    return fleet


@pytest.mark.parametrize("clocks", [(0.0, 0.0, 0.0), (5.0, -5.0, 0.0)])
def test_workers_follow_a_change_and_never_spend_both_cuts(clocks: tuple[float, ...]) -> None:
    """Old and new partitions are never held together, also where wall clocks are wrong by five seconds."""

    async def change() -> Fleet:
        fleet = fleet_of(SUITE, clocks)
        await asyncio.sleep(30.0)
        now = BEGIN + timedelta(seconds=fleet.clock())
        await set_quota(fleet.storage, "chat", Limits(6_000, 1_000_000), now, reread_seconds=REREAD_SECONDS)
        prefixes = []
        for _ in range(3_000):
            await asyncio.sleep(0.1)
            held = {worker.limiter._leases.prefix for worker in fleet.workers if worker.limiter.held}
            prefixes.append(held)
            assert len(held) <= 1
        assert (prefixes[0], prefixes[-1]) == ({"quota/chat/v1"}, {"quota/chat/v2"})
        assert prefixes.count(set()) <= 10 * (3 * CLOCKS_SECONDS + 5)
        assert len(fleet.owners()) == 12
        await fleet.drain()
        return fleet

    fleet = run_virtually(change())
    tokens = [(send.at, float(send.tokens)) for send in fleet.sends]
    assert heaviest_window(tokens, 60.0) <= 1_010_000
    assert heaviest_window([each for each in tokens if each[0] < 135.0], 60.0) <= 101_000
    assert sum(amount for at, amount in tokens if at >= 250.0) / (tokens[-1][0] - 250.0) * 60 >= 950_000


def test_other_limits_in_the_same_partitions_are_followed_at_the_next_look() -> None:
    """No worker need let go of anything."""

    async def change() -> None:
        fleet = fleet_of(SUITE, (0.0, 0.0))
        await asyncio.sleep(30.0)
        now = BEGIN + timedelta(seconds=fleet.clock())
        await set_quota(fleet.storage, "chat", Limits(600, 60_000), now, reread_seconds=REREAD_SECONDS)
        await asyncio.sleep(REREAD_SECONDS + 60.0)
        since = fleet.clock()
        await asyncio.sleep(120.0)
        sent = sum(send.tokens for send in fleet.sends if send.at >= since)
        assert 0.9 * 120_000 <= sent <= 121_000
        await fleet.drain()

    run_virtually(change())


def test_two_suites_with_other_numbers_share_one_quota() -> None:
    """The reason why it is written down: together they spend what the first one said."""

    async def share() -> Fleet:
        fleet = Fleet(SUITE)
        fleet.worker().load(1_000)
        await asyncio.sleep(5.0)
        fleet.quota = Quota(600, 300_000)
        fleet.worker().load(1_000)
        await asyncio.sleep(180.0)
        assert all(worker.limiter.held for worker in fleet.workers)
        await fleet.drain()
        return fleet

    fleet = run_virtually(share())
    assert heaviest_window([(send.at, float(send.tokens)) for send in fleet.sends], 60.0) <= 101_000
