"""Costs by criterion: every cent is in one of them, what was thrown away is said, what is unknown is never nothing."""

from __future__ import annotations

from decimal import Decimal

from assay.records import Failure, Outcome, Response, TrialStatus
from assay.reporting.money import Cost, CostCounts, RunCost, cost_sentences
from assay.reporting.tallies import ExperimentTally, add_batch
from builders import response, suite
from evaluations import batch_of


def outcome(*responses: Response, failure: Failure | None = None) -> Outcome:
    return Outcome(
        row_id="1",
        row_number=1,
        experiment="plain",
        status=TrialStatus.FAILED if failure else TrialStatus.SUCCEEDED,
        responses=responses,
        failure=failure,
    )


def counted(*outcomes: Outcome) -> CostCounts:
    numbered = [one.model_copy(update={"row_number": number}) for number, one in enumerate(outcomes, start=1)]
    tallies = [ExperimentTally()]
    add_batch(tallies, batch_of(*numbered, suite=suite(("plain",))))
    return tallies[0].costs


def test_every_answer_counts_for_its_criterion() -> None:
    """The criteria of an experiment add up to its total."""
    counts = counted(
        outcome(response("a", "queue", cost_usd="0.01"), response("b", "rating", cost_usd="0.002")),
        outcome(response("a", "queue", cost_usd="0.03")),
    )

    assert {name: (cost.spent_usd, cost.answers) for name, cost in counts.costs().items()} == {
        "queue": (Decimal("0.04"), 2),
        "rating": (Decimal("0.002"), 1),
    }
    assert counts.total().spent_usd == Decimal("0.042")


def test_what_was_billed_for_nothing_is_thrown_away() -> None:
    """Discarded answers, and all that a failed question was billed, are part of the cost and shown as lost."""
    rerun = response("a", "queue", cost_usd="0.05").model_copy(update={"discarded_usd": Decimal("0.02")})
    lost = Failure(kind="invalid_output", message="no JSON", criterion="rating", cost_usd=Decimal("0.01"))

    total = counted(outcome(rerun), outcome(failure=lost)).total()

    assert (total.spent_usd, total.discarded_usd) == (Decimal("0.06"), Decimal("0.03"))
    assert cost_sentences(total) == ("Of 0.0600 USD spent, 0.0300 USD was thrown away.",)


def test_an_unknown_price_is_said_and_not_counted_as_nothing() -> None:
    """The sum leaves the answer out, and a sentence says so."""
    total = counted(outcome(response("a", "queue").model_copy(update={"cost_usd": None}))).total()

    assert (total.spent_usd, total.unpriced) == (Decimal(0), 1)
    assert cost_sentences(total) == ("The cost of 1 answer is unknown and not in the sums.",)


def test_cached_answers_cost_nothing_and_are_counted() -> None:
    """They are answers like others, at no cost."""
    cached = response("a", "queue", cost_usd="0").model_copy(update={"cached": True})

    assert counted(outcome(cached)).total() == Cost(answers=1, cached=1)


def test_only_an_exceeded_soft_budget_is_noticed() -> None:
    """An enforced budget is not exceeded, and one that was kept needs no word."""
    spent = {"spent_usd": Decimal("25.40"), "budget_usd": Decimal(25)}

    assert RunCost(**spent, budget="soft").notice == "The budget was exceeded: 25.40 USD of 25.00 USD were spent."
    assert RunCost(**spent, budget="enforce").notice == ""
    assert RunCost(spent_usd=Decimal(1), budget_usd=Decimal(25), budget="soft").notice == ""
