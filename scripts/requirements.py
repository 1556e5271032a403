"""Writes the locked requirements (`lock`) and tells where they have drifted from pyproject.toml (`check`).

`make lock` and `make lint` call it. `function_app/requirements.txt`, which the image installs, is requirements.lock.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import toolchain
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version
from toolchain import LOCKS, ROOT

RUNTIME_LOCK = Path("requirements.lock")
DEVELOPMENT_LOCK = Path("requirements-dev.lock")
IMAGE_REQUIREMENTS = Path("function_app/requirements.txt")
REMEDY = "Run `make lock` and commit what it writes."

# What people drop must be readable where it is dropped, so the image has these; a laptop may do without.
IMAGE_EXTRAS = ("sql", "xlsx")
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)")
_DIRECT = "(pyproject.toml"
_TOOLS = ("uv", "build", "node")
# Of the workflows alone: each in an environment of its own, whose packages need not agree with ours.
_TOOLS_APART = ("audit", "policy")


@dataclass
class Pin:
    """One pinned distribution of a lock file; a name has several pins when they differ between Python versions."""

    name: NormalizedName
    version: Version
    hashes: int = 0
    wanted_by: list[str] = field(default_factory=list)

    @property
    def is_direct(self) -> bool:
        """Say whether pyproject.toml itself asked for it when the lock was written."""
        return any(_DIRECT in origin for origin in self.wanted_by)


def main() -> int:
    """Run the command that was asked for; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("lock", "check"))
    parser.add_argument("--upgrade", action="store_true", help="lock: take the newest versions that pyproject allows")
    arguments = parser.parse_args()
    if arguments.command == "lock":
        return write_locks(["--upgrade"] if arguments.upgrade else [])
    drift = find_drift(ROOT)
    print("\n".join([*drift, REMEDY]) if drift else "requirements: the locks agree with pyproject.toml")
    return 1 if drift else 0


def write_locks(options: list[str]) -> int:
    """Write every lock with uv, and the Functions app's copy; without options the pins stay as they are."""
    uv = toolchain.find_uv()
    if uv is None:
        print("Locking needs uv: run `make setup`, which installs it, or install uv yourself.", file=sys.stderr)
        return 1
    try:
        extras = [option for extra in IMAGE_EXTRAS for option in ("--extra", extra)]
        compile_lock(uv, RUNTIME_LOCK, ["pyproject.toml", *extras, *options])
        compile_lock(uv, DEVELOPMENT_LOCK, ["pyproject.toml", "--group", "dev", "-c", str(RUNTIME_LOCK), *options])
        for tool in (*_TOOLS, *_TOOLS_APART):
            source, lock = (str((LOCKS / f"{tool}{suffix}").relative_to(ROOT)) for suffix in (".in", ".txt"))
            agreement = [] if tool in _TOOLS_APART else ["-c", str(DEVELOPMENT_LOCK)]
            compile_lock(uv, Path(lock), [source, *agreement, *options])
    except toolchain.StepFailed as problem:
        print(problem, file=sys.stderr)
        return 1
    shutil.copyfile(ROOT / RUNTIME_LOCK, ROOT / IMAGE_REQUIREMENTS)
    return 0


def compile_lock(uv: Path, lock: Path, sources: list[str]) -> None:
    """Resolve `sources` for every platform and Python from 3.11 on into `lock`, with hashes and without addresses."""
    form = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-emit-index-url", "--no-header"]
    command = [uv, "pip", "compile", *sources, *form, "--quiet", "--output-file", str(lock)]
    toolchain.run(command, environment=toolchain.uv_environment())


def find_drift(root: Path) -> list[str]:
    """Return one sentence for every place where the locks under `root` do not fit pyproject.toml; none is good."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    optional = project["project"].get("optional-dependencies", {})
    texts = [*project["project"]["dependencies"], *(text for extra in IMAGE_EXTRAS for text in optional.get(extra, []))]
    runtime = [Requirement(text) for text in texts]
    development = runtime + [Requirement(text) for text in project["dependency-groups"]["dev"]]
    drift = [
        *_differences(RUNTIME_LOCK, read_pins(root / RUNTIME_LOCK), runtime),
        *_differences(DEVELOPMENT_LOCK, read_pins(root / DEVELOPMENT_LOCK), development),
        *_disagreements(read_pins(root / RUNTIME_LOCK), read_pins(root / DEVELOPMENT_LOCK)),
    ]
    image = root / IMAGE_REQUIREMENTS
    if not image.is_file() or image.read_bytes() != (root / RUNTIME_LOCK).read_bytes():
        drift.append(f"{IMAGE_REQUIREMENTS} is not a copy of {RUNTIME_LOCK}.")
    return drift


def read_pins(lock: Path) -> list[Pin]:
    """Return the pins of a lock file in its order, each with its number of hashes and who wants it."""
    pins: list[Pin] = []
    for line in lock.read_text(encoding="utf-8").splitlines():
        pin = _PIN.match(line)
        if pin:
            pins.append(Pin(canonicalize_name(pin[1]), Version(pin[2])))
        elif pins and line.lstrip().startswith("--hash=sha256:"):
            pins[-1].hashes += 1
        elif pins and line.lstrip().startswith("#"):
            pins[-1].wanted_by.append(line.lstrip(" #").removeprefix("via "))
    return pins


def _differences(lock: Path, pins: list[Pin], wanted: list[Requirement]) -> Iterator[str]:
    """Yield what is missing, what does not fit its specifier, what is no longer wanted and what has no hash."""
    specifiers = {canonicalize_name(requirement.name): requirement.specifier for requirement in wanted}
    for name in sorted(set(specifiers) - {pin.name for pin in pins}):
        yield f"{lock}: {name} is in pyproject.toml and not in the lock."
    for pin in pins:
        specifier = specifiers.get(pin.name)
        if specifier is not None and not specifier.contains(pin.version, prereleases=True):
            yield f"{lock}: {pin.name} is pinned to {pin.version}, and pyproject.toml asks for {specifier}."
        if specifier is None and pin.is_direct:
            yield f"{lock}: {pin.name} was asked for by pyproject.toml and is so no longer."
        if not pin.hashes:
            yield f"{lock}: {pin.name} {pin.version} has no hash."


def _disagreements(runtime: list[Pin], development: list[Pin]) -> Iterator[str]:
    """Yield the runtime pins that the development lock does not hold in the same version."""
    held = {(pin.name, pin.version) for pin in development}
    for pin in runtime:
        if (pin.name, pin.version) not in held:
            yield f"{DEVELOPMENT_LOCK}: {pin.name} {pin.version} of {RUNTIME_LOCK} is missing or has another version."


if __name__ == "__main__":
    sys.exit(main())
