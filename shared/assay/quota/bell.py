"""A bell that ends a wait early. Used by the limiter's two loops, which sleep until they have something to do."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf

Sleep = Callable[[float], Awaitable[None]]


class Bell:
    """One task waits, anybody rings; a ring while nobody waits ends the next wait at once."""

    def __init__(self, sleep: Sleep) -> None:
        self._sleep = sleep
        self._waiter: asyncio.Future[None] | None = None
        self._rung = False

    def ring(self) -> None:
        self._rung = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self, seconds: float) -> None:
        """Returns when the bell rings or the time is over; infinity waits for the bell alone."""
        if not self._rung:
            await self._wait(seconds)
        self._rung = False

    async def _wait(self, seconds: float) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        alarm = None if seconds == inf else asyncio.ensure_future(self._ring_after(seconds))
        try:
            await self._waiter
        finally:
            self._waiter = None
            if alarm is not None:
                alarm.cancel()

    async def _ring_after(self, seconds: float) -> None:
        await self._sleep(seconds)
        self.ring()
