"""Threads for programs that are plain functions: one for each call, and a bound on those that never come back.

One per process. The threads are daemons: none of them keeps the process from ending.
"""

import asyncio
import threading
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from assay.errors import RunStopped
from assay.telemetry import Telemetry

MOST_THREADS = 256
MOST_LEFT = 32
"""So many that were cut off and still run are no accident: the run stops until a person has looked at its program."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: what it returned, or what it raised."""

    value: Any = None
    error: BaseException | None = None


class ProgramThreads:
    """Runs plain functions beside the event loop."""

    def __init__(self, telemetry: Telemetry, most: int = MOST_THREADS, most_left: int = MOST_LEFT) -> None:
        self._telemetry, self._most_left = telemetry, most_left
        self._free = asyncio.Semaphore(most)
        self._left = 0

    @property
    def left(self) -> int:
        """How many threads still run although nobody waits for them any more."""
        return self._left

    async def run(self, work: Callable[[], Any]) -> Ended:
        """How `work` ended, in a thread and a copy of this context. Waits for a free thread.

        Cancelled, it returns at once and leaves the thread behind, which takes its place until it ends; nothing can end
        it from outside. Raises RunStopped when too many were left behind.
        """
        if self._left >= self._most_left:
            raise RunStopped(_too_many(self._left))
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Ended] = loop.create_future()
        context = copy_context()

        def body() -> None:
            found = context.run(_ended, work)
            try:
                loop.call_soon_threadsafe(self._back, ended, found)
            except RuntimeError:  # the loop is closed: nobody is interested any more
                return

        threading.Thread(target=body, name="assay-program", daemon=True).start()
        try:
            return await ended
        except asyncio.CancelledError:
            if ended.cancelled():
                self._leave()
            raise

    def _leave(self) -> None:
        self._left += 1
        self._telemetry.problem("program_left_running", left=self._left)

    def _back(self, ended: "asyncio.Future[Ended]", found: Ended) -> None:
        self._free.release()
        if ended.cancelled():
            self._left -= 1
        elif not ended.done():
            ended.set_result(found)


def _ended(work: Callable[[], Any]) -> Ended:
    try:
        return Ended(work())
    except BaseException as error:  # what a program raises is its own affair, `sys.exit` included
        return Ended(error=error)


def _too_many(left: int) -> str:
    return (
        f"{left} calls of programs were cut off in this worker and still run, which nothing can end from outside. "
        "See what the program waits for and give that a limit, then restart the workers."
    )
