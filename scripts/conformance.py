"""Runs tests/conformance on Python 3.13, the image's Python, in an environment of its own; `make test` calls it.

Only there does the library that runs the functions in Azure exist. Without a Python 3.13 it says so and succeeds.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import toolchain
from toolchain import ROOT, StepFailed, run, say

_VERSION = (3, 13)
_TESTS = ROOT / "tests" / "conformance"
_VENV = ROOT / ".venv-3.13"


def main(options: list[str]) -> int:
    """Run the tests with further pytest options; returns the exit code."""
    if not _TESTS.is_dir():
        return 0
    if sys.version_info[:2] == _VERSION:
        say("Conformance: .venv has Python 3.13, so the full suite covers it")
        return 0
    python = find_python()
    if python is None:
        say("Conformance: skipped, because there is no Python 3.13 on this machine")
        return 0
    try:
        run([python, ROOT / "scripts" / "setup.py", "--dev", "--venv", _VENV])
        run([_VENV / "bin" / "python", "-m", "pytest", _TESTS, *options])
    except StepFailed as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


def find_python() -> Path | None:
    """Return a Python 3.13 that runs: from PATH or from pyenv, whose programs on PATH may only be shims."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    on_path = shutil.which("python3.13")
    candidates = [Path(on_path)] if on_path else []
    candidates += sorted(pyenv.glob("versions/3.13.*/bin/python3.13"), reverse=True)
    return next((path for path in candidates if toolchain.version_of([path, "--version"])[:2] == _VERSION), None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
