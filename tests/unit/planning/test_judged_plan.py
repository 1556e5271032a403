"""The order of a plan with judgements, and plans from before there were any."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.planning.judges.catalogue import judgements_of
from assay.planning.plan import build_plan
from assay.planning.preflight import checked_suite
from assay.run_records import JUDGING_LAG, Judgement, Plan, RowRange
from assay.sources.tabular import open_source

BOTH = (
    Judgement(judge="helpful", experiment="plain"),
    Judgement(judge="helpful", experiment="short"),
    Judgement(judge="preferred", experiment="short", against="plain"),
)


def plan(ranges: int, repeats: Sequence[int] = (), judgements: Sequence[Judgement] = BOTH) -> Plan:
    each = tuple(RowRange(first_row=2 * at + 1, rows=2, offset=20 * at, length=20) for at in range(ranges))
    return Plan(
        run="r",
        rows=2 * ranges,
        bad_rows=0,
        experiments=("plain", "short"),
        ranges=each,
        repeats=tuple(repeats),
        judgements=tuple(judgements),
    )


@settings(max_examples=25)
@given(ranges=st.integers(1, 9), repeats=st.tuples(st.integers(1, 2), st.integers(1, 2)))
def test_every_chunk_stands_once_and_judging_follows_asking(ranges: int, repeats: tuple[int, int]) -> None:
    """Whatever slice of the plan is asked for; a judge's chunk is `JUDGING_LAG` row ranges behind what it judges."""
    made = plan(ranges, repeats)
    messages = list(made.messages(0, made.chunks))
    places = {(one.experiment, one.chunk): at for at, one in enumerate(messages)}

    assert len(places) == len(messages) == made.chunks
    assert sum(one.rows for one in messages) == made.trials + made.judged_trials
    assert [one for at in range(made.chunks) for one in made.messages(at, at + 1)] == messages
    for one in messages:
        judgement = made.judgement(one.experiment)
        for judged in (judgement.experiment, judgement.against) if judgement else ():
            if judged is not None:
                assert places[judged, one.chunk] < places[one.experiment, one.chunk]


def test_a_range_is_judged_while_later_ones_are_asked() -> None:
    """So that judges need not wait for the end, nor find nothing to judge at the beginning."""
    made = plan(ranges=6)
    order = [(one.experiment, one.chunk) for one in made.messages(0, made.chunks)]
    asked_last_before = max(at for at, (name, chunk) in enumerate(order) if (name, chunk) == ("short", JUDGING_LAG))
    assert order[asked_last_before + 1 : asked_last_before + 4] == [
        ("helpful~plain", 0),
        ("helpful~short", 0),
        ("preferred~short", 0),
    ]


def test_repeats_are_judged_against_the_same_repeat() -> None:
    """Where the baseline is asked less often, only the repeats that both have make pairs."""
    made = plan(ranges=3, repeats=(1, 4))
    assert {name: made.repeats_of(name) for name in made.names} == {
        "plain": 1,
        "short": 4,
        "helpful~plain": 1,
        "helpful~short": 4,
        "preferred~short": 1,
    }
    assert made.message("helpful~short", 3 * 2 + 1).repeat == 2
    with pytest.raises(IndexError):
        made.message("preferred~short", 3)


def test_a_plan_from_before_there_were_judges_still_reads() -> None:
    """With the same chunks in the same order as ever."""
    old = json.loads(plan(ranges=3, judgements=()).model_dump_json())
    for added in ("judgements", "repeats", "early_stop"):
        old.pop(added, None)
    made = Plan.model_validate_json(json.dumps(old))
    assert (made.judgements, made.judged_trials, made.chunks) == ((), 0, 6)
    assert [(one.experiment, one.chunk) for one in made.messages(0, 4)] == [
        ("plain", 0),
        ("short", 0),
        ("plain", 1),
        ("short", 1),
    ]


def test_planning_a_suite_with_judges_plans_their_work(tmp_path) -> None:
    """What a run freezes says who judges what."""
    text = """\
version: 1
name: demo
dataset: {id: id}
defaults: {model: {deployment: m}, user: "{{ text }}"}
experiments: [{name: plain, baseline: true}, {name: short}]
judges: [{plugin: llm_judge, name: helpful, model: {deployment: j}, rubric: 'Good?'}]
"""
    suite = checked_suite(text)
    dataset = tmp_path / "dataset"
    dataset.write_text("id,text\n1,a\n2,b\n3,c\n")
    made = build_plan("demo-1", suite, text, open_source(dataset, "d.csv", "id"), "d.csv", tmp_path).plan
    assert made.judgements == judgements_of(suite)
    assert (made.trials, made.judged_trials) == (6, 6)
