"""Time and memory of sealing, verifying and publishing 200 files of 500 MB: `python -m tests.bench sealing` (Linux).

Each step runs in a process of its own, so that its peak of memory is its own; imports are told apart.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

FILES, BYTES = 200, 500_000_000
BOUND_SECONDS = 10.0
SUFFIXES = (".csv", ".jsonl", ".parquet", ".png")
ROOT = Path(__file__).resolve().parents[2]


def measure() -> dict[str, str]:
    """Seconds and megabytes of each step."""
    figures: dict[str, str] = {}
    with TemporaryDirectory(prefix="assay-sealing-") as folder:
        home = Path(folder)
        largest = _make(home / "bundle")
        figures["largest of the files"] = f"{largest / 1e6:.0f} MB"
        for name in STEPS:
            seconds, peak, imported = _run_alone(name, home)
            figures[f"{name}, time"] = f"{seconds:.2f} s{_judged(name, seconds)}"
            figures[f"{name}, peak memory"] = f"{peak:.0f} MB, of which imports {imported:.0f} MB"
    return figures


def _judged(name: str, seconds: float) -> str:
    if not name.startswith("verify"):
        return ""
    return f" ({'kept' if seconds < BOUND_SECONDS else 'MISSED'}: bound {BOUND_SECONDS:.0f} s)"


def _make(bundle: Path) -> int:
    """Files of very different sizes, half of which can be packed well, as results can. Gives the largest size."""
    draw = Random(7)
    weights = [draw.lognormvariate(0, 1.5) for _ in range(FILES)]
    for at, weight in enumerate(weights):
        size = int(BYTES * weight / sum(weights))
        file = bundle / f"part-{at % 10}" / f"file-{at}{SUFFIXES[at % 4]}"
        file.parent.mkdir(parents=True, exist_ok=True)
        block = draw.randbytes(1_000_000) if at % 4 > 1 else json.dumps([draw.random() for _ in range(50_000)]).encode()
        with file.open("wb") as target:
            while size > 0:
                size -= target.write(block[:size])
    return int(BYTES * max(weights) / sum(weights))


def _run_alone(name: str, home: Path) -> tuple[float, float, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.sealing", name, str(home)],
        check=True,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'shared'}"},
    )
    seconds, peak, imported = json.loads(done.stdout)
    return seconds, peak, imported


def _seal(home: Path) -> None:
    from assay.provenance.bundle import Statement, seal_folder
    from assay.provenance.signing import LocalKeySigner

    signer = LocalKeySigner.load_or_create(home / "key.pem")
    asyncio.run(seal_folder(home / "bundle", Statement("bench-1", "2026-01-02T03:04:05Z", {}), signer))


def _verify(place: Path) -> None:
    from assay.provenance.verification import verify_bundle

    found = verify_bundle(place)
    assert found.ok, found.findings


def _publish(home: Path, *, as_zip: bool) -> None:
    from assay.sinks.base import Bundle
    from assay.sinks.folder import FolderSink
    from assay.suite.sink_options import FolderOptions

    sink = FolderSink(FolderOptions(zip=as_zip), home / "published")
    asyncio.run(sink.publish(Bundle("bench-1", "bench", home / "bundle")))


def _commit(home: Path, largest_file_mb: float) -> None:
    """To a GitHub that takes everything and keeps nothing: what it takes on our side."""
    import httpx2

    from assay.sinks.base import Bundle
    from assay.sinks.github.sink import GitHubSink
    from assay.sinks.http import HttpService
    from assay.suite.sink_options import GitHubOptions
    from assay.telemetry import LogTelemetry

    def answer(request: httpx2.Request) -> httpx2.Response:
        sha, path = "0" * 40, request.url.path
        if path.endswith("assay/bench-1"):
            return httpx2.Response(404)
        tree: object = [] if "/trees/" in path else {"sha": sha}
        status = 201 if request.method == "POST" else 200
        return httpx2.Response(status, json={"sha": sha, "object": {"sha": sha}, "tree": tree})

    async def nobody() -> dict[str, str]:
        return {}

    async def commit() -> None:
        options = GitHubOptions(
            repository="acme/results", base="main", pull_request=False, largest_file_mb=largest_file_mb
        )
        service = HttpService("GitHub", "https://x", nobody, LogTelemetry(), transport=httpx2.MockTransport(answer))
        await GitHubSink(options, service).publish(Bundle("bench-1", "bench", home / "bundle"))

    asyncio.run(commit())


STEPS: dict[str, Callable[[Path], None]] = {
    "seal": _seal,
    "verify a folder": lambda home: _verify(home / "bundle"),
    "publish to a folder": lambda home: _publish(home, as_zip=False),
    "publish to it again": lambda home: _publish(home, as_zip=False),
    "publish as a zip": lambda home: _publish(home, as_zip=True),
    "commit to GitHub": lambda home: _commit(home, 10),
    "commit to GitHub, files up to 95 MB": lambda home: _commit(home, 95),
    "verify a zip": lambda home: _verify(home / "published/bench/bench-1.zip"),
}


def _peak() -> float:
    """The most that this process has held so far, in MB. Other than `getrusage` it forgets what its parent held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def _alone(name: str, home: Path) -> None:
    import assay.provenance.verification
    import assay.sinks.folder  # noqa: F401 - what the steps import is told apart

    imported, began = _peak(), time.perf_counter()
    STEPS[name](home)
    print(json.dumps([time.perf_counter() - began, _peak(), imported]))


if __name__ == "__main__":
    _alone(sys.argv[1], Path(sys.argv[2]))
