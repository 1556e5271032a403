"""The image's own files under the Functions worker library (Python 3.13 only), as the image's worker loads them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.staging import ROOT, stage_image

pytest.importorskip("azure_functions_runtime")

SCRIPT = ROOT / "tests" / "conformance" / "worker_library.py"


def report_of(app: Path, code: Path) -> dict[str, dict[str, Any]]:
    """Load and invoke every function of an app, with `assay` imported from `code`."""
    environment = {**os.environ, "PYTHONPATH": str(code)}
    command = [sys.executable, str(SCRIPT), str(app)]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100, check=False)
    assert finished.returncode == 0, finished.stderr
    report: dict[str, dict[str, Any]] = json.loads(finished.stdout.splitlines()[-1])
    return report


def test_the_worker_indexes_and_calls_every_function_of_the_image(tmp_path: Path) -> None:
    """The same functions, bindings and results as from the repository's folders."""
    staged = stage_image(tmp_path)

    there = report_of(staged.app, code=staged.app)

    assert there == report_of(ROOT / "function_app", code=ROOT / "shared")
    assert "trial_worker" in there
