"""How a suite's wishes for its comparisons reach them, and what the report says of it."""

from assay.records import Outcome
from assay.reporting.contents import Contents
from assay.reporting.html import render_html
from assay.reporting.markdown import render_markdown
from builders import outcome, plan, row, run_header, suite
from evaluations import evaluate

AUTHORS = ["ann", "bob", "cid", "dora"]


def graded(rows: int) -> list[Outcome]:
    """The variant is right where the baseline is not, but for one author."""
    right = {number: AUTHORS[number % 4] != "ann" for number in range(1, rows + 1)}
    return [
        outcome(number, name, {"correct": float(name != "plain" and right[number])})
        for number in right
        for name in ("plain", "short")
    ]


def contents_of(comparison: dict[str, object], rows: int = 40) -> Contents:
    of = suite(("plain", "short"), comparison=comparison)
    dataset = [row(number, author=AUTHORS[number % 4]) for number in range(1, rows + 1)]
    return evaluate(run_header(of), of, plan(of, rows), graded(rows), (), 0, dataset)


def test_rows_of_a_group_are_one_piece_of_evidence_in_metrics_and_comparisons() -> None:
    """Rule: 40 tickets of four authors are not 40 independent ones."""
    alone, grouped = contents_of({"primary": "correct"}), contents_of({"primary": "correct", "group": "author"})

    assert alone.comparisons[0].result.test == "McNemar exact test"
    assert (grouped.comparisons[0].result.test, grouped.comparisons[0].result.n_clusters) == ("clustered t-test", 4)
    assert grouped.comparisons[0].result.p_value > alone.comparisons[0].result.p_value
    assert grouped.experiments[1].metrics["correct"].n_clusters == 4


def test_rows_without_a_group_stand_alone() -> None:
    """Rule: a missing value of the group column says nothing about others that miss it."""
    of = suite(("plain", "short"), comparison={"group": "author"})
    dataset = [row(number) for number in range(1, 41)]
    contents = evaluate(run_header(of), of, plan(of, 40), graded(40), (), 0, dataset)

    assert contents.comparisons[0].result.n_clusters == 40


def test_test_margin_and_correction_are_those_of_the_suite() -> None:
    """Rule: what the suite demands is done, and every format names the correction."""
    contents = contents_of({"test": "sign", "margin": 0.1, "correction": "bh", "power": 0.9})
    result = contents.comparisons[0].result

    assert (result.test, result.test_reason, result.correction) == (
        "sign test",
        "the suite demands it",
        "Benjamini-Hochberg",
    )
    assert result.equivalence is not None and result.equivalence.shown is False
    assert result.sensitivity is not None and result.sensitivity.power == 0.9
    assert "p\u00a0(Benjamini-Hochberg)" in render_html(contents) and "p (Benjamini-Hochberg)" in render_markdown(
        contents
    )


def test_a_score_to_be_minimised_is_better_when_it_is_lower() -> None:
    """Rule: the goal turns the verdict, and leaves difference and p-value alone."""
    raised, lowered = contents_of({}), contents_of({"goal": {"correct": "minimise"}})
    higher, lower = raised.comparisons[0].result, lowered.comparisons[0].result

    assert (higher.verdict, lower.verdict) == ("better", "worse")
    assert (higher.difference, higher.p_value) == (lower.difference, lower.p_value)
    assert (higher.win_rate or 0) + (lower.win_rate or 0) == 1
    assert "short is worse than plain" in lowered.headline
