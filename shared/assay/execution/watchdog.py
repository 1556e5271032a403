"""The watchdog: reports trials that have used up almost all of their time, while they still run.

One per process, shared by all trials. A timer of the event loop per trial costs less than a task that looks around,
and cannot die unnoticed.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from assay.telemetry import Telemetry

SLOW_SHARE = 0.95


class Timer(Protocol):
    """A call to come, which can be called off."""

    def cancel(self) -> None: ...


def _call_later(seconds: float, callback: Callable[[], Any]) -> Timer:
    return asyncio.get_running_loop().call_later(seconds, callback)


class Watchdog:
    """Reports `trial_slow`, once per trial that is active for more than 95 % of its limit; stops nothing."""

    def __init__(
        self, telemetry: Telemetry, call_later: Callable[[float, Callable[[], Any]], Timer] = _call_later
    ) -> None:
        self._telemetry = telemetry
        self._call_later = call_later
        self._watched = 0

    @property
    def watched(self) -> int:
        """How many trials are under way."""
        return self._watched

    @contextmanager
    def watching(
        self, row_id: str, limit_seconds: float, stood_seconds: Callable[[], float] = lambda: 0.0
    ) -> Iterator[None]:
        """Watches the block; the event carries the fields that are bound here.

        `stood_seconds` says how long the trial's clock has stood still until now, which does not count.
        """
        allowed = 0.0
        timer: Timer

        def look() -> None:
            nonlocal timer, allowed
            more, allowed = stood_seconds() - allowed, stood_seconds()
            if more > 0:
                timer = self._call_later(more, look)
            else:
                self._telemetry.problem("trial_slow", row=row_id, limit_seconds=limit_seconds)

        timer = self._call_later(SLOW_SHARE * limit_seconds, look)
        self._watched += 1
        try:
            yield
        finally:
            self._watched -= 1
            timer.cancel()
