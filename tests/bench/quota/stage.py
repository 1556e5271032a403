"""Where a measurement plays: Azurite and the emulator as child processes, with their logs."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from azure.storage.blob import BlobServiceClient

from assay.local.azurite import Azurite, count_requests, start_azurite
from assay.local.stack import running_child

from .loads import DEPLOYMENT, MODEL, BenchQuota, Load
from .scoring import Arrival, read_arrivals
from .survivor import Survivor, open_survivor

ROOT = Path(__file__).resolve().parents[3]
QUOTA_CONTAINER = "quota"
TICKS = os.sysconf("SC_CLK_TCK")
LATENCY_SIGMA = 0.5

# The prices of the design page, in USD: lease operations and reads of properties; writes and listings.
PRICE_OF_OTHER, PRICE_OF_WRITE = 0.0044 / 10_000, 0.055 / 10_000


@dataclass(frozen=True)
class Stage:
    """The running services of one measurement, and where they write."""

    folder: Path
    azurite: Azurite
    endpoint: str
    emulator_pid: int
    survivor: Survivor

    @property
    def storage(self) -> str:
        return self.azurite.connection_string

    def arrivals(self) -> list[Arrival]:
        """What the emulator has logged so far."""
        with (self.folder / "arrivals.jsonl").open(encoding="utf-8") as lines:
            return read_arrivals(lines)

    def bill(self) -> dict[str, Any]:
        """What the service bills by its own account: `usd` and `requests`, and the `unseen` part of both."""
        with urlopen(f"{self.endpoint}/_emulator", timeout=10) as answer:
            return dict(json.load(answer)["bill"])

    def start_schedule(self) -> None:
        """Plays the emulator's schedule of cuts and faults from its beginning."""
        urlopen(Request(f"{self.endpoint}/_emulator/start", method="POST"), timeout=10).read()

    def storage_log_size(self) -> int:
        """How far Azurite's access log reaches; to be given to `operations`."""
        return self._access_log.stat().st_size

    def operations(self, begin: int, end: int) -> dict[str, int]:
        """Storage requests by kind that Azurite logged between two sizes of its log."""
        with self._access_log.open("rb") as log:
            log.seek(begin)
            part = log.read(end - begin)
        excerpt = self.folder / "storage-excerpt.log"
        excerpt.write_bytes(part)
        return count_requests(excerpt)

    def leased(self) -> int:
        """How many partitions are leased now, by Azurite's own word. One storage request."""
        service = BlobServiceClient.from_connection_string(self.storage, retry_total=0, read_timeout=2)
        with service, service.get_container_client(QUOTA_CONTAINER) as container:
            return sum(blob.lease.state == "leased" for blob in container.list_blobs())

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time that the services have used since their start."""
        return {"azurite": cpu_seconds(self.azurite.process.pid), "emulator": cpu_seconds(self.emulator_pid)}

    def freeze_storage(self) -> None:
        """From now on storage requests hang, as in the worst kind of outage."""
        os.kill(self.azurite.process.pid, signal.SIGSTOP)

    def thaw_storage(self) -> None:
        os.kill(self.azurite.process.pid, signal.SIGCONT)

    @property
    def _access_log(self) -> Path:
        return self.folder / "storage.log"


@contextmanager
def open_stage(
    load: Load, quota: BenchQuota, schedule: Sequence[Mapping[str, Any]] = (), faults: Mapping[str, float] | None = None
) -> Iterator[Stage]:
    """Starts storage and service in a new folder on the memory disk, and ends and removes both, whatever happens."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="assay-bench-", dir=memory if memory.is_dir() else None))
    with ExitStack() as parts:
        parts.callback(shutil.rmtree, folder, ignore_errors=True)
        survivor = parts.enter_context(open_survivor(folder))
        (folder / "logs").mkdir()
        (folder / "emulator.json").write_text(json.dumps(_emulator(load, quota, schedule, faults or {})))
        azurite = start_azurite(folder / "azurite", ROOT / "tools" / "azurite", folder / "storage.log")
        parts.callback(azurite.stop)
        survivor.will_end(azurite.process.pid)
        # A stopped process does not hear SIGTERM.
        parts.callback(_continue, azurite.process.pid)
        command = ["-m", "assay.local.openai_emulator", "--config", str(folder / "emulator.json")]
        command += ["--log", str(folder / "arrivals.jsonl")]
        pid, port = parts.enter_context(running_child(folder, "emulator", command, {}))
        survivor.will_end(pid)
        yield Stage(folder, azurite, f"http://127.0.0.1:{port}", pid, survivor)


def _continue(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        return


def _emulator(
    load: Load, quota: BenchQuota, schedule: Sequence[Mapping[str, Any]], faults: Mapping[str, float]
) -> dict[str, Any]:
    deployment = {
        "model": MODEL,
        "requests_per_minute": quota.requests,
        "tokens_per_minute": quota.tokens,
        "latency_ms": {"median": 1000 * load.median_seconds, "sigma": LATENCY_SIGMA},
        "answer_tokens": {"median": load.answer_median, "sigma": load.answer_sigma},
    }
    return {
        "seed": 1,
        "deployments": {DEPLOYMENT: deployment},
        "faults": dict(faults),
        "schedule": list(schedule),
    }


def cpu_seconds(pid: int) -> float:
    """User and system time of a live process; 0 when it has ended. Linux only, 0 elsewhere."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


def cost_usd(operations: Mapping[str, int]) -> float:
    """What Azure would bill for these operations (GPv2, hot): writes and listings, deletions nothing, others."""
    total = 0.0
    for kind, count in operations.items():
        is_write = bool(re.match(r"put blob$|put container|list", kind))
        price = 0.0 if kind.startswith("delete") else PRICE_OF_WRITE if is_write else PRICE_OF_OTHER
        total += price * count
    return total


def wait_until(at: float) -> None:
    """Sleeps until this second of the monotonic clock."""
    time.sleep(max(0.0, at - time.monotonic()))
