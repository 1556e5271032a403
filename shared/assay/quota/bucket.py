"""A worker's bucket: what its share of a deployment's quota lets it send now, and if not now, when.

Pure: the time comes in with every call and never runs backwards. Used by `limiter.py` alone.
"""

from collections import deque
from dataclasses import dataclass, field
from math import inf

from assay.quota.base import Charge, Quota

REQUESTS_WINDOW_SECONDS = 10.0
TOKENS_WINDOW_SECONDS = 60.0

# What an idle bucket may save up. No longer than the guard of a lease (`leases.py`): then whoever takes a partition
# over begins to earn only after the last owner's savings have left every window.
BURST_SECONDS = 1.5

# Of the quota, kept back for clocks and estimates that are not exact.
HEADROOM = 0.01

# The service sees our requests with jitter: what left its window at our end may still be in it at the service's.
_EDGE_SECONDS = 0.15

# Below so many charges per window, whole charges fit too badly into it: pacing alone keeps the window, one debt off.
_FEW_CHARGES = 12
_OVERDRAFT = 0.2

# Levels and times are sums of many floats; what is this near to zero is zero.
_NOTHING = 1e-6
_SHORTEST_WAIT_SECONDS = 0.001


@dataclass(slots=True)
class _Entry:
    """One charge in the log of a window."""

    at: float
    amount: float


@dataclass(slots=True)
class _Window:
    """What was sent and what was earned in the last `seconds`."""

    seconds: float
    _sends: deque[_Entry] = field(default_factory=deque)
    _sent: float = 0.0
    _rates: deque[tuple[float, float]] = field(default_factory=deque)

    def add(self, amount: float, now: float) -> _Entry:
        entry = _Entry(now, amount)
        self._sends.append(entry)
        self._sent += amount
        return entry

    def remove(self, entry: _Entry) -> None:
        if self._sends and entry.at >= self._sends[0].at:
            self._sent -= entry.amount
        entry.amount = 0.0

    def earn_at(self, rate: float, now: float) -> None:
        self._rates.append((now, rate))

    def seconds_until_fits(self, amount: float, now: float) -> float:
        """0 when the amount fits, else a time at which to look again: never too late, at times too early."""
        self._forget(now)
        earned = self._earned(now)
        excess = self._sent + amount - earned - amount * (1 if earned < _FEW_CHARGES * amount else _OVERDRAFT)
        if excess <= _NOTHING:
            return 0.0
        rate = self._rates[-1][1] if self._rates else 0.0
        growing = rate > 0 and earned < rate * self.seconds - _NOTHING
        return min(self._seconds_until_gone(excess, now), excess / rate if growing else inf)

    def _earned(self, now: float) -> float:
        """The integral of the rate over the window."""
        total, until = 0.0, now
        for since, rate in reversed(self._rates):
            total += rate * max(0.0, until - max(since, now - self.seconds))
            until = min(until, since)
        return total

    def _seconds_until_gone(self, amount: float, now: float) -> float:
        gone = 0.0
        for entry in self._sends:
            gone += entry.amount
            if gone >= amount - _NOTHING:
                return max(0.0, entry.at + self.seconds + _EDGE_SECONDS - now)
        return inf

    def _forget(self, now: float) -> None:
        while self._sends and self._sends[0].at <= now - self.seconds - _EDGE_SECONDS + _NOTHING:
            self._sent -= self._sends.popleft().amount
        while len(self._rates) > 1 and self._rates[1][0] <= now - self.seconds:
            self._rates.popleft()


class Axis:
    """One of the quota's two limits: a level that accrues, and a window that no burst may overdraw.

    The level is the account of everything sent and earned; it may fall below zero by one charge, so that a charge
    larger than the burst is never starved. Saved up it is at most `BURST_SECONDS` worth.
    """

    def __init__(self, per_minute: float, window_seconds: float, headroom: float) -> None:
        self._full_rate = per_minute / 60 * (1 - headroom)
        self._share = 0.0
        self._factor = 1.0
        self._level = 0.0
        self._at = 0.0
        self._window = _Window(window_seconds)

    def set_share(self, share: float, now: float, phase_seconds: float) -> None:
        """From now on earns `share` of the quota. Growing adds no level.

        Shrinking takes what was saved up, and as much time again, in which what we sent cools down. A
        bucket that held nothing starts `phase_seconds` in debt, so that those who begin together do not send together.
        """
        self.advance(now)
        before, self._share = self._share, share
        if before == 0:
            self._level = min(self._level, 0.0) - phase_seconds * self._rate
        elif share < before:
            self.forfeit(now + BURST_SECONDS)
        self._window.earn_at(self._full_rate * share, now)

    def set_factor(self, factor: float, now: float) -> None:
        """From now on earns `factor` of its share."""
        self.advance(now)
        self._factor = factor

    def forfeit(self, until: float) -> None:
        """Gives up what was saved and earns nothing before `until`; debt stays."""
        self._level = min(self._level, 0.0)
        self._at = max(self._at, until)

    def advance(self, now: float) -> None:
        if now > self._at:
            self._level = min(self._level + self._rate * (now - self._at), BURST_SECONDS * self._rate)
            self._at = now

    def seconds_until_fits(self, amount: float, now: float) -> float:
        """0 when the amount may be sent now, else a time at which to look again; infinite without a share."""
        self.advance(now)
        if self._rate <= 0:
            return inf
        until_paid = max(0.0, self._at - now) - min(0.0, self._level + _NOTHING) / self._rate
        return max(until_paid, self._window.seconds_until_fits(amount, now))

    def spend(self, amount: float, now: float) -> _Entry:
        self._level -= amount
        return self._window.add(amount, now)

    def refund(self, entry: _Entry) -> None:
        self._level = min(self._level + entry.amount, BURST_SECONDS * self._rate)
        self._window.remove(entry)

    def seconds_in_debt(self, now: float) -> float:
        """How long the bucket earns until it owes nothing; 0 without a share, when it earns nothing."""
        self.advance(now)
        return -min(0.0, self._level) / self._rate if self._rate > 0 else 0.0

    @property
    def _rate(self) -> float:
        return self._full_rate * self._share * self._factor


@dataclass(frozen=True, slots=True)
class Spending:
    """What one permit took, to be given back once at most."""

    request: _Entry
    tokens: _Entry


class Bucket:
    """Both axes of a quota: a charge fits when it fits both."""

    def __init__(self, quota: Quota, headroom: float = HEADROOM) -> None:
        self._requests = Axis(quota.requests_per_minute, REQUESTS_WINDOW_SECONDS, headroom)
        self._tokens = Axis(quota.tokens_per_minute, TOKENS_WINDOW_SECONDS, headroom)
        self._axes = (self._requests, self._tokens)

    def set_share(self, share: float, now: float, *, phase_seconds: float = 0.0) -> None:
        for axis in self._axes:
            axis.set_share(share, now, phase_seconds)

    def set_factor(self, factor: float, now: float) -> None:
        for axis in self._axes:
            axis.set_factor(factor, now)

    def forfeit(self, until: float) -> None:
        for axis in self._axes:
            axis.forfeit(until)

    def seconds_until_fits(self, charge: Charge, now: float) -> float:
        """0 when the charge may be spent now, else a time at which to look again: never too late."""
        wait = max(self._requests.seconds_until_fits(1, now), self._tokens.seconds_until_fits(charge.tokens, now))
        return max(wait, _SHORTEST_WAIT_SECONDS) if wait > 0 else 0.0

    def spend(self, charge: Charge, now: float) -> Spending:
        return Spending(self._requests.spend(1, now), self._tokens.spend(charge.tokens, now))

    def refund(self, spending: Spending) -> None:
        """A second call gives nothing back."""
        self._requests.refund(spending.request)
        self._tokens.refund(spending.tokens)

    def seconds_in_debt(self, now: float) -> float:
        return max(axis.seconds_in_debt(now) for axis in self._axes)
