"""Recommendations: the same case is always said in the same words."""

from collections.abc import Mapping
from typing import Any

import pytest

from assay.reporting.contents import Contents
from assay.reporting.recommendation import recommend, stance_of
from assay.scoring.results import Bounds, Equivalence, Interval, Sensitivity
from builders import RATING_SCORER, outcome, plan, rating_run, run_header, suite, triage_run
from evaluations import evaluate


def contents() -> Contents:
    """A run in which think-first is better than plain, and short is open."""
    run = triage_run()
    return evaluate(run.header, run.suite, run.plan, run.outcomes, (), 0, run.rows)


def changed(of: Contents, **by_variant: Mapping[str, Any]) -> Contents:
    """The same contents with other results on the deciding score."""
    comparisons = [
        one.model_copy(update={"result": one.result.model_copy(update=dict(by_variant.get(one.variant, {})))})
        for one in of.comparisons
    ]
    return of.model_copy(update={"comparisons": tuple(comparisons)})


def interval(low: float, high: float) -> Interval:
    return Interval(None, low, high, 0.95, "t")


BETTER = {"verdict": "better", "difference": 0.05, "interval": interval(0.02, 0.08), "bounds": Bounds(-0.01, 0.09)}
WORSE = {"verdict": "worse", "difference": -0.05, "interval": interval(-0.08, -0.02)}
OPEN = {"verdict": "no difference shown", "sensitivity": Sensitivity(0.8, 0.025, 0.062, "normal approximation")}
LACKING = {"verdict": "not enough data"}
EQUIVALENT = OPEN | {"equivalence": Equivalence(0.03, interval(-0.01, 0.02), 0.001, True, "TOST", None)}

CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "ship": (
        {},
        OPEN,
        "Ship think-first: it is better than plain on `correct`, +10.8 points (95 % interval +7.3 to +14.7).\n"
        "think-first costs 65 % more (0.0665 USD per 1,000 answers instead of 0.0403 USD) and takes 55 % longer (median"
        " 0.64 s instead of 0.41 s).\n"
        "The 4 rows not compared cannot reverse this: at their worst, the difference would still be +9.7 points.",
    ),
    "ship the best of two, and missing trials could reverse it": (
        BETTER,
        BETTER | {"difference": 0.02},
        "Ship think-first: it is better than plain on `correct`, +5.0 points (95 % interval +2.0 to +8.0).\n"
        "think-first costs 65 % more (0.0665 USD per 1,000 answers instead of 0.0403 USD) and takes 55 % longer (median"
        " 0.64 s instead of 0.41 s).\n"
        "short (+2.0 points) is better too; variants were compared with the baseline, not with each other.\n"
        "The 4 rows not compared could reverse this: at their worst, the difference would be −1.0 points.",
    ),
    "do not ship": (
        WORSE,
        WORSE,
        "Do not ship think-first (−5.0 points) and short (−5.0 points): worse than plain on `correct`.",
    ),
    "no difference shown, and one is worse": (
        OPEN,
        WORSE,
        "Keep plain for now: no difference on `correct` was shown for think-first. That is no proof that there is"
        " none.\n"
        "A true difference below 6.2 points could have gone unseen; one that large is found with a chance of 80 %.\n"
        "Do not ship short (−5.0 points): worse than plain on `correct`.",
    ),
    "equivalent within the margin": (
        OPEN,
        EQUIVALENT,
        "Choose by cost and time: on `correct`, short does as well as plain, within ±3.0 points.\n"
        "short costs about the same (0.0410 USD per 1,000 answers) and takes about as long (median 0.42 s).",
    ),
    "not enough data": (
        LACKING,
        LACKING,
        "Decide nothing yet: there is not enough data to compare think-first and short with plain on `correct`.",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_case_has_its_sentences(case: str) -> None:
    """Rule: a recommendation's phrasing never varies."""
    think_first, short, expected = CASES[case]

    assert recommend(changed(contents(), **{"think-first": think_first, "short": short})) == expected


def test_a_loss_on_another_score_weighs_against_a_better_variant() -> None:
    """Rule: the score that decides is not all that counts."""
    of = suite(("plain", "other"), ({**RATING_SCORER, "criterion": "queue"}, {**RATING_SCORER, "name": "tone"}))
    names = {"plain": (5.0, 8.0), "other": (7.0, 6.0)}
    trials = [
        outcome(number, name, {"helpfulness": first + number % 2 * (name == "other"), "tone": second})
        for number in range(1, 31)
        for name, (first, second) in names.items()
    ]

    found = recommend(evaluate(run_header(of), of, plan(of, 30), trials, (), 0)).splitlines()

    assert found[0].startswith("Ship other if its loss elsewhere is worth it: it is better than plain")
    assert found[1].startswith("Against it: other is worse than plain on `tone` (−2")


def test_a_score_to_be_kept_low_is_judged_by_its_goal() -> None:
    """Rule: missing trials reverse a fall when they could turn it into a rise."""
    fall = {"verdict": "better", "goal": "minimise", "difference": -0.05, "bounds": Bounds(-0.09, 0.01)}

    found = recommend(changed(contents(), **{"think-first": fall, "short": OPEN}))

    assert "could reverse this: at their worst, the difference would be +1.0 points" in found


def test_a_run_without_anything_to_compare_recommends_nothing() -> None:
    """Rule: no comparison, no advice."""
    of = suite(("plain",))

    assert recommend(evaluate(run_header(of), of, plan(of, 3), [outcome(1)], (), 0)) == (
        "No recommendation: only plain was tried, so there is nothing to compare."
    )


def test_several_times_the_cost_is_said_in_times() -> None:
    """Rule: 833 % more is hard to read."""
    of = contents()
    dear = of.experiments[1].model_copy(update={"cost_usd": of.experiments[1].cost_usd * 5})
    found = recommend(of.model_copy(update={"experiments": (of.experiments[0], dear, of.experiments[2])}))

    assert "think-first costs 8.3 times as much (0.3326 USD per 1,000 answers instead of 0.0403 USD)" in found


def test_an_equivalence_that_is_not_shown_leaves_it_open() -> None:
    """Rule: only what is shown counts."""
    run = rating_run()
    result = evaluate(run.header, run.suite, run.plan, run.outcomes, (), 0).comparisons[1].result
    unshown = Equivalence(0.1, interval(-0.2, 0.2), 0.4, False, "TOST")

    assert stance_of(result.model_copy(update={"equivalence": unshown})) == "open"
