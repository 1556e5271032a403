"""A whole run of 10,000 rows x 3 experiments: the emulator answers after 5 ms and has no quota."""

import asyncio
import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.end_to_end.small_suite import rows, write_emulator, write_suite

from assay.local.azurite import count_requests
from assay.local.stack import Stack, StackOptions, started_stack
from assay.orchestration.drops import drop_file, fetch_bundle, upload_suite
from assay.provenance.verification import verify_bundle
from assay.run_records import Progress, Stage
from assay.runtime import Runtime
from assay.settings import Settings

ROWS = int(os.environ.get("BENCH_ROWS", "10000"))
WORKERS = int(os.environ.get("BENCH_WORKERS", "1"))
LATENCY_MS = float(os.environ.get("BENCH_LATENCY_MS", "5"))
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Seen:
    """What a process has used so far."""

    cpu_seconds: float
    peak_megabytes: float


def measure() -> dict[str, str]:
    """Speed, CPU and memory per process, storage operations, and how soon the first model is asked."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:
        folder = Path(name)
        emulator = write_emulator(folder, ROWS, LATENCY_MS)
        dataset = folder / "items.csv"
        dataset.write_text(rows(ROWS), encoding="utf-8")
        options = StackOptions(folder / "home", workers=WORKERS, emulators=(emulator,), count_storage_requests=True)
        with started_stack(options) as stack:
            return asyncio.run(_measure(options, stack, write_suite(folder / "colours"), dataset))


async def _measure(options: StackOptions, stack: Stack, suite: Path, dataset: Path) -> dict[str, str]:
    runtime = Runtime(Settings.load(stack.environment(options.home)))
    try:
        await upload_suite(runtime.storage, suite, environment={}, code_folders=tuple)
        before = _operations(options.home)
        dropped, began = time.time(), time.monotonic()
        run = (await drop_file(runtime.storage, "colours", dataset)).run
        asked_at, progress = await _watched(runtime, run)
        seconds = time.monotonic() - began
        used = _used(stack)
        operations = _operations(options.home) - before
        bundle = options.home / "bundle"
        await fetch_bundle(runtime.storage, run, bundle)
        verified = verify_bundle(bundle).ok
    finally:
        await runtime.close()
    first_call = _first_call(options.home) - dropped
    trials = progress.tally.trials
    return {
        "rows x experiments": f"{ROWS:,} x 3 = {trials:,} trials, {progress.tally.succeeded:,} succeeded",
        "bundle verified": str(verified),
        "drop to bundle": f"{seconds:.1f} s",
        "drop to first model call": f"{first_call:.2f} s",
        "trials per second, first call to last outcome": f"{trials / (asked_at - began - first_call):.0f}",
        "storage operations per trial (Azurite's log)": f"{operations.total() / trials:.3f} ({operations.total():,})",
        **{f"  {kind}": f"{count:,}" for kind, count in operations.most_common(12)},
        **{
            f"{name}: CPU, peak memory": f"{one.cpu_seconds:.1f} s, {one.peak_megabytes:.0f} MB"
            for name, one in used.items()
        },
    }


async def _watched(runtime: Runtime, run: str) -> tuple[float, Progress]:
    """When the last outcome was seen, and the progress at the end. Looks seldom, so as not to be measured itself."""
    asked_at = None
    while True:
        progress = await runtime.run(run)
        if progress and asked_at is None and progress.stage in (Stage.EVALUATING, Stage.PUBLISHING, Stage.DONE):
            asked_at = time.monotonic()
        if progress and progress.stage is Stage.FAILED:
            raise SystemExit(f"the run failed: {progress.message}")
        if progress and progress.stage is Stage.DONE and asked_at:
            return asked_at, progress
        await asyncio.sleep(0.5)


def _used(stack: Stack) -> dict[str, Seen]:
    workers = Path(f"/proc/{stack.pids['host']}/task/{stack.pids['host']}/children").read_text(encoding="ascii").split()
    pids = {**stack.pids, **{f"worker {index}": int(pid) for index, pid in enumerate(workers, start=1)}}
    return {name: _seen(pid) for name, pid in pids.items()}


def _seen(pid: int) -> Seen:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return Seen((int(fields[11]) + int(fields[12])) / TICKS, int(peak) / 1024)


def _operations(home: Path) -> Counter[str]:
    return Counter(count_requests(home / "logs" / "storage-requests.log"))


def _first_call(home: Path) -> float:
    import json

    with (home / "logs" / "model-requests.jsonl").open(encoding="utf-8") as lines:
        return float(json.loads(next(lines))["wall"])
