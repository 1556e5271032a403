"""A run that ends early on the whole local stack: a planted difference stops it, and kill -9 does not undo that."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from assay.execution.control import read_control
from assay.orchestration.drops import drop_file
from assay.planning.frozen import read_plan
from assay.run_records import Progress
from assay.runtime import Runtime

from .site import finished, outcomes_of, published, running_site
from .small_suite import SUITE, rows, write_emulator, write_suite

ROWS = 600
EARLY = SUITE.replace('  - {name: kind, user: "Item {{ id }}: {{ text }}. Which colour, please?"}\n', "") + (
    "limits: {rows_per_message: 10}\nearly_stop: {plugin: sequential, minimum_rows: 30}\n"
)
ALIKE = EARLY.replace("name: colours", "name: alike").replace("Look twice. ", "")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_clear_difference_stops_a_run_and_none_lets_it_go_on_to_the_end(tmp_path: Path) -> None:
    """The bundle verifies, results hold only what was asked, and what was skipped is counted."""
    emulator = write_emulator(tmp_path, ROWS, median_ms=80)
    dataset, short = tmp_path / "items.csv", tmp_path / "few.csv"
    dataset.write_text(rows(ROWS), encoding="utf-8")
    short.write_text(rows(80), encoding="utf-8")
    with running_site(tmp_path / "home", emulator, ASSAY_WORKER_CONCURRENCY="8") as site:
        for name, text in (("colours", EARLY), ("alike", ALIKE)):
            site.upload(write_suite(tmp_path / name, text))
        site.start_host()
        run = site.ask(lambda runtime: drop_file(runtime.storage, "colours", dataset)).run
        site.ask(lambda runtime: _settled(runtime, run))
        site.kill_host()  # when the decision is made and the rest is about to be left out
        site.start_host()
        progress = site.ask(lambda runtime: finished(runtime, run))
        alike = site.ask(lambda runtime: drop_file(runtime.storage, "alike", short)).run
        asked_in_full = site.ask(lambda runtime: finished(runtime, alike))

        control = site.ask(lambda runtime: read_control(runtime.storage, run))
        assert [(one.experiment, one.decision) for one in control.settled] == [("careful", "better")]
        tally = progress.tally
        assert (tally.trials, progress.chunks_done) == (2 * ROWS, progress.chunks_total)
        assert tally.skipped > ROWS / 2
        assert "Stopped early: careful after" in progress.message
        outcomes = site.ask(lambda runtime: outcomes_of(runtime, run))
        assert len({(one.row_number, one.experiment) for one in outcomes}) == len(outcomes) == 2 * ROWS - tally.skipped
        results = site.ask(lambda runtime: published(runtime, run, "results.jsonl")).splitlines()
        assert len(results) == len(outcomes)
        summary = json.loads(site.ask(lambda runtime: published(runtime, run, "summary.json")))
        assert sum(one["saved_trials"] for one in summary["early_stop"]["experiments"]) == tally.skipped
        assert summary["comparisons"][0]["result"]["verdict"] == "better"
        assert f"{tally.skipped:,} skipped" in site.assay("ls").stdout

        plan = site.ask(lambda runtime: read_plan(runtime.storage, alike))
        assert (asked_in_full.tally.skipped, asked_in_full.tally.trials) == (0, plan.trials)


async def _settled(runtime: Runtime, run: str) -> Progress | None:
    async with asyncio.timeout(120):
        while True:
            if (await read_control(runtime.storage, run)).settled:
                return await runtime.run(run)
            await asyncio.sleep(0.2)
