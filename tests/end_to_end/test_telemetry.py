"""A run of a whole installation, and what a collector hears of it from host and workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.orchestration.drops import drop_file
from assay.telemetry_export.tree import run_span_id, trace_id_of
from stand_ins.telemetry_receivers import Receiver

from .site import finished, running_site
from .small_suite import rows, write_emulator, write_suite

ROWS, EXPERIMENTS = 20, 3
STEPS = ("plan", "dispatch", "watch", "evaluate", "report", "seal", "publish")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_host_and_workers_tell_of_one_tree_and_send_what_is_left_when_they_end(tmp_path: Path) -> None:
    """Every step, chunk and trial leads to the run's span, and metrics of processes that lived shortly are not lost."""
    dataset = tmp_path / "items.csv"
    dataset.write_text(rows(ROWS), encoding="utf-8")
    receiver = Receiver()
    telemetry = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address, "ASSAY_TRACE_SAMPLE": "1"}
    emulator = write_emulator(tmp_path, ROWS, median_ms=5)
    with running_site(tmp_path / "home", emulator, workers=2, **telemetry) as site:
        site.upload(write_suite(tmp_path / "colours"))
        site.start_host()
        run = site.ask(lambda runtime: drop_file(runtime.storage, "colours", dataset)).run
        site.ask(lambda runtime: finished(runtime, run))
        site.stop_host()
    receiver.close()

    spans = [one for one in receiver.spans if one["trace"] == f"{trace_id_of(run):032x}"]
    parents = {one["id"]: one["parent"] for one in spans}
    assert [one for one, parent in parents.items() if not parent] == [f"{run_span_id(run):016x}"]
    assert {parent for parent in parents.values() if parent} <= parents.keys()
    assert {f"assay.step {name}" for name in STEPS} <= {one["name"] for one in spans}
    assert sum(one["name"] == "assay.trial" for one in spans) == ROWS * EXPERIMENTS
    steps = {one["instance"] for one in spans if one["name"] == "assay.step plan"}
    chunks = {one["instance"] for one in spans if one["name"] == "assay.chunk"}
    assert steps.isdisjoint(chunks)
    assert {"assay.trials", "assay.queue.age", "gen_ai.client.operation.duration"} <= receiver.metrics.keys()
