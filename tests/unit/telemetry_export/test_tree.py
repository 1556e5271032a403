"""Spans as one tree per run: ids, parents, and which trials are kept."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from assay.telemetry import bound
from assay.telemetry_export.tree import (
    FAILURES_PER_MINUTE,
    FinishedSpan,
    Place,
    Tree,
    place_here,
    run_span_id,
    trace_id_of,
)
from assay.telemetry_names import (
    CALL_SPAN,
    CHUNK_SPAN,
    DEPLOYMENT,
    ERROR_TYPE,
    KIND,
    OUTCOME,
    QUOTA_WAIT,
    REPEAT,
    REQUEST_MODEL,
    ROW,
    RUN_SPAN,
    RUN_TIME,
    STAGE,
    STEP,
    STEP_SPAN,
    TRIAL_SPAN,
)

RUN = "triage-20261120-7f3ac2"
SECOND = 1_000_000_000


class Spans:
    """A tree whose clock stands still unless told, and what it kept."""

    def __init__(self, share: float = 1.0) -> None:
        self.kept: list[FinishedSpan] = []
        self.now_ns = 60 * SECOND
        self.tree = Tree(share, self.kept.append, lambda: self.now_ns, draw=lambda: 0.5)

    def trial(self, row: int, outcome: str, calls: int = 1) -> None:
        with self.tree.span(TRIAL_SPAN, {ROW: row, REPEAT: 0}, None) as trial:
            for _ in range(calls):
                with self.tree.span(CALL_SPAN, {REQUEST_MODEL: "mini"}, None):
                    pass
            trial.set({OUTCOME: outcome})

    @property
    def titles(self) -> list[str]:
        return [one.title for one in self.kept]


def test_everything_of_a_run_belongs_to_the_span_that_derives_from_its_id() -> None:
    """Two processes that know only the run's id build one tree."""
    host, worker = Spans(), Spans()
    with bound(run=RUN):
        with host.tree.span(STEP_SPAN, {STEP: "plan"}, None):
            pass
        with host.tree.span(RUN_SPAN, {STAGE: "done"}, datetime(2026, 11, 20, tzinfo=UTC)):
            pass
        with bound(experiment="plain", chunk=3), worker.tree.span(CHUNK_SPAN, {}, None):
            worker.trial(1, "succeeded")

    step, run = host.kept
    trial, call, chunk = worker.kept
    assert {one.place.trace_id for one in (step, run, chunk, trial, call)} == {trace_id_of(RUN)}
    assert (run.place.span_id, run.parent_id) == (run_span_id(RUN), None)
    assert (step.parent_id, chunk.parent_id) == (run.place.span_id,) * 2
    assert (trial.parent_id, call.parent_id) == (chunk.place.span_id, trial.place.span_id)
    assert run.began_ns == 1_795_132_800 * SECOND
    assert (step.title, call.title) == ("assay.step plan", "chat mini")
    assert call.attributes["assay.chunk"] == 3


def test_ids_stay_what_they_are() -> None:
    """Processes of two versions work on one run during an upgrade."""
    assert f"{trace_id_of(RUN):032x}" == "1fcc687b4269c3b465fb90c05b7c4cf8"
    assert f"{run_span_id(RUN):016x}" == "1ed283e60065b30b"


async def test_trials_at_once_do_not_take_each_others_calls() -> None:
    """Each task has a span of its own."""
    spans = Spans()

    async def trial(row: int) -> None:
        with spans.tree.span(TRIAL_SPAN, {ROW: row}, None):
            await asyncio.sleep(0)
            with spans.tree.span(CALL_SPAN, {DEPLOYMENT: str(row)}, None):
                await asyncio.sleep(0)

    with bound(run=RUN), spans.tree.span(CHUNK_SPAN, {}, None):
        await asyncio.gather(*(trial(row) for row in range(5)))

    trials = {one.place.span_id: one.attributes[ROW] for one in spans.kept if one.name is TRIAL_SPAN}
    calls = [(trials[one.parent_id or 0], one.attributes[DEPLOYMENT]) for one in spans.kept if one.name is CALL_SPAN]
    assert sorted(calls) == [(row, str(row)) for row in range(5)]


def test_the_wait_for_quota_is_apart_from_the_time_of_the_work() -> None:
    """A small quota must not look like a slow model."""
    spans = Spans()
    with spans.tree.span(TRIAL_SPAN, {ROW: 1}, None):
        spans.now_ns += 10 * SECOND
        with spans.tree.span(CALL_SPAN, {QUOTA_WAIT: 8.0}, None):
            spans.now_ns += 3 * SECOND

    trial, call = spans.kept
    assert (trial.attributes[QUOTA_WAIT], trial.attributes[RUN_TIME]) == (8.0, 5.0)
    assert call.ended_ns - call.began_ns == 3 * SECOND


def test_a_share_of_the_trials_is_kept_whole_the_same_in_every_process() -> None:
    """A repeated chunk, or another worker, keeps the same ones."""
    one, other = Spans(share=0.25), Spans(share=0.25)
    with bound(run=RUN, experiment="plain"):
        for row in range(400):
            one.trial(row, "succeeded", calls=2)
            other.trial(row, "succeeded", calls=2)

    def rows(spans: Spans) -> list[int]:
        return [each.attributes[ROW] for each in spans.kept if each.name is TRIAL_SPAN]

    assert rows(one) == rows(other)
    assert 70 <= len(rows(one)) <= 130
    assert len(one.kept) == 3 * len(rows(one))


@pytest.mark.parametrize(("outcome", "kept"), [("failed", 2), ("blocked", 2), ("succeeded", 0), ("skipped", 0)])
def test_a_trial_that_fails_is_kept_whatever_the_share(outcome: str, kept: int) -> None:
    """With its calls; one that was skipped asked nothing."""
    spans = Spans(share=0.0)
    with bound(run=RUN):
        spans.trial(1, outcome)
    assert len(spans.kept) == kept
    assert all(one.has_failed for one in spans.kept if one.name is TRIAL_SPAN) is (outcome != "blocked")


def test_only_so_many_failures_a_minute_are_kept() -> None:
    """A run of which every trial fails costs no more than the share says, nearly."""
    spans = Spans(share=0.0)
    for _ in range(2):
        for row in range(FAILURES_PER_MINUTE + 30):
            spans.trial(row, "failed")
        spans.now_ns += 60 * SECOND
    assert len([one for one in spans.kept if one.name is TRIAL_SPAN]) == 2 * FAILURES_PER_MINUTE


def test_what_the_table_does_not_name_is_left_out() -> None:
    """A careless attribute does not leave the process."""
    spans = Spans()
    with spans.tree.span(TRIAL_SPAN, {ROW: 1, "prompt": "Ticket T-1: my card is ..."}, None) as trial:
        trial.set({KIND: "none", "answer": "no"})
    assert set(spans.kept[0].attributes) == {ROW, KIND, QUOTA_WAIT, RUN_TIME}


def test_an_error_marks_its_span_and_passes() -> None:
    """Its class, never its text."""
    spans = Spans()
    with pytest.raises(ValueError, match="secret"), spans.tree.span(STEP_SPAN, {STEP: "plan"}, None):
        raise ValueError("secret")
    (step,) = spans.kept
    assert (step.has_failed, step.attributes[ERROR_TYPE]) == (True, "ValueError")


def test_an_event_is_placed_where_a_span_is_sure_to_be() -> None:
    """A log record that names a span that nobody sends leads nowhere."""
    spans = Spans(share=0.0)
    assert place_here(None) is None
    with bound(run=RUN):
        assert place_here(RUN) == Place(trace_id_of(RUN), run_span_id(RUN))
        with spans.tree.span(CHUNK_SPAN, {}, None), spans.tree.span(TRIAL_SPAN, {ROW: 1}, None):
            inside = place_here(RUN)
    (chunk,) = spans.kept
    assert inside == chunk.place
