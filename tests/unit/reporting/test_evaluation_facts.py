"""Facts that a report shows beside metrics: times of streamed answers, and what aggregators and comparers found."""

from decimal import Decimal

import numpy as np
import pytest

from assay.reporting.columns import BatchFigures, RunColumns
from assay.scoring.views import NO_OUTCOME, STATUSES
from builders import blocked, failed, outcome, plan, response, run_header, suite
from evaluations import batch_of, evaluate


def test_streamed_answers_say_when_they_began_and_how_fast_they_came() -> None:
    """Rule: quantiles over the first answers of trials; answers that came whole say nothing of it."""
    of = suite(("plain", "short"))
    streamed = [
        response(first_token_seconds=0.2 * at, latency_seconds=1.0 + 0.2 * at, output_tokens=50) for at in (1, 2, 3)
    ]
    outcomes = [outcome(at, "plain", None, one) for at, one in enumerate(streamed, start=1)]
    outcomes += [outcome(at, "short") for at in (1, 2, 3)]

    plain, short = evaluate(run_header(of), of, plan(of, 3), outcomes, (), 0).experiments

    assert plain.latency is not None
    assert plain.latency.first_token_p50_seconds == pytest.approx(0.4)
    assert plain.latency.first_token_p95_seconds == pytest.approx(0.58)
    assert plain.latency.tokens_per_second_p50 == pytest.approx(50.0)
    assert short.latency is not None
    assert (short.latency.first_token_p50_seconds, short.latency.tokens_per_second_p50) == (None, None)


def test_quantiles_of_times_rise() -> None:
    """Rule: 50, 90, 95 and 99 % of the answered trials, by linear interpolation."""
    of = suite(("plain",))
    outcomes = [outcome(at, "plain", None, response(latency_seconds=float(at))) for at in range(1, 102)]

    latency = evaluate(run_header(of), of, plan(of, 101), outcomes, (), 0).experiments[0].latency

    assert latency is not None
    assert (latency.p50_seconds, latency.p90_seconds, latency.p95_seconds, latency.p99_seconds) == (51, 91, 96, 100)


def test_aggregators_and_comparers_of_a_suite_are_in_the_contents() -> None:
    """Rule: by experiment and by variant, under the names that the suite gives them."""
    of = suite(
        ("plain", "short"),
        aggregators=({"plugin": "token_usage", "name": "tokens"},),
        comparers=({"plugin": "cost_ratio", "name": "price"},),
    )
    outcomes = [
        outcome(at, name, None, response(cost_usd=cost, input_tokens=10))
        for at in (1, 2)
        for name, cost in (("plain", "0.01"), ("short", "0.02"))
    ]

    contents = evaluate(run_header(of), of, plan(of, 2), outcomes, (), 0)

    tokens = contents.experiments[0].aggregates["tokens"]["input_tokens"]
    assert isinstance(tokens, dict)
    assert tokens["total"] == 20
    assert set(contents.comparers) == {"short"}
    assert set(contents.comparers["short"]) == {"price"}
    assert contents.recommendation


def test_a_view_has_a_line_per_row_and_a_column_per_repeat() -> None:
    """Rule: what is missing is NaN, what failed keeps what it was billed, and numbers stand at their rows."""
    of = suite([{**one.model_dump(by_alias=True), "repeats": 2} for one in suite(("plain",)).experiments])
    lost = failed(2)
    assert lost.failure is not None
    billed = lost.failure.model_copy(update={"cost_usd": Decimal("0.5"), "usage": response().usage})
    batch = batch_of(
        outcome(1, "plain", {"correct": 1.0}, response(), response(criterion="mood"), repeat=1),
        lost.model_copy(update={"failure": billed}),
        blocked(3),
        suite=of,
        rows=3,
    )
    columns = RunColumns(plan(of, 3), ["correct"])
    columns.add(batch, BatchFigures.of(batch, ["correct"]))

    (view,) = columns.views()

    codes = [STATUSES.index(name) for name in ("succeeded", "failed", "blocked")]
    assert view.statuses.tolist() == [[NO_OUTCOME, codes[0]], [codes[1], NO_OUTCOME], [codes[2], NO_OUTCOME]]
    assert view.latency_seconds[0].tolist() == pytest.approx([np.nan, 0.8], nan_ok=True)
    assert view.input_tokens[:, 0].tolist() == pytest.approx([np.nan, 180.0, np.nan], nan_ok=True)
    assert (view.input_tokens[0, 1], view.cost_usd[1, 0]) == (360.0, 0.5)
    assert np.isnan(view.cost_usd[2]).all()
