"""How long imports take in a fresh interpreter: the median of seven, less what the bare interpreter takes."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.staging import stage_image

ROOT = Path(__file__).resolve().parents[2]
RUNS = 7
FUNCTION_APP = "import sys; sys.path.insert(0, 'function_app'); import function_app"


def measure() -> dict[str, str]:
    """Seconds per import: by the clock, and of the processor, which a busy machine does not lengthen as much."""
    bare = _median("pass")
    statements = {
        "import assay": "import assay",
        "import the function app, as the Functions host does": FUNCTION_APP,
        "import the command line": "import assay.cli.main",
    }
    figures = {name: _median(statement) - bare for name, statement in statements.items()}
    figures["import the function app from the image's layout, compiled as there"] = _staged() - bare
    return {name: str(spent) for name, spent in figures.items()}


@dataclass(frozen=True)
class Spent:
    """What an interpreter took, in seconds."""

    wall_seconds: float
    processor_seconds: float

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.wall_seconds - other.wall_seconds, self.processor_seconds - other.processor_seconds)

    def __str__(self) -> str:
        return f"{self.wall_seconds:.3f} s, of the processor {self.processor_seconds:.3f} s"


def _staged() -> Spent:
    """The files as the Dockerfile lays them out, which no build has touched, with this environment's packages."""
    with tempfile.TemporaryDirectory() as folder:
        app = stage_image(Path(folder)).app
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(app)], check=True)
        return _median("import sys; sys.path.insert(0, '.'); import function_app, assay.runtime", app)


def _median(statement: str, folder: Path = ROOT) -> Spent:
    all_spent = [_once(statement, folder) for _ in range(RUNS)]
    return Spent(
        statistics.median(one.wall_seconds for one in all_spent),
        statistics.median(one.processor_seconds for one in all_spent),
    )


def _once(statement: str, folder: Path) -> Spent:
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return Spent(time.perf_counter() - began, processor_seconds)
