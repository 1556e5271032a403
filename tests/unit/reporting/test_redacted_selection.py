"""The contents of a view of some experiments: their figures, and nothing that counts or names the others."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from test_contents import contents_of
from test_judged_results import choice, facts, grade

from assay.reporting.contents import Contents
from assay.reporting.html import render_html
from assay.reporting.markdown import render_markdown
from assay.reporting.redacted_contents import Redactor
from assay.reporting.redacted_selection import ALONE, selected
from assay.reporting.redacted_tables import Redaction
from assay.reporting.samples import Trouble
from assay.scoring.early_stop.base import Settled
from assay.scoring.early_stop.results import EarlyStop, EarlyStops
from builders import triage_run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """A report of the baseline `plain` and two variants, with trouble and figures of plugins."""
    trouble = (
        Trouble(kind="server_error", count=5, by_experiment={"plain": 2, "short": 3}, samples=()),
        Trouble(kind="timeout", count=1, by_experiment={"think-first": 1}, samples=()),
    )
    contents = contents_of(triage_run(rows=80))
    found = {"report": {"changed": 3}}
    return contents.model_copy(update={"failures": trouble, "comparers": {"think-first": found, "short": found}})


def view_of(contents: Contents, *names: str) -> Contents:
    """What the files of a view are made of."""
    return Redactor("one", Redaction({}, b"k", frozenset(names)), True).contents(selected(contents, names))


def test_no_names_are_all(whole: Contents) -> None:
    """A view of columns alone stays as it was."""
    assert selected(whole, ()) is whole


def test_with_the_baseline_the_comparisons_among_them_stay(whole: Contents) -> None:
    """As they are in the whole run: their tests were adjusted over all of its comparisons."""
    found = selected(whole, ["short", "plain"])
    assert [one.name for one in found.experiments] == ["plain", "short"]
    assert found.comparisons == tuple(one for one in whole.comparisons if one.variant == "short") != ()
    assert set(found.comparers) == {"short"} and found.baseline == "plain"
    assert "short" in found.headline and "think-first" not in found.headline + found.recommendation


@pytest.mark.parametrize(
    ("names", "headline"),
    [
        (["short"], "short on its own, without the baseline and compared with nothing"),
        (
            ["short", "think-first"],
            "think-first and short on their own, without the baseline and compared with nothing",
        ),
        (["plain"], "The baseline plain on its own, compared with nothing"),
    ],
)
def test_without_a_pair_nothing_is_compared_and_the_headline_says_of_whom_it_is(
    whole: Contents, names: list[str], headline: str
) -> None:
    """There is nothing to recommend either."""
    found = view_of(whole, *names)
    assert (found.headline, found.recommendation) == (headline, ALONE)
    assert found.comparisons == () and found.comparers == {}


def test_what_was_counted_over_all_is_counted_again(whole: Contents) -> None:
    """Trials, money and trouble of these experiments add up with those of the others."""
    one, others = view_of(whole, "short"), view_of(whole, "plain", "think-first")
    assert one.run.trials + others.run.trials == whole.run.trials and one.run.rows == whole.run.rows
    assert one.money.spent_usd + others.money.spent_usd == whole.money.spent_usd > Decimal(0)
    assert one.money.budget_usd is None and one.unanswered + others.unanswered == whole.unanswered
    assert [(group.kind, group.count, group.by_experiment) for group in one.failures] == [
        ("server_error", 3, {"short": 3})
    ]
    assert [(group.kind, group.count) for group in others.failures] == [("server_error", 2), ("timeout", 1)]


def test_no_page_names_an_experiment_that_is_left_out(whole: Contents) -> None:
    """Nor has gaps where comparisons would stand."""
    found = view_of(whole, "short")
    page, text = render_html(found, None, ""), render_markdown(found)
    assert not any("think-first" in said for said in (page, text, found.model_dump_json()))
    assert not any(re.search(r"\bplain\b", said) for said in (text, found.model_dump_json()))
    assert "the view `one` of the results of short, without samples of rows and answers." in text
    assert "dashed line is the baseline" not in page and "comparison above" not in page
    assert "## Verdict" not in text and "## Scores" in text


def test_a_judge_stays_where_all_that_it_judged_is_there(whole: Contents, tmp_path: Path) -> None:
    """What it cost is not known of each experiment."""
    judges = facts([grade(1, "plain", 4.0), choice(1, "variant")], tmp_path / "judged")
    judged = whole.model_copy(update={"judges": judges})
    every = [one.name for one in whole.experiments]
    assert selected(judged, every).judges == judges != ()
    assert selected(judged, ["short"]).judges == ()


def test_early_stop_tells_of_these_experiments_and_of_no_difference_without_the_baseline(whole: Contents) -> None:
    """Trials that were saved stay saved: they are none without an answer."""
    at = whole.run.created_at
    ended = Settled(
        decision="better", reason="the difference lies between 1 and 2", statistic=0.01,
        experiment="short", rule="sequential", rows=40, rows_planned=80, at=at,
    )  # fmt: skip
    stops = tuple(
        EarlyStop(experiment=name, baseline=name == "plain", asked_trials=40, saved_trials=40, settled=settled)
        for name, settled in (("plain", None), ("short", ended))
    )
    stopped = whole.model_copy(update={"early_stop": EarlyStops(rules=("sequential",), alpha=0.05, experiments=stops)})
    alone, pair = selected(stopped, ["short"]).early_stop, selected(stopped, ["plain", "short"]).early_stop
    assert alone is not None and alone.saved_trials == 40 and "40 of 80 rows" in alone.sentences[0]
    assert "lies between" not in alone.model_dump_json()
    assert pair is not None and pair.experiments == stops
