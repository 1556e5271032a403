"""A worker's bucket: what its share of a deployment's quota lets it send now, and if not now, when.

Pure: the time comes in with every call and never runs backwards. Used by `granting.py`.
"""

from collections import deque
from dataclasses import dataclass, field
from math import inf, sqrt

from assay.quota.base import Charge, Quota

TOKENS_WINDOW_SECONDS = 60.0

# What an idle bucket may save up. No longer than the guard of a lease (`leases.py`): then whoever takes a partition
# over begins to earn only after the last owner's savings have left every window.
BURST_SECONDS = 1.5

# A saved-up level is worth at least so many charges, else some of it is lost whenever the window holds a charge back:
# charges of different sizes never leave it as evenly as they are earned. What a last owner saved is then at most this.
_REQUESTS_BURST_CHARGES, _TOKENS_BURST_CHARGES = 1.0, 3.0

# Of the quota, kept back for clocks that are not exact.
HEADROOM = 0.002

# The service sees our requests with jitter: what left its window at our end may still be in it at the service's. Of
# tokens one late request may fill the window by itself; late requests have a margin of their own.
_REQUESTS_EDGE_SECONDS, _TOKENS_EDGE_SECONDS = 0.05, 0.2

# Below so many charges per window, whole charges fit too badly into it: pacing alone keeps the window, one debt off.
_FEW_CHARGES = 6

# Whole charges leave a rest of every window unused, half a charge on average. Workers whose rests vary by themselves
# may each use some of it: all rests together are hardly ever less than their mean by so many charges times the root
# of the workers.
_MEAN_REST, _REST_DEVIATION = 0.5, 0.6

# Estimates are off by chance; so many standard deviations of their sum over a window are kept back.
_DEVIATIONS = 2.5

# How late a late request is; what is kept back for them is no larger a part of the quota than this is of a window.
_LATE_SECONDS = 0.12


@dataclass(frozen=True, slots=True)
class Margins:
    """What is kept back of a quota because not everything is exact.

    `headroom` is a part of the quota, `stragglers` so many late requests in each window of requests, and
    `estimate_error` the standard deviation of one request's estimated tokens, as a part of them.
    """

    headroom: float = HEADROOM
    stragglers: float = 3.0
    estimate_error: float = 0.02


# Levels and times are sums of many floats; what is this near to zero is zero.
_NOTHING = 1e-6
_SHORTEST_WAIT_SECONDS = 0.001


@dataclass(slots=True)
class _Entry:
    """One charge in the log of a window."""

    at: float
    amount: float


@dataclass(frozen=True, slots=True)
class _Share:
    """A share of the quota since a time, and the integral of all shares before it: full shares times seconds."""

    since: float
    share: float
    held: float

    def held_until(self, now: float) -> float:
        return self.held + self.share * max(0.0, now - self.since)


@dataclass(slots=True)
class _Window:
    """What was sent and what was earned in the last `seconds`."""

    seconds: float
    edge_seconds: float
    estimate_error: float = 0.0
    _sends: deque[_Entry] = field(default_factory=deque)
    _sent: float = 0.0
    _shares: deque[_Share] = field(default_factory=deque)

    def add(self, amount: float, now: float) -> _Entry:
        entry = _Entry(now, amount)
        self._sends.append(entry)
        self._sent += amount
        return entry

    def correct(self, entry: _Entry, amount: float) -> None:
        """Makes one entry `amount`; it keeps its place in the window."""
        if self._sends and entry.at >= self._sends[0].at:
            self._sent += amount - entry.amount
        entry.amount = amount

    def hold(self, share: float, now: float) -> None:
        """From now on the share of the quota is this."""
        held = self._shares[-1].held_until(now) if self._shares else 0.0
        self._shares.append(_Share(now, share, held))

    def seconds_until_fits(self, amount: float, rate: float, now: float) -> float:
        """0 when the amount fits, else a time at which to look again: never too late, at times too early.

        `rate` is what the whole quota grants per second now: a service that changes its limit judges by the new one
        what was sent under the old.
        """
        self._forget(now)
        held = self._held_seconds(now)
        earned = rate * held
        share = self._shares[-1].share if self._shares else 0.0
        excess = self._sent + amount - earned - self._overdraft(amount, earned, rate, share)
        if excess <= _NOTHING:
            return 0.0
        growing = share > 0 and held < share * self.seconds - _NOTHING
        return min(self._seconds_until_gone(excess, now), excess / (rate * share) if growing else inf)

    def mean(self, otherwise: float) -> float:
        """The mean charge in the window."""
        return self._sent / len(self._sends) if self._sends else otherwise

    def _overdraft(self, amount: float, earned: float, rate: float, share: float) -> float:
        """What may be sent beyond what was earned; below zero when something must be kept back."""
        if earned < _FEW_CHARGES * amount or share <= 0:
            return amount
        mean = self.mean(amount)
        unused = max(0.0, _MEAN_REST - _REST_DEVIATION * sqrt(share)) * mean
        return unused - _DEVIATIONS * self.estimate_error * sqrt(rate * self.seconds * mean) * share

    def _held_seconds(self, now: float) -> float:
        """The integral of the share over the window."""
        if not self._shares:
            return 0.0
        return self._shares[-1].held_until(now) - self._shares[0].held_until(now - self.seconds)

    def _seconds_until_gone(self, amount: float, now: float) -> float:
        gone = 0.0
        for entry in self._sends:
            gone += entry.amount
            if gone >= amount - _NOTHING:
                return max(0.0, entry.at + self.seconds + self.edge_seconds - now)
        return inf

    def _forget(self, now: float) -> None:
        while self._sends and self._sends[0].at <= now - self.seconds - self.edge_seconds + _NOTHING:
            self._sent -= self._sends.popleft().amount
        while len(self._shares) > 1 and self._shares[1].since <= now - self.seconds:
            self._shares.popleft()


class Axis:
    """One of the quota's two limits: a level that accrues, and a window that no burst may overdraw.

    The level is the account of everything sent and earned; it may fall below zero by one charge, so that a charge
    larger than the burst is never starved. Saved up it is at most `BURST_SECONDS` or a few charges worth.
    """

    def __init__(self, per_minute: float, headroom: float, window: _Window, burst_charges: float) -> None:
        self._kept = 1 - headroom
        self._full_rate = per_minute / 60
        self._share = 0.0
        self._factor = 1.0
        self._rate = 0.0
        self._level = 0.0
        self._at = 0.0
        self._window = window
        self._burst_charges = burst_charges

    def set_share(self, share: float, now: float, phase_seconds: float) -> None:
        """From now on earns `share` of the quota. Growing adds no level.

        Shrinking takes what was saved up, and as much time again, in which what we sent cools down. A
        bucket that held nothing starts `phase_seconds` in debt, so that those who begin together do not send together.
        """
        self.advance(now)
        before, self._share = self._share, share
        self._set_rate()
        if before == 0:
            self._level = min(self._level, 0.0) - phase_seconds * self._rate
        elif share < before:
            self.forfeit(now + BURST_SECONDS)
        self._window.hold(share, now)

    def set_pace(self, per_minute: float, factor: float, now: float) -> None:
        """From now on the whole quota is so much, and the pace is `factor` of the share of it. Adds no level."""
        if per_minute / 60 == self._full_rate and factor == self._factor:
            return
        self.advance(now)
        self._full_rate, self._factor = per_minute / 60, factor
        self._set_rate()
        self._level = min(self._level, self._burst)

    def forfeit(self, until: float) -> None:
        """Gives up what was saved and earns nothing before `until`; debt stays."""
        self._level = min(self._level, 0.0)
        self._at = max(self._at, until)

    def advance(self, now: float) -> None:
        if now > self._at:
            self._level = min(self._level + self._rate * (now - self._at), self._burst)
            self._at = now

    def seconds_until_fits(self, amount: float, now: float) -> float:
        """0 when the amount may be sent now, else a time at which to look again; infinite without a share."""
        self.advance(now)
        if self._rate <= 0:
            return inf
        until_paid = max(0.0, self._at - now) - min(0.0, self._level + _NOTHING) / self._rate
        return max(until_paid, self._window.seconds_until_fits(amount, self._full_rate, now))

    def seconds_to_earn(self, amount: float) -> float:
        """How long the whole of the amount takes at the present pace; at the whole quota's without a share."""
        return amount / (self._rate or self._full_rate)

    def spend(self, amount: float, now: float) -> _Entry:
        self._level -= amount
        return self._window.add(amount, now)

    def correct(self, entry: _Entry, amount: float) -> None:
        """What was spent turned out to be `amount`."""
        self._level = min(self._level + entry.amount - amount, self._burst)
        self._window.correct(entry, amount)

    def seconds_in_debt(self, now: float) -> float:
        """How long the bucket earns until it owes nothing; 0 without a share, when it earns nothing."""
        self.advance(now)
        return -min(0.0, self._level) / self._rate if self._rate > 0 else 0.0

    @property
    def _burst(self) -> float:
        return max(BURST_SECONDS * self._rate, self._burst_charges * self._window.mean(0.0))

    def _set_rate(self) -> None:
        self._rate = self._full_rate * self._kept * self._share * self._factor


@dataclass(slots=True)
class Spending:
    """What one permit took, to be corrected once at most."""

    request: _Entry
    tokens: _Entry
    is_final: bool = False


class Bucket:
    """Both axes of a quota: a charge fits when it fits both."""

    def __init__(self, quota: Quota, margins: Margins = Margins()) -> None:
        window_seconds = quota.request_window_seconds
        requests = _Window(window_seconds, _REQUESTS_EDGE_SECONDS)
        tokens = _Window(TOKENS_WINDOW_SECONDS, _TOKENS_EDGE_SECONDS, margins.estimate_error)
        per_window = quota.requests_per_minute * window_seconds / 60
        late = min(margins.stragglers / per_window, _LATE_SECONDS / window_seconds)
        self._requests = Axis(quota.requests_per_minute, margins.headroom + late, requests, _REQUESTS_BURST_CHARGES)
        self._tokens = Axis(quota.tokens_per_minute, margins.headroom, tokens, _TOKENS_BURST_CHARGES)
        self._axes = (self._requests, self._tokens)

    def set_share(self, share: float, now: float, *, phase_seconds: float = 0.0) -> None:
        for axis in self._axes:
            axis.set_share(share, now, phase_seconds)

    def set_pace(self, limits: tuple[float, float], factors: tuple[float, float], now: float) -> None:
        """The whole quota's requests and tokens per minute from now on, and the part of the share of each to use."""
        self._requests.set_pace(limits[0], factors[0], now)
        self._tokens.set_pace(limits[1], factors[1], now)

    def forfeit(self, until: float) -> None:
        for axis in self._axes:
            axis.forfeit(until)

    def seconds_until_fits(self, charge: Charge, now: float) -> float:
        """0 when the charge may be spent now, else a time at which to look again: never too late."""
        wait = max(self._requests.seconds_until_fits(1, now), self._tokens.seconds_until_fits(charge.tokens, now))
        return max(wait, _SHORTEST_WAIT_SECONDS) if wait > 0 else 0.0

    def seconds_to_earn(self, requests: float, tokens: float) -> float:
        """How long so much takes at the present pace; at the whole quota's without a share."""
        return max(self._requests.seconds_to_earn(requests), self._tokens.seconds_to_earn(tokens))

    def spend(self, charge: Charge, now: float) -> Spending:
        return Spending(self._requests.spend(1, now), self._tokens.spend(charge.tokens, now))

    def refund(self, spending: Spending) -> None:
        """Gives everything back. Without effect on what was refunded or settled before."""
        if not spending.is_final:
            self._requests.correct(spending.request, 0.0)
            self.settle(spending, 0)

    def settle(self, spending: Spending, tokens: int) -> None:
        """So many tokens were counted in the end. Without effect on what was refunded or settled before."""
        if not spending.is_final:
            spending.is_final = True
            self._tokens.correct(spending.tokens, tokens)

    def seconds_in_debt(self, now: float) -> float:
        return max(axis.seconds_in_debt(now) for axis in self._axes)
