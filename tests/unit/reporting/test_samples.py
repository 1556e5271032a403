"""The samples: few rows, chosen by number, whatever else is missing."""

from pathlib import Path

from assay.reporting.samples import MOST_DISAGREEMENTS, cut
from assay.reporting.sampling import disagreements, expected_values
from builders import failed, outcome, plan, response, row, run_header, suite
from evaluations import evaluate, store


def test_a_row_whose_third_trial_never_comes_is_still_compared() -> None:
    """Rule: a lost trial of one variant does not hide another's disagreement."""
    of = suite()
    outcomes = [outcome(1, "short", {"correct": 1.0}), outcome(1, "plain", {"correct": 0.0})]

    samples = evaluate(run_header(of), of, plan(of, 1), outcomes, (), 0).disagreements

    assert [one.row_id for one in samples["short"]] == ["T-0001"]
    assert samples["think-first"] == ()


def test_only_the_first_repeat_is_looked_at() -> None:
    """Rule: the first answer to a row stands for all."""
    of = suite([{**one.model_dump(by_alias=True), "repeats": 2} for one in suite(("plain", "short")).experiments])
    same, other = {"correct": 1.0}, {"correct": 0.0}
    outcomes = [outcome(1, name, same, repeat=0) for name in ("plain", "short")]
    outcomes += [outcome(1, "plain", same, repeat=1), outcome(1, "short", other, repeat=1)]

    samples = evaluate(run_header(of), of, plan(of, 1), outcomes, (), 0).disagreements

    assert samples["short"] == ()


def test_answers_differ_only_where_both_were_given() -> None:
    """Rule: without scores the first rows with other answers are shown, over all ranges; failures are no answers."""
    of = suite(("plain", "short"), scorers=())
    numbers = range(1, 101)
    outcomes = [outcome(number, "plain", {}, response("a")) for number in numbers]
    others = {number: response("b" if number % 4 == 0 else "a") for number in numbers}
    outcomes += [failed(at, "short") if at % 8 == 0 else outcome(at, "short", {}, others[at]) for at in numbers]

    samples = evaluate(run_header(of), of, plan(of, 100), outcomes, (), 0).disagreements

    assert [one.row_number for one in samples["short"]] == [4, 12, 20, 28, 36, 44, 52, 60, 68, 76]
    assert len(samples["short"]) == MOST_DISAGREEMENTS


def test_a_row_number_in_an_answer_is_not_taken_for_the_row(tmp_path: Path) -> None:
    """Rule: lines are found by their number and then checked."""
    of = suite(("plain", "short"))
    liar = outcome(2, "short").model_copy(update={"row_id": '"row_number":1,'})
    files = store([liar, outcome(1, "short"), outcome(1, "plain"), outcome(2, "plain")], plan(of, 2), tmp_path)

    found = disagreements(files, {"short": [1]}, "correct", {1: "billing"})

    assert [(one.row_id, one.expected) for one in found["short"]] == [("T-0001", "billing")]


def test_no_more_rows_are_read_than_needed() -> None:
    """Rule: what is right is looked up for few rows, and reading ends with the last of them."""
    rows = iter([row(number) for number in (1, 2, 3)])

    assert expected_values(rows, [2], "queue") == {2: "billing"}
    assert [one.number for one in rows] == [3]


def test_text_is_cut_at_the_limit() -> None:
    """Rule: what is left out is counted."""
    assert cut("abc", 3) == "abc"
    assert cut("abcdef", 3) == "abc … (3 more characters)"
