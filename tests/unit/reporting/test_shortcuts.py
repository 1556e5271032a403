"""What the report says of cached answers and of lowered limits."""

from collections.abc import Sequence
from decimal import Decimal

import builders
from assay.records import Outcome, Response, TrialStatus, Usage
from assay.reporting.contents import Contents
from assay.reporting.html import render_html
from assay.reporting.markdown import render_markdown
from assay.reporting.shortcuts import ShortcutCounts, Shortcuts, shortcut_sentences
from assay.reporting.tallies import ExperimentTally, add_batch
from evaluations import batch_of, evaluate


def response(**changes: object) -> Response:
    content = {
        "criterion": "queue",
        "text": "billing",
        "finish_reason": "stop",
        "model": builders.MODEL,
        "deployment": "gpt-4o-mini",
        "request_id": None,
        "usage": Usage(input_tokens=500, output_tokens=90),
        "cost_usd": Decimal("0.01"),
        "latency_seconds": 1.0,
    }
    return Response.model_validate(content | changes)


RESPONSES = (
    response(cached=True, cost_usd=Decimal(0)),
    response(),
    response(limit_sent=100),
    response(limit_sent=140, reruns=1, discarded=Usage(input_tokens=500, output_tokens=140)),
)


def counted() -> Shortcuts:
    return counts_of(RESPONSES[:2], RESPONSES[2:]).shortcuts(max_tokens=1_000)


def counts_of(*batches: Sequence[Response]) -> ShortcutCounts:
    """The counts over batches of trials with one response each."""
    tallies = [ExperimentTally()]
    for responses in batches:
        trials = [builders.outcome(number, "plain", None, one) for number, one in enumerate(responses, start=1)]
        add_batch(tallies, batch_of(*trials, suite=builders.suite(("plain",))))
    return tallies[0].shortcuts


def test_saved_are_the_lowered_limits_less_what_reruns_were_charged() -> None:
    """Two limits were lowered by 900 and 860; one rerun was charged prompt and limit once more."""
    assert counted() == Shortcuts(
        answers=4,
        cached=1,
        limited=2,
        limit_low=100,
        limit_high=140,
        reruns=1,
        discarded=Usage(input_tokens=500, output_tokens=140),
        tokens_saved=900 + 860 - (500 + 1_000),
    )


def test_the_sentences_name_every_figure() -> None:
    """One for the cache, one for limits, one for reruns."""
    assert shortcut_sentences("plain", counted()) == (
        "plain: 1 of 4 answers from the cache.",
        "plain: 2 answers asked for with a lowered max_tokens (100 to 140); 260 tokens charged less to the quota.",
        "plain: 1 asked again (25.0 % of the answers); 640 tokens billed for answers that were not used.",
    )


def test_limits_that_did_not_pay_are_said_too() -> None:
    """Reruns can cost more than the limits saved."""
    (limits, _) = shortcut_sentences("plain", counts_of([RESPONSES[3]]).shortcuts(max_tokens=200))
    assert limits.endswith("(140); 640 tokens charged more to the quota.")


def test_nothing_is_said_where_nothing_was_spared() -> None:
    """Most runs."""
    assert shortcut_sentences("plain", counts_of([response()]).shortcuts(400)) == ()


def test_both_reports_show_it() -> None:
    """Under what it cost."""
    contents = report()
    said = "plain: 1 of 4 answers from the cache."
    assert said in render_html(contents)
    assert said in render_markdown(contents).replace("\\", "")
    assert Contents.model_validate_json(contents.model_dump_json()) == contents


def report() -> Contents:
    suite = builders.suite(["plain"], [])
    outcomes = [
        Outcome(
            row_id=builders.row_id(number),
            row_number=number,
            experiment="plain",
            status=TrialStatus.SUCCEEDED,
            responses=(one,),
        )
        for number, one in enumerate(RESPONSES, start=1)
    ]
    return evaluate(builders.run_header(suite), suite, builders.plan(suite, rows=4), outcomes, (), 0)
