"""How a worker waits when there are more workers than partitions: seldom looking, until it asks for a turn.

Pure; used by `sharing.py`.
"""

from collections.abc import Sequence
from math import inf

from assay.quota.tickets import Ticket

# So long a worker that has no partition waits before it asks for a turn, and so long may one that has it be sure of it.
TURN_SECONDS = 1200.0
_FIRST_SECONDS, _GROWTH, _LONGEST_SECONDS = 60.0, 3.0, 520.0
LONGEST_PARKED_SECONDS = 1.25 * _LONGEST_SECONDS


class Parking:
    """One worker's wait without a partition."""

    def __init__(self) -> None:
        self._since = inf
        self._seconds = _FIRST_SECONDS

    @property
    def is_parked(self) -> bool:
        return self._since < inf

    def stay(self, now: float, jitter: float) -> float:
        """Parks, or stays parked; returns the seconds until the next look. `jitter` is between 0 and 1."""
        if not self.is_parked:
            self._since = now
        seconds = self._seconds * (0.75 + 0.5 * jitter)
        self._seconds = min(self._seconds * _GROWTH, _LONGEST_SECONDS)
        return seconds

    def end(self) -> None:
        """Has a partition, or may get one soon. Who parks again does not expect one so soon any more."""
        self._since = inf

    def whose_turn_ends(self, holders: Sequence[Ticket], storage_now: float, now: float) -> list[Ticket]:
        """Whom to ask for a turn: who had one longest, if we waited long enough and it is over; else nobody."""
        waited = now - self._since - TURN_SECONDS
        if waited < 0:
            return []
        # Who waited longer need not wait until a turn is quite over: so the last in the row is served first.
        least = max(TURN_SECONDS / 2, TURN_SECONDS - waited / 4)
        over = [each for each in holders if each.held and each.held_since <= storage_now - least]
        return sorted(over, key=lambda each: each.held_since)[:1]
