"""Runs the local host as a process on the sample app, each test with names and data of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

from assay.local.azurite import Azurite

SAMPLE_APP = Path(__file__).resolve().parents[1] / "fixtures" / "sample_app"
PATIENCE_SECONDS = 180.0
POLL_SECONDS = 0.05


class HostProcess:
    """One host, which can be started again after it was stopped or killed."""

    def __init__(self, azurite: Azurite, folder: Path, **settings: str) -> None:
        self.prefix = f"t{uuid.uuid4().hex[:10]}"
        self.folder = folder
        self.log = folder / "host.log"
        self._environment = {
            **os.environ,
            "SAMPLE": self.prefix,
            "SAMPLE_STORAGE": azurite.connection_string,
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.blobs = BlobServiceClient.from_connection_string(azurite.connection_string)
        self.queues = QueueServiceClient.from_connection_string(azurite.connection_string)
        self.url = ""

    async def __aenter__(self) -> HostProcess:
        for name in ("drops", "results", "notes"):
            await self.blobs.create_container(f"{self.prefix}-{name}")
        await self.queues.create_queue(f"{self.prefix}-rows")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process and self._process.poll() is None:
            self.kill()
        await self.blobs.close()
        await self.queues.close()

    async def start(self, *arguments: str) -> None:
        """Start the host and wait until it is up."""
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "assay.local.host", "--app", str(SAMPLE_APP), "--data", str(self.folder)]
        command += [
            "--ready-file",
            str(ready),
            "--message-lease-seconds",
            "2",
            "--blob-poll-seconds",
            "0.1",
            *arguments,
        ]
        self._process = self._launch(command)
        await until(lambda: ready.exists() or self.process.poll() is not None)
        assert ready.exists(), self.log.read_text()
        self.url = json.loads(ready.read_text())["url"]

    def _launch(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    async def stop(self) -> int:
        """Stop the host by SIGTERM and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.process.wait, PATIENCE_SECONDS)

    def kill(self) -> None:
        """Kill the host, and only the host, with SIGKILL."""
        self.process.kill()
        self.process.wait()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The logged events of this name, of the host and its workers."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["event"] == name]

    async def drop(self, name: str, content: str) -> None:
        await self.blobs.get_blob_client(f"{self.prefix}-drops", name).upload_blob(content, overwrite=True)

    async def names(self, container: str, prefix: str = "") -> list[str]:
        client = self.blobs.get_container_client(container)
        return [name async for name in client.list_blob_names(name_starts_with=prefix)]

    async def notes(self, kind: str) -> list[dict[str, Any]]:
        """What the sample app noted, in no order."""
        container = self.blobs.get_container_client(f"{self.prefix}-notes")
        names = await self.names(f"{self.prefix}-notes", f"{kind}/")
        return [json.loads(await (await container.download_blob(name)).readall()) for name in names]

    async def get(self, path: str, **headers: str) -> tuple[int, Any]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path, headers=headers) as response:
            body = await response.read()
            return response.status, json.loads(body) if body else None

    async def run_state(self, run: str) -> dict[str, Any]:
        _, state = await self.get(f"/api/runs/{run}", **{"x-functions-key": self.key})
        return dict(state)

    async def finished_run(self, run: str) -> dict[str, Any]:
        """Wait until a batch has ended, and return its state."""
        state: dict[str, Any] = {}

        async def has_ended() -> bool:
            state.update(await self.run_state(run))
            return state["status"] in ("Completed", "Failed")

        await until(has_ended)
        return state

    @property
    def key(self) -> str:
        return str(json.loads((self.folder / "keys.json").read_text())["function"])


async def until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until a condition holds; fail if it does not for a long time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        holds = condition()
        if holds if isinstance(holds, bool) else await holds:
            return
        await asyncio.sleep(POLL_SECONDS)
    raise AssertionError(f"not within {PATIENCE_SECONDS:g} seconds: {condition}")
