"""The contents: every number of a run, in words that claim no more than was shown."""

import random
from collections.abc import Sequence
from decimal import Decimal

import pytest

from assay.records import BadRow, Outcome, Row, TrialStatus
from assay.reporting.contents import Contents
from assay.reporting.html import render_html
from assay.reporting.markdown import render_markdown
from assay.suite.models import Suite
from builders import (
    LABEL_SCORER,
    RATING_SCORER,
    BuiltRun,
    blocked,
    failed,
    outcome,
    plan,
    rating_run,
    response,
    row,
    run_header,
    suite,
    triage_run,
)
from evaluations import evaluate


def contents_of(run: BuiltRun) -> Contents:
    return evaluate(run.header, run.suite, run.plan, run.outcomes, run.bad_rows, 0, run.rows)


def evaluated(
    outcomes: Sequence[Outcome],
    of: Suite | None = None,
    rows: int = 10,
    bad_rows: Sequence[BadRow] = (),
    dataset: Sequence[Row] = (),
) -> Contents:
    chosen = of or suite()
    return evaluate(run_header(chosen), chosen, plan(chosen, rows), outcomes, bad_rows, 0, dataset)


def everywhere(rows: int, values: dict[str, float]) -> list[Outcome]:
    """The same score of every row, by experiment."""
    numbers = range(1, rows + 1)
    return [outcome(number, name, {"correct": value}) for number in numbers for name, value in values.items()]


@pytest.fixture(scope="module")
def triage() -> Contents:
    return contents_of(triage_run())


def test_a_better_variant_is_said_to_be_better_with_all_its_numbers(triage: Contents) -> None:
    """Rule: the verdict names difference, interval, test, adjusted p and the size of the family."""
    sentence = triage.primary_comparisons[0].sentence

    assert sentence == (
        "think-first is better than plain on `correct`: +10.8 points (95 % interval +7.3 to +14.7),"
        " McNemar exact test of 316 pairs, p < 0.0001 after Holm over 2 comparisons."
    )


def test_no_difference_is_never_called_equal(triage: Contents) -> None:
    """Rule: a test that shows nothing is reported as such."""
    comparison = triage.primary_comparisons[1]

    assert comparison.sentence.startswith("No difference shown between short and plain on `correct`: +0.6 points")
    assert not any(word in triage.model_dump_json() for word in (" equal ", "identical", "the same as"))


def test_the_headline_names_every_variant_once(triage: Contents) -> None:
    """Rule: one line says what came out for all of them."""
    assert triage.headline == (
        "think-first is better than plain on `correct` by 10.8 points; no difference shown for short"
    )


def test_numeric_scores_are_compared_in_their_own_unit() -> None:
    """Rule: points are for pass rates only."""
    sentence = contents_of(rating_run()).primary_comparisons[0].sentence

    assert sentence.startswith(
        "rubric is worse than plain on `helpfulness`: −0.43 (95 % interval −0.71 to −0.15), paired"
    )
    assert "points" not in sentence


def test_the_order_of_arrival_changes_nothing() -> None:
    """Rule: the same outcomes give the same bytes, shuffled, and with some delivered twice."""
    run = triage_run(rows=60)
    outcomes = list(run.outcomes)
    shuffled = random.Random(3).sample(outcomes, len(outcomes)) + outcomes[:20]

    other = evaluate(run.header, run.suite, run.plan, iter(shuffled), run.bad_rows, 0, reversed(run.rows))

    assert other.model_dump_json() == contents_of(run).model_dump_json()


def test_contents_come_back_from_their_json(triage: Contents) -> None:
    """Rule: a report can be laid out again from summary.json alone."""
    assert Contents.model_validate_json(triage.model_dump_json(indent=1)) == triage


def test_every_variant_is_compared_on_every_score_with_the_primary_first() -> None:
    """Rule: Holm's family is all comparisons of the run, the deciding score in front."""
    second = RATING_SCORER | {"criterion": "queue"}
    of = suite(scorers=(second, LABEL_SCORER), comparison={"primary": "correct"})
    outcomes = [
        outcome(number, name, {"correct": float(number % 2), "helpfulness": number % 5})
        for number in range(1, 11)
        for name in ("plain", "think-first", "short")
    ]

    contents = evaluated(outcomes, of)

    assert [(one.score, one.variant, one.primary) for one in contents.comparisons] == [
        ("correct", "think-first", True),
        ("correct", "short", True),
        ("helpfulness", "think-first", False),
        ("helpfulness", "short", False),
    ]
    assert contents.scores == ("correct", "helpfulness")
    assert contents.primary == "correct"


def test_p_values_are_adjusted_over_all_comparisons() -> None:
    """Rule: with two comparisons, Holm doubles the smaller p-value."""
    outcomes = everywhere(12, {"plain": 0.0, "think-first": 1.0, "short": 0.0})

    better = evaluated(outcomes, rows=12).primary_comparisons[0].result

    assert better.p_value == pytest.approx(2 * 0.5**12)
    assert better.p_adjusted == pytest.approx(4 * 0.5**12)


def test_costs_and_tokens_add_up_exactly(triage: Contents) -> None:
    """Rule: money is a decimal sum, and plain text in JSON."""
    run = triage_run()
    exact = sum((one.cost_usd for one in run.outcomes), Decimal(0))

    assert triage.cost_usd == exact
    assert triage.usage.input_tokens == sum(one.usage.input_tokens for one in run.outcomes)
    assert triage.model_dump(mode="json")["experiments"][0]["cost_usd"] == f"{triage.experiments[0].cost_usd:f}"


def test_criteria_and_experiments_add_up_to_the_run(triage: Contents) -> None:
    """Rule: every cent is in exactly one criterion of one experiment."""
    for experiment in triage.experiments:
        assert sum(cost.spent_usd for cost in experiment.by_criterion.values()) == experiment.cost_usd
        assert experiment.money.spent_usd == experiment.cost_usd
    assert triage.money.spent_usd == triage.cost_usd


def test_a_free_run_costs_a_plain_zero() -> None:
    """Rule: no exponent reaches the JSON."""
    free = evaluated([outcome(1, "plain", None, response(cost_usd="0.000000000"))])

    assert free.model_dump(mode="json")["experiments"][0]["cost_usd"] == "0"


def test_latency_is_the_quantile_of_the_trials_that_were_answered() -> None:
    """Rule: a trial's time is the sum over its criteria; failed trials have none."""
    times = [0.1, 0.2, 0.3, 0.4, 0.5]
    outcomes = [
        outcome(at, "plain", None, response(latency_seconds=time), response(criterion="mood", latency_seconds=1.0))
        for at, time in enumerate(times, start=1)
    ]

    latency = evaluated([*outcomes, failed(6)]).experiments[0].latency

    assert latency is not None
    assert (latency.p50_seconds, latency.p95_seconds) == (pytest.approx(1.3), pytest.approx(1.48))


def test_answers_are_counted_by_the_model_that_gave_them() -> None:
    """Rule: a deployment that changed its model midway shows."""
    outcomes = [outcome(1), outcome(2), outcome(3, "plain", None, response(model="gpt-4o-mini-2099-01-01"))]

    models = evaluated(outcomes).experiments[0].models

    assert models == {"gpt-4o-mini-2024-07-18": 2, "gpt-4o-mini-2099-01-01": 1}


def test_the_report_says_which_deployments_answered_where_it_was_not_the_first_one_alone() -> None:
    """Rule: a spread or a fallback is said in both reports, with counts; its absence needs no words."""
    spread = [
        outcome(1, "plain"),
        outcome(2, "plain", None, response(deployment="large@west")),
        outcome(1, "think-first"),
    ]

    contents = evaluated(spread, suite(("plain", "think-first")), rows=2)

    (said,) = contents.deployment_sentences
    assert said == "plain: answered by `gpt-4o-mini` (1) and `large@west` (1)."
    assert "<code>large@west</code> (1)" in render_html(contents)
    assert "large@" in render_markdown(contents)


def test_models_without_a_price_are_named() -> None:
    """Rule: an unknown price is never silently nothing."""
    unknown = response(model="novel-9", cost_usd=None)

    assert evaluated([outcome(1), outcome(2, "plain", None, unknown)]).prices.unpriced_models == ("novel-9",)


def test_trials_are_counted_by_their_final_state() -> None:
    """Rule: what never had an outcome is told apart from what failed."""
    skipped = failed(4, "plain", "cancelled", status=TrialStatus.SKIPPED)

    statuses = evaluated([outcome(1), failed(2), blocked(3), skipped]).experiments[0].statuses

    counts = (statuses.succeeded, statuses.failed, statuses.blocked, statuses.skipped, statuses.without_outcome)
    assert counts == (1, 1, 1, 1, 6)
    assert statuses.unanswered == 9


def test_missing_trials_are_said_with_the_range_they_could_move_the_result_by() -> None:
    """Rule: rows without a pair are counted by who lacks a score, and bounded."""
    outcomes = everywhere(10, {"plain": 0.0, "think-first": 1.0, "short": 0.0})
    kept = [one for one in outcomes if (one.row_number, one.experiment) not in {(1, "plain"), (2, "think-first")}]

    sentence = evaluated([*kept, failed(2, "think-first")]).primary_comparisons[0].missing_sentence

    assert sentence == (
        "2 of 10 rows are not compared (1 without a score of plain, 1 without a score of think-first)."
        " Whatever they would have scored, the difference over all 10 rows lies between +80.0 and +100.0 points."
    )


def test_nothing_missing_is_not_mentioned() -> None:
    """Rule: a complete comparison has no sentence about missing rows."""
    outcomes = everywhere(10, {"plain": 0.0, "think-first": 1.0, "short": 0.0})

    assert evaluated(outcomes).primary_comparisons[0].missing_sentence is None


def test_a_metric_explains_why_scores_are_missing() -> None:
    """Rule: failed, blocked, not done and not scorable are different things."""
    outcomes = [outcome(1), outcome(2, "plain", {"correct": None}), failed(3), blocked(4)]

    metric = evaluated(outcomes, rows=5).experiments[0].metrics["correct"]

    assert (metric.n_trials, metric.n_scored) == (5, 1)
    assert metric.missing.model_dump() == {"failed": 1, "blocked": 1, "skipped": 1, "unscored": 1}


def test_failures_are_grouped_by_kind_with_the_first_rows_as_samples() -> None:
    """Rule: the commonest kind first; three samples each, chosen by row number."""
    outcomes = [failed(number, "plain", "read_timeout", "No answer") for number in (9, 2, 7, 4)]
    outcomes.append(failed(1, "short", "server_error", "Boom", request_id="req-1"))

    first, second = evaluated([*outcomes, blocked(3)]).failures

    assert (first.kind, first.count, first.by_experiment) == ("read_timeout", 4, {"plain": 4})
    assert [sample.row_number for sample in first.samples] == [2, 4, 7]
    assert (second.samples[0].row_id, second.samples[0].message) == ("T-0001", "Boom")
    assert second.samples[0].request_id == "req-1"


def test_blocked_trials_are_not_failures() -> None:
    """Rule: what the content filter refused stands apart."""
    contents = evaluated([blocked(1), blocked(2, "short")])

    assert contents.failures == ()
    assert [(group.kind, group.count) for group in contents.blocked] == [("content_filter", 2)]


def test_answers_that_a_scorer_could_not_judge_are_shown_with_its_reason() -> None:
    """Rule: the scorer's reason reaches the reader."""
    lost = outcome(1).model_copy(
        update={"scores": (outcome(1, "plain", {"correct": None}).scores[0].model_copy(update={"reason": "not JSON"}),)}
    )

    (group,) = evaluated([lost]).unscored

    assert (group.kind, group.count, group.samples[0].message) == ("correct", 1, "not JSON")


def test_disagreements_are_the_first_rows_on_which_the_scores_differ() -> None:
    """Rule: at most ten, by row number; agreeing, failed and half-scored rows are no disagreements."""
    outcomes = []
    for number in range(1, 31):
        outcomes.append(outcome(number, "plain", {"correct": 0.0}))
        outcomes.append(outcome(number, "think-first", {"correct": float(number % 2)}))
        outcomes.append(failed(number, "short"))

    contents = evaluated(outcomes, rows=30)

    found = contents.disagreements["think-first"]
    assert [one.row_number for one in found] == [1, 3, 5, 7, 9, 11, 13, 15, 17, 19]
    assert contents.disagreements["short"] == ()
    assert found[0].baseline.answers[0].text == '{"queue": "billing"}'
    assert (found[0].baseline.score, found[0].variant.score) == (0.0, 1.0)


def test_a_disagreement_tells_what_was_expected_when_a_scorer_looks_into_a_column() -> None:
    """Rule: the column is the primary scorer's; without rows nothing is claimed."""
    outcomes = everywhere(3, {"plain": 0.0, "think-first": 1.0, "short": 0.0})

    dataset = [row(number, queue=f"queue {number}") for number in (1, 2, 3)]
    with_rows = evaluated(outcomes, rows=3, dataset=dataset)
    without = evaluated(outcomes, rows=3)

    assert [one.expected for one in with_rows.disagreements["think-first"]] == ["queue 1", "queue 2", "queue 3"]
    assert [one.expected for one in without.disagreements["think-first"]] == [None, None, None]


def test_a_suite_without_scorers_shows_where_the_answers_differ() -> None:
    """Rule: without a score, another answer is a disagreement."""
    of = suite(("plain", "other"), scorers=())
    outcomes = [
        outcome(1, "plain", {}, response("a")),
        outcome(1, "other", {}, response("a")),
        outcome(2, "plain", {}, response("a")),
        outcome(2, "other", {}, response("b")),
    ]

    contents = evaluated(outcomes, of)

    assert [one.row_number for one in contents.disagreements["other"]] == [2]
    assert contents.headline == "The suite has no scorer, so nothing is compared"
    assert (contents.primary, contents.comparisons, contents.scores) == (None, (), ())


def test_long_texts_are_cut_and_say_so() -> None:
    """Rule: one huge answer cannot make the report huge."""
    huge = response("x" * 1_000_000)
    outcomes = [outcome(1, "plain", {"correct": 0.0}, huge), outcome(1, "short", {"correct": 1.0}, huge)]
    bad = BadRow(line=3, reason="r" * 10_000, found="f" * 10_000)

    text = evaluated([*outcomes, failed(2, message="m" * 10_000)], bad_rows=[bad]).model_dump_json()

    assert len(text) < 30_000
    assert "(998,000 more characters)" in text


def test_bad_rows_are_counted_whole_and_shown_in_part() -> None:
    """Rule: the first twenty are in the report; the count is the plan's."""
    of = suite()
    bad = [BadRow(line=line, reason="empty") for line in range(2, 52)]

    contents = evaluate(run_header(of), of, plan(of, 10, bad_rows=50), [], bad, 4)

    assert (len(contents.bad_rows), contents.run.bad_rows, contents.quarantined_messages) == (20, 50, 4)


def test_a_run_without_any_outcome_is_reported_as_such() -> None:
    """Rule: nothing to compare is a result, not an error."""
    contents = evaluated([])

    assert contents.headline == "No trial was answered, so there is nothing to compare"
    assert {one.result.verdict for one in contents.comparisons} == {"not enough data"}
    assert contents.unanswered == 30
    assert contents.experiments[0].latency is None


def test_a_run_in_which_all_failed_is_reported_as_such() -> None:
    """Rule: failed trials are never scores of zero."""
    outcomes = [failed(number, name) for number in range(1, 11) for name in ("plain", "think-first", "short")]

    contents = evaluated(outcomes)

    assert contents.headline == "No trial was answered, so there is nothing to compare"
    assert contents.experiments[0].metrics["correct"].mean is None
    assert contents.failures[0].count == 30


def test_answers_without_any_score_are_reported_as_such() -> None:
    """Rule: answered but not scorable is another story than not answered."""
    assert evaluated([outcome(1, "plain", {"correct": None})]).headline == (
        "No answer could be scored on `correct`, so there is nothing to compare"
    )


def test_a_lone_baseline_is_compared_with_nothing() -> None:
    """Rule: one experiment is a report without comparisons."""
    contents = evaluated([outcome(1)], suite(("plain",)))

    assert contents.headline == "Only plain was tried, so there is nothing to compare"
    assert contents.comparisons == ()


def test_too_few_pairs_are_not_enough_data() -> None:
    """Rule: below the fewest pairs that could decide anything, no verdict is given."""
    contents = evaluated(everywhere(3, {"plain": 0.0, "think-first": 1.0, "short": 1.0}), rows=3)

    sentence = contents.primary_comparisons[0].sentence
    assert sentence.startswith("Not enough data to compare think-first with plain on `correct`: 3 pairs")
    assert contents.headline == "Not enough data for think-first and short against plain on `correct`"


def test_several_better_variants_share_one_clause() -> None:
    """Rule: the headline stays one line however many variants there are."""
    contents = evaluated(everywhere(20, {"plain": 0.0, "think-first": 1.0, "short": 1.0}), rows=20)

    assert contents.headline == (
        "think-first (+100.0 points) and short (+100.0 points) are better than plain on `correct`"
    )


def test_an_outcome_that_the_plan_does_not_know_is_an_error() -> None:
    """Rule: a foreign outcome is not quietly counted."""
    with pytest.raises(LookupError):
        evaluated([outcome(1, "stranger")])
    with pytest.raises(LookupError):
        evaluated([outcome(11)], rows=10)
