"""How a worker waits when there are more workers than partitions: it looks seldom, and leaves the work to the others.

Pure; used by `sharing.py`.
"""

# So long requests wait for a worker that cannot have a partition; then they are left to those who have one.
PATIENCE_SECONDS = 30.0

_GROWTH, _LONGEST_SECONDS = 3.0, 270.0
LONGEST_PARKED_SECONDS = 1.25 * _LONGEST_SECONDS


class Parking:
    """One worker's wait without a partition. `is_elsewhere` once it has waited in vain, until it may have one."""

    def __init__(self) -> None:
        self.is_parked = False
        self.is_elsewhere = False
        self._seconds = PATIENCE_SECONDS

    def stay(self, jitter: float) -> float:
        """Parks, or stays parked; returns the seconds until the next look. `jitter` is between 0 and 1."""
        self.is_elsewhere = self.is_parked
        self.is_parked = True
        seconds = self._seconds * (0.75 + 0.5 * jitter)
        self._seconds = min(self._seconds * _GROWTH, _LONGEST_SECONDS)
        return seconds

    def end(self) -> None:
        """Has a partition, or may get one soon."""
        self.is_parked = self.is_elsewhere = False
        self._seconds = PATIENCE_SECONDS
