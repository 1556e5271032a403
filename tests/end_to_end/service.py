"""What a test tells the emulated service while a run is under way, and what it asks of it afterwards."""

from __future__ import annotations

import json
import time
import urllib.request
from decimal import Decimal
from pathlib import Path
from typing import Any

from assay.orchestration.drops import drop_file
from assay.records import Outcome
from assay.run_records import Progress, Stage

from .site import Site, finished, outcomes_of
from .small_suite import write_suite


def order(site: Site, path: str, **body: object) -> None:
    """One of the emulator's orders (docs/emulator.md)."""
    content = json.dumps(body).encode()
    request = urllib.request.Request(f"{site.openai}/_emulator/{path}", data=content, method="POST")
    urllib.request.urlopen(request).close()


def report(site: Site) -> dict[str, Any]:
    """The referee's report."""
    with urllib.request.urlopen(f"{site.openai}/_emulator") as answer:
        read: dict[str, Any] = json.load(answer)
    return read


def billed_usd(site: Site) -> tuple[Decimal, Decimal]:
    """What the service charges, and the part of it that no caller was told."""
    bill = report(site)["bill"]
    return Decimal(bill["usd"]), Decimal(bill["unseen"]["usd"])


def offered(site: Site, deployment: str) -> int:
    """Requests that reached a deployment, named as the report names it."""
    figures = report(site)["deployments"].get(deployment)
    return int(figures["offered"]) if figures else 0


def wait_until_offered(site: Site, requests: int, *deployments: str, seconds: float = 180) -> None:
    """Until each of the deployments got so many requests."""
    deadline = time.monotonic() + seconds
    while min(offered(site, one) for one in deployments) < requests:
        assert time.monotonic() < deadline, {one: offered(site, one) for one in deployments}
        time.sleep(0.05)


def deploy(site: Site, folder: Path, suite: str) -> None:
    """Puts a suite where runs find it."""
    site.upload(write_suite(folder, suite))


def drop(site: Site, suite: str, dataset: Path, again: str = "") -> str:
    """Drops a file; gives the run's id."""
    return site.ask(lambda runtime: drop_file(runtime.storage, suite, dataset, again=again)).run


def until_finished(site: Site, run: str) -> Progress:
    """The progress of a run that ended well."""
    return site.ask(lambda runtime: finished(runtime, run))


def until_stopped(site: Site, run: str, seconds: float = 180) -> Progress:
    """The progress of a run that was stopped."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        progress = site.ask(lambda runtime: runtime.run(run))
        if progress and progress.stage is Stage.STOPPED:
            return progress
        assert not progress or progress.stage not in (Stage.DONE, Stage.FAILED), progress.message
        time.sleep(0.1)
    raise AssertionError(f"run {run} was not stopped within {seconds:g} seconds")


def outcomes_once(site: Site, run: str, trials: int) -> list[Outcome]:
    """The outcomes of a run, of which every trial must have exactly one."""
    outcomes = site.ask(lambda runtime: outcomes_of(runtime, run))
    assert len(outcomes) == len({(one.row_number, one.experiment) for one in outcomes}) == trials
    return outcomes
