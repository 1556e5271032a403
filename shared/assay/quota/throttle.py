"""What a worker learns from 429s: a gate that stays shut as long as the service asked, and a factor per limit.

Pure: the time comes in with every call. Used by `granting.py`; every worker learns for itself.
"""

from math import inf

from assay.quota.base import Throttling

DEFAULT_WAIT_SECONDS = 1.0
LONGEST_GATE_SECONDS = 15.0
LONGEST_GATE_AFTER_PROBE_SECONDS = 30.0

# A refusal comes back at once, an answer takes as long as its text: silence for so long means that a probe was let in.
PROBE_SECONDS = 1.0

LOWEST_FACTOR = 0.1

# One refusal may be chance; one more soon after the gate opened means that the service grants less than believed.
_REPEATED_WITHIN_SECONDS = 10.0
_FIRST_CUT, _REPEATED_CUT = 0.99, 0.80

# Growth per second right after a cut, and the quiet time after which it has doubled: slow to probe, quick to forget.
_GROWTH_PER_SECOND = 0.0005
_QUIET_SECONDS = 30.0


class _Factor:
    """The part of one limit that a worker uses, between 0.1 and 1."""

    def __init__(self) -> None:
        self._value = 1.0
        self._quiet_since = -inf

    def cut(self, now: float, quiet_since: float) -> None:
        repeated = now - self._quiet_since <= _REPEATED_WITHIN_SECONDS
        self._value = max(LOWEST_FACTOR, self.at(now) * (_REPEATED_CUT if repeated else _FIRST_CUT))
        self._quiet_since = quiet_since

    def at(self, now: float) -> float:
        if self._value >= 1.0:
            return 1.0
        quiet = max(0.0, now - self._quiet_since)
        return min(1.0, self._value + _GROWTH_PER_SECOND * (quiet + quiet**3 / (3 * _QUIET_SECONDS**2)))


class Throttle:
    """A gate for everything and a factor for each limit.

    A refusal shuts the gate. The first permit after that is a probe: the host holds the next one back for
    `PROBE_SECONDS`. A refused probe shuts the gate for twice as long; a probe that was let in opens it.
    """

    def __init__(self) -> None:
        self.epoch = 0
        """Goes up with every reaction: what was sent in an earlier epoch tells nothing new."""
        self.closed_until = -inf
        self._factors = {"requests": _Factor(), "tokens": _Factor()}
        self._is_shut = False
        self._is_probing = False
        self._failures = 0

    def refused(self, epoch: int, throttling: Throttling, now: float) -> bool:
        """The service refused a request sent in `epoch`. False when that was before the last reaction.

        Otherwise the gate shuts for the wait that the service asked for, and the factor falls: of the limit that was
        hit, of both when the service did not say, of none when it is the service that is short of capacity.
        """
        if epoch != self.epoch:
            return False
        self.epoch += 1
        self._failures = self._failures + 1 if self._is_probing else 0
        self._is_shut, self._is_probing = True, False
        self.closed_until = now + self._gate_seconds(throttling.retry_after_seconds)
        if not throttling.is_capacity:
            self._cut(throttling.axis, now)
        return True

    def granted(self) -> bool:
        """A permit was granted. True when it is the probe after a gate."""
        self._is_probing = self._is_shut
        self._is_shut = False
        return self._is_probing

    def answered(self, epoch: int) -> None:
        """The service answered a request sent in `epoch`: if that was the probe, the gate is open."""
        if epoch == self.epoch:
            self._is_probing = False

    def factors(self, now: float) -> tuple[float, float]:
        """The parts of the request limit and of the token limit that a worker uses now: they grow with quiet time."""
        return self._factors["requests"].at(now), self._factors["tokens"].at(now)

    def _gate_seconds(self, asked_seconds: float | None) -> float:
        asked = asked_seconds if asked_seconds and asked_seconds > 0 else DEFAULT_WAIT_SECONDS
        if not self._failures:
            return min(asked, LONGEST_GATE_SECONDS)
        return min(max(asked, DEFAULT_WAIT_SECONDS * 2.0**self._failures), LONGEST_GATE_AFTER_PROBE_SECONDS)

    def _cut(self, axis: str | None, now: float) -> None:
        for name in [axis] if axis else self._factors:
            self._factors[name].cut(now, quiet_since=self.closed_until)
