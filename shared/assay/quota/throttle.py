"""What a worker learns from 429s: a gate that stays shut as long as the service asked, and a factor on its pace.

Pure: the time comes in with every call. Used by `limiter.py` alone; every worker learns for itself.
"""

from math import inf

DEFAULT_WAIT_SECONDS = 1.0
LONGEST_GATE_SECONDS = 15.0
LOWEST_FACTOR = 0.1

# One refusal may be chance; two so near to each other mean that the service grants less than it is believed to.
_REPEATED_WITHIN_SECONDS = 10.0
_FIRST_CUT, _REPEATED_CUT = 0.99, 0.90

# Growth per second right after a cut, and the quiet time after which it has doubled: slow to probe, quick to forget.
_GROWTH_PER_SECOND = 0.0005
_QUIET_SECONDS = 30.0


class Throttle:
    """A gate and a factor between 0.1 and 1."""

    def __init__(self) -> None:
        self._factor = 1.0
        self._cut_at = -inf
        self._closed_until = -inf

    def refused(self, sent_at: float, retry_after_seconds: float | None, now: float) -> bool:
        """The service refused a request sent at `sent_at`. False when the request left before the last reaction.

        Otherwise the gate shuts for the wait that the service asked for (at most 15 seconds; the refused request's own
        retry waits longer if it must), and the factor falls.
        """
        if sent_at < self._closed_until:
            return False
        cut = _REPEATED_CUT if now - self._cut_at <= _REPEATED_WITHIN_SECONDS else _FIRST_CUT
        self._factor = max(LOWEST_FACTOR, self.factor(now) * cut)
        self._cut_at = now
        self._closed_until = now + min(retry_after_seconds or DEFAULT_WAIT_SECONDS, LONGEST_GATE_SECONDS)
        return True

    def factor(self, now: float) -> float:
        """The part of its share that a worker uses: after a cut it grows with the time squared."""
        quiet = max(0.0, now - self._cut_at)
        if quiet == inf:
            return self._factor
        return min(1.0, self._factor + _GROWTH_PER_SECOND * (quiet + quiet**3 / (3 * _QUIET_SECONDS**2)))

    @property
    def closed_until(self) -> float:
        return self._closed_until
