"""Runs trigger listeners together and drains them together. Used by the host and by its worker processes."""

import asyncio
import traceback
from collections.abc import Sequence
from typing import Protocol

from assay.local.clock import drain, pause
from assay.telemetry import Telemetry

_RESTART_SECONDS = 1.0


class Listener(Protocol):
    """Waits for one trigger of one function."""

    async def run(self, stopping: asyncio.Event) -> None:
        """Listen until `stopping` is set, then return once the running functions have ended; cancel to cut them off."""
        ...


class Listeners:
    """A group of listeners. One that fails is reported and started again."""

    def __init__(self, listeners: Sequence[Listener], telemetry: Telemetry) -> None:
        self._listeners = listeners
        self._telemetry = telemetry
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to listen."""
        self._tasks = [asyncio.create_task(self._keep_running(listener)) for listener in self._listeners]

    async def stop(self, drain_seconds: float) -> None:
        """Take no more work, let running functions end for up to `drain_seconds`, then cancel them."""
        self._stopping.set()
        await drain(self._tasks, drain_seconds)

    async def _keep_running(self, listener: Listener) -> None:
        while not self._stopping.is_set():
            try:
                await listener.run(self._stopping)
                return
            except Exception:
                fields = {"listener": type(listener).__name__, "traceback": traceback.format_exc()}
                self._telemetry.problem("listener_failed", **fields)
                await pause(self._stopping, _RESTART_SECONDS)
