"""`assay quota`: what is shown of deployments and workers, and an operator's word."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial

import pytest

from assay.cli import quota
from assay.quota.base import Quota
from assay.quota.deployments import REREAD_SECONDS, Cut, Deployment
from assay.quota.leases import LEASE_SECONDS, RENEWAL_SECONDS, PartitionLeases
from assay.quota.tickets import Ticket, Tickets
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry

Running = Callable[..., tuple[int, str, str]]
DEPLOYMENT = "gpt-4o-mini@west"


@pytest.fixture(name="run")
def _run(assay: Running, storage: MemoryStorage) -> Running:
    return partial(assay, "quota")


def use(storage: MemoryStorage) -> None:
    """One worker holds one of four partitions and has said so."""

    async def join() -> None:
        deployment = Deployment(
            storage,
            layout.quota_of(DEPLOYMENT),
            Quota(600, 100_000),
            clock=time.monotonic,
            telemetry=RecordingTelemetry(),
        )
        terms = await deployment.terms()
        leases = PartitionLeases(storage, terms.prefix, terms.partitions, time.monotonic, lambda share, at: None)
        await leases.take([2], wanted=1)
        tickets = Tickets(storage, terms.prefix, "host-1", time.monotonic, lambda: {"tokens_last_minute": "100"})
        await tickets.post(Ticket("host-1", 0.0, turns=(2,), wants=3, turn_seconds=RENEWAL_SECONDS))

    asyncio.run(join())


def test_without_a_quota_it_says_how_one_comes_to_be(run: Running) -> None:
    """Neither an empty table nor an error."""
    code, out, _ = run("show")
    assert code == 0
    assert "No deployment has a quota yet" in out
    assert json.loads(run("show", "--json")[1]) == {"deployments": []}


def test_an_unknown_deployment_is_the_users_error(run: Running) -> None:
    """Also a name that could leave its folder, and one that no suite could say."""
    code, _, err = run("show", "gpt-5")
    assert code == 2
    assert "'gpt-5' has no quota yet" in err
    assert run("show", "../runs")[0] == 2
    code, _, err = run("set", "gpt-5@West", "--requests-per-minute", "1", "--tokens-per-minute", "1")
    assert code == 2
    assert "name@endpoint" in err


def test_it_shows_the_limits_and_who_holds_what(run: Running, storage: MemoryStorage) -> None:
    """Limits and where they come from, partitions, and each worker's own words."""
    use(storage)
    code, out, _ = run("show")
    assert code == 0
    assert DEPLOYMENT in out
    assert "600 requests, 100,000 tokens per minute" in out
    assert "by the first suite that used it" in out
    assert "4: 1 held, 3 free" in out
    assert "host-1" in out
    assert "tokens last minute 100" in out


def test_the_same_as_json(run: Running, storage: MemoryStorage) -> None:
    """For scripts."""
    use(storage)
    (shown,) = json.loads(run("show", DEPLOYMENT, "--json")[1])["deployments"]
    assert (shown["requests_per_minute"], shown["source"], shown["partitions"]) == (600, "suite", 4)
    assert shown["deployment"] == DEPLOYMENT
    (worker,) = shown["workers"]
    assert (worker["worker"], worker["holds"]) == ("host-1", 1)
    assert worker["facts"] == {"tokens_last_minute": "100"}
    until = datetime.fromisoformat(worker["until"]) - datetime.fromisoformat(worker["said_at"])
    assert abs(until.total_seconds() - LEASE_SECONDS) <= 1


def test_an_operator_sets_limits(run: Running, storage: MemoryStorage) -> None:
    """Where nobody used the deployment yet, and where it was used."""
    arguments = ("set", DEPLOYMENT, "--requests-per-minute", "500", "--tokens-per-minute", "90000")
    code, out, _ = run(*arguments)
    assert code == 0
    assert "grants 500 requests and 90,000 tokens per minute, in 4 partitions" in out
    use(storage)
    written = json.loads(run(*arguments, "--accounting", "settled", "--json")[1])
    assert (written["version"], written["source"], written["accounting"]) == (2, "operator", "settled")
    assert "by an operator" in run("show")[1]


def test_a_change_of_partitions_is_announced(run: Running, storage: MemoryStorage) -> None:
    """Until then the old ones are shown, and the change cannot be changed."""
    use(storage)
    arguments = ("set", DEPLOYMENT, "--requests-per-minute", "6000", "--tokens-per-minute", "2000000")
    out = run(*arguments)[1]
    assert f"lower limits within {REREAD_SECONDS / 60:g} minutes." in out
    assert "and the new partitions, hold from" in out
    shown = run("show")[1]
    assert "600 requests, 100,000 tokens per minute" in shown
    assert "6,000 requests, 2,000,000 tokens per minute in 25 partitions" in shown
    code, _, err = run(*arguments)
    assert code == 2
    assert "is being changed already" in err


def test_what_a_worker_says_stands_in_one_order_and_without_what_is_usual() -> None:
    """Rule: the pace first, however storage orders metadata; limits, factors and gates only where they are others."""
    usual = {"gate_seconds": "0.0", "tokens_last_minute": "9", "requests_per_minute": "600", "waiting": "3"}
    cut = Cut(requests_per_minute=600, tokens_per_minute=100_000, partitions=4, cut=1)

    assert quota._said(usual, cut) == "waiting 3, tokens last minute 9"
    slowed = usual | {"tokens_factor": "0.800", "requests_per_minute": "300"}
    assert quota._said(slowed, cut) == ("waiting 3, tokens last minute 9, requests per minute 300, tokens factor 0.800")
