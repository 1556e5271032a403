"""Prepares .venv and Azurite from the locks; `setup.py` calls it, and a second run does nothing.

Running needs the image's packages, `--dev` adds those of tests and checks to the same .venv. Every step, once complete,
leaves a stamp with the digest of its inputs: an interrupted set-up goes on where it stopped.
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
_AZURITE, _CHECKS = ROOT / "tools" / "azurite", ROOT / "tools" / "checks"
_RUNTIME_LOCK, _DEVELOPMENT_LOCK = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"


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
    arguments.add_argument(
        "--dev", dest="plan", action="store_const", const=plan_development, default=plan_running, help="for tests, too"
    )
    asked = arguments.parse_args()
    try:
        with Path(__file__).open(encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two `make` at once take turns
            set_up(asked.venv.absolute(), asked.plan)
    except StepFailed as problem:
        print(f"Set-up stopped: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Set-up interrupted; the same command continues it.", file=sys.stderr)
        return 130
    return 0


def set_up(venv: Path, plan: Callable[[Path], list[Step]]) -> None:
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


def plan_running(venv: Path) -> list[Step]:
    """Return the steps that running needs. What is prepared for development runs too, and stays as it is."""
    development = development_packages(venv)
    packages = development if development.is_done() else running_packages(venv)
    return [environment_step(venv), packages, *emulator_steps(venv, packages)]


def plan_development(venv: Path) -> list[Step]:
    """Return the steps that tests and checks need, which hold all that running needs."""
    packages = development_packages(venv)
    checks = Step(digest([], npm_files(_CHECKS)), _CHECKS / "node_modules" / ".stamp", install_checks)
    return [environment_step(venv), packages, *emulator_steps(venv, packages), checks]


def environment_step(venv: Path) -> Step:
    """Return the step that makes the environment."""
    wanted_python = python_version(venv) or sys.version_info[:2]
    return Step(digest([str(venv), str(wanted_python)]), venv / ".stamps" / "environment", create_environment)


def running_packages(venv: Path) -> Step:
    """Return the step that adds what the image has; it removes nothing."""
    return Step(digest_of_packages(venv, _RUNTIME_LOCK), venv / ".stamps" / "running", add_running_packages)


def development_packages(venv: Path) -> Step:
    """Return the step that makes the environment hold the development lock and nothing else."""
    return Step(digest_of_packages(venv, _DEVELOPMENT_LOCK), venv / ".stamps" / "packages", sync_development_packages)


def emulator_steps(venv: Path, packages: Step) -> list[Step]:
    """Return the steps that provide the storage emulator."""
    # A sync of the packages removes the Node.js wheel, so that step depends on the packages too.
    node = digest([packages.digest, str(shutil.which("node")), str(shutil.which("npm"))], [LOCKS / "node.txt"])
    azurite = digest([], npm_files(_AZURITE), stub_files())
    return [
        Step(node, venv / ".stamps" / "node", provide_node),
        Step(azurite, _AZURITE / "node_modules" / ".stamp", install_azurite),
    ]


def digest_of_packages(venv: Path, lock: Path) -> str:
    """Return the digest of all that decides which packages an environment gets from a lock."""
    return digest([environment_step(venv).digest], locks_of_packages(lock), [ROOT / "pyproject.toml"])


def digest(words: Iterable[str], *files: Iterable[Path]) -> str:
    """Return one digest of words and of the contents of files."""
    parts = [word.encode() for word in words] + [path.read_bytes() for group in files for path in group]
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def locks_of_packages(lock: Path) -> list[Path]:
    """Return the locks that make up an environment: the project's, the back end that builds it, and uv itself."""
    return [lock, LOCKS / "build.txt", LOCKS / "uv.txt"]


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


def add_running_packages(venv: Path) -> None:
    """Add the image's locked packages, and the project itself as editable; whatever else is there stays."""
    locks = locks_of_packages(_RUNTIME_LOCK)
    install_packages(venv, locks, ["install", *(word for lock in locks for word in ("-r", lock))])


def sync_development_packages(venv: Path) -> None:
    """Make the environment hold exactly the development lock, and the project itself as editable."""
    locks = locks_of_packages(_DEVELOPMENT_LOCK)
    install_packages(venv, locks, ["sync", *locks])


def install_packages(venv: Path, locks: list[Path], uv_words: list[object]) -> None:
    """Install locks and project with uv as `uv_words` say, else with pip, which removes nothing."""
    uv = toolchain.ensure_uv(venv)
    if uv is not None:
        say(f"Installing the packages of {locks[0].name} with uv")
        try:
            install_with_uv(uv, venv, uv_words)
            return
        except StepFailed as problem:
            say(f"{problem} Trying once more with pip")
    say(f"Installing the packages of {locks[0].name} with pip")
    toolchain.pip_install(venv, *locks)
    pip = [venv / "bin" / "python", "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    run([*pip, "--no-deps", "--no-build-isolation", "--editable", ROOT])


def install_with_uv(uv: Path, venv: Path, words: list[object]) -> None:
    """Install locks and project with uv; bytecode is compiled now, so that the first command starts quickly."""
    environment = toolchain.uv_environment()
    python = venv / "bin" / "python"
    options = ["--quiet", "--python", python, "--require-hashes", "--compile-bytecode"]
    run([uv, "pip", *words, *options], environment=environment)
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
    """Install Azurite, the storage emulator, as its lock says."""
    say("Installing Azurite with npm")
    install_with_npm(venv, _AZURITE)


def install_checks(venv: Path) -> None:
    """Install what tests compare with, as its lock says."""
    say("Installing schemas and verifiers for the tests with npm")
    install_with_npm(venv, _CHECKS)


def npm_files(folder: Path) -> list[Path]:
    """Return the files that decide what npm installs into a folder."""
    return sorted(path for path in folder.glob("*") if path.is_file())


def install_with_npm(venv: Path, folder: Path) -> None:
    """Install what a folder's lock says; npm replaces what an interrupted run left."""
    command = [*toolchain.npm_command(venv), "ci", "--loglevel=error"]
    run(command, folder=folder, environment=toolchain.npm_environment())
