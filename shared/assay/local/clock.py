"""Time and waiting in the local host: a clock that tests can drive, and the two ways to wait for a stop."""

import asyncio
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime
from typing import Protocol

_LONGEST_SLEEP_SECONDS = 60.0
_CANCELLATIONS = 5


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


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Wait for `seconds`, or less if `stopping` is set meanwhile."""
    # Not wait_for: on Python 3.11 it swallows a cancellation that comes together with the event.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()


async def drain(tasks: Collection[asyncio.Task[None]], seconds: float) -> None:
    """Wait for tasks for up to `seconds`, then cancel those left, again and again should one swallow it."""
    left = set(tasks)
    if left:
        _, left = await asyncio.wait(left, timeout=seconds)
    for _ in range(_CANCELLATIONS if left else 0):
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=1.0)
        if not left:
            return
