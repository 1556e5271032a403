"""Whole runs while the service fails: regions go, keys are wrong, answers are cut; nothing is lost or paid twice."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from assay.budget.account import read_account
from assay.quota.state import QuotaState, quota_states
from assay.records import TrialStatus
from assay.runtime import Runtime

from .service import (
    billed_usd,
    deploy,
    drop,
    offered,
    order,
    outcomes_once,
    report,
    until_finished,
    until_stopped,
    wait_until_offered,
)
from .site import Site, published, running_site
from .small_suite import rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

MINI = {"model": "gpt-4o-mini-2024-07-18", "latency_ms": {"median": 30, "sigma": 0.3}}
LIMITED = {**MINI, "requests_per_minute": 1200, "tokens_per_minute": 10_000_000, "request_window_seconds": 1}
EMULATOR = {
    "seed": 3,
    "deployments": {
        "chat": LIMITED,
        "plain": MINI,
        "long": {**MINI, "answer_tokens": {"median": 140, "sigma": 0.7, "most": 1200}},
    },
    "regions": {
        "west": {"deployments": {"chat": LIMITED, "large": {**MINI, "model": "gpt-4o-2024-11-20"}}},
    },
}
SUITE = """\
version: 1
name: NAME
dataset: {id: id, columns: [id, text]}
defaults:
  model: {MODEL}
experiments:
  - {name: plain, baseline: true, user: "Item {{ id }}: {{ text }}. Which colour, and why?"}
limits: {LIMITS}
"""


def suite(name: str, model: str, limits: str = "rows_per_message: 20") -> str:
    return SUITE.replace("NAME", name).replace("MODEL", model).replace("LIMITS", limits)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two regions of the emulator, and two workers that know both."""
    folder: Path = tmp_path_factory.mktemp("trouble")
    emulator = folder / "emulator.yaml"
    emulator.write_text(json.dumps(EMULATOR), encoding="utf-8")
    with running_site(folder / "home", emulator, workers=2, ASSAY_WORKER_CONCURRENCY="16") as site:
        site.environment["ASSAY_ENDPOINTS"] = json.dumps({"west": f"{site.openai}/regions/west"})
        site.start_host()
        yield site


@pytest.fixture(autouse=True)
def _healthy(site: Site) -> Iterator[None]:
    """Every test finds the service well, with an empty bill."""
    order(site, "restore")
    order(site, "reset")
    yield
    order(site, "restore")


def dataset(folder: Path, count: int) -> Path:
    path = folder / "items.csv"
    path.write_text(rows(count), encoding="utf-8")
    return path


def test_regions_that_go_down_cost_no_trial_and_the_report_says_who_answered(site: Site, tmp_path: Path) -> None:
    """Both deployments of a spread answer; when one region goes the other takes over, and then the fallback."""
    model = "deployment: chat, spread: [chat@west], fallbacks: [large@west], max_tokens: 30"
    quota = "quota:\n" + "".join(
        f"  {one}: {{requests_per_minute: 1200, tokens_per_minute: 10000000}}\n" for one in ("chat", "chat@west")
    )
    deploy(site, tmp_path / "regions", suite("regions", model) + quota)
    run = drop(site, "regions", dataset(tmp_path, 500))
    wait_until_offered(site, 30, "chat", "west/chat")
    order(site, "down", region="default", down=True)
    wait_until_offered(site, offered(site, "west/chat") + 40, "west/chat")
    order(site, "down", region="west", deployment="chat", down=True)
    done = until_finished(site, run)

    assert done.tally.succeeded == 500
    outcomes = outcomes_once(site, run, 500)
    answered = Counter(one.responses[0].deployment for one in outcomes)
    assert set(answered) == {"chat", "chat@west", "large@west"}
    fell = next(one.responses[0] for one in outcomes if one.responses[0].deployment == "large@west")
    assert fell.model == "gpt-4o-2024-11-20"
    assert all(one.responses[0].attempts[-1].deployment == one.responses[0].deployment for one in outcomes)
    assert any(attempt.error for one in outcomes for attempt in one.responses[0].attempts)

    summary = json.loads(site.ask(lambda runtime: published(runtime, run, "summary.json")))
    assert summary["experiments"][0]["deployments"] == dict(answered)
    page = site.ask(lambda runtime: published(runtime, run, "report.html")).decode()
    assert f"<code>large@west</code> ({answered['large@west']})" in page
    table = site.ask(lambda runtime: published(runtime, run, "results.csv")).decode()
    assert Counter(line["deployment"] for line in csv.DictReader(io.StringIO(table))) == answered


@pytest.mark.parametrize(
    ("deployment", "refusal", "fallbacks", "advice"),
    [
        ("plain", "wrong_key", "[large@west]", "AZURE_OPENAI_API_KEY"),
        ("plain", "blocked", "[large@west]", "blocked for abuse needs a support request"),
        # Its quota is not known to the suite: when it goes, questions wait after 429s, and then before its breaker.
        ("chat", "deployment_not_found", "[]", "Create the deployment"),
    ],
)
def test_a_run_that_no_request_can_help_stops_within_seconds_and_goes_on_after_mending(
    site: Site, tmp_path: Path, deployment: str, refusal: str, fallbacks: str, advice: str
) -> None:
    """Few requests are made, no fallback is asked, the message says what to do, and every trial has one outcome."""
    name = refusal.replace("_", "-")
    deploy(site, tmp_path / name, suite(name, f"deployment: {deployment}, fallbacks: {fallbacks}, max_tokens: 30"))
    path = dataset(tmp_path, 120)
    run = drop(site, name, path)
    wait_until_offered(site, 20, deployment)
    order(site, "refuse", deployment=deployment, refusal=refusal)
    at_the_order = offered(site, deployment)

    stopped = until_stopped(site, run, seconds=20)

    assert advice in stopped.message and f"assay resume {run}" in stopped.message
    assert "of 120 trials are done" in stopped.message
    assert offered(site, deployment) - at_the_order <= 2 * 2 * 16
    assert offered(site, "west/large") == 0
    watched = site.assay("watch", run, check=False)
    assert (watched.returncode, advice in watched.stderr) == (1, True)

    order(site, "restore")
    assert site.assay("resume", run).returncode == 0
    assert site.assay("watch", run).returncode == 0
    outcomes = outcomes_once(site, run, 120)
    assert {one.status for one in outcomes} == {TrialStatus.SUCCEEDED}
    assert {one.responses[0].deployment for one in outcomes} == {deployment}


def test_what_a_run_says_it_cost_is_the_bill_to_the_last_digit(site: Site, tmp_path: Path) -> None:
    """Retries, invalid answers and answers cut by lowered limits included; only what nobody was told is missing."""
    limits = "rows_per_message: 40, attempts: 20, request_timeout_seconds: 3"
    text = suite("costs", "deployment: long, max_tokens: 1000, priced_as: gpt-4o-mini, json: true", limits)
    text = text.replace("and why?", "and why? Answer in JSON.")
    text += "quota:\n  long: {requests_per_minute: 60000, tokens_per_minute: 60000000}\n"
    deploy(site, tmp_path / "costs", text)
    faults = {"error_500": 0.03, "malformed": 0.03, "invalid_json": 0.03, "dropped": 0.02, "empty": 0.02}
    order(site, "faults", deployment="long", **faults)
    run = drop(site, "costs", dataset(tmp_path, 400))
    done = until_finished(site, run)

    outcomes = outcomes_once(site, run, 400)
    assert done.tally.succeeded >= 396
    responses = [response for one in outcomes for response in one.responses]
    assert sum(response.reruns for response in responses) > 0
    assert {attempt.error for one in responses for attempt in one.attempts} >= {"malformed_answer", "connection_lost"}
    summary = json.loads(site.ask(lambda runtime: published(runtime, run, "summary.json")))
    whole, unseen = billed_usd(site)
    spent = Decimal(summary["money"]["spent_usd"])
    print(f"billed {whole}, of which {unseen} nobody was told; we say {spent}")
    assert spent == done.tally.cost_usd == sum(one.cost_usd for one in outcomes) == whole - unseen
    assert unseen > 0
    table = site.ask(lambda runtime: published(runtime, run, "results.csv")).decode()
    own = sum(Decimal(line["cost_usd"] or 0) for line in csv.DictReader(io.StringIO(table)))
    assert own == spent - Decimal(summary["money"]["discarded_usd"])


def test_injected_failures_lose_no_trial_and_repeat_none(site: Site, tmp_path: Path) -> None:
    """A drill as `assay up --inject-failures` makes it: every attempt is in the outcomes."""
    deploy(site, tmp_path / "drill", suite("drill", "deployment: plain, max_tokens: 30", "request_timeout_seconds: 2"))
    site.stop_host()
    site.environment["ASSAY_INJECT_FAILURES"] = "rate=0.05,kinds=429|500|timeout|malformed,seed=3"
    site.start_host()
    try:
        run = drop(site, "drill", dataset(tmp_path, 300))
        done = until_finished(site, run)
    finally:
        site.stop_host()
        del site.environment["ASSAY_INJECT_FAILURES"]
        site.start_host()

    assert done.tally.succeeded == 300
    outcomes = outcomes_once(site, run, 300)
    attempts = [attempt for one in outcomes for attempt in one.responses[0].attempts]
    failed = Counter(attempt.error for attempt in attempts if attempt.error)
    assert set(failed) == {"rate_limited", "server_error", "read_timeout", "malformed_answer"}, failed
    answered = [attempt for attempt in attempts if attempt.error is None]
    bill = report(site)["bill"]
    assert len(answered) == 300 == bill["requests"] - bill["unseen"]["requests"]
    assert "failures_injected" in (site.home / "logs" / "host.log").read_text(encoding="utf-8")


def test_a_killed_worker_changes_no_result_and_no_cent_of_the_budget_is_lost_from_sight(
    site: Site, tmp_path: Path
) -> None:
    """kill -9 under lowered limits, a quota and a budget: results stay byte-identical, the account covers the bill."""
    text = suite("killed", "deployment: long, max_tokens: 1000, priced_as: gpt-4o-mini", "budget_usd: 1")
    text += "quota:\n  long: {requests_per_minute: 60000, tokens_per_minute: 60000000}\n"
    deploy(site, tmp_path / "killed", text)
    path = dataset(tmp_path, 400)
    undisturbed = drop(site, "killed", path)
    until_finished(site, undisturbed)
    order(site, "reset")
    run = drop(site, "killed", path, again="killed")
    for kill in range(2):
        wait_until_offered(site, 60 + 100 * kill, "long")
        site.kill_worker(kill)
    until_finished(site, run)

    outcomes = outcomes_once(site, run, 400)
    assert sum(response.reruns for one in outcomes for response in one.responses) > 0
    tables = [site.ask(lambda runtime, of=of: published(runtime, of, "results.csv")) for of in (undisturbed, run)]
    assert tables[0] == tables[1]
    account = site.ask(lambda runtime: read_account(runtime.storage, run))
    assert account is not None
    whole, _ = billed_usd(site)
    assert sum(one.cost_usd for one in outcomes) <= whole <= account.counted_usd <= account.limit_usd


def test_workers_that_are_told_to_end_give_permits_and_money_back(site: Site, tmp_path: Path) -> None:
    """In the middle of a run: no partition stays leased, no money held; the next host finishes the run."""
    text = suite("drained", "deployment: long, max_tokens: 600, priced_as: gpt-4o-mini", "budget_usd: 1")
    deploy(site, tmp_path / "drained", text + "quota:\n  long: {requests_per_minute: 600, tokens_per_minute: 600000}\n")
    run = drop(site, "drained", dataset(tmp_path, 150))
    wait_until_offered(site, 40, "long")
    site.stop_host()
    try:
        (state,) = [one for one in site.ask(_quotas) if one.deployment == "long"]
        account = site.ask(lambda runtime: read_account(runtime.storage, run))
        at_the_end = site.ask(lambda runtime: runtime.run(run))
    finally:
        site.start_host()

    assert at_the_end is not None and at_the_end.tally.trials < 150
    assert (state.held, state.holders) == (0, ())
    assert account is not None
    assert account.counted_usd == account.spent_usd > 0
    until_finished(site, run)
    outcomes_once(site, run, 150)


async def _quotas(runtime: Runtime) -> list[QuotaState]:
    return await quota_states(runtime.storage, datetime.now(UTC))
