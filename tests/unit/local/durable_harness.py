"""Drives a task hub with the real engine, in-process activities and a clock that the test moves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from azure.durable_functions import Orchestrator

from assay.local.durable import TaskHub
from assay.local.durable_records import AnyLine
from assay.local.durable_store import HistoryStore
from assay.local.host_settings import DurableTaskSettings
from assay.telemetry import RecordingTelemetry

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TURNS = 400


class HandClock:
    """Time stands still until the test moves it."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._waiting: list[tuple[datetime, asyncio.Event]] = []

    def now(self) -> datetime:
        return self._now

    async def sleep_until(self, moment: datetime) -> None:
        if moment > self._now:
            due = asyncio.Event()
            self._waiting.append((moment, due))
            await due.wait()

    async def advance(self, **duration: float) -> None:
        self._now += timedelta(**duration)
        for moment, due in self._waiting:
            if moment <= self._now:
                due.set()
        await settle()


class Functions:
    """The functions of a test app: generators as orchestrators, plain or async functions as activities."""

    def __init__(self, orchestrators: dict[str, Any], activities: dict[str, Callable[[Any], Any]]) -> None:
        self._handles = {name: Orchestrator.create(function) for name, function in orchestrators.items()}
        self._activities = activities
        self.calls: list[tuple[str, Any]] = []
        self.episodes = 0

    @property
    def orchestrators(self) -> Iterable[str]:
        return self._handles.keys()

    async def run_orchestrator(self, name: str, context: str) -> str:
        self.episodes += 1
        await asyncio.sleep(0)
        return str(self._handles[name](context))

    async def run_activity(self, name: str, input_text: str | None) -> str:
        argument = json.loads(input_text or "null")
        self.calls.append((name, argument))
        result = self._activities[name](argument)
        return json.dumps(await result if asyncio.iscoroutine(result) else result)


class SnapshotStore(HistoryStore):
    """Remembers what the file of the one instance held after every write: all the places where a kill may strike."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, RecordingTelemetry())
        self.snapshots: list[bytes] = []
        self.appended: list[bytes] = []

    def append(self, instance_id: str, line: AnyLine) -> None:
        super().append(instance_id, line)
        self._take(instance_id)
        self.appended.append(self.snapshots[-1])

    def replace(self, instance_id: str, lines: Iterable[AnyLine]) -> None:
        super().replace(instance_id, lines)
        self._take(instance_id)

    def _take(self, instance_id: str) -> None:
        self.snapshots.append(self._path(instance_id).read_bytes())


class Bench:
    """One hub and everything around it."""

    def __init__(
        self,
        directory: Path,
        orchestrator: Any,
        *,
        store: HistoryStore | None = None,
        clock: HandClock | None = None,
        limits: DurableTaskSettings | None = None,
        **activities: Callable[[Any], Any],
    ) -> None:
        self.clock = clock or HandClock()
        self.telemetry = RecordingTelemetry()
        self.store = store or HistoryStore(directory, self.telemetry)
        self.functions = Functions({"main": orchestrator}, activities)
        self.hub = TaskHub(self.store, self.functions, limits or DurableTaskSettings(), self.telemetry, self.clock)

    async def start(self, argument: Any = None, instance_id: str = "i1") -> None:
        self.hub.start_instance("main", instance_id, None if argument is None else json.dumps(argument))
        await settle()

    async def event(self, name: str, payload: Any = None, instance_id: str = "i1") -> None:
        self.hub.raise_event(instance_id, name, json.dumps(payload))
        await settle()

    @property
    def status(self) -> str:
        return self.hub.find("i1").status

    @property
    def output(self) -> Any:
        outcome = self.hub.find("i1").outcome
        return outcome.output if outcome else None

    async def close(self) -> None:
        await self.hub.stop(drain_seconds=0)


async def settle() -> None:
    """Let everything that can run without time passing run."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
