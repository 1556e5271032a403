"""The limits that a granting keeps to: as configured, or what the service announces when that is less.

Pure: the time comes in with every call. Used by `granting.py`; `adaptive.py` brings limits of its own.
"""

from dataclasses import dataclass
from math import inf
from typing import Protocol

from assay.quota.base import Quota

KEPT_SECONDS = 900.0
"""The service applies an edit of a quota within 15 minutes; a lower limit is believed that long after it was heard."""


class Limits(Protocol):
    """What the whole deployment grants per minute, as far as is known."""

    def at(self, now: float) -> tuple[float, float]:
        """Requests and tokens per minute to keep to."""
        ...

    def largest_charge(self, now: float) -> float:
        """A request above so many tokens can never be granted."""
        ...

    def hear(self, requests_per_minute: int | None, tokens_per_minute: int | None, now: float) -> bool:
        """The service announced these limits. True when it grants more than will ever be taken unasked."""
        ...

    def granted(self) -> None:
        """A request was let go that had waited for it."""
        ...

    def refused(self, now: float) -> None:
        """The service refused a request for its limits, and that is news."""
        ...


@dataclass(slots=True)
class AnnouncedLimit:
    """One limit per minute: as configured, or what the service says when that is less."""

    configured: float
    _announced: float = inf
    _until: float = -inf

    def hear(self, per_minute: int | None, now: float) -> None:
        """Values of 0 and less are seen in real headers and mean nothing."""
        if per_minute is not None and per_minute > 0:
            self._announced, self._until = per_minute, now + KEPT_SECONDS

    def at(self, now: float) -> float:
        """What to keep to now."""
        return min(self.configured, self._announced) if now < self._until else self.configured


class ConfiguredLimits:
    """A configured quota: a lower announced limit is kept for 15 minutes, a higher one is never taken."""

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._requests = AnnouncedLimit(quota.requests_per_minute)
        self._tokens = AnnouncedLimit(quota.tokens_per_minute)

    def configure(self, quota: Quota) -> None:
        """From now on this is the configured quota; what was announced stays announced."""
        self._quota = quota
        self._requests.configured, self._tokens.configured = quota.requests_per_minute, quota.tokens_per_minute

    def at(self, now: float) -> tuple[float, float]:
        return self._requests.at(now), self._tokens.at(now)

    def largest_charge(self, now: float) -> float:
        """By the configured quota: a lower limit may pass while the request waits."""
        return self._quota.tokens_per_minute

    def hear(self, requests_per_minute: int | None, tokens_per_minute: int | None, now: float) -> bool:
        self._requests.hear(requests_per_minute, now)
        self._tokens.hear(tokens_per_minute, now)
        return (requests_per_minute or 0) > self._quota.requests_per_minute or (
            tokens_per_minute or 0
        ) > self._quota.tokens_per_minute

    def granted(self) -> None:
        """Nothing is learned from it."""

    def refused(self, now: float) -> None:
        """The throttle slows down; the quota is what it is."""
