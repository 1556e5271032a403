"""The quota of one emulated deployment, judged over sliding windows as Azure OpenAI does it.

Called by `openai_emulator` for each request. Time is passed in, so tests need no waiting.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Literal

TOKEN_WINDOW_SECONDS = 60.0
NEVER_FITS_SECONDS = 86_400.0
"""What the service says when one request is larger than the whole limit."""

Axis = Literal["requests", "tokens"]


class SlidingWindow:
    """Amounts of the last `seconds`, against a `limit` per window. A charge leaves exactly `seconds` after it came."""

    def __init__(self, seconds: float, limit: float) -> None:
        self.seconds = seconds
        self.limit = limit
        self._charges: deque[tuple[float, float]] = deque()
        self._total = 0.0

    def used(self, now: float) -> float:
        """What the window holds at `now`."""
        charges = self._charges
        while charges and now - charges[0][0] >= self.seconds:
            self._total -= charges.popleft()[1]
        return self._total

    def add(self, now: float, amount: float) -> None:
        self._charges.append((now, amount))
        self._total += amount

    def wait_seconds(self, now: float, amount: float) -> float:
        """Seconds until `amount` fits: 0 when it fits now, a day when it is larger than the limit."""
        if amount > self.limit:
            return NEVER_FITS_SECONDS
        excess = self.used(now) + amount - self.limit
        if excess <= 0:
            return 0.0
        for charged_at, charged in self._charges:
            excess -= charged
            if excess <= 0:
                return charged_at + self.seconds - now
        return NEVER_FITS_SECONDS

    def empty_in_seconds(self, now: float) -> float:
        """Seconds until everything in the window now has left it."""
        self.used(now)
        return self._charges[-1][0] + self.seconds - now if self._charges else 0.0


@dataclass(frozen=True, slots=True)
class AxisState:
    """One axis after a request was judged; what the `x-ratelimit-*` headers say about it."""

    limit_per_minute: int
    remaining: int
    reset_seconds: float


@dataclass(frozen=True, slots=True)
class QuotaVerdict:
    """Whether a request was admitted; if not, which axis refused it and how long the caller should wait."""

    refused_by: Axis | None
    retry_after_seconds: float
    requests: AxisState | None
    tokens: AxisState | None


class DeploymentQuota:
    """Both axes of one deployment; an axis without a limit admits everything.

    The rules are those that were measured on the service: requests over a short window (10 s, sometimes 1 s) with the
    minute's limit scaled down to it, tokens over 60 s, the charge fixed at arrival and never corrected by real usage.
    """

    def __init__(
        self,
        requests_per_minute: int | None,
        tokens_per_minute: int | None,
        *,
        request_window_seconds: float = 10.0,
        rejected_count: bool = False,
    ) -> None:
        self._request_window_seconds = request_window_seconds
        self._rejected_count = rejected_count
        self._requests = SlidingWindow(request_window_seconds, math.inf)
        self._tokens = SlidingWindow(TOKEN_WINDOW_SECONDS, math.inf)
        self.set_limits(requests_per_minute, tokens_per_minute)

    def set_limits(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        """Change the limits from now on; what was charged before stays charged. None takes a limit away."""
        self._requests_per_minute = requests_per_minute
        self._tokens_per_minute = tokens_per_minute
        share = self._request_window_seconds / 60
        # A window that cannot hold one request would refuse everything for ever.
        self._requests.limit = math.inf if requests_per_minute is None else max(1.0, requests_per_minute * share)
        self._tokens.limit = math.inf if tokens_per_minute is None else tokens_per_minute

    def ask(self, now: float, charge: int) -> QuotaVerdict:
        """Judge one request of `charge` tokens at `now` (monotonic seconds); an admitted one is charged to both axes.

        A rejected request is charged nothing, or one request when the quota was made with `rejected_count`.
        """
        request_wait = self._requests.wait_seconds(now, 1)
        token_wait = self._tokens.wait_seconds(now, charge)
        wait = max(request_wait, token_wait)
        if wait == 0:
            self._requests.add(now, 1)
            self._tokens.add(now, charge)
            return self._verdict(now, None, 0.0)
        if self._rejected_count:
            self._requests.add(now, 1)
        return self._verdict(now, "requests" if request_wait >= token_wait else "tokens", wait)

    def _verdict(self, now: float, refused_by: Axis | None, wait: float) -> QuotaVerdict:
        requests = _axis_state(self._requests, now, self._requests_per_minute, wait if refused_by == "requests" else 0)
        tokens = _axis_state(self._tokens, now, self._tokens_per_minute, wait if refused_by == "tokens" else 0)
        return QuotaVerdict(refused_by, wait, requests, tokens)


def _axis_state(window: SlidingWindow, now: float, per_minute: int | None, wait: float) -> AxisState | None:
    if per_minute is None:
        return None
    remaining = max(0, math.floor(window.limit - window.used(now)))
    return AxisState(per_minute, remaining, wait or window.empty_in_seconds(now))
