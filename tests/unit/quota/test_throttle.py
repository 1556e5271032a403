"""The throttle: how a worker reacts to 429s and forgets them."""

from __future__ import annotations

from typing import Literal

import pytest

from assay.quota.base import Throttling
from assay.quota.throttle import LOWEST_FACTOR, Throttle

SECOND = Throttling(1.0)


def refused_every(seconds: float, until: float) -> Throttle:
    """A throttle whose every request is refused, without an open gate in between."""
    throttle, now = Throttle(), 0.0
    while now < until:
        throttle.refused(throttle.epoch, SECOND, now)
        now += seconds
    return throttle


def test_the_gate_stays_shut_as_long_as_the_service_asked() -> None:
    """Its wait is the best guess there is; without one it is a second, and it is never longer than 15."""
    for asked, seconds in ((7.0, 7.0), (None, 1.0), (-1.0, 1.0), (86_400.0, 15.0)):
        throttle = Throttle()
        assert throttle.refused(throttle.epoch, Throttling(asked), now=10.0)
        assert throttle.closed_until == 10.0 + seconds


def test_one_refusal_costs_little_and_a_second_soon_after_the_gate_opened_costs_much() -> None:
    """One may be chance."""
    throttle = Throttle()
    throttle.refused(0, Throttling(15.0), 1.0)
    assert throttle.factors(16.0) == pytest.approx((0.99, 0.99))
    throttle.refused(1, Throttling(1.0), 18.0)
    assert throttle.factors(19.0) == pytest.approx((0.99 * 0.80, 0.99 * 0.80), rel=0.01)


def test_refusals_of_requests_sent_before_the_reaction_are_one_piece_of_news() -> None:
    """A whole flight of refused requests must not cut the pace once each."""
    throttle = Throttle()
    sent_in = throttle.epoch
    assert throttle.refused(sent_in, Throttling(2.0), now=3.0)
    assert not throttle.refused(sent_in, Throttling(2.0), now=5.1)
    assert throttle.closed_until == 5.0


@pytest.mark.parametrize(
    ("axis", "factors"), [("requests", (0.99, 1.0)), ("tokens", (1.0, 0.99)), (None, (0.99, 0.99))]
)
def test_only_the_limit_that_was_hit_is_slowed(
    axis: Literal["requests", "tokens"] | None, factors: tuple[float, float]
) -> None:
    """The other one still holds; both may be meant when the service does not say."""
    throttle = Throttle()
    throttle.refused(0, Throttling(1.0, axis), 0.0)
    assert throttle.factors(1.0) == pytest.approx(factors)


def test_a_service_short_of_capacity_shuts_the_gate_and_teaches_nothing_of_the_limits() -> None:
    """Slower sending would not have helped."""
    throttle = Throttle()
    throttle.refused(0, Throttling(4.0, "tokens", is_capacity=True), 10.0)
    assert throttle.closed_until == 14.0
    assert throttle.factors(10.0) == (1.0, 1.0)


def test_a_refused_probe_doubles_the_wait_up_to_thirty_seconds() -> None:
    """The service may ask for too little again and again."""
    throttle, now, waits = Throttle(), 0.0, []
    for _ in range(7):
        throttle.refused(throttle.epoch, SECOND, now)
        waits.append(throttle.closed_until - now)
        now = throttle.closed_until
        assert throttle.granted()
    assert waits == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


@pytest.mark.parametrize("is_told", [True, False])
def test_a_probe_that_was_let_in_opens_the_gate(is_told: bool) -> None:
    """By its answer, or by the next grant, which the host held back long enough for a refusal to come."""
    throttle = Throttle()
    throttle.refused(0, SECOND, 0.0)
    assert throttle.granted()
    if is_told:
        throttle.answered(throttle.epoch)
    else:
        assert not throttle.granted()
    throttle.refused(throttle.epoch, SECOND, 5.0)
    assert throttle.closed_until == 6.0


def test_an_answer_from_before_the_gate_does_not_open_it() -> None:
    """It says nothing of the service since."""
    throttle = Throttle()
    throttle.refused(0, SECOND, 0.0)
    throttle.granted()
    throttle.answered(0)
    throttle.refused(throttle.epoch, SECOND, 2.0)
    assert throttle.closed_until == 4.0


def test_the_pace_grows_back_slowly_then_quickly_and_not_above_one() -> None:
    """Soon after a cut the service may still be short; after quiet minutes it is not."""
    throttle = refused_every(4.0, until=40.0)
    low = throttle.factors(37.0)[0]
    assert low < 0.5
    assert throttle.factors(47.0)[0] - low < 0.01
    assert throttle.factors(37.0 + 300.0) == (1.0, 1.0)


def test_the_pace_never_falls_to_nothing() -> None:
    """Somebody has to find out when the service recovers."""
    assert refused_every(4.0, until=400.0).factors(397.0) == pytest.approx((LOWEST_FACTOR, LOWEST_FACTOR))
