"""Repeats in reports: a row's score is the mean of its repeats, and repeats are no new rows."""

import csv
import random
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from assay.records import Outcome
from assay.reporting.contents import Contents
from assay.reporting.html import render_html
from assay.reporting.markdown import render_markdown
from assay.suite.models import Suite
from builders import experiment, failed, outcome, plan, run_header, suite
from evaluations import evaluate, write_results

ROWS = 30


def repeated(baseline: int = 3, variant: int = 2) -> Suite:
    first = {**experiment("plain", baseline=True), "repeats": baseline}
    return suite([first, {**experiment("short"), "repeats": variant}])


def trials(of: Suite, rows: int = ROWS) -> list[Outcome]:
    draw = random.Random(5)
    return [
        outcome(row, one.name, {"correct": float(draw.random() < 0.6)}, repeat=repeat)
        for one in of.ordered
        for row in range(1, rows + 1)
        for repeat in range(one.repeats)
    ]


def contents(of: Suite, outcomes: Sequence[Outcome]) -> Contents:
    return evaluate(run_header(of), of, plan(of, ROWS), outcomes, (), 0)


def test_comparisons_are_by_row_and_metrics_by_trial_with_rows_as_clusters() -> None:
    """Rule: ninety answers to thirty rows are thirty pairs."""
    of = repeated()
    found = contents(of, trials(of))

    [compared] = found.comparisons
    assert (compared.result.n_rows, compared.result.n_pairs, compared.result.n_repeats) == (ROWS, ROWS, 3)
    metric = found.experiments[0].metrics["correct"]
    assert (metric.n_trials, metric.n_clusters) == (90, ROWS)
    assert (found.run.rows, found.run.trials) == (ROWS, 150)


def test_the_difference_is_that_of_the_means_of_the_rows() -> None:
    """Rule: each row counts once, however often it was asked."""
    of = repeated()
    outcomes = trials(of)

    def mean(name: str) -> float:
        values = [one.scores[0].value for one in outcomes if one.experiment == name]
        return sum(value or 0.0 for value in values) / len(values)

    [compared] = contents(of, outcomes).comparisons
    assert compared.result.difference == pytest.approx(mean("short") - mean("plain"))


def test_a_mean_of_passes_and_fails_is_a_share_wherever_it_is_said() -> None:
    """Rule: repeats make the test numeric; what people read stays in percent and points."""
    found = contents(repeated(), trials(repeated()))

    [compared] = found.comparisons
    assert (compared.result.kind, compared.result.shown_kind) == ("numeric", "binary")
    for said in (compared.sentence, found.headline, found.recommendation, render_markdown(found)):
        assert "points" in said or "shown" in said
    assert " points (95 % interval" in compared.sentence
    page = render_html(found)
    assert "In percentage points. A row counts with the mean of its repeats." in page
    assert not re.search(r"(?<![\d.])0\.\d+ →", page)


def test_the_order_of_arrival_changes_nothing() -> None:
    """Rule: the same outcomes give equal contents, failures of repeats included."""
    of = repeated()
    outcomes = [
        failed(one.row_number, one.experiment).model_copy(update={"repeat": one.repeat})
        if one.row_number % 7 == 0
        else one
        for one in trials(of)
    ]
    shuffled = random.Random(1).sample(outcomes, len(outcomes))
    found = contents(of, outcomes)
    assert contents(of, shuffled) == found
    assert "short" in render_html(found)
    assert "short" in render_markdown(found)


def test_a_missing_repeat_is_a_missing_trial_and_no_missing_row() -> None:
    """Rule: a row is compared by the repeats that it has."""
    of = repeated()
    found = contents(of, [one for one in trials(of) if (one.experiment, one.repeat) != ("plain", 2)])
    assert found.experiments[0].statuses.without_outcome == ROWS
    assert found.comparisons[0].result.n_pairs == ROWS


def test_a_repeat_that_the_plan_does_not_have_is_an_error() -> None:
    """Rule: it would take another row's place."""
    of = repeated()
    with pytest.raises(LookupError, match="row 1, experiment 'short', repeat 2 is not planned"):
        contents(of, [outcome(1, "short", repeat=2)])


def test_results_name_the_repeat_where_there_are_any(tmp_path: Path) -> None:
    """Rule: by row, experiment and repeat, counted from 1; without repeats there is no such column."""
    of = repeated(2, 1)
    write_results(trials(of, rows=2), of, tmp_path)
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        lines = [(one["row"], one["experiment"], one["repeat"], one["status"]) for one in csv.DictReader(file)]
    assert [one[:3] for one in lines] == [
        ("1", "plain", "1"),
        ("1", "plain", "2"),
        ("1", "short", "1"),
        ("2", "plain", "1"),
        ("2", "plain", "2"),
        ("2", "short", "1"),
    ]
    assert {one[3] for one in lines} == {"succeeded"}
