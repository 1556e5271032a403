"""The time of the local host's timers and orchestrations, passed in so that tests can drive it."""

import asyncio
from datetime import UTC, datetime
from typing import Protocol

_LONGEST_SLEEP_SECONDS = 60.0


class Clock(Protocol):
    """Tells the time and waits for it."""

    def now(self) -> datetime:
        """The time, in UTC."""
        ...

    async def sleep_until(self, moment: datetime) -> None:
        """Return once `moment` has come; at once if it has passed."""
        ...


class SystemClock:
    """The machine's clock. It sleeps in short steps, so that a laptop that was asleep notices that a moment passed."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    async def sleep_until(self, moment: datetime) -> None:
        while (left_seconds := (moment - self.now()).total_seconds()) > 0:  # noqa: ASYNC110 - only time passes here
            await asyncio.sleep(min(left_seconds, _LONGEST_SLEEP_SECONDS))
