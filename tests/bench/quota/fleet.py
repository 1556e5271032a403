"""The worker processes of a measurement: started, ordered, hit and ended by their process ids."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .stage import ROOT, cpu_seconds

STOP_SECONDS = 40.0


@dataclass
class WorkerProcess:
    """One worker, its log and its orders."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]
    stopped_at: float | None = None
    ended_at: float | None = None

    def order(self, **order: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()

    def signal(self, number: int) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)

    def records(self, event: str) -> Iterator[dict[str, Any]]:
        """What it has written down of one kind, in order."""
        if not self.log.exists():
            return
        with self.log.open(encoding="utf-8") as lines:
            for line in lines:
                if line.endswith("\n") and (record := json.loads(line))["event"] == event:
                    yield record


@dataclass
class Fleet:
    """All workers of a measurement. `stop` ends them as a shutdown does; leaving the context ends what is left."""

    workers: list[WorkerProcess] = field(default_factory=list)

    def start(self, command: Sequence[str], options: dict[str, Any], folder: Path, names: Sequence[str]) -> None:
        """Starts one process per name and returns when all are ready for orders."""
        started = []
        for name in names:
            log = folder / f"{name}.jsonl"
            own = json.dumps({**options, "worker": name, "log": str(log)})
            with (folder / f"{name}.err").open("wb") as errors:
                process = subprocess.Popen(
                    [*command, own],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,
                )
            started.append(WorkerProcess(name, log, process))
            self.workers.append(started[-1])
        for worker in started:
            self._await_ready(worker, folder)

    def order(self, workers: Sequence[WorkerProcess] | None = None, **order: Any) -> None:
        for worker in self.workers if workers is None else workers:
            worker.order(**order)

    def stop(self) -> None:
        """SIGTERM to all at once, then waits for each."""
        for worker in self.workers:
            if worker.process.poll() is None:
                worker.stopped_at = time.monotonic()
                worker.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self.workers:
            self._reap(worker, deadline)

    def kill(self) -> None:
        for worker in self.workers:
            worker.signal(signal.SIGCONT)
            worker.signal(signal.SIGKILL)
            worker.process.wait()
            for pipe in (worker.process.stdin, worker.process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()

    def records(self, event: str) -> Iterator[tuple[WorkerProcess, dict[str, Any]]]:
        for worker in self.workers:
            for record in worker.records(event):
                yield worker, record

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(worker.process.pid) for worker in self.workers)

    def asked(self) -> dict[str, float]:
        """When each content was taken up."""
        return {record["content"]: record["asked"] for _, record in self.records("row")}

    def owners(self) -> dict[str, str]:
        """Which worker asked each content."""
        return {record["content"]: worker.name for worker, record in self.records("row")}

    def unhandled(self) -> int:
        """Exceptions that nobody dealt with, and processes that ended without a word though nobody killed them."""
        noted = sum(1 for _ in self.records("unhandled"))
        crashed = sum(worker.process.returncode not in (None, 0, -signal.SIGKILL) for worker in self.workers)
        return noted + crashed

    def _await_ready(self, worker: WorkerProcess, folder: Path) -> None:
        assert worker.process.stdout is not None
        line = worker.process.stdout.readline()
        if line != b"ready\n":
            tail = (folder / f"{worker.name}.err").read_text(encoding="utf-8", errors="replace")[-1_500:]
            raise SystemExit(f"worker {worker.name} did not start; it says:\n{tail}")

    def _reap(self, worker: WorkerProcess, deadline: float) -> None:
        try:
            worker.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.signal(signal.SIGKILL)
            worker.process.wait()
        worker.ended_at = time.monotonic()


@contextmanager
def open_fleet() -> Iterator[Fleet]:
    """An empty fleet; whatever still runs at the end is killed, by its process id."""
    fleet = Fleet()
    try:
        yield fleet
    finally:
        fleet.kill()


def our_command() -> list[str]:
    return [sys.executable, "-m", "tests.bench.quota.worker"]


def numbered(count: int, first: int = 0) -> list[str]:
    return [f"w{number:02d}" for number in range(first, first + count)]


def machine() -> str:
    """What the figures were measured on."""
    cores = os.cpu_count()
    model = ""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{cores} x {model or os.uname().machine}, {os.uname().sysname}, Python {sys.version.split()[0]}"
