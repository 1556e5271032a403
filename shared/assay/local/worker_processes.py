"""Keeps the host's worker processes alive, each a child that runs the queue triggers. Called by the host.

A child's standard input is a pipe that only its parent holds: when the parent is gone, however it ended, the pipe
closes and the child drains and leaves.
"""

import asyncio
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence

from assay.telemetry import Telemetry

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_HEALTHY_SECONDS = 60.0


class WorkerProcesses:
    """`count` children that run `command`. One that dies is started again, each time after a longer pause."""

    def __init__(
        self, count: int, command: Sequence[str], environment: Mapping[str, str], telemetry: Telemetry
    ) -> None:
        self._count = count
        self._command = command
        self._environment = environment
        self._telemetry = telemetry
        self._processes: dict[int, Process] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._is_stopping = False

    def start(self) -> None:
        """Begin to keep the children alive."""
        self._keepers = [asyncio.create_task(self._keep_alive(number)) for number in range(self._count)]

    async def stop(self, drain_seconds: float) -> None:
        """Tell the children to drain, wait for them, and end those that take longer than `drain_seconds`."""
        self._is_stopping = True
        for process in self._processes.values():
            if process.stdin:
                process.stdin.close()  # the order to drain
        waiting = [asyncio.create_task(process.wait()) for process in self._processes.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=drain_seconds)
        for process in self._processes.values():
            if process.returncode is None:
                process.kill()
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*waiting, *self._keepers, return_exceptions=True)

    async def _keep_alive(self, number: int) -> None:
        pause_seconds = _FIRST_PAUSE_SECONDS
        while not self._is_stopping:
            started = time.monotonic()
            exit_code = await self._run_once(number)
            if self._is_stopping:
                return
            if time.monotonic() - started > _HEALTHY_SECONDS:
                pause_seconds = _FIRST_PAUSE_SECONDS
            fields = {"worker": number, "exit_code": exit_code, "restart_in_seconds": pause_seconds}
            self._telemetry.problem("worker_died", **fields)
            await asyncio.sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, _LONGEST_PAUSE_SECONDS)

    async def _run_once(self, number: int) -> int:
        # A session of its own: Ctrl-C in a terminal goes to the host alone, which then tells its children.
        process = await asyncio.create_subprocess_exec(
            *self._command, env=self._environment, stdin=PIPE, start_new_session=True
        )
        self._processes[number] = process
        self._telemetry.event("worker_started", worker=number, pid=process.pid)
        return await process.wait()
