"""The quota of one emulated deployment, judged over sliding windows as Azure OpenAI does it.

Called by `openai_emulator` for each request. Time is passed in, so tests need no waiting.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

TOKEN_WINDOW_SECONDS = 60.0
NEVER_FITS_SECONDS = 86_400.0
"""What the service says when one request is larger than the whole limit."""

Axis = Literal["requests", "tokens"]
CountRejected = Literal["none", "requests", "both"]
"""Which windows a rejected request fills."""

LimitPair = tuple[int | None, int | None]
"""Requests and tokens a minute; None is no limit."""


@dataclass(slots=True)
class Charge:
    """What one request costs in a window, and since when."""

    at: float
    amount: float


class SlidingWindow:
    """Amounts of the last `seconds`, against a `limit` per window. A charge leaves exactly `seconds` after it came."""

    def __init__(self, seconds: float, limit: float) -> None:
        self.seconds = seconds
        self.limit = limit
        self._charges: deque[Charge] = deque()
        self._total = 0.0

    def used(self, now: float) -> float:
        """What the window holds at `now`."""
        charges = self._charges
        while charges and now - charges[0].at >= self.seconds:
            self._total -= charges.popleft().amount
        return self._total

    def add(self, now: float, amount: float) -> Charge:
        """Charge `amount` at `now`; what comes back can be corrected later."""
        charge = Charge(now, amount)
        self._charges.append(charge)
        self._total += amount
        return charge

    def correct(self, now: float, charge: Charge, amount: float) -> None:
        """Make one of the window's charges `amount`; without effect once the charge has left the window."""
        self.used(now)
        if now - charge.at < self.seconds:
            self._total += amount - charge.amount
            charge.amount = amount

    def wait_seconds(self, now: float, amount: float) -> float:
        """Seconds until `amount` fits: 0 when it fits now, a day when it is larger than the limit."""
        if amount > self.limit:
            return NEVER_FITS_SECONDS
        excess = self.used(now) + amount - self.limit
        if excess <= 0:
            return 0.0
        for charge in self._charges:
            excess -= charge.amount
            if excess <= 0:
                return charge.at + self.seconds - now
        return NEVER_FITS_SECONDS

    def empty_in_seconds(self, now: float) -> float:
        """Seconds until everything in the window now has left it."""
        self.used(now)
        return self._charges[-1].at + self.seconds - now if self._charges else 0.0


@dataclass(frozen=True, slots=True)
class AxisState:
    """One axis after a request was judged; what the `x-ratelimit-*` headers say about it."""

    limit_per_minute: int
    remaining: int
    reset_seconds: float
    limit_per_window: int
    window_seconds: float


@dataclass(frozen=True, slots=True)
class QuotaVerdict:
    """Whether a request was admitted; if not, which axis refused it and how long the caller should wait.

    `charge` is the token charge of an admitted request, for `DeploymentQuota.settle`.
    """

    refused_by: Axis | None
    retry_after_seconds: float
    requests: AxisState | None
    tokens: AxisState | None
    charge: Charge | None = field(default=None, compare=False)


class DeploymentQuota:
    """Both axes of one deployment; an axis without a limit admits everything.

    The rules are those that were measured on the service: requests over a short window (10 s, sometimes 1 s) with the
    minute's limit scaled down to it, tokens over 60 s, the charge fixed at arrival. A Standard deployment never
    corrects it by real usage; a provisioned one does, when the answer is sent: then the caller settles each charge.
    """

    def __init__(
        self,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        *,
        request_window_seconds: float = 10.0,
        count_rejected: CountRejected = "none",
    ) -> None:
        self._request_window_seconds = request_window_seconds
        self._count_rejected = count_rejected
        self._requests = SlidingWindow(request_window_seconds, math.inf)
        self._tokens = SlidingWindow(TOKEN_WINDOW_SECONDS, math.inf)
        self._cut, self._cut_told = 1.0, True
        self.set_limits(requests_per_minute, tokens_per_minute)

    def set_limits(
        self, requests_per_minute: int | None, tokens_per_minute: int | None, told: LimitPair | None = None
    ) -> None:
        """Change the limits from now on; what was charged before stays charged. None takes a limit away.

        `told`: the limits that the verdicts' states go on to tell in place of the new ones.
        """
        self._limits = requests_per_minute, tokens_per_minute
        self._told_limits = self._limits if told is None else told
        self._apply()

    def set_cut(self, factor: float, told: bool = True) -> None:
        """Keep only `factor` of both limits from now on; 1 ends the cut. The verdicts' states are of the limits that
        are kept when the cut is `told`, else of the whole ones."""
        self._cut, self._cut_told = factor, told
        self._apply()

    def ask(self, now: float, charge: int) -> QuotaVerdict:
        """Judge one request of `charge` tokens at `now` (monotonic seconds); an admitted one is charged to both axes.

        A rejected request is charged nothing, or to the windows that the quota was made to fill with rejected ones.
        """
        request_wait = self._requests.wait_seconds(now, 1)
        token_wait = self._tokens.wait_seconds(now, charge)
        wait = max(request_wait, token_wait)
        if wait == 0:
            self._requests.add(now, 1)
            return self._verdict(now, None, 0.0, self._tokens.add(now, charge))
        if self._count_rejected != "none":
            self._requests.add(now, 1)
        if self._count_rejected == "both":
            self._tokens.add(now, charge)
        return self._verdict(now, "requests" if request_wait >= token_wait else "tokens", wait)

    def settle(self, now: float, charge: Charge, tokens: int) -> None:
        """Correct an admitted request's token charge to what it really used; it keeps its place in the window."""
        self._tokens.correct(now, charge, tokens)

    def _apply(self) -> None:
        self._requests.limit, self._tokens.limit = self._windows(self._limits, self._cut)
        told = self._cut if self._cut_told else 1.0
        self._told_request_limit, self._told_token_limit = self._windows(self._told_limits, told)
        self._told_requests_per_minute = limit_in_force(self._told_limits[0], told)
        self._told_tokens_per_minute = limit_in_force(self._told_limits[1], told)

    def _windows(self, limits: LimitPair, factor: float) -> tuple[float, float]:
        """What the two windows may hold."""
        requests, tokens = (limit_in_force(limit, factor) for limit in limits)
        # A window that cannot hold one request would refuse everything for ever.
        fitting = math.inf if requests is None else max(1.0, requests * self._request_window_seconds / 60)
        return fitting, math.inf if tokens is None else tokens

    def _verdict(self, now: float, refused_by: Axis | None, wait: float, charge: Charge | None = None) -> QuotaVerdict:
        request_wait = wait if refused_by == "requests" else 0.0
        token_wait = wait if refused_by == "tokens" else 0.0
        requests = _axis_state(
            self._requests, now, self._told_request_limit, self._told_requests_per_minute, request_wait
        )
        tokens = _axis_state(self._tokens, now, self._told_token_limit, self._told_tokens_per_minute, token_wait)
        return QuotaVerdict(refused_by, wait, requests, tokens, charge)


def limit_in_force(per_minute: int | None, factor: float) -> int | None:
    """What a cut leaves of a limit per minute: whole units, at least one; None stays without limit."""
    return None if per_minute is None else max(1, math.floor(per_minute * factor + 1e-9))


def _axis_state(
    window: SlidingWindow, now: float, limit: float, per_minute: int | None, wait: float
) -> AxisState | None:
    if per_minute is None:
        return None
    remaining = max(0, math.floor(limit - window.used(now)))
    return AxisState(per_minute, remaining, wait or window.empty_in_seconds(now), math.floor(limit), window.seconds)
