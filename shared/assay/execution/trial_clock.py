"""A trial's time: what its limit counts. It stands still while a request waits for quota or money.

`trial.py` opens a clock, `sending.py` stops it; middleware in between needs to know nothing of it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar


class TrialClock:
    """Ends a trial after its limit, not counting what is waited for while it stands still."""

    def __init__(self, until: asyncio.Timeout) -> None:
        self._until = until
        self._now = asyncio.get_running_loop().time
        self._waits = 0
        self._since: float | None = None
        self._left_seconds = 0.0
        self._stood_seconds = 0.0
        self._is_over = False

    @property
    def expired(self) -> bool:
        """Whether the trial was cut off."""
        return self._until.expired()

    def stood_seconds(self) -> float:
        """How long it has stood still in all."""
        return self._stood_seconds + (0.0 if self._since is None else self._now() - self._since)

    def stop(self) -> None:
        """Stands still until `go_on` was called as often."""
        self._waits += 1
        until = self._until.when()
        if self._waits == 1 and until is not None and self._runs:
            self._since = self._now()
            self._left_seconds = until - self._since
            self._until.reschedule(None)

    def go_on(self) -> None:
        self._waits -= 1
        if self._waits or self._since is None:
            return
        self._stood_seconds, self._since = self.stood_seconds(), None
        if self._runs:
            self._until.reschedule(self._now() + self._left_seconds)

    def end(self) -> None:
        """The trial is over: what still waits in its name moves nothing any more."""
        self._is_over = True

    @property
    def _runs(self) -> bool:
        return not self._is_over and not self._until.expired()


_running: ContextVar[TrialClock | None] = ContextVar("assay_trial_clock", default=None)


@asynccontextmanager
async def trial_clock(limit_seconds: float) -> AsyncIterator[TrialClock]:
    """The clock of what is asked inside the block, which is cut off with TimeoutError after its limit."""
    async with asyncio.timeout(limit_seconds) as until:
        clock = TrialClock(until)
        token = _running.set(clock)
        try:
            yield clock
        finally:
            clock.end()
            _running.reset(token)


@contextmanager
def time_stands_still() -> Iterator[None]:
    """The block is not counted by the clock in force here, if there is one."""
    clock = _running.get()
    if clock is None:
        yield
        return
    clock.stop()
    try:
        yield
    finally:
        clock.go_on()
