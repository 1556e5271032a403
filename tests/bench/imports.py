"""How long imports take in a fresh interpreter: the median of seven, less what the bare interpreter takes."""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.staging import stage_image

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
    figures = {name: f"{_median(statement) - bare:.3f} s" for name, statement in statements.items()}
    return figures | {"import the function app from the image's layout, compiled as there": f"{_staged() - bare:.3f} s"}


def _staged() -> float:
    """The files as the Dockerfile lays them out, which no build has touched, with this environment's packages."""
    with tempfile.TemporaryDirectory() as folder:
        app = stage_image(Path(folder)).app
        subprocess.run([sys.executable, "-m", "compileall", "-q", str(app)], check=True)
        return _median("import sys; sys.path.insert(0, '.'); import function_app, assay.runtime", app)


def _median(statement: str, folder: Path = ROOT) -> float:
    return statistics.median(_once(statement, folder) for _ in range(RUNS))


def _once(statement: str, folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True, cwd=folder)
    return time.perf_counter() - began
