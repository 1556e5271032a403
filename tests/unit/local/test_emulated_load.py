"""The emulator's figures of a load are those that counting every window by hand gives."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.local.emulated_load import OUTCOMES, Limits, LoadRecord, Outcome
from assay.local.emulated_measures import WINDOW_SECONDS, measure
from assay.local.emulated_quota import Axis, DeploymentQuota

Arrivals = list[tuple[float, int, Outcome]]
AXES: tuple[Axis, ...] = ("requests", "tokens")

# Quarters of a second are exact, and close enough together to meet the ends of windows often.
quarters = st.integers(0, 400).map(lambda number: number / 4)
arrivals = st.lists(st.tuples(quarters, st.integers(0, 50), st.sampled_from(OUTCOMES)), max_size=40).map(sorted)
limit = st.none() | st.integers(1, 300)
limits = st.lists(st.tuples(quarters, limit, limit), min_size=1, max_size=4, unique_by=lambda one: one[0]).map(
    lambda changes: [Limits(*change) for change in sorted(changes, key=lambda one: one[0])]
)


def recorded(load: Arrivals, changes: list[Limits], **bounds: Any) -> LoadRecord:
    """A record that saw arrivals and changes in order of time; at the same time the change comes first."""
    record, rest = LoadRecord(changes[0], **bounds), changes[1:]
    for at, charge, outcome in load:
        while rest and rest[0].since <= at:
            record.set_limits(rest.pop(0))
        record.add(at, charge, outcome)
    for change in rest:
        record.set_limits(change)
    return record


def limits_at(changes: list[Limits], at: float) -> Limits:
    return [change for place, change in enumerate(changes) if place == 0 or change.since <= at][-1]


def overrun_by_hand(load: Arrivals, changes: list[Limits], axis: Axis, seconds: int) -> float | None:
    """The worst of the windows that end with an arrival."""
    overruns = []
    for end, _, _ in load:
        inside = [charge for at, charge, _ in load if at <= end and end - at < seconds]
        per_minute = limits_at(changes, end).of(axis)
        if per_minute is not None:
            allowed = per_minute * (seconds / 60)
            amount = len(inside) if axis == "requests" else sum(inside)
            overruns.append(amount / (max(1.0, allowed) if axis == "requests" else allowed))
    return max(overruns, default=None)


def amount_by_hand(load: Arrivals, axis: Axis, seconds: int) -> int:
    windows = [[charge for at, charge, _ in load if at <= end and end - at < seconds] for end, _, _ in load]
    return max((len(window) if axis == "requests" else sum(window) for window in windows), default=0)


@given(load=arrivals, changes=limits)
def test_the_worst_windows_are_those_found_by_trying_each(load: Arrivals, changes: list[Limits]) -> None:
    """Offered and admitted load, both axes, all lengths, with limits that change."""
    figures = measure(recorded(load, changes).snapshot(), None, 1000.0)

    for kind, part in (("offered", load), ("admitted", [one for one in load if one[2] == "admitted"])):
        for axis in AXES:
            for seconds in WINDOW_SECONDS:
                found = figures["windows"][kind][axis][str(seconds)]["overrun_percent"]
                expected = overrun_by_hand(part, changes, axis, seconds)
                assert found == (None if expected is None else pytest.approx((expected - 1) * 100))


@given(load=arrivals)
def test_without_limits_the_worst_window_is_the_fullest(load: Arrivals) -> None:
    """Nothing is overrun then, and the amounts are still told."""
    windows = measure(recorded(load, [Limits(0.0, None, None)]).snapshot(), None, 1000.0)["windows"]["offered"]

    for axis in AXES:
        for seconds in WINDOW_SECONDS:
            assert windows[axis][str(seconds)]["amount"] == amount_by_hand(load, axis, seconds)
            assert windows[axis][str(seconds)]["overrun_percent"] is None


@given(load=arrivals, since=quarters, until=quarters)
def test_counts_are_of_the_time_that_was_asked_for(load: Arrivals, since: float, until: float) -> None:
    """Both ends are within."""
    figures = measure(recorded(load, [Limits(0.0, 60, None)]).snapshot(), since, until)
    part = [one for one in load if since <= one[0] <= until]
    rejected = [outcome for _, _, outcome in part if outcome != "admitted"]

    assert (figures["offered"], figures["admitted"]) == (len(part), len(part) - len(rejected))
    assert figures["offered_tokens"] == sum(charge for _, charge, _ in part)
    assert figures["rejected"] == {reason: rejected.count(reason) for reason in OUTCOMES[1:]}
    limited = rejected.count("requests") + rejected.count("tokens")
    assert figures["share_429"] == pytest.approx(limited / len(part) if part else 0.0)


@given(load=arrivals, changes=limits, since=quarters, length=st.integers(1, 400))
def test_utilisation_is_of_what_the_changing_limits_allowed(
    load: Arrivals, changes: list[Limits], since: float, length: int
) -> None:
    """Capacity is added up quarter by quarter; the larger share binds."""
    until = since + length / 4
    found = measure(recorded(load, changes).snapshot(), since, until)["utilisation"]
    part = [one for one in load if since <= one[0] <= until and one[2] == "admitted"]
    shares: list[float] = []
    for axis, amount in (("requests", len(part)), ("tokens", sum(charge for _, charge, _ in part))):
        steps = [limits_at(changes, since + step / 4).of(axis) for step in range(length)]  # type: ignore[arg-type]
        if None in steps:
            assert found[axis] is None
            continue
        shares.append(amount / (sum(step or 0 for step in steps) / 240))
        assert found[axis] == pytest.approx(shares[-1])
    assert found["binding"] == (pytest.approx(max(shares)) if shares else None)


@given(
    gaps=st.lists(st.integers(0, 40), min_size=1, max_size=60),
    charges=st.lists(st.integers(1, 300), min_size=60, max_size=60),
)
def test_what_the_quota_admits_never_overruns_its_own_windows(gaps: list[int], charges: list[int]) -> None:
    """The referee and the quota mean the same windows: 10 s of requests, 60 s of tokens."""
    quota, record, now = DeploymentQuota(30, 1000), LoadRecord(Limits(0.0, 30, 1000)), 0.0
    for gap, charge in zip(gaps, charges, strict=False):
        now += gap / 4
        record.add(now, charge, quota.ask(now, charge).refused_by or "admitted")

    windows = measure(record.snapshot(), None, now)["windows"]["admitted"]

    assert windows["requests"]["10"]["overrun_percent"] <= 1e-9
    assert windows["tokens"]["60"]["overrun_percent"] <= 1e-9


def test_a_worst_window_tells_what_it_held_and_when() -> None:
    """Three requests where ten seconds allow two."""
    load: Arrivals = [(5.0, 1, "admitted"), (11.0, 1, "admitted"), (14.5, 1, "requests"), (30.0, 1, "admitted")]

    window = measure(recorded(load, [Limits(0.0, 12, None)]).snapshot(), None, 60.0)["windows"]["offered"]["requests"]

    assert window["10"] == {"amount": 3, "allowed": 2.0, "overrun_percent": 50.0, "at": 14.5}


def test_a_corrected_arrival_counts_what_was_used() -> None:
    """A settled charge replaces the estimate, in any block."""
    record = LoadRecord(Limits(0.0, None, 100), block_arrivals=2)
    numbers = [record.add(float(second), 50, "admitted") for second in range(5)]

    record.correct(numbers[1], 7)
    record.correct(numbers[4], 8)

    assert measure(record.snapshot(), None, 5.0)["admitted_tokens"] == 165
    assert measure(record.snapshot(), 1.0, 1.0)["admitted_tokens"] == 7


def test_a_reset_forgets_arrivals_and_keeps_the_limits() -> None:
    """An answer that comes later corrects nothing that is gone."""
    record = LoadRecord(Limits(0.0, 60, None))
    before = record.add(1.0, 50, "admitted")
    record.set_limits(Limits(2.0, 30, None))
    record.reset()
    record.add(3.0, 9, "admitted")

    record.correct(before, 1)

    figures = measure(record.snapshot(), None, 63.0)
    assert (figures["offered"], figures["offered_tokens"], figures["forgotten"]) == (1, 9, 0)
    assert figures["utilisation"]["requests"] == pytest.approx(1 / 30)


def test_no_more_than_the_bound_is_kept() -> None:
    """Whole blocks go, the oldest first, and the figures say how many arrivals went."""
    record = LoadRecord(Limits(0.0, None, None), kept_arrivals=6, block_arrivals=2)
    numbers = [record.add(float(second), second, "admitted") for second in range(9)]

    record.correct(numbers[0], 99)
    record.correct(numbers[-1], 5)

    figures = measure(record.snapshot(), None, 10.0)
    assert (figures["offered"], figures["forgotten"], figures["offered_tokens"]) == (5, 4, 4 + 5 + 6 + 7 + 5)


def test_what_is_older_than_the_bound_is_forgotten() -> None:
    """Memory does not grow with the days that an emulator is up."""
    record = LoadRecord(Limits(0.0, None, None), kept_seconds=60, block_arrivals=2)
    for at in (0.0, 1.0, 30.0, 31.0, 80.0, 81.0, 82.0):
        record.add(at, 1, "admitted")

    figures = measure(record.snapshot(), None, 100.0)

    assert (figures["offered"], figures["forgotten"]) == (5, 2)


def test_an_empty_record_has_figures_too() -> None:
    """Somebody may ask before the first request."""
    figures = measure(LoadRecord(Limits(0.0, 60, 100)).snapshot(), None, 5.0)

    assert (figures["offered"], figures["share_429"], figures["utilisation"]["binding"]) == (0, 0.0, None)
    assert figures["windows"]["offered"]["tokens"]["60"]["amount"] == 0
