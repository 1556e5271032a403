"""Runs listeners in the test's own process against Azurite, with functions that the test makes up."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from assay.local.azurite import Azurite
from assay.local.blob_listener import BlobListener
from assay.local.connections import Connections
from assay.local.functions import Binding, Function
from assay.local.host_settings import BlobSettings, QueueSettings
from assay.local.invocation import Invoker
from assay.local.listeners import Listener, Listeners
from assay.local.queue_listener import QueueListener
from assay.telemetry import RecordingTelemetry

CONNECTION = "STORAGE"


class ListenerBench:
    """Connections, an invoker and names of one test."""

    def __init__(self, azurite: Azurite) -> None:
        self.name = f"t{uuid.uuid4().hex[:12]}"
        self.telemetry = RecordingTelemetry()
        self.connections = Connections({CONNECTION: azurite.connection_string})
        self.invoker = Invoker(Path(), self.connections, "base64", None, "", self.telemetry)
        self.queue = self.connections.queue(CONNECTION, self.name)
        self.poison = self.connections.queue(CONNECTION, f"{self.name}-poison")
        self.container = self.connections.container(CONNECTION, self.name)

    def queue_listener(
        self, call: Callable[..., Any], lease_seconds: int = 30, queue: str | None = None, **settings: Any
    ) -> QueueListener:
        trigger = Binding("queueTrigger", "msg", {"queueName": queue or self.name, "connection": CONNECTION})
        given = QueueSettings(**{"max_polling_interval_seconds": 0.1, **settings})
        function = Function("work", call, trigger)
        return QueueListener(function, self.connections, self.invoker, given, lease_seconds, self.telemetry)

    def blob_listener(self, call: Callable[..., Any], path: str = "{name}", **settings: Any) -> BlobListener:
        trigger = Binding("blobTrigger", "blob", {"path": f"{self.name}/{path}", "connection": CONNECTION})
        function, given = Function("take", call, trigger), BlobSettings(**settings)
        return BlobListener(function, self.connections, self.invoker, given, "base64", 0.02, self.telemetry)

    @asynccontextmanager
    async def running(self, *listeners: Listener, drain_seconds: float = 30.0) -> AsyncIterator[None]:
        group = Listeners(listeners, self.telemetry)
        group.start()
        try:
            yield
        finally:
            await group.stop(drain_seconds)

    async def message_count(self) -> int:
        """Messages in the queue, visible or not."""
        return int((await self.queue.get_queue_properties()).approximate_message_count or 0)

    async def close(self) -> None:
        self.invoker.close()
        await self.connections.close()


class Gate:
    """A function that records its calls and waits until it is opened."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.most_at_once = 0
        self._open = asyncio.Event()

    async def __call__(self, body: str) -> None:
        self.begun.append(body)
        self.most_at_once = max(self.most_at_once, len(self.begun) - len(self.ended))
        await self._open.wait()
        self.ended.append(body)

    def open(self) -> None:
        self._open.set()
