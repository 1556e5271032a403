"""The wording: numbers as precise as they are certain, signs that can be trusted."""

from decimal import Decimal

import pytest

from assay.records import BadRow, Outcome
from assay.reporting import wording
from assay.run_records import Plan, RunHeader
from assay.scoring.results import Effect, Interval
from assay.suite.models import Suite
from builders import RATING_SCORER, outcome, plan, run_header, suite
from evaluations import evaluate


def interval(low: float | None, high: float | None) -> Interval:
    return Interval(None, low, high, 0.95, "t")


@pytest.mark.parametrize(
    ("p_value", "text"),
    [(0.82, "p = 0.82"), (0.0499, "p = 0.0499"), (0.00031, "p = 0.00031"), (0.00001, "p < 0.0001"), (1.0, "p = 1.00")],
)
def test_a_p_value_near_a_limit_keeps_its_digits(p_value: float, text: str) -> None:
    """Rule: 0.0499 does not pass for 0.05."""
    assert wording.probability(p_value) == text


def test_a_missing_p_value_is_no_number() -> None:
    """Rule: no test, no p."""
    assert wording.probability(None) == "no p-value"
    assert wording.p_digits(None) == wording.NOTHING


@pytest.mark.parametrize(
    ("number", "ends", "text"),
    [(5.62345, (5.18, 6.07), "5.62"), (1234.5, (1100.0, 1400.0), "1,234"), (0.00123, (0.001, 0.0015), "0.00123")],
)
def test_a_mean_is_as_precise_as_its_interval(number: float, ends: tuple[float, float], text: str) -> None:
    """Rule: the interval's width is shown with two digits, and the mean to the same place."""
    assert wording.value(number, "numeric", interval(*ends)) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [(0.0941, "+9.4 points"), (-0.0125, "−1.2 points"), (0.0, "0.0 points"), (-0.0001, "0.0 points")],
)
def test_a_difference_of_pass_rates_is_in_signed_points(number: float, text: str) -> None:
    """Rule: the sign is always there, except for a difference that rounds to nothing."""
    assert wording.difference(number, "binary") == text


def test_a_small_p_value_that_does_not_decide_says_why() -> None:
    """Rule: `no difference shown` beside a small p is explained."""
    contents = evaluate(*_run_with_opposing_signs())

    (one,) = contents.comparisons

    assert one.result.p_value is not None and one.result.p_value <= 0.05
    assert one.sentence.startswith("No difference shown between other and plain")
    assert one.sentence.endswith("mean difference and effect size disagree in sign).")


def _run_with_opposing_signs() -> tuple[RunHeader, Suite, Plan, list[Outcome], list[BadRow], int]:
    """Most rows a little better, two far worse: the ranks say one thing, the mean the other."""
    of = suite(("plain", "other"), (RATING_SCORER | {"criterion": "queue"},))
    differences = [1.0 + step / 100 for step in range(24)] + [-9.0, -9.5, -9.7, -9.8]
    before = [
        outcome(at, "plain", {"helpfulness": 10.0 if value < 0 else 0.0}) for at, value in enumerate(differences, 1)
    ]
    after = [
        outcome(at, "other", {"helpfulness": 10.0 + value if value < 0 else value})
        for at, value in enumerate(differences, 1)
    ]
    return run_header(of), of, plan(of, len(differences)), [*before, *after], [], 0


def test_an_unbounded_interval_says_so() -> None:
    """Rule: a missing bound is a dash, not a zero."""
    assert wording.difference_range(interval(None, None), "binary") == wording.NOTHING
    assert wording.difference_range(interval(None, 0.5), "binary") == "– to +50.0"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("12.4", "12.40 USD"),
        ("1234.5", "1,234.50 USD"),
        ("0.0312", "0.0312 USD"),
        ("0.00000003", "0.000000030 USD"),
        ("0", "0.00 USD"),
    ],
)
def test_small_costs_stay_visible(amount: str, text: str) -> None:
    """Rule: a cost is never rounded to nothing."""
    assert wording.usd(Decimal(amount)) == text


def test_names_are_listed_as_in_a_sentence() -> None:
    """Rule: commas, and one `and`."""
    assert [wording.listed(names) for names in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]


def test_effect_sizes_are_signed() -> None:
    """Rule: the direction of an effect is visible."""
    assert (wording.effect(Effect("d", -0.284)), wording.effect(Effect("d", None))) == ("−0.28", "–")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (4.778e-05, "0.000048"),
        (0.8125, "0.8125"),
        (12_345_678.9, "12,345,679"),
        (-2.5, "−2.5"),
        (2e-12, "2.0 × 10^−12"),
    ],
)
def test_figures_are_written_out(number: float, text: str) -> None:
    """Rule: nobody has to read an exponent before a number is tinier than ten millionths."""
    assert wording.figure(number) == text
