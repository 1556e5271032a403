"""The emulated quota keeps the service's sliding windows."""

import pytest

from assay.local.emulated_quota import NEVER_FITS_SECONDS, DeploymentQuota, QuotaVerdict, SlidingWindow


def admitted(quota: DeploymentQuota, now: float, charge: int = 1, times: int = 1) -> list[bool]:
    return [quota.ask(now, charge).refused_by is None for _ in range(times)]


def test_requests_are_admitted_up_to_a_sixth_of_the_minute_in_each_ten_seconds() -> None:
    """60 a minute are 10 in any 10 s."""
    quota = DeploymentQuota(60, None)

    assert admitted(quota, 0.0, times=11) == [True] * 10 + [False]
    assert admitted(quota, 9.99) == [False]
    assert admitted(quota, 10.0, times=11) == [True] * 10 + [False]


def test_the_request_window_slides() -> None:
    """Capacity returns when each request is ten seconds old, not at fixed instants."""
    quota = DeploymentQuota(12, None)
    admitted(quota, 0.0)
    admitted(quota, 6.0)

    assert admitted(quota, 10.0, times=2) == [True, False]
    assert admitted(quota, 16.0, times=2) == [True, False]


def test_a_one_second_request_window_scales_the_limit_down() -> None:
    """600 a minute over 1 s are 10 at most."""
    quota = DeploymentQuota(600, None, request_window_seconds=1.0)

    assert admitted(quota, 5.0, times=11) == [True] * 10 + [False]
    assert admitted(quota, 6.0) == [True]


def test_a_limit_below_one_request_per_window_still_admits_one() -> None:
    """A deployment of 1 request a minute is slow, not dead."""
    quota = DeploymentQuota(1, None)

    assert admitted(quota, 0.0, times=2) == [True, False]


def test_tokens_are_charged_whole_for_sixty_seconds() -> None:
    """The charge at arrival stays until it is a minute old."""
    quota = DeploymentQuota(None, 1000)
    admitted(quota, 0.0, charge=700)

    refused = quota.ask(20.0, 301)

    assert refused.refused_by == "tokens"
    assert refused.retry_after_seconds == pytest.approx(40.0)
    assert admitted(quota, 20.0, charge=300) == [True]
    assert admitted(quota, 60.0, charge=700) == [True]


def test_a_charge_above_the_whole_limit_never_fits() -> None:
    """Waiting cannot help it; the service says a day."""
    verdict = DeploymentQuota(None, 100).ask(0.0, 101)

    assert verdict.retry_after_seconds == NEVER_FITS_SECONDS


def test_a_refused_request_is_charged_nothing() -> None:
    """A request refused for its tokens leaves the request axis as it was."""
    quota = DeploymentQuota(12, 10)
    admitted(quota, 0.0, charge=11, times=5)

    assert admitted(quota, 0.0, charge=5, times=2) == [True, True]


def test_refused_requests_fill_the_window_when_they_count() -> None:
    """Who hammers a closed door keeps it closed."""
    quota = DeploymentQuota(6, None, count_rejected="requests")
    admitted(quota, 0.0)
    admitted(quota, 9.0)

    assert admitted(quota, 10.0) == [False]


def test_the_axis_with_the_longer_wait_refuses() -> None:
    """A caller that waits as told is admitted by both axes."""
    quota = DeploymentQuota(6, 100)
    quota.ask(0.0, 100)

    verdict = quota.ask(1.0, 50)

    assert verdict.refused_by == "tokens"
    assert quota.ask(1.0 + verdict.retry_after_seconds, 50).refused_by is None


def test_the_verdict_tells_what_is_left_of_each_limited_axis() -> None:
    """Requests are told for the short window, limits for the minute."""
    verdict = DeploymentQuota(60, 1000).ask(0.0, 400)

    assert verdict.requests is not None and verdict.tokens is not None
    assert (verdict.requests.limit_per_minute, verdict.requests.remaining) == (60, 9)
    assert (verdict.tokens.limit_per_minute, verdict.tokens.remaining) == (1000, 600)
    assert DeploymentQuota(None, None).ask(0.0, 400) == QuotaVerdict(None, 0.0, None, None)


def test_limits_can_be_cut_while_charges_stay() -> None:
    """A temporary adjustment refuses what the old limit had admitted."""
    quota = DeploymentQuota(None, 1000)
    quota.ask(0.0, 500)
    quota.set_limits(None, 600)

    assert admitted(quota, 1.0, charge=101) == [False]
    assert admitted(quota, 1.0, charge=100) == [True]


def test_the_wait_counts_as_many_charges_as_have_to_leave() -> None:
    """Several small charges must go before a large one fits."""
    window = SlidingWindow(10.0, 4)
    for second in range(4):
        window.add(float(second), 1)

    assert window.wait_seconds(3.0, 1) == 7.0
    assert window.wait_seconds(3.0, 3) == 9.0


def test_a_settled_charge_frees_what_was_not_used() -> None:
    """A provisioned deployment corrects the estimate when the answer is sent; it leaves with its arrival's age."""
    quota = DeploymentQuota(None, 1000)
    charge = quota.ask(0.0, 900).charge
    assert charge is not None
    assert admitted(quota, 5.0, charge=400) == [False]

    quota.settle(10.0, charge, 300)

    assert admitted(quota, 10.0, charge=700) == [True]
    assert admitted(quota, 59.9) == [False]
    assert admitted(quota, 60.0, charge=300) == [True]


def test_a_charge_settled_after_it_left_the_window_changes_nothing() -> None:
    """A slow answer neither frees nor takes what is no longer counted."""
    quota = DeploymentQuota(None, 1000)
    charge = quota.ask(0.0, 900).charge
    assert charge is not None

    quota.settle(60.0, charge, 100)

    assert admitted(quota, 60.0, charge=1000) == [True]
    assert admitted(quota, 60.0) == [False]


def test_a_cut_keeps_a_share_of_both_limits_until_it_ends() -> None:
    """60 % of 60 requests and 1000 tokens."""
    quota = DeploymentQuota(60, 1000)
    quota.set_cut(0.6)
    assert admitted(quota, 0.0, charge=601) == [False]
    assert admitted(quota, 0.0, times=7) == [True] * 6 + [False]

    quota.set_cut(1.0)

    assert admitted(quota, 0.0, times=5) == [True] * 4 + [False]


@pytest.mark.parametrize(("told", "limit", "remaining"), [(True, 600, 200), (False, 1000, 600)])
def test_a_cut_may_be_told_or_not(told: bool, limit: int, remaining: int) -> None:
    """A limiter has to live with a cut that no header shows."""
    quota = DeploymentQuota(None, 1000)
    quota.set_cut(0.6, told)

    tokens = quota.ask(0.0, 400).tokens

    assert tokens is not None and (tokens.limit_per_minute, tokens.remaining) == (limit, remaining)
    assert admitted(quota, 0.0, charge=201) == [False]
