"""kill -9 of host and workers at random moments costs time and the calls in flight, and nothing else."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from assay.orchestration.drops import drop_file
from assay.run_records import Stage
from assay.runtime import Runtime

from .site import Site, finished, outcomes_of, published, running_site, stage_of
from .small_suite import rows, write_emulator, write_suite

ROWS, EXPERIMENTS, KILLS, CONCURRENCY = 300, 3, 10, 8
# An outcome is safe at the latest this long after its answer: the ledger's pause, and one append on a busy machine.
SAFE_AFTER_SECONDS = 2.0


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_kill_9_ten_times_gives_the_same_results_and_repeats_only_calls_in_flight(tmp_path: Path) -> None:
    """Every trial has one outcome, no row is missing, `results.csv` is byte-identical to an undisturbed run's."""
    emulator = write_emulator(tmp_path, ROWS, median_ms=250)
    dataset = tmp_path / "items.csv"
    dataset.write_text(rows(ROWS), encoding="utf-8")
    with running_site(tmp_path / "home", emulator, ASSAY_WORKER_CONCURRENCY=str(CONCURRENCY)) as site:
        site.upload(write_suite(tmp_path / "colours"))
        site.start_host()
        undisturbed = _drop(site, dataset, "undisturbed")
        site.ask(_until_done(undisturbed))
        began = time.monotonic()
        disturbed = _drop(site, dataset, "disturbed")
        kills = _disturb(site, disturbed)
        site.ask(_until_done(disturbed))

        assert len(kills) == KILLS
        expected, found = (site.ask(_results(run)) for run in (undisturbed, disturbed))
        assert found == expected
        outcomes = site.ask(lambda runtime: outcomes_of(runtime, disturbed))
        assert len(outcomes) == len({(one.row_number, one.experiment) for one in outcomes}) == ROWS * EXPERIMENTS
        repeats = _repeats(site, began)
        print(f"{len(kills)} kills: {len(repeats)} of {ROWS * EXPERIMENTS} calls were made again")
        assert not [calls for calls in repeats if not _was_in_flight(calls[0], kills)]
        assert len(repeats) <= KILLS * site.options.workers * CONCURRENCY


def _disturb(site: Site, run: str) -> list[float]:
    """Kills at random moments, the last two while the run is being finished; gives the monotonic times."""
    chance = random.Random(20)
    kills: list[float] = []
    while len(kills) < KILLS - 2:
        time.sleep(chance.uniform(0.2, 3.0))
        assert site.ask(lambda runtime: stage_of(runtime, run)) in (None, Stage.PLANNING, Stage.ASKING)
        if chance.random() < 0.4:
            site.kill_worker(chance.randrange(site.options.workers))
            kills.append(time.monotonic())
        else:
            site.kill_host()
            kills.append(time.monotonic())
            site.start_host()
    for stages in ((Stage.EVALUATING, Stage.PUBLISHING, Stage.DONE), (Stage.PUBLISHING, Stage.DONE)):
        while site.ask(lambda runtime: stage_of(runtime, run)) not in stages:
            time.sleep(0.05)
        site.kill_host()
        kills.append(time.monotonic())
        site.start_host()
    return kills


def _repeats(site: Site, since: float) -> list[list[dict[str, float]]]:
    """All calls, in order of arrival, of every content that was asked more than once."""
    calls: dict[str, list[dict[str, float]]] = defaultdict(list)
    answered = {event["id"]: event["t"] for event in site.model_requests() if event["event"] == "answered"}
    for event in site.model_requests():
        if event["event"] == "received" and event["t"] >= since:
            calls[event["content"]].append({"from": event["t"], "to": answered.get(event["id"], float("inf"))})
    return [made for made in calls.values() if len(made) > 1]


def _was_in_flight(call: dict[str, float], kills: list[float]) -> bool:
    return any(call["from"] <= kill <= call["to"] + SAFE_AFTER_SECONDS for kill in kills)


def _drop(site: Site, dataset: Path, again: str) -> str:
    return site.ask(lambda runtime: drop_file(runtime.storage, "colours", dataset, again=again)).run


def _until_done(run: str) -> Callable[[Runtime], Awaitable[object]]:
    return lambda runtime: finished(runtime, run)


def _results(run: str) -> Callable[[Runtime], Awaitable[bytes]]:
    return lambda runtime: published(runtime, run, "results.csv")
