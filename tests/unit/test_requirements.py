"""The locked requirements follow pyproject.toml; `scripts/requirements.py check` tells when they do not."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = ("pyproject.toml", "requirements.lock", "requirements-dev.lock", "function_app/requirements.txt")


@pytest.fixture(scope="module")
def requirements() -> Iterator[ModuleType]:
    """The script, which is no part of the package and sits beside its own modules."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import requirements as script

    yield script
    sys.path.remove(str(ROOT / "scripts"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the files that the check reads, to be broken by a test."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    return tmp_path


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_locks_of_this_project_agree_with_pyproject(requirements: ModuleType) -> None:
    """Whoever changes a dependency commits the locks with it."""
    assert requirements.find_drift(ROOT) == []


def test_a_new_dependency_without_a_pin_is_drift(requirements: ModuleType, project: Path) -> None:
    """A dependency that is not locked would be missing in the image."""
    replace(project / "pyproject.toml", '    "aiohttp', '    "not-locked-yet>=1",\n    "aiohttp')
    drift = requirements.find_drift(project)
    assert "requirements.lock: not-locked-yet is in pyproject.toml and not in the lock." in drift


def test_a_pin_outside_its_specifier_is_drift(requirements: ModuleType, project: Path) -> None:
    """A raised lower bound needs a new pin."""
    replace(project / "pyproject.toml", '"rfc8785>=', '"rfc8785>=99,>=')
    drift = requirements.find_drift(project)
    assert any(line.startswith("requirements.lock: rfc8785 is pinned to") and ">=99" in line for line in drift)


def test_a_dependency_that_was_removed_is_drift(requirements: ModuleType, project: Path) -> None:
    """The image does not carry what nobody asks for any more."""
    text = (project / "pyproject.toml").read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not line.startswith('    "rfc8785')]
    (project / "pyproject.toml").write_text("\n".join(kept), encoding="utf-8")
    drift = requirements.find_drift(project)
    assert "requirements.lock: rfc8785 was asked for by pyproject.toml and is so no longer." in drift


def test_a_pin_without_a_hash_is_drift(requirements: ModuleType, project: Path) -> None:
    """Without its hash an archive could be exchanged unnoticed."""
    with (project / "requirements.lock").open("a", encoding="utf-8") as lock:
        lock.write("unhashed==1.0\n")
    assert "requirements.lock: unhashed 1.0 has no hash." in requirements.find_drift(project)


def test_locks_that_disagree_are_drift(requirements: ModuleType, project: Path) -> None:
    """Tests run with the versions that the image holds."""
    replace(project / "requirements-dev.lock", "\nopenai==", "\nopenai==999.")
    assert any(line.startswith("requirements-dev.lock: openai") for line in requirements.find_drift(project))


def test_image_requirements_that_are_no_copy_are_drift(requirements: ModuleType, project: Path) -> None:
    """The image installs what requirements.lock says, to the byte."""
    (project / "function_app" / "requirements.txt").write_text("openai\n", encoding="utf-8")
    assert "function_app/requirements.txt is not a copy of requirements.lock." in requirements.find_drift(project)
