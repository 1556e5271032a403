"""The heartbeat: while a worker works, an event tells every half minute that it lives and what it is doing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from contextvars import Context

from assay.telemetry import Telemetry
from assay.telemetry_names import AXIS, DEPLOYMENT, HEARTBEAT, QUOTA_USE

BEAT_SECONDS = 30.0


class Heartbeat:
    """Beats while at least one `working` block runs. `trials` counts those under way, `breakers` names states.

    `quota_use` is the part of each deployment's quota that was used in the last minute, by deployment and axis.
    """

    def __init__(
        self,
        worker: str,
        telemetry: Telemetry,
        trials: Callable[[], int],
        breakers: Callable[[], Mapping[str, str]] = dict,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        quota_use: Callable[[], Mapping[tuple[str, str], float]] = dict,
    ) -> None:
        self._worker, self._telemetry = worker, telemetry
        self._trials, self._breakers, self._quota_use, self._sleep = trials, breakers, quota_use, sleep
        self._blocks = 0
        self._beats: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Beats while the block runs; blocks may overlap."""
        self._blocks += 1
        if self._beats is None:
            # A context of its own: it outlives the chunk that happens to come first, and is not about it.
            self._beats = asyncio.get_running_loop().create_task(self._beat(), context=Context())
        try:
            yield
        finally:
            self._blocks -= 1
            if not self._blocks:
                self._beats.cancel()
                self._beats = None

    async def _beat(self) -> None:
        while True:
            await self._sleep(BEAT_SECONDS)
            self._telemetry.event(
                "worker_alive",
                worker=self._worker,
                chunks=self._blocks,
                trials=self._trials(),
                breakers=dict(self._breakers()),
            )
            self._telemetry.record(HEARTBEAT, self._trials())
            for (deployment, axis), part in self._quota_use().items():
                self._telemetry.record(QUOTA_USE, part, {DEPLOYMENT: deployment, AXIS: axis})
