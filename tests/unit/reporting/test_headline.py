"""The run in one line: up to three variants by name, more of them by number."""

from assay.reporting.headline import headline
from assay.scoring.results import Comparison, Verdict
from builders import outcome, plan, run_header, suite
from evaluations import evaluate


def compared(verdict: Verdict, difference: float) -> Comparison:
    of = suite(("plain", "short"))
    outcomes = [outcome(row, name) for row in (1, 2) for name in ("plain", "short")]
    [one] = evaluate(run_header(of), of, plan(of, 2), outcomes, (), 0).comparisons
    return one.result.model_copy(update={"verdict": verdict, "difference": difference})


def line(*results: tuple[str, Verdict, float]) -> str:
    found = [(name, compared(verdict, difference)) for name, verdict, difference in results]
    return headline("plain", "correct", found, scored=True, answered=True)


def test_many_variants_are_counted_and_the_extremes_named() -> None:
    """Rule: the line stays one, whatever a matrix holds."""
    assert line(
        ("a", "better", 0.05),
        ("b", "better", 0.123),
        ("c", "no difference shown", 0.0),
        ("d", "worse", -0.04),
        ("e", "not enough data", 0.0),
    ) == (
        "2 of 5 variants are better than plain on `correct`, best: b by 12.3 points; 1 is worse: d by 4.0 points;"
        " no difference shown for 1; not enough data for 1"
    )


def test_many_variants_without_a_winner_are_said_to_be_all() -> None:
    """Rule: the first clause names baseline and score."""
    four = [(name, "no difference shown", 0.0) for name in "abcd"]
    assert line(*four) == "No difference shown for all 4 variants against plain on `correct`"  # type: ignore[arg-type]


def test_few_variants_are_named() -> None:
    """Rule: up to three, each by its name."""
    said = line(("a", "better", 0.05), ("b", "no difference shown", 0.0))
    assert said == "a is better than plain on `correct` by 5.0 points; no difference shown for b"
