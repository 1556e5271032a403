"""A run on a budget: never a cent more than the budget is billed, and what was stopped goes on where it stopped."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from assay.orchestration.drops import drop_file
from assay.run_records import Progress, Stage
from assay.runtime import Runtime

from .site import Site, finished, outcomes_of, published, running_site
from .small_suite import SUITE, rows, write_emulator, write_suite

ROWS, EXPERIMENTS, BUDGET_USD = 200, 3, Decimal("0.004")
ON_BUDGET = SUITE.replace("max_tokens: 20,", "max_tokens: 20, priced_as: gpt-4o-mini,") + (
    f"limits: {{rows_per_message: 10, budget_usd: {BUDGET_USD}}}\n"
)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_stops_at_its_budget_and_goes_on_with_a_higher_one(tmp_path: Path) -> None:
    """Over budget it does not begin; told to, it stops within it; resumed, every trial has exactly one outcome."""
    emulator = write_emulator(tmp_path, ROWS, median_ms=60)
    dataset = tmp_path / "items.csv"
    dataset.write_text(rows(ROWS), encoding="utf-8")
    with running_site(tmp_path / "home", emulator, workers=3, ASSAY_WORKER_CONCURRENCY="8") as site:
        site.upload(write_suite(tmp_path / "colours", ON_BUDGET))
        site.start_host()

        refused = site.assay("submit", str(dataset), "--suite", "colours", "--watch", check=False)
        assert refused.returncode == 1
        assert "would likely cost" in refused.stderr and "--over-budget" in refused.stderr
        assert _bill(site) == 0

        run = site.ask(lambda runtime: drop_file(runtime.storage, "colours", dataset, over_budget=True)).run
        stopped = site.ask(_until(run, Stage.STOPPED))
        assert 0 < stopped.tally.trials < ROWS * EXPERIMENTS
        assert "Budget reached" in stopped.message and f"assay resume {run}" in stopped.message
        billed = _bill(site)
        assert stopped.tally.cost_usd <= billed <= BUDGET_USD
        assert BUDGET_USD - billed < Decimal("0.0002")

        watched = site.assay("watch", run, check=False)
        assert (watched.returncode, "Budget reached" in watched.stderr) == (1, True)
        again = site.assay("submit", str(dataset), "--suite", "colours", "--over-budget", check=False)
        assert (again.returncode, f"assay resume {run}" in again.stderr) == (2, True)
        too_little = site.assay("resume", run, "--budget-usd", "0.001", check=False)
        assert (too_little.returncode, "is spent already" in too_little.stderr) == (2, True)
        assert site.ask(lambda runtime: runtime.storage.find(f"bundles/{run}/manifest.json")) is None

        site.upload(write_suite(tmp_path / "colours", SUITE))
        site.assay("resume", run, "--budget-usd", "1")
        twice = site.assay("resume", run, check=False)
        assert (twice.returncode, "is not stopped" in twice.stderr or "nothing is left" in twice.stderr) == (2, True)
        done = site.ask(lambda runtime: finished(runtime, run))

        outcomes = site.ask(lambda runtime: outcomes_of(runtime, run))
        assert len(outcomes) == len({(one.row_number, one.experiment) for one in outcomes}) == ROWS * EXPERIMENTS
        assert sum(one.cost_usd for one in outcomes) == done.tally.cost_usd == _bill(site)
        summary = json.loads(site.ask(lambda runtime: published(runtime, run, "summary.json")))
        assert Decimal(summary["money"]["spent_usd"]) == _bill(site)


def _bill(site: Site) -> Decimal:
    """What the service says it charges."""
    with urllib.request.urlopen(f"{site.openai}/_emulator") as answer:
        report: dict[str, Any] = json.load(answer)
    return Decimal(report["bill"]["usd"])


def _until(run: str, stage: Stage) -> Callable[[Runtime], Awaitable[Progress]]:
    async def ask(runtime: Runtime) -> Progress:
        import asyncio

        async with asyncio.timeout(120):
            while True:
                progress = await runtime.run(run)
                if progress and progress.stage is stage:
                    return progress
                assert not progress or progress.stage not in (Stage.DONE, Stage.FAILED), progress.message
                await asyncio.sleep(0.1)

    return ask
