"""Runs that end early, from the dropped file to a bundle that verifies and a report that says what was saved."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from run_bench import Now, progress_of
from test_early_stop import ROWS, both_differ, drive, no_difference, short_is_better, suite
from test_early_stop import begun as begun_run

from assay.execution.control import read_control
from assay.orchestration.finishing import FinishingSteps
from assay.orchestration.publishing import PublishingSteps
from assay.provenance.signing import LocalKeySigner
from assay.reporting.contents import Contents
from assay.run_records import Stage
from assay.sinks.storage import BlobSink
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.suite.sink_options import BlobOptions
from assay.telemetry import RecordingTelemetry


@pytest.fixture(name="finished")
def _finished(tmp_path: Path):
    async def finish(storage: MemoryStorage, run: str) -> Contents:
        signer = LocalKeySigner.load_or_create(tmp_path / "key.pem")

        async def chosen() -> LocalKeySigner:
            return signer

        finishing = FinishingSteps(storage, Now(), RecordingTelemetry())
        sinks = (BlobSink(BlobOptions(), storage),)
        publishing = PublishingSteps(storage, chosen, lambda _: sinks, Now(), RecordingTelemetry())
        for step in (finishing.evaluate, finishing.report, publishing.seal, publishing.publish):
            await step(run)
        return Contents.model_validate_json(await storage.read(layout.published(run) + "summary.json"))

    return finish


async def test_a_run_that_stops_early_ends_as_a_bundle_that_verifies(finished) -> None:
    """Publishing verifies it; results hold only what was asked, and skipped trials are neither missing nor failed."""
    storage, run = await begun_run(suite())
    worked = await drive(storage, run, both_differ)
    contents: Contents = await finished(storage, run)

    assert (await progress_of(storage, run)).stage is Stage.DONE
    lines = (await storage.read(layout.published(run) + "results.jsonl")).splitlines()
    assert len(lines) == sum(one.rows for one in worked)
    for one in contents.experiments:
        asked = sum(message.rows for message in worked if message.experiment == one.name)
        assert (one.statuses.succeeded, one.statuses.skipped) == (asked, ROWS - asked)
        assert (one.statuses.without_outcome, one.metrics["correct"].failure_rate) == (0, 0)
        assert (one.metrics["correct"].n_trials, one.metrics["correct"].missing.total) == (asked, 0)
    for one in contents.comparisons:
        assert one.missing_sentence is None
        assert one.result.n_rows == one.result.n_pairs
        assert one.result.bounds.low == one.result.bounds.high


async def test_the_verdict_on_the_primary_score_is_the_sequential_one(finished) -> None:
    """Its test, its interval and its p-value, whether the variant was stopped or not."""
    storage, run = await begun_run(suite())
    await drive(storage, run, short_is_better)
    contents: Contents = await finished(storage, run)

    short, long = (one.result for one in contents.primary_comparisons)
    assert (short.verdict, long.verdict) == ("better", "no difference shown")
    assert short.test == long.test == "anytime-valid betting test"
    assert short.interval.method == "betting confidence sequence"
    assert short.interval.level == pytest.approx(0.975)
    assert short.interval.low is not None and short.interval.low >= 0
    assert short.p_adjusted == pytest.approx(min(1, 2 * (short.p_value or 1)))
    assert short.correction == "Bonferroni"
    assert long.interval.low is not None and long.interval.low < 0 < (long.interval.high or 0)


async def test_the_report_says_what_was_saved_and_what_is_promised(finished) -> None:
    """In the contents and on every page."""
    storage, run = await begun_run(suite())
    worked = await drive(storage, run, short_is_better)
    contents: Contents = await finished(storage, run)

    stops = contents.early_stop
    assert stops is not None
    settled = (await read_control(storage, run)).settled[0]
    saved = ROWS - sum(one.rows for one in worked if one.experiment == "short")
    assert (stops.saved_trials, stops.saved_usd) == (saved, Decimal("0.001") * saved)
    assert stops.sentences == (
        f"short was stopped early after {settled.rows} of 200 rows by the sequential rule: {settled.reason}.",
        f"Early stop saved {saved} trials and about {stops.saved_usd:,.4f} USD.",
        "At most 5 % of runs without any difference would be stopped with a difference claimed, however often one"
        " looks; this holds for rows that have a score on both sides.",
    )
    for page in ("report.md", "report.html"):
        text = (await storage.read(layout.published(run) + page)).decode()
        assert "of runs without any difference would be stopped" in text


async def test_a_run_without_a_difference_is_asked_in_full_and_says_so(finished) -> None:
    """Nothing was saved; the guarantee is the same."""
    storage, run = await begun_run(suite())
    await drive(storage, run, no_difference)
    contents: Contents = await finished(storage, run)

    assert contents.early_stop is not None
    assert contents.early_stop.sentences[0] == "Every row was asked: no variant was stopped early."
    assert {one.result.verdict for one in contents.primary_comparisons} == {"no difference shown"}
    assert all(one.result.n_pairs == ROWS for one in contents.primary_comparisons)


async def test_a_heuristic_leaves_the_tests_and_warns_of_them(finished) -> None:
    """Without the sequential rule the usual test stands, with a note where a limit has stopped the variant."""
    rule = "{plugin: threshold, mean_above: 0.6, minimum_rows: 30}"
    storage, run = await begun_run(suite(rule))
    await drive(storage, run, both_differ)
    contents: Contents = await finished(storage, run)

    short, long = (one.result for one in contents.primary_comparisons)
    assert short.test == long.test != "anytime-valid betting test"
    assert any("stopped by a heuristic" in note for note in short.notes)
    assert not any("stopped by a heuristic" in note for note in long.notes)
    assert contents.early_stop is not None
    assert contents.early_stop.guarantee.startswith("The threshold rule is a heuristic")


async def test_equivalence_by_a_margin_reaches_the_report(finished) -> None:
    """A variant that is settled as equivalent is no better, and the interval within the margin is there."""
    rule = "{plugin: sequential, margin: 0.2, minimum_rows: 20}\ncomparison: {margin: 0.2}"
    storage, run = await begun_run(suite(rule))
    await drive(storage, run, lambda _, row: float(row.number % 2))
    contents: Contents = await finished(storage, run)

    short = contents.primary_comparisons[0].result
    assert short.verdict == "no difference shown"
    assert short.equivalence is not None
    assert (short.equivalence.shown, short.equivalence.p_value) == (True, None)
    summary = json.loads(await storage.read(layout.published(run) + "summary.json"))
    assert summary["early_stop"]["experiments"][1]["settled"]["decision"] == "equivalent"
