"""Which packages `make setup` and `make setup-dev` put into .venv; scripts/environment.py decides."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def environment() -> Iterator[ModuleType]:
    """The script, which is no part of the package and sits beside its own modules."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import environment as script

    yield script
    sys.path.remove(str(ROOT / "scripts"))


def complete(step: object) -> None:
    """Leave the stamp that the step leaves when it is done."""
    step.stamp.parent.mkdir(parents=True, exist_ok=True)  # type: ignore[attr-defined]
    step.stamp.write_text(step.digest, encoding="ascii")  # type: ignore[attr-defined]


def test_running_adds_the_packages_of_the_image(environment: ModuleType, tmp_path: Path) -> None:
    """Who only runs Assay waits for no test tools."""
    acts = [step.act for step in environment.plan_running(tmp_path)]
    assert environment.add_running_packages in acts and environment.sync_development_packages not in acts


def test_tests_bring_the_environment_to_the_development_lock(environment: ModuleType, tmp_path: Path) -> None:
    """Whatever was there for running is part of that lock."""
    acts = [step.act for step in environment.plan_development(tmp_path)]
    assert environment.sync_development_packages in acts and environment.add_running_packages not in acts


def test_an_environment_for_tests_is_left_alone_when_only_running_is_asked(
    environment: ModuleType, tmp_path: Path
) -> None:
    """To and fro between `make demo` and `make test` installs nothing."""
    for step in environment.plan_development(tmp_path)[:3]:
        complete(step)
    assert all(step.is_done() for step in environment.plan_running(tmp_path)[:3])


def test_tests_after_running_find_their_packages_missing(environment: ModuleType, tmp_path: Path) -> None:
    """What is there for running is not taken for what tests need."""
    for step in environment.plan_running(tmp_path)[:3]:
        complete(step)
    assert [step.is_done() for step in environment.plan_development(tmp_path)[:3]] == [True, False, False]
