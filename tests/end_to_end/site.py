"""A whole local installation for one test: real Azurite, emulator and host processes that the test may kill."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from assay.local.azurite import start_azurite
from assay.local.stack import Stack, StackOptions, emulator_command, host_command, project_root, running_child
from assay.orchestration.drops import upload_suite
from assay.records import Outcome
from assay.run_records import Progress, Stage
from assay.runtime import Runtime
from assay.settings import Settings
from assay.storage import layout

Result = TypeVar("Result")
KEY = "local-test-key"
QUICK_QUEUES = {
    "AzureFunctionsJobHost__extensions__queues__visibilityTimeout": "00:00:00",
    "AzureFunctionsJobHost__extensions__queues__maxPollingInterval": "00:00:00.2",
}


@dataclass
class Site:
    """Addresses and processes. `environment` is what host and workers get."""

    home: Path
    storage: str
    openai: str
    options: StackOptions
    environment: dict[str, str]
    _host_parts: ExitStack = field(default_factory=ExitStack)

    @property
    def model_log(self) -> Path:
        return self.home / "logs" / "model-requests.jsonl"

    @property
    def host_pid(self) -> int:
        return int((self.home / "host.pid").read_text(encoding="utf-8"))

    def start_host(self) -> None:
        """Returns once the host has announced its address."""
        self._host_parts = ExitStack()
        self._host_parts.enter_context(running_child(self.home, "host", host_command(self.options), self.environment))

    def stop_host(self) -> None:
        """In order, as a deployment would."""
        self._host_parts.close()

    def kill_host(self) -> list[int]:
        """kill -9 of the host and all its workers, at once; gives the workers' pids."""
        host = self.host_pid
        workers = self.worker_pids()
        for pid in [host, *workers]:
            _kill(pid)
        self._host_parts.close()
        return workers

    def kill_worker(self, index: int) -> int:
        """kill -9 of one worker; the host starts another."""
        workers = self.worker_pids()
        victim = workers[index % len(workers)]
        _kill(victim)
        return victim

    def worker_pids(self) -> list[int]:
        """The host's child processes that live."""
        children = Path(f"/proc/{self.host_pid}/task/{self.host_pid}/children").read_text(encoding="ascii")
        return [int(pid) for pid in children.split()]

    def ask(self, work: Callable[[Runtime], Awaitable[Result]]) -> Result:
        """Runs `work` with a runtime of its own, as the command line does."""

        async def run() -> Result:
            runtime = Runtime(Settings.load(self.environment))
            try:
                return await work(runtime)
            finally:
                await runtime.close()

        return asyncio.run(run())

    def upload(self, suite: Path) -> None:
        """Puts a suite's folder where runs find it."""
        self.ask(lambda runtime: upload_suite(runtime.storage, suite, environment={}, code_folders=tuple))

    def assay(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """The `assay` command as a user runs it, against this site."""
        command = [str(Path(sys.executable).parent / "assay"), *arguments]
        return subprocess.run(
            command, capture_output=True, text=True, check=check, env={**os.environ, **self.environment}, cwd=self.home
        )

    def model_requests(self) -> Iterator[dict[str, Any]]:
        """The emulator's log so far, a dictionary per event."""
        with self.model_log.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n"):
                    yield json.loads(line)


@contextmanager
def running_site(home: Path, *emulator_files: Path, workers: int = 2, **environment: str) -> Iterator[Site]:
    """Azurite and emulator are up; the host is the test's to start, and is stopped at the end."""
    options = StackOptions(
        home=home, workers=workers, emulators=emulator_files, message_lease_seconds=5, known_deployments_only=True
    )
    (home / "logs").mkdir(parents=True, exist_ok=True)
    with ExitStack() as parts:
        azurite = start_azurite(home / "storage", project_root() / "tools" / "azurite")
        parts.callback(azurite.stop)
        _, port = parts.enter_context(running_child(home, "emulator", emulator_command(options, KEY), {}))
        openai = f"http://127.0.0.1:{port}"
        stack = Stack(azurite.connection_string, openai, KEY, "", os.getpid(), (), {})
        settings = {**stack.environment(home), **QUICK_QUEUES, **environment}
        site = Site(home, azurite.connection_string, openai, options, settings)
        try:
            yield site
        finally:
            site.stop_host()


async def finished(runtime: Runtime, run: str, seconds: float = 180) -> Progress:
    """The run's progress once it has ended well."""
    async with asyncio.timeout(seconds):
        while True:
            progress = await runtime.run(run)
            if progress and progress.stage is Stage.DONE:
                return progress
            assert progress is None or progress.stage is not Stage.FAILED, progress.message
            await asyncio.sleep(0.1)


async def stage_of(runtime: Runtime, run: str) -> Stage | None:
    progress = await runtime.run(run)
    return progress.stage if progress else None


async def published(runtime: Runtime, run: str, name: str) -> bytes:
    """One file of a published bundle."""
    return await runtime.storage.read(f"{layout.published(run)}{name}")


async def outcomes_of(runtime: Runtime, run: str) -> list[Outcome]:
    """Every outcome line of a run, as stored."""
    found: list[Outcome] = []
    async for entry in runtime.storage.list(layout.outcomes(run)):
        lines = (await runtime.storage.read(entry.path)).splitlines()
        found += [Outcome.model_validate_json(line) for line in lines]
    return found


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
