"""The table of trials: all of a small run, a telling part of a large one, never more than a page can hold."""

from pathlib import Path

import pytest

from assay.reporting.trial_table import TrialTable, choose_rows, trial_table
from builders import BuiltRun, triage_run
from evaluations import evaluate, write_results


def table_of(run: BuiltRun, folder: Path, most_trials: int = 20_000, most_characters: int = 600) -> TrialTable:
    write_results(run.outcomes, run.suite, folder, run.plan)
    contents = evaluate(run.header, run.suite, run.plan, run.outcomes, run.bad_rows, 0, run.rows)
    return trial_table(folder, contents, most_trials, most_characters)


def test_all_trials_of_a_small_run_are_shown_in_the_order_of_the_results(tmp_path: Path) -> None:
    """Rule: by row, then by experiment; every column has an entry per trial."""
    table = table_of(triage_run(rows=97), tmp_path)

    assert table.choice == "All trials are shown."
    assert list(zip(table.row, table.experiment, strict=True))[:4] == [(1, 0), (1, 1), (1, 2), (2, 0)]
    assert table.trials == 291
    columns = [table.row_id, table.repeat, table.status, table.expected, table.failure, table.cost_usd]
    columns += [table.latency_seconds, *table.answers.values(), *table.scores.values()]
    assert {len(column) for column in columns} == {291}
    assert table.statuses[table.status[-1]] == "blocked"
    assert table.failure[-1] == "content_filter"


def test_a_large_run_is_shown_in_part_and_the_page_says_so(tmp_path: Path) -> None:
    """Rule: whole rows, no more than fit; rows without an answer are among them."""
    table = table_of(triage_run(rows=200), tmp_path, most_trials=60)

    assert table.trials == 60
    assert {97, 194} <= set(table.row)
    assert "20 of 200 rows are shown" in table.choice


def test_the_same_bundle_gives_the_same_table(tmp_path: Path) -> None:
    """Rule: the sample is drawn with a fixed seed."""
    run = triage_run(rows=100)

    assert table_of(run, tmp_path, 30) == table_of(run, tmp_path, 30)


def test_long_answers_are_cut(tmp_path: Path) -> None:
    """Rule: one trial cannot fill the page."""
    table = table_of(triage_run(rows=3), tmp_path, most_characters=5)

    assert table.answers["queue"][0].startswith('{"que … (')


@pytest.mark.parametrize(
    ("unanswered", "differing", "expected"),
    [
        (range(1, 101), range(101, 201), {"unanswered": 40, "differing": 40}),
        (range(1, 11), range(101, 301), {"unanswered": 10, "differing": 70}),
        ((), (), {"unanswered": 0, "differing": 0}),
    ],
)
def test_what_one_kind_of_row_leaves_over_goes_to_the_next(
    unanswered: range, differing: range, expected: dict[str, int]
) -> None:
    """Rule: two fifths each for missing answers and for differences, the rest for any other row."""
    chosen, _ = choose_rows(unanswered, differing, range(1, 10_001), 100)

    assert len(chosen) == 100
    found = {"unanswered": len(chosen & set(unanswered)), "differing": len(chosen & set(differing))}
    assert all(abs(found[kind] - count) <= 3 for kind, count in expected.items())
