"""The bucket: what a share of the quota lets a worker send, and when."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_time import heaviest_window

from assay.quota.base import Charge, Quota
from assay.quota.bucket import BURST_SECONDS, Bucket, Margins

QUOTA = Quota(requests_per_minute=600, tokens_per_minute=600_000)  # 10 requests and 10,000 tokens per second
SMALL = Charge(10)
EXACT = Margins(0.0, 0.0, 0.0)


def bucket_with(share: float = 1.0, quota: Quota = QUOTA) -> Bucket:
    bucket = Bucket(quota, EXACT)
    bucket.set_share(share, 0.0)
    return bucket


def spend_all(bucket: Bucket, charge: Charge, now: float) -> int:
    """Spends until nothing fits at this moment; returns how often."""
    count = 0
    while bucket.seconds_until_fits(charge, now) <= 0:
        bucket.spend(charge, now)
        count += 1
    return count


def test_without_a_share_nothing_ever_fits() -> None:
    """No lease, no request."""
    assert Bucket(QUOTA).seconds_until_fits(SMALL, 5.0) == inf


def test_a_new_share_begins_empty_and_lets_one_request_go_into_debt() -> None:
    """Taking a partition over is no gift, but the first request need not wait for a level."""
    bucket = bucket_with()
    assert spend_all(bucket, SMALL, 0.0) == 1
    assert bucket.seconds_until_fits(SMALL, 0.0) == pytest.approx(0.1, rel=1e-3)


def test_the_dearer_axis_decides() -> None:
    """A charge must fit requests and tokens alike."""
    bucket = bucket_with()
    bucket.spend(Charge(5_000), 0.0)
    assert bucket.seconds_until_fits(SMALL, 0.0) == pytest.approx(0.5, rel=1e-3)


def test_an_idle_bucket_saves_up_no_more_than_the_burst() -> None:
    """However long it was idle: what it saved must leave every window within a lease's guard."""
    assert spend_all(bucket_with(), SMALL, 1000.0) == int(10 * BURST_SECONDS) + 1


def test_no_burst_overdraws_a_window() -> None:
    """Saved-up level or not, a window that is worth many charges holds its share and no more."""
    bucket, now, sends = bucket_with(), 1000.0, []
    while now < 1030.0:
        while (wait := bucket.seconds_until_fits(SMALL, now)) > 0:
            now += wait
        bucket.spend(SMALL, now)
        sends.append((now, 1))
    assert heaviest_window(sends, 10.0) == 100


def test_a_charge_above_the_burst_is_not_starved_and_is_paid_off() -> None:
    """Debt of one request is allowed; the next one waits until it is earned."""
    bucket = bucket_with()
    assert spend_all(bucket, Charge(40_000), 0.0) == 1
    assert bucket.seconds_until_fits(SMALL, 0.0) == pytest.approx(4.0, rel=1e-3)


def test_a_refund_gives_the_charge_back_once() -> None:
    """What was not sent was not counted; giving it back twice would be a gift."""
    bucket = bucket_with()
    spending = bucket.spend(Charge(40_000), 0.0)
    bucket.refund(spending)
    assert bucket.seconds_until_fits(SMALL, 0.0) <= 0
    bucket.spend(Charge(20_000), 0.0)
    bucket.refund(spending)
    assert bucket.seconds_until_fits(SMALL, 0.0) == pytest.approx(2.0, rel=1e-3)


def test_what_was_settled_once_is_final() -> None:
    """A second word on the same request, of whatever kind, changes nothing."""
    bucket = bucket_with()
    spending = bucket.spend(Charge(40_000), 0.0)
    bucket.settle(spending, 30_000)
    bucket.settle(spending, 0)
    bucket.refund(spending)
    assert bucket.seconds_until_fits(SMALL, 0.0) == pytest.approx(3.0, rel=1e-3)


def test_a_request_that_used_more_than_estimated_is_charged_the_rest() -> None:
    """Settling goes both ways."""
    bucket = bucket_with()
    bucket.settle(bucket.spend(Charge(10_000), 0.0), 30_000)
    assert bucket.seconds_until_fits(SMALL, 0.0) == pytest.approx(3.0, rel=1e-3)


def test_a_larger_share_earns_faster_but_adds_no_level() -> None:
    """A partition taken over starts empty."""
    bucket = bucket_with(0.25)
    bucket.spend(Charge(10_000), 0.0)
    bucket.set_share(1.0, 0.0)
    assert bucket.seconds_until_fits(SMALL, 0.0) == pytest.approx(1.0, rel=1e-3)


def test_a_smaller_share_loses_its_savings() -> None:
    """Who gives a partition away must not spend what it earned for him while another already earns from it."""
    bucket = bucket_with()
    bucket.seconds_until_fits(SMALL, 100.0)
    bucket.set_share(0.5, 100.0)
    assert bucket.seconds_until_fits(SMALL, 100.0) == pytest.approx(BURST_SECONDS, rel=1e-3)


def test_workers_that_begin_together_begin_in_different_phases() -> None:
    """The phase is a debt in time, only for a bucket that held nothing."""
    bucket = Bucket(QUOTA, EXACT)
    bucket.set_share(0.5, 0.0, phase_seconds=0.3)
    assert bucket.seconds_until_fits(SMALL, 0.0) == pytest.approx(0.3, rel=1e-3)
    bucket.set_share(1.0, 0.3, phase_seconds=0.3)
    assert bucket.seconds_until_fits(SMALL, 0.3) <= 0


def test_a_forfeited_bucket_earns_nothing_before_its_time() -> None:
    """After a gate nothing bursts: savings are gone and the wait was not earned."""
    bucket = bucket_with()
    bucket.seconds_until_fits(SMALL, 100.0)
    bucket.forfeit(until=107.0)
    assert bucket.seconds_until_fits(SMALL, 100.0) == pytest.approx(7.0, rel=1e-3)
    assert spend_all(bucket, SMALL, 107.0) == 1


def test_a_factor_slows_the_pace() -> None:
    """What was learned from refusals scales both axes."""
    bucket = bucket_with()
    bucket.set_pace((600, 600_000), (0.5, 0.5), 0.0)
    bucket.spend(SMALL, 0.0)
    assert bucket.seconds_until_fits(SMALL, 0.0) == pytest.approx(0.2, rel=1e-3)


def test_headroom_is_kept_back() -> None:
    """The pace is a little below the quota."""
    bucket = Bucket(QUOTA, Margins(headroom=0.01, stragglers=0.0))
    bucket.set_share(1.0, 0.0)
    bucket.spend(SMALL, 0.0)
    assert bucket.seconds_until_fits(SMALL, 0.0) == pytest.approx(0.1 / 0.99, rel=1e-3)


@given(
    share=st.sampled_from([1 / 36, 0.25, 1.0]),
    quota=st.sampled_from([Quota(600, 100_000), Quota(60, 1_000_000), Quota(6_000, 600_000)]),
    steps=st.lists(
        st.tuples(st.sampled_from([0.0, 0.01, 0.5, 20.0]), st.integers(1, 3_000)), min_size=150, max_size=150
    ),
)
def test_no_window_ever_exceeds_the_share_by_more_than_one_charge(
    share: float, quota: Quota, steps: list[tuple[float, int]]
) -> None:
    """Whatever the pauses and sizes, 10 seconds of requests and 60 seconds of tokens stay within the share."""
    bucket, now = bucket_with(share, quota), 0.0
    requests, tokens = [], []
    for pause, size in steps:
        now += pause
        looks = 0
        while (wait := bucket.seconds_until_fits(Charge(size), now)) > 0:
            now += wait
            looks += 1
            assert looks < 100, "the time to look again must come nearer to the grant"
        bucket.spend(Charge(size), now)
        requests.append((now, 1))
        tokens.append((now, size))
    assert heaviest_window(requests, 10.0) <= share * quota.requests_per_minute / 6 + 1 + 1e-6
    assert heaviest_window(tokens, 60.0) <= share * quota.tokens_per_minute + max(size for _, size in steps) + 1e-6
