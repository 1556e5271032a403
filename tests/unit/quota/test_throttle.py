"""The throttle: how a worker reacts to 429s and forgets them."""

from __future__ import annotations

import pytest

from assay.quota.throttle import LOWEST_FACTOR, Throttle


def test_the_gate_stays_shut_as_long_as_the_service_asked() -> None:
    """Its wait is the best guess there is; without one it is a second, and it is never longer than 15."""
    for asked, seconds in ((7.0, 7.0), (None, 1.0), (86_400.0, 15.0)):
        throttle = Throttle()
        assert throttle.refused(sent_at=9.0, retry_after_seconds=asked, now=10.0)
        assert throttle.closed_until == 10.0 + seconds


def test_one_refusal_costs_little_and_a_second_soon_after_costs_much() -> None:
    """One may be chance."""
    throttle = Throttle()
    throttle.refused(0.0, 1.0, 1.0)
    assert throttle.factor(1.0) == pytest.approx(0.99)
    throttle.refused(3.0, 1.0, 4.0)
    assert throttle.factor(4.0) == pytest.approx(0.99 * 0.90, rel=0.01)


def test_refusals_of_requests_sent_before_the_reaction_are_one_piece_of_news() -> None:
    """A whole flight of refused requests must not cut the pace once each."""
    throttle = Throttle()
    assert throttle.refused(sent_at=1.0, retry_after_seconds=2.0, now=3.0)
    assert not throttle.refused(sent_at=2.9, retry_after_seconds=2.0, now=3.1)
    assert throttle.closed_until == 5.0


def test_the_pace_grows_back_slowly_then_quickly_and_not_above_one() -> None:
    """Soon after a cut the service may still be short; after quiet minutes it is not."""
    throttle = Throttle()
    for at in range(0, 40, 4):
        throttle.refused(float(at), 1.0, float(at))
    low = throttle.factor(36.0)
    assert low < 0.5
    assert throttle.factor(46.0) - low < 0.01
    assert throttle.factor(36.0 + 300.0) == 1.0


def test_the_pace_never_falls_to_nothing() -> None:
    """Somebody has to find out when the service recovers."""
    throttle = Throttle()
    for at in range(0, 400, 4):
        throttle.refused(float(at), 1.0, float(at))
    assert throttle.factor(396.0) == pytest.approx(LOWEST_FACTOR)
