"""`--inject-failures`: checked before anything is started, and passed on to host and workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.cli import local
from assay.errors import UserError
from assay.local.stack import Stack, StackOptions, drill_environment


@pytest.mark.parametrize("command", [local.up, local.demo])
def test_a_wrong_plan_of_failures_starts_nothing(command: object, tmp_path: Path) -> None:
    """The mistake would otherwise only show in the workers' logs."""
    with pytest.raises(UserError, match="unknown kind 'tiemout'"):
        command(home=tmp_path / "home", inject_failures="rate=0.1,kinds=tiemout")  # type: ignore[operator]
    assert not (tmp_path / "home").exists()


def test_a_stack_that_runs_already_is_not_used_for_a_drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its workers were started without the failures."""
    stack = Stack("storage", "openai", "key", "host", 1, (), {})
    monkeypatch.setattr(local, "running_stack", lambda home: stack)

    with pytest.raises(UserError, match="runs without these failures"), local._stack(tmp_path, 1, [], "rate=0.1"):
        pass
    with local._stack(tmp_path, 1, [], None) as used:
        assert used is stack


def test_host_and_workers_find_the_plan_in_their_environment(tmp_path: Path) -> None:
    """As they would in Azure; without a drill there is no variable."""
    assert drill_environment(StackOptions(tmp_path, inject_failures="rate=0.1")) == {
        "ASSAY_INJECT_FAILURES": "rate=0.1"
    }
    assert drill_environment(StackOptions(tmp_path)) == {}
