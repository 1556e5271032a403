"""What a deployment says of its own limits, and how long that is believed.

Pure: the time comes in with every call. Used by `granting.py`; a lower limit is kept, a higher one never taken.
"""

from dataclasses import dataclass
from math import inf

KEPT_SECONDS = 900.0
"""The service applies an edit of a quota within 15 minutes; a lower limit is believed that long after it was heard."""


@dataclass(slots=True)
class AnnouncedLimit:
    """One limit per minute: as configured, or what the service says when that is less."""

    configured: int
    _announced: float = inf
    _until: float = -inf

    def hear(self, per_minute: int | None, now: float) -> None:
        """Values of 0 and less are seen in real headers and mean nothing."""
        if per_minute is None or per_minute <= 0:
            return
        self._announced, self._until = per_minute, now + KEPT_SECONDS

    def is_raised(self, per_minute: int | None) -> bool:
        """Whether the service grants more than is configured: somebody may have raised the quota."""
        return per_minute is not None and per_minute > self.configured

    def at(self, now: float) -> float:
        """What to keep to now."""
        return min(self.configured, self._announced) if now < self._until else self.configured
