"""Looks at something again when it is due, or sooner when rung. Used by `granting.py`, once per granted request.

One sleeping task serves many looks: a task for each would cost more than the look.
"""

import asyncio
import contextvars
from collections.abc import Callable
from math import inf

from assay.quota.bell import Sleep


class Alarm:
    """Calls `look`, which returns the seconds until it wants to be called again; infinity waits for a ring."""

    def __init__(self, look: Callable[[], float], clock: Callable[[], float], sleep: Sleep) -> None:
        self._look = look
        self._clock = clock
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None
        self._due = inf
        self._is_rung = False
        self._is_stopped = False

    def ring(self) -> None:
        """Looks soon, never within the caller's own step; several rings until then are one."""
        if not self._is_rung and not self._is_stopped:
            self._is_rung = True
            asyncio.get_running_loop().call_soon(self._answer)

    async def stop(self) -> None:
        """Looks no more; a second call does nothing."""
        self._is_stopped = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _answer(self) -> None:
        self._is_rung = False
        if self._is_stopped:
            return
        seconds = self._look()
        if seconds < inf and (self._task is None or self._task.done() or self._clock() + seconds < self._due):
            self._set(seconds)

    def _set(self, seconds: float) -> None:
        if self._task is not None:
            self._task.cancel()
        self._due = self._clock() + seconds
        # A context of its own: it outlives the trial whose request happens to come first.
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(seconds), context=contextvars.Context())

    async def _run(self, seconds: float) -> None:
        while seconds < inf:
            self._due = self._clock() + seconds
            await self._sleep(seconds)
            seconds = self._look()
