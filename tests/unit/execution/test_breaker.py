"""The breaker: when it opens, how it probes, when it closes."""

from __future__ import annotations

import pytest

from assay.execution.breaker import FIRST_PROBE_SECONDS, LONGEST_PROBE_SECONDS, Breaker


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(at)
    return breaker


def probe(breaker: Breaker, now: float) -> None:
    assert breaker.wait_seconds(now) == 0
    breaker.enter()


def test_five_failures_in_a_row_open_it_and_four_do_not() -> None:
    """The fifth says so, once."""
    breaker = Breaker()
    assert [breaker.failed(1.0) for _ in range(6)] == [False, False, False, False, True, False]
    assert breaker.wait_seconds(1.0) == FIRST_PROBE_SECONDS


def test_a_success_in_between_begins_the_row_anew() -> None:
    """Four, a success, four: still closed."""
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0.0)
    breaker.succeeded()
    assert not any(breaker.failed(0.0) for _ in range(4))


def test_ten_of_the_last_twenty_open_it() -> None:
    """However they are spread; before there are twenty, nobody counts shares."""
    breaker = Breaker()
    seen = []
    for _ in range(10):
        breaker.succeeded()
        seen.append(breaker.failed(0.0))
    assert seen == [False] * 9 + [True]


def test_nine_of_the_last_twenty_do_not_open_it() -> None:
    """The limit is half."""
    breaker = Breaker()
    for at in range(200):
        if at % 20 in (1, 3, 5, 7, 9, 11, 13, 15, 17):
            assert not breaker.failed(0.0)
        else:
            breaker.succeeded()
    assert not breaker.is_open


def test_one_probe_is_let_in_when_it_is_due() -> None:
    """Everybody else goes on waiting until its end is known."""
    breaker = opened()
    assert (breaker.wait_seconds(FIRST_PROBE_SECONDS - 1), breaker.state) == (1, "open")
    probe(breaker, FIRST_PROBE_SECONDS)
    assert breaker.state == "probing"
    assert breaker.wait_seconds(FIRST_PROBE_SECONDS) > 0


def test_a_probe_that_succeeds_closes_it_and_forgets_the_failures() -> None:
    """The next four failures are only four."""
    breaker = opened()
    probe(breaker, FIRST_PROBE_SECONDS)
    assert breaker.succeeded()
    assert (breaker.wait_seconds(FIRST_PROBE_SECONDS), breaker.state) == (0, "closed")
    assert not any(breaker.failed(99.0) for _ in range(4))


def test_probes_that_fail_double_the_wait_up_to_five_minutes() -> None:
    """15, 30, 60, 120, 240, 300, 300 seconds."""
    breaker, now, waits = opened(), 0.0, []
    for _ in range(7):
        waits.append(breaker.wait_seconds(now))
        now += waits[-1]
        probe(breaker, now)
        breaker.failed(now)
    assert waits == [15.0, 30.0, 60.0, 120.0, 240.0, LONGEST_PROBE_SECONDS, LONGEST_PROBE_SECONDS]


def test_failures_of_requests_that_were_under_way_do_not_put_the_probe_off() -> None:
    """Sixty requests that fail late are one outage."""
    breaker = opened()
    for _ in range(60):
        breaker.failed(14.0)
    assert breaker.wait_seconds(15.0) == 0


def test_a_probe_without_a_verdict_lets_the_next_one_in() -> None:
    """It was cancelled, or nothing was sent."""
    breaker = opened()
    probe(breaker, 15.0)
    breaker.left()
    probe(breaker, 15.0)


@pytest.mark.parametrize("ends", [Breaker.succeeded, Breaker.left])
def test_whoever_is_let_into_a_closed_one_changes_nothing_by_it(ends: object) -> None:
    """Closed breakers know no probes."""
    breaker = Breaker()
    breaker.enter()
    assert breaker.wait_seconds(0.0) == 0
    ends(breaker)  # type: ignore[operator]
    assert breaker.wait_seconds(0.0) == 0
