"""The bench's scores: what the emulator's log says of a quota, worked out by hand."""

from __future__ import annotations

import json
import random

import pytest

from assay.local.emulator_config import Deployment
from assay.local.emulator_requests import read_chat_request
from bench.quota.loads import DEPLOYMENT, LOADS, QUOTAS, Prompts, content_digest
from bench.quota.scoring import (
    Arrival,
    Limits,
    Span,
    capacity,
    longest_gap,
    percentile,
    rates,
    read_arrivals,
    score,
    seconds_until_rate,
    utilisation,
    waits,
    whole_answers,
    worst_windows,
)

WHOLE = [Limits(0.0, 60, 6_000)]


def arrival(at: float, tokens: int = 100, status: int | None = 200, content: str = "one") -> Arrival:
    return Arrival(at, tokens, status, content, at + 1, admitted=status != 429)


def line(**fields: object) -> str:
    return json.dumps(fields) + "\n"


def test_the_axis_with_the_larger_share_binds() -> None:
    """30 requests of 100 tokens in half a minute are all the requests there are, and all the tokens."""
    arrivals = [arrival(float(second), tokens=150) for second in range(30)]
    found = score(arrivals, WHOLE, Span(0.0, 30.0))
    assert found.utilisation_by_axis == {"requests": 1.0, "tokens": 1.5}
    assert (found.binding_axis, found.utilisation) == ("tokens", 1.5)


def test_rejected_requests_use_nothing_and_are_offered_all_the_same() -> None:
    """Utilisation counts what was admitted, windows count what was sent."""
    arrivals = [arrival(0.0), arrival(0.1, status=429), arrival(0.2, status=429)]
    found = score(arrivals, WHOLE, Span(0.0, 60.0))
    assert found.utilisation_by_axis["tokens"] == pytest.approx(100 / 6_000)
    assert found.rejected_share == pytest.approx(2 / 3)
    assert found.over["requests"][1] == pytest.approx(2.0)


def test_only_the_steady_part_counts_for_utilisation_and_useful_answers() -> None:
    """What was sent while the fleet warmed up, or after the end, is left out."""
    arrivals = [arrival(at) for at in (5.0, 10.0, 20.0, 70.0)]
    found = score(arrivals, WHOLE, Span(10.0, 70.0))
    assert found.utilisation_by_axis["requests"] == pytest.approx(2 / 60)
    assert found.useful_per_minute == pytest.approx(2.0)


def test_a_window_holds_what_came_less_than_its_length_ago() -> None:
    """A charge leaves the window exactly its length after it came, as in the service."""
    arrivals = [arrival(0.0, 4_000), arrival(59.9, 4_000), arrival(60.0, 3_000)]
    over = worst_windows(arrivals, WHOLE)["tokens"]
    assert over[60] == pytest.approx(8_000 / 6_000 - 1)
    assert over[1] == pytest.approx(7_000 / 100 - 1)


def test_one_request_is_no_overrun_however_small_the_window() -> None:
    """A quota of one request per minute allows a sixtieth of a request per second; nobody can send that."""
    assert worst_windows([arrival(0.0)], [Limits(0.0, 1, 6_000)])["requests"][1] == 0.0


def test_windows_agree_with_counting_each_one_anew() -> None:
    """The running sum against a plain second implementation."""
    draw = random.Random(5)
    arrivals = sorted(
        (arrival(draw.uniform(0, 200), draw.randint(1, 500)) for _ in range(300)), key=lambda each: each.at
    )
    for seconds, over in worst_windows(arrivals, WHOLE)["tokens"].items():
        sums = [sum(b.tokens for b in arrivals if a.at - seconds < b.at <= a.at) for a in arrivals]
        assert over == pytest.approx(max(sums) / (6_000 * seconds / 60) - 1)


def test_a_cut_counts_from_its_moment_and_until_its_end() -> None:
    """60 requests per minute, half of that for the middle 20 seconds of a minute: 50 may be sent."""
    limits = [Limits(0.0, 60, 6_000), Limits(20.0, 30, 3_000), Limits(40.0, 60, 6_000)]
    assert capacity(limits, "requests", Span(0.0, 60.0)) == pytest.approx(50)
    assert capacity(limits, "requests", Span(25.0, 35.0)) == pytest.approx(5)
    assert utilisation([arrival(30.0)], limits, Span(0.0, 60.0))["requests"] == pytest.approx(1 / 50)


def test_a_log_is_read_in_order_of_arrival_and_a_cut_off_line_is_left_out() -> None:
    """The log of a server that still writes, with an answer that has not come."""
    common = {"charge": 7, "content": "c"}
    lines = [
        line(event="received", id=2, t=5.0, **common),
        line(event="received", id=1, t=4.0, **common),
        line(event="answered", id=1, t=4.5, status=429, verdict="rate_limited", **common),
        '{"event": "received", "id": 3, "t": 6.0',
    ]
    first, second = read_arrivals(lines)
    assert (first.at, first.status, first.admitted, first.answered_at) == (4.0, 429, False, 4.5)
    assert (second.at, second.status, second.admitted, second.answered_at) == (5.0, None, True, None)


def test_what_came_while_the_service_was_down_or_made_no_sense_was_not_admitted() -> None:
    """Neither used any of the quota."""
    lines = [
        line(event="received", id=1, t=1.0, charge=7, content="c"),
        line(event="answered", id=1, t=1.0, status=None, verdict="down", charge=7, content="c"),
        line(event="received", id=2, t=2.0, charge=None, content=None),
    ]
    assert [each.admitted for each in read_arrivals(lines)] == [False, False]


def test_a_rate_is_reached_when_the_window_that_begins_then_holds_it() -> None:
    """One request per second from second 20 on: the first ten seconds that hold ten begin a little before it."""
    arrivals = [arrival(20.25 + second) for second in range(40)]
    found = rates(arrivals, "requests", 10.0, Span(0.0, 60.0))
    assert seconds_until_rate(found, 60.0, since=5.0) == 14.5
    assert seconds_until_rate(found, 61.0, since=5.0) is None


def test_the_longest_gap_may_lie_at_the_end() -> None:
    """Silence until the end of the span is silence."""
    assert longest_gap([arrival(1.0), arrival(3.0)], Span(0.0, 10.0)) == Span(3.0, 10.0)


def test_a_wait_runs_until_the_attempt_that_was_admitted() -> None:
    """The rejected attempt of the same content is part of the wait."""
    arrivals = [arrival(2.0, status=429, content="a"), arrival(9.0, content="a"), arrival(9.5, content="unknown")]
    assert waits(arrivals, {"a": 1.0}, Span(0.0, 60.0)) == [8.0]


@pytest.mark.parametrize(("share", "expected"), [(0.5, 2.0), (0.95, 4.0), (0.0, 1.0)])
def test_percentiles_are_values_that_were_seen(share: float, expected: float) -> None:
    """Nearest rank."""
    assert percentile([4.0, 1.0, 3.0, 2.0], share) == expected


def test_nothing_has_no_percentile() -> None:
    """No wait was seen; that is not a wait of zero."""
    assert percentile([], 0.95) is None


@pytest.mark.parametrize("load", LOADS.values(), ids=LOADS.keys())
def test_a_prompt_is_charged_what_the_bench_says_and_named_as_in_the_log(load) -> None:
    """The bench's arithmetic is the emulator's own: tokens of the prompt, and the digest of the content."""
    prompts = Prompts(load, "w00", seed=1)
    deployment = Deployment(model="m")
    for prompt in (prompts.next() for _ in range(50)):
        body = {"model": DEPLOYMENT, "messages": prompt.messages, "max_tokens": load.max_tokens}
        asked = read_chat_request(body, DEPLOYMENT, deployment)
        assert asked.prompt_tokens == prompt.tokens
        assert asked.digest == content_digest(DEPLOYMENT, prompt.messages)


def test_a_load_draws_what_it_promises() -> None:
    """The mean charge of many prompts, and that no two are equal."""
    load = LOADS["chat"]
    prompts = Prompts(load, "w00", seed=1)
    drawn = [prompts.next() for _ in range(4_000)]
    mean = sum(prompt.tokens for prompt in drawn) / len(drawn) + load.max_tokens
    assert mean == pytest.approx(load.mean_charge, rel=0.02)
    assert len({prompt.text for prompt in drawn}) == len(drawn)


def test_chat_is_bound_by_tokens_and_short_by_requests() -> None:
    """What the names of the measurements say."""
    assert LOADS["chat"].binding_axis(QUOTAS["S"]) == LOADS["chat"].binding_axis(QUOTAS["L"]) == "tokens"
    assert LOADS["short"].binding_axis(QUOTAS["S"]) == LOADS["short"].binding_axis(QUOTAS["L"]) == "requests"


def test_an_answer_that_a_lower_limit_cut_is_no_whole_one() -> None:
    """One that reached the suite's own limit is, as it is without lower limits; refused and later ones are not."""
    answers = [
        Arrival(0.0, 180, 200, "whole", 1.0, True, answer_tokens=70, max_tokens=80),
        Arrival(1.0, 180, 200, "cut", 2.0, True, answer_tokens=80, max_tokens=80),
        Arrival(2.0, 500, 200, "cut", 3.0, True, answer_tokens=400, max_tokens=400),
        Arrival(3.0, 500, 429, "refused", 3.0, False, max_tokens=400),
        Arrival(9.0, 180, 200, "later", 10.0, True, answer_tokens=10, max_tokens=80),
    ]
    assert whole_answers(answers, 400, Span(0.0, 5.0)) == 2


def test_the_log_tells_the_limit_of_a_request_and_the_length_of_its_answer() -> None:
    """The limit is what was charged beyond the prompt; what was never billed has neither."""
    received = {"event": "received", "t": 1.0, "content": "one", "charge": 500}
    answered = {"event": "answered", "t": 2.0, "status": 200, "verdict": "answered"}
    lines = [
        line(id=1, **received),
        line(id=1, **answered, billed=[100, 0, 250]),
        line(id=2, **received),
        line(id=2, **answered, billed=None),
    ]
    assert [(each.max_tokens, each.answer_tokens) for each in read_arrivals(lines)] == [(400, 250), (0, 0)]
