"""How much of a deployment's quota this worker could use: what it spent lately, and whether requests wait.

The time comes in with every call. Used by `sharing.py`.
"""

from math import ceil, exp, inf

from assay.quota.base import Charge, Quota

IDLE_SECONDS = 60.0
SHORT_SECONDS = 2.0
"""Requests that wait longer than this without a pause wait for more than their turn."""

_MEMORY_SECONDS = 20.0
_RESERVE = 1.25


class Demand:
    """What is asked of one worker. `quota` is the whole deployment's."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self._used = 0.0
        self._used_at = -inf
        self._wanted_at = -inf
        self._waiting_since = inf

    def wanted(self, now: float) -> None:
        """A request came, or was granted."""
        self._wanted_at = now

    def granted(self, charge: Charge, now: float) -> float:
        """So much was spent: returns for how many seconds of the whole quota."""
        minutes = max(1 / self.quota.requests_per_minute, charge.tokens / self.quota.tokens_per_minute)
        self._used = self._lately(now) + 60 * minutes / _MEMORY_SECONDS
        self._used_at = now
        return 60 * minutes

    def watch(self, is_waiting: bool, now: float) -> None:
        """Whether requests wait at this moment."""
        self._waiting_since = min(self._waiting_since, now) if is_waiting else inf

    @property
    def short_at(self) -> float:
        """When requests will have waited too long, unless a look finds none waiting."""
        return self._waiting_since + SHORT_SECONDS

    @property
    def idle_at(self) -> float:
        """When the worker has been without requests for a minute; infinite while some wait."""
        return inf if self._waiting_since < inf else self._wanted_at + IDLE_SECONDS

    def partitions(self, count: int, held: int, now: float) -> int:
        """How many of `count` partitions this worker could use, one at least.

        All of them as soon as requests have waited for two seconds, or while they wait and nothing is held.
        """
        if now >= self.short_at or (held == 0 and self._waiting_since < inf):
            return count
        return max(1, min(count, ceil(self._lately(now) * _RESERVE * count - 0.02)))

    def _lately(self, now: float) -> float:
        """The part of the quota spent in the last seconds, old ones counting less."""
        return self._used * exp(-(now - self._used_at) / _MEMORY_SECONDS)
