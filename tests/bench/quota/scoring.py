"""Scores a run from the emulator's log alone: utilisation, rejections, worst windows, waits. Pure; no clock, no files.

Called by the measurements. Times are seconds of the system's monotonic clock, as the log has them.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

WINDOW_SECONDS = (1, 10, 60)
MINUTE = 60.0
OK, TOO_MANY = 200, 429


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request that reached the emulator. `status` None: not answered, or not yet.

    `answer_tokens` were billed; with as many as `max_tokens` the answer was cut, or is as if it were.
    """

    at: float
    tokens: int
    status: int | None
    content: str | None
    answered_at: float | None
    admitted: bool
    answer_tokens: int = 0
    max_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Limits:
    """What the deployment granted per minute from `since` on."""

    since: float
    requests: float
    tokens: float


@dataclass(frozen=True, slots=True)
class Span:
    """From `begin` until just before `end`."""

    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin

    def holds(self, at: float) -> bool:
        return self.begin <= at < self.end


@dataclass(frozen=True)
class Score:
    """How a quota was used. Shares are fractions; `over` is by axis and seconds of the window, 0 is the limit."""

    utilisation: float
    binding_axis: str
    utilisation_by_axis: dict[str, float]
    offered: int
    rejected_share: float
    steady_rejected_share: float
    over: dict[str, dict[int, float]]
    useful_per_minute: float
    statuses: dict[str, int]


def read_arrivals(lines: Iterable[str]) -> list[Arrival]:
    """The arrivals of a log, in order of time; those without a charge were refused before they were judged."""
    received: dict[int, dict[str, Any]] = {}
    answered: dict[int, dict[str, Any]] = {}
    for line in lines:
        record = _parsed(line)
        if record is None:
            continue
        (answered if record["event"] == "answered" else received)[record["id"]] = record
    return sorted((_arrival(record, answered.get(id_)) for id_, record in received.items()), key=lambda each: each.at)


def _parsed(line: str) -> dict[str, Any] | None:
    # The last line of a log that is being written may be cut off.
    try:
        return dict(json.loads(line)) if line.endswith("\n") else None
    except ValueError:
        return None


def _arrival(received: Mapping[str, Any], answered: Mapping[str, Any] | None) -> Arrival:
    status = answered["status"] if answered else None
    is_down = answered is not None and answered["verdict"] == "down"
    prompt, _, answer = (answered and answered.get("billed")) or (0, 0, 0)
    return Arrival(
        at=received["t"],
        tokens=received["charge"] or 0,
        status=status,
        content=received["content"],
        answered_at=answered["t"] if answered else None,
        admitted=received["charge"] is not None and status != TOO_MANY and not is_down,
        answer_tokens=answer,
        max_tokens=(received["charge"] or 0) - prompt if prompt else 0,
    )


def score(arrivals: Sequence[Arrival], limits: Sequence[Limits], steady: Span) -> Score:
    """Utilisation and useful answers in `steady`; rejections and windows over everything that was offered."""
    shares = utilisation(arrivals, limits, steady)
    binding = max(shares, key=lambda axis: shares[axis])
    in_steady = [each for each in arrivals if steady.holds(each.at)]
    useful = sum(each.status == OK for each in in_steady)
    return Score(
        utilisation=shares[binding],
        binding_axis=binding,
        utilisation_by_axis=shares,
        offered=len(arrivals),
        rejected_share=_rejected_share(arrivals),
        steady_rejected_share=_rejected_share(in_steady),
        over=worst_windows(arrivals, limits),
        useful_per_minute=useful / steady.seconds * MINUTE,
        statuses=dict(Counter(str(each.status) for each in arrivals)),
    )


def _rejected_share(arrivals: Sequence[Arrival]) -> float:
    return sum(each.status == TOO_MANY for each in arrivals) / len(arrivals) if arrivals else 0.0


def utilisation(arrivals: Sequence[Arrival], limits: Sequence[Limits], span: Span) -> dict[str, float]:
    """Admitted load by axis over what the limits allow in the span."""
    admitted = [each for each in arrivals if each.admitted and span.holds(each.at)]
    return {
        "requests": len(admitted) / capacity(limits, "requests", span),
        "tokens": sum(each.tokens for each in admitted) / capacity(limits, "tokens", span),
    }


def capacity(limits: Sequence[Limits], axis: str, span: Span) -> float:
    """What the limits allow in a span, whole cuts included."""
    starts = [one.since for one in limits[1:]]
    edges = [span.begin, *(start for start in starts if span.begin < start < span.end), span.end]
    pieces = pairwise(edges)
    return sum(_in_force(limits, starts, axis, begin) * (end - begin) / MINUTE for begin, end in pieces)


def worst_windows(arrivals: Sequence[Arrival], limits: Sequence[Limits]) -> dict[str, dict[int, float]]:
    """By axis and window: how far the heaviest window was over its part of the quota, rejected requests included."""
    return {
        axis: {seconds: _worst(arrivals, limits, axis, seconds) for seconds in WINDOW_SECONDS}
        for axis in ("requests", "tokens")
    }


def _worst(arrivals: Sequence[Arrival], limits: Sequence[Limits], axis: str, seconds: int) -> float:
    """The window ends at an arrival and is measured by the limit in force then; one request is never an overrun."""
    starts = [one.since for one in limits[1:]]
    worst = -1.0
    for at, amount in _sliding(arrivals, axis, seconds):
        allowed = _in_force(limits, starts, axis, at) * seconds / MINUTE
        worst = max(worst, amount / (max(1.0, allowed) if axis == "requests" else allowed) - 1)
    return worst


def _sliding(arrivals: Sequence[Arrival], axis: str, seconds: int) -> Iterator[tuple[float, float]]:
    """For each arrival, what the window that ends with it holds."""
    window: deque[tuple[float, int]] = deque()
    total = 0
    for each in arrivals:
        amount = 1 if axis == "requests" else each.tokens
        window.append((each.at, amount))
        total += amount
        while window[0][0] <= each.at - seconds:
            total -= window.popleft()[1]
        yield each.at, total


def _in_force(limits: Sequence[Limits], starts: Sequence[float], axis: str, at: float) -> float:
    return float(getattr(limits[bisect_right(starts, at)], axis))


def rates(
    arrivals: Sequence[Arrival], axis: str, seconds: float, span: Span, step: float = 0.5
) -> list[tuple[float, float]]:
    """(t, admitted load per minute in the `seconds` from t on), for t every `step` seconds of the span."""
    amounts = [(each.at, 1 if axis == "requests" else each.tokens) for each in arrivals if each.admitted]
    times = [at for at, _ in amounts]
    sums = [0.0]
    for _, amount in amounts:
        sums.append(sums[-1] + amount)
    found, at = [], span.begin
    while at + seconds <= span.end + 1e-9:
        held = sums[bisect_right(times, at + seconds)] - sums[bisect_right(times, at)]
        found.append((at, held * MINUTE / seconds))
        at += step
    return found


def seconds_until_rate(found: Sequence[tuple[float, float]], wanted: float, since: float) -> float | None:
    """Seconds after `since` from which on the load was as large as wanted for the first time; None: never."""
    return next((at - since for at, rate in found if at >= since and rate >= wanted), None)


def longest_gap(arrivals: Sequence[Arrival], span: Span) -> Span:
    """The longest time of a span in which nothing arrived."""
    times = [span.begin, *(each.at for each in arrivals if span.holds(each.at)), span.end]
    begin, end = max(pairwise(times), key=lambda pair: pair[1] - pair[0])
    return Span(begin, end)


def seconds_below(found: Sequence[tuple[float, float]], wanted: float, since: float) -> float:
    """Seconds from `since` until the load is as large as wanted for good: 0 when it never was smaller."""
    return max((at - since for at, rate in found if at >= since and rate < wanted), default=0.0)


def whole_answers(arrivals: Sequence[Arrival], max_tokens: int, span: Span) -> int:
    """Answers of a span that a caller can use: those that no limit below its own `max_tokens` has cut."""
    return sum(each.status == OK and span.holds(each.at) and not is_cut(each, max_tokens) for each in arrivals)


def is_cut(arrival: Arrival, max_tokens: int) -> bool:
    """Whether a limit below `max_tokens` has cut the answer."""
    return arrival.max_tokens < max_tokens and arrival.answer_tokens >= arrival.max_tokens


def percentile(values: Iterable[float], share: float) -> float | None:
    """The nearest-rank percentile; None of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None


def waits(arrivals: Sequence[Arrival], asked: Mapping[str, float], span: Span) -> list[float]:
    """Seconds from taking a request up until its admitted attempt reached the service, for those admitted in the span.

    `asked` is from the workers' logs: content to the time at which it was taken up.
    """
    return [
        each.at - asked[each.content]
        for each in arrivals
        if each.status == OK and span.holds(each.at) and each.content is not None and each.content in asked
    ]
