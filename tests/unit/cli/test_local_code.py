"""The local stack and the Python code of suites."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from assay.cli.local import _refuse_uncoded
from assay.errors import UserError
from assay.local.stack import Stack, code_environment


def stack(*code: str) -> Stack:
    return Stack("storage", "openai", "key", "host", 1, (), {}, code)


def test_a_stack_that_runs_without_a_suite_s_code_is_refused(tmp_path: Path) -> None:
    """Its host would refuse the dataset, with a reason that helps less."""
    plain, coded = tmp_path / "plain", tmp_path / "coded"
    for folder in (plain, coded):
        folder.mkdir()
    (coded / "program.py").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"runs without the Python code in .*coded; stop it"):
        _refuse_uncoded(stack(), tmp_path, [plain, coded])
    _refuse_uncoded(stack(str(coded.resolve())), tmp_path, [plain, coded])


def test_host_and_workers_find_code_in_one_variable() -> None:
    """None is set where there is none, so that one of the user's own stays."""
    assert code_environment(()) == {}
    assert code_environment(("/a", "/b")) == {"ASSAY_CODE": os.pathsep.join(("/a", "/b"))}
