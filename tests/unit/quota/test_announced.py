"""Announced limits: lower ones are kept for a while, higher ones never taken."""

from __future__ import annotations

import pytest

from assay.quota.announced import KEPT_SECONDS, ConfiguredLimits
from assay.quota.base import Quota


def limits() -> ConfiguredLimits:
    return ConfiguredLimits(Quota(600, 100_000))


def test_without_a_word_of_the_service_the_quota_holds() -> None:
    """Every header is optional."""
    assert limits().at(0.0) == (600, 100_000)


def test_a_lower_limit_is_kept_at_once_and_for_its_axis_alone() -> None:
    """A temporary adjustment of the service is no reason to guess."""
    heard = limits()
    assert not heard.hear(None, 60_000, 0.0)
    assert heard.at(0.0) == (600, 60_000)


def test_a_lower_limit_is_forgotten_a_quarter_of_an_hour_after_it_was_last_heard() -> None:
    """Each announcement begins the time anew."""
    heard = limits()
    heard.hear(300, None, 0.0)
    heard.hear(300, None, 100.0)
    assert heard.at(KEPT_SECONDS + 99.0) == (300, 100_000)
    assert heard.at(KEPT_SECONDS + 100.0) == (600, 100_000)


def test_a_limit_that_rises_again_is_followed_at_once() -> None:
    """Up to the quota."""
    heard = limits()
    heard.hear(300, 60_000, 0.0)
    heard.hear(450, 100_000, 1.0)
    assert heard.at(1.0) == (450, 100_000)


@pytest.mark.parametrize("announced", [(1_200, None), (None, 200_000)])
def test_a_limit_above_the_quota_is_told_and_not_taken(announced: tuple[int | None, int | None]) -> None:
    """Somebody may have raised it for others."""
    heard = limits()
    assert heard.hear(*announced, 0.0)
    assert heard.at(0.0) == (600, 100_000)


@pytest.mark.parametrize("nonsense", [0, -1])
def test_values_of_zero_and_less_mean_nothing(nonsense: int) -> None:
    """Real services were seen to send them."""
    heard = limits()
    assert not heard.hear(nonsense, nonsense, 0.0)
    assert heard.at(0.0) == (600, 100_000)
