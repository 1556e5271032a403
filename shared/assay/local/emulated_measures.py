"""What a deployment's arrivals amount to: counts, the worst windows against the quota, and how much of it was used.

Called by `emulator_referee` when somebody asks, in a thread; it alone of the emulator needs numpy.
"""

import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from assay.local.emulated_load import MICROSECONDS, OUTCOME_CODES, OUTCOMES, Limits, LoadSnapshot, microseconds
from assay.local.emulated_quota import Axis

WINDOW_SECONDS = (1, 10, 60)
AXES: tuple[Axis, ...] = ("requests", "tokens")

_Integers = npt.NDArray[np.int64]
_Numbers = npt.NDArray[np.float64]


def measure(load: LoadSnapshot, since: float | None, until: float) -> dict[str, Any]:
    """What arrived in [since, until] (monotonic seconds; `since` None: from the first arrival on), as plain values.

    `offered`, `admitted`, their `..._tokens`, `rejected` by reason, `share_429` of what was offered; `windows` by load,
    axis and seconds; `utilisation`; `forgotten`. A window holds what arrived less than its length before its last
    arrival, as the quota counts it, and is worst where it exceeds most, in percent of what the limit in force at that
    last arrival allows in such a window. Utilisation is what was admitted in proportion to what the limits would have
    allowed from `since` to `until`; the binding axis is the one with the larger share. Tokens are charges as they
    stand: a settled one counts what was used.
    """
    times = np.concatenate([np.frombuffer(block, dtype=np.int64) for block in load.times])
    begin = 0 if since is None else int(np.searchsorted(times, microseconds(since), side="left"))
    part = slice(begin, int(np.searchsorted(times, microseconds(until), side="right")))
    outcomes = np.concatenate([np.frombuffer(block, dtype=np.uint8) for block in load.outcomes])[part]
    charges = np.concatenate([np.frombuffer(block, dtype=np.int64) for block in load.charges])
    offered = _Load(times[part], charges[part])
    is_admitted = outcomes == OUTCOME_CODES["admitted"]
    admitted = _Load(offered.times[is_admitted], offered.tokens[is_admitted])
    counts = np.bincount(outcomes, minlength=len(OUTCOMES)).tolist()
    rejected = dict(zip(OUTCOMES[1:], counts[1:], strict=True))
    if since is None:
        since = float(offered.times[0]) / MICROSECONDS if offered.count else until
    return {
        "offered": offered.count,
        "offered_tokens": int(offered.tokens.sum()),
        "admitted": admitted.count,
        "admitted_tokens": int(admitted.tokens.sum()),
        "rejected": rejected,
        "share_429": (rejected["requests"] + rejected["tokens"]) / offered.count if offered.count else 0.0,
        "windows": {"offered": _windows(offered, load.limits), "admitted": _windows(admitted, load.limits)},
        "utilisation": _utilisation(admitted, load.limits, since, until),
        "forgotten": load.forgotten,
    }


@dataclass(frozen=True)
class _Load:
    times: _Integers
    tokens: _Integers

    @property
    def count(self) -> int:
        return len(self.times)

    def total(self, axis: Axis) -> int:
        return self.count if axis == "requests" else int(self.tokens.sum())

    def sums_up_to(self, axis: Axis) -> _Integers:
        """The load of the first 0, 1, 2, ... arrivals."""
        if axis == "requests":
            return np.arange(self.count + 1)
        return np.concatenate(([0], np.cumsum(self.tokens)))


def _windows(load: _Load, limits: Sequence[Limits]) -> dict[str, dict[str, Any]]:
    worst: dict[str, dict[str, Any]] = {"requests": {}, "tokens": {}}
    in_force = {axis: _limits_at(load.times, limits, axis) for axis in AXES}
    sums = {axis: load.sums_up_to(axis) for axis in AXES}
    for seconds in WINDOW_SECONDS:
        before = np.searchsorted(load.times, load.times - seconds * MICROSECONDS, side="right")
        for axis in AXES:
            amounts = sums[axis][1:] - sums[axis][before]
            worst[axis][str(seconds)] = _worst(load.times, amounts, _allowed(in_force[axis], seconds, axis))
    return worst


def _limits_at(times: _Integers, limits: Sequence[Limits], axis: Axis) -> _Numbers:
    values = [math.inf if one.of(axis) is None else float(one.of(axis) or 0) for one in limits]
    changes = np.array([microseconds(one.since) for one in limits[1:]], dtype=np.int64)
    return np.array(values)[np.searchsorted(changes, times, side="right")]


def _allowed(per_minute: _Numbers, seconds: int, axis: Axis) -> _Numbers:
    allowed = per_minute * (seconds / 60)
    # The quota admits one request in a window however small the limit is; one request is no overrun either.
    return np.maximum(allowed, 1.0) if axis == "requests" else allowed


def _worst(times: _Integers, amounts: _Integers, allowed: _Numbers) -> dict[str, Any]:
    """The window that exceeds a limit most; of several, and without any limit, the earliest that holds most."""
    if not len(times):
        return {"amount": 0, "allowed": None, "overrun_percent": None, "at": None}
    ratios = np.where(np.isfinite(allowed), amounts / allowed, -1.0)
    worst = np.flatnonzero(ratios == ratios.max())
    at = int(worst[amounts[worst].argmax()])
    limited = math.isfinite(allowed[at])
    return {
        "amount": int(amounts[at]),
        "allowed": float(allowed[at]) if limited else None,
        "overrun_percent": (float(ratios[at]) - 1) * 100 if limited else None,
        "at": float(times[at]) / MICROSECONDS,
    }


def _utilisation(admitted: _Load, limits: Sequence[Limits], since: float, until: float) -> dict[str, Any]:
    shares: dict[str, float] = {}
    for axis in AXES:
        capacity = _capacity(limits, axis, since, until)
        if capacity:
            shares[axis] = admitted.total(axis) / capacity
    binding = max(shares, key=lambda axis: shares[axis], default=None)
    return {
        "seconds": max(0.0, until - since),
        "requests": shares.get("requests"),
        "tokens": shares.get("tokens"),
        "binding_axis": binding,
        "binding": None if binding is None else shares[binding],
    }


def _capacity(limits: Sequence[Limits], axis: Axis, since: float, until: float) -> float | None:
    """What the limits allow from `since` to `until`; None when there was no limit at some time."""
    capacity = 0.0
    for one, begin, end in _spans(limits, since, until):
        per_minute = one.of(axis)
        if per_minute is None:
            return None
        capacity += per_minute * (end - begin) / 60
    return capacity


def _spans(limits: Sequence[Limits], since: float, until: float) -> Iterator[tuple[Limits, float, float]]:
    starts = [one.since for one in limits]
    first = max(0, bisect_right(starts, since) - 1)
    for place in range(first, len(limits)):
        begin = since if place == first else starts[place]
        end = min(until, starts[place + 1]) if place + 1 < len(limits) else until
        if begin < end:
            yield limits[place], begin, end
