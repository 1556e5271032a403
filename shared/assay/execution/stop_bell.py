"""The stop bell of a run in one process: questions that wait when the run is stopped hear it, and wait no longer.

`deployments.py` makes one per run; `asking.py` rings it and listens.
"""

import asyncio
from collections.abc import Awaitable

from assay.errors import RunStopped


class Ring:
    """What one question listens to: whether the run was stopped after the question began, and why."""

    def __init__(self) -> None:
        self._stopped: RunStopped | None = None
        self._rung = asyncio.Event()

    @property
    def is_rung(self) -> bool:
        return self._stopped is not None

    def check(self) -> None:
        """Raises RunStopped once the run was stopped."""
        if self._stopped is not None:
            raise type(self._stopped)(*self._stopped.args)

    async def rest(self, sleep: Awaitable[None]) -> None:
        """Waits for `sleep`; ends it and raises RunStopped as soon as the run is stopped."""
        self.check()
        works = asyncio.ensure_future(sleep), asyncio.ensure_future(self._rung.wait())
        try:
            await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for work in works:
                work.cancel()
        self.check()

    def ring(self, stopped: RunStopped) -> None:
        self._stopped = stopped
        self._rung.set()


class StopBell:
    """Rings for the questions under way. Those that begin later, when the run was let go on, hear a ring of their own.

    So nothing has to be told when a run goes on.
    """

    def __init__(self) -> None:
        self.ring_now = Ring()

    def ring(self, heard: Ring, stopped: RunStopped) -> None:
        """Stops the questions that began before now; a second call for the same ring does nothing."""
        if heard is self.ring_now:
            self.ring_now = Ring()
            heard.ring(stopped)
