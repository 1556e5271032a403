"""The limiter for a deployment whose quota nobody told us: its pace is learned from 429s and announced limits.

For one process alone; several learn each for itself and settle beside each other. Chosen by `runtime.py`.
"""

import asyncio
import time
from collections.abc import Callable
from math import inf

from assay.quota.announced import AnnouncedLimit
from assay.quota.base import Quota
from assay.quota.bell import Sleep
from assay.quota.granting import Granting
from assay.quota.window import LoneLimiter, everlasting
from assay.telemetry import Telemetry

FIRST_REQUESTS_PER_MINUTE = 60
LOWEST_REQUESTS_PER_MINUTE = 6.0

# No deployment grants as much; a finite number, because infinity times no time is not a number.
UNLIMITED_PER_MINUTE = 10**12

# By each request that was let go, the pace grows by so many requests per minute: until the first refusal it doubles
# every ten seconds, afterwards it takes about two minutes to win back what a refusal took.
_FIRST_GROWTH, _LATER_GROWTH = 4.0, 0.12
_CUT = 0.8


class LearnedLimits:
    """Announced limits where the service tells them; else a pace that grows with use and falls with refusals.

    Additive increase per request, multiplicative decrease per refusal (Chiu and Jain, 1989).
    """

    def __init__(self) -> None:
        self._requests = AnnouncedLimit(inf)
        self._tokens = AnnouncedLimit(UNLIMITED_PER_MINUTE)
        self._pace = float(FIRST_REQUESTS_PER_MINUTE)
        self._growth = _FIRST_GROWTH

    def at(self, now: float) -> tuple[float, float]:
        announced = self._requests.at(now)
        return (self._pace if announced == inf else announced), self._tokens.at(now)

    def largest_charge(self, now: float) -> float:
        return self._tokens.at(now)

    def hear(self, requests_per_minute: int | None, tokens_per_minute: int | None, now: float) -> bool:
        """Takes what it hears, more or less: there is no configured quota to stay below."""
        self._requests.hear(requests_per_minute, now)
        self._tokens.hear(tokens_per_minute, now)
        return False

    def granted(self) -> None:
        self._pace = min(self._pace + self._growth, UNLIMITED_PER_MINUTE)

    def refused(self, now: float) -> None:
        self._pace = max(LOWEST_REQUESTS_PER_MINUTE, self._pace * _CUT)
        self._growth = _LATER_GROWTH


class AdaptiveLimiter(LoneLimiter):
    """Grants permits in turns, at the pace that the service was found to bear."""

    def __init__(
        self,
        deployment: str,
        *,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        granting = Granting(
            deployment,
            Quota(FIRST_REQUESTS_PER_MINUTE, UNLIMITED_PER_MINUTE),
            refresh=lambda _: None,
            ground=everlasting,
            demanded=lambda _: None,
            telemetry=telemetry,
            clock=clock,
            sleep=sleep,
            limits=LearnedLimits(),
        )
        super().__init__(granting, clock())
