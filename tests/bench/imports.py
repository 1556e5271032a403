"""How long imports take in a fresh interpreter: the median of seven, less what the bare interpreter takes."""

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNS = 7
FUNCTION_APP = "import sys; sys.path.insert(0, 'function_app'); import function_app"


def measure() -> dict[str, str]:
    """Seconds per import."""
    bare = _median("pass")
    statements = {
        "import assay": "import assay",
        "import the function app, as the Functions host does": FUNCTION_APP,
        "import the command line": "import assay.cli.main",
    }
    return {name: f"{_median(statement) - bare:.3f} s" for name, statement in statements.items()}


def _median(statement: str) -> float:
    return statistics.median(_once(statement) for _ in range(RUNS))


def _once(statement: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, cwd=ROOT)
    return time.perf_counter() - began
