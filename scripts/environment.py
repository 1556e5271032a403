"""Prepares .venv and Azurite from the locks; `setup.py` calls it, and a second run does nothing.

Every step, once complete, leaves a stamp with the digest of its inputs: an interrupted set-up goes on where it stopped.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import toolchain
from toolchain import LOCKS, ROOT, StepFailed, run, say

_OLDEST_PYTHON = (3, 11)
_AZURITE = ROOT / "tools" / "azurite"


@dataclass(frozen=True)
class Step:
    """One part of the set-up: what it depends on, where its stamp lies, and how it is done."""

    digest: str
    stamp: Path
    act: Callable[[Path], None]

    def is_done(self) -> bool:
        """Say whether the step was completed with exactly these inputs."""
        return self.stamp.is_file() and self.stamp.read_text(encoding="ascii") == self.digest

    def do(self, venv: Path) -> None:
        """Carry the step out; the stamp is written last, so that an interrupted step is repeated."""
        self.stamp.unlink(missing_ok=True)
        self.act(venv)
        self.stamp.parent.mkdir(parents=True, exist_ok=True)
        self.stamp.write_text(self.digest, encoding="ascii")


def main() -> int:
    """Set up what the command line asks for; returns the exit code."""
    arguments = argparse.ArgumentParser(description="Prepare the virtual environment and Azurite from the locks.")
    arguments.add_argument("--venv", type=Path, default=toolchain.VENV, help="the environment (default .venv)")
    venv = arguments.parse_args().venv.absolute()
    try:
        with Path(__file__).open(encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two `make` at once take turns
            set_up(venv)
    except StepFailed as problem:
        print(f"Set-up stopped: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Set-up interrupted; the same command continues it.", file=sys.stderr)
        return 130
    return 0


def set_up(venv: Path) -> None:
    """Do the steps that are not done yet, in order. Silent when there is nothing to do."""
    started = time.monotonic()
    reason = reason_to_replace(venv)
    if reason:
        say(f"Replacing {venv.name}: {reason}")
        shutil.rmtree(venv)
    todo = [step for step in plan(venv) if not step.is_done()]
    for step in todo:
        step.do(venv)
    if todo:
        say(f"Ready in {time.monotonic() - started:.0f} s")


def plan(venv: Path) -> list[Step]:
    """Return every step with the digest of its inputs."""
    stamps = venv / ".stamps"
    wanted_python = python_version(venv) or sys.version_info[:2]
    environment = digest([str(venv), str(wanted_python)])
    packages = digest([environment], locks_of_packages(), [ROOT / "pyproject.toml"])
    # A sync of the packages removes the Node.js wheel, so that step depends on the packages too.
    node = digest([packages, str(shutil.which("node")), str(shutil.which("npm"))], [LOCKS / "node.txt"])
    azurite = digest([], sorted(path for path in _AZURITE.glob("*") if path.is_file()), stub_files())
    return [
        Step(environment, stamps / "environment", create_environment),
        Step(packages, stamps / "packages", install_packages),
        Step(node, stamps / "node", provide_node),
        Step(azurite, _AZURITE / "node_modules" / ".stamp", install_azurite),
    ]


def digest(words: Iterable[str], *files: Iterable[Path]) -> str:
    """Return one digest of words and of the contents of files."""
    parts = [word.encode() for word in words] + [path.read_bytes() for group in files for path in group]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def locks_of_packages() -> list[Path]:
    """Return the locks that make up the environment: the project's, the back end that builds it, and uv itself."""
    return [ROOT / "requirements-dev.lock", LOCKS / "build.txt", LOCKS / "uv.txt"]


def stub_files() -> list[Path]:
    """Return the files of the empty stand-in for Azurite's telemetry package."""
    return sorted(path for path in (_AZURITE / "stub").rglob("*") if path.is_file())


def reason_to_replace(venv: Path) -> str:
    """Return why an existing environment cannot be used, or nothing."""
    if not venv.exists():
        return ""
    version = python_version(venv)
    if not version or not (venv / "bin" / "python").exists():
        return "it is incomplete, or its Python is gone"
    if version < _OLDEST_PYTHON:
        return f"it has Python {version[0]}.{version[1]}, and Assay needs 3.11 or newer"
    location = venv / ".stamps" / "location"
    if location.is_file() and location.read_text(encoding="utf-8") != str(venv):
        return "it was made in another folder, and its programs name that folder"
    asked = sys.version_info[:2]
    if Path(sys.prefix) != venv and version != asked:
        return f"it has Python {version[0]}.{version[1]}, and {asked[0]}.{asked[1]} was asked for"
    return ""


def python_version(venv: Path) -> tuple[int, int] | None:
    """Return major and minor version of an environment's Python, read from its pyvenv.cfg; None when there is none."""
    settings = venv / "pyvenv.cfg"
    text = settings.read_text(encoding="utf-8") if settings.is_file() else ""
    found = re.search(r"^version(?:_info)? *= *(\d+)\.(\d+)", text, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None


def create_environment(venv: Path) -> None:
    """Create the environment unless it is there: with uv if this machine has it, else with the venv module."""
    if not python_version(venv):
        say(f"Creating {venv.name} with Python {sys.version_info[0]}.{sys.version_info[1]}")
        create_with_uv_or_venv(venv)
    location = venv / ".stamps" / "location"
    location.parent.mkdir(exist_ok=True)
    location.write_text(str(venv), encoding="utf-8")


def create_with_uv_or_venv(venv: Path) -> None:
    """Create the environment. Raises StepFailed with the usual remedy when Python came without its venv module."""
    python = toolchain.base_python()
    if created_with_uv(python, venv):
        return
    try:
        run([python, "-m", "venv", venv])
    except StepFailed as problem:
        shutil.rmtree(venv, ignore_errors=True)
        raise StepFailed(f"{problem} On Debian and Ubuntu the venv module is a package: python3-venv.") from problem


def created_with_uv(python: str, venv: Path) -> bool:
    """Create the environment with a uv that is already there; says whether that worked."""
    uv = toolchain.find_uv()
    if uv is None:
        return False
    command = [uv, "venv", "--quiet", "--no-project", "--clear", "--python", python, venv]
    try:
        run(command, environment=toolchain.uv_environment())
    except StepFailed as problem:
        say(f"{problem} Trying once more with the venv module")
        return False
    return True


def install_packages(venv: Path) -> None:
    """Make the environment hold exactly the locked packages, and the project itself as editable."""
    uv = toolchain.ensure_uv(venv)
    if uv is not None:
        say("Installing the locked packages with uv")
        try:
            sync_with_uv(uv, venv)
            return
        except StepFailed as problem:
            say(f"{problem} Trying once more with pip")
    say("Installing the locked packages with pip")
    toolchain.pip_install(venv, *locks_of_packages())
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    run([*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT])


def sync_with_uv(uv: Path, venv: Path) -> None:
    """Install locks and project with uv; bytecode is compiled now, so that the first command starts quickly."""
    environment = toolchain.uv_environment()
    python = venv / "bin" / "python"
    sync = [uv, "pip", "sync", "--quiet", "--python", python, "--require-hashes", "--compile-bytecode"]
    run([*sync, *locks_of_packages()], environment=environment)
    # The back end comes from the lock, not from an isolated environment that would fetch an unchecked one.
    project = ["--no-deps", "--no-build-isolation", "--editable", ROOT]
    run([uv, "pip", "install", "--quiet", "--python", python, *project], environment=environment)


def provide_node(venv: Path) -> None:
    """Install Node.js from its wheel, unless this machine has npm and a Node.js that is new enough."""
    if shutil.which("npm") and toolchain.system_node_is_recent():
        return
    say("Installing Node.js into the environment: this machine has no npm with Node.js 20 or newer")
    lock = LOCKS / "node.txt"
    uv = toolchain.find_uv(venv)
    if uv is None:
        toolchain.pip_install(venv, lock)
        return
    install = [uv, "pip", "install", "--quiet", "--python", venv / "bin" / "python", "--require-hashes", "-r", lock]
    run(install, environment=toolchain.uv_environment())


def install_azurite(venv: Path) -> None:
    """Install Azurite, the storage emulator, as its lock says; npm replaces what an interrupted run left."""
    say("Installing Azurite with npm")
    command = [*toolchain.npm_command(venv), "ci", "--loglevel=error"]
    run(command, folder=_AZURITE, environment=toolchain.npm_environment())
