"""The local stack: which suites it is given, their Python code, and what their deployments grant."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from assay.cli.local import _granted, _refuse_uncoded, _suite_folder
from assay.errors import UserError
from assay.local.stack import Stack, StackOptions, code_environment, project_root, quota_environment
from assay.settings import Settings


def stack(*code: str) -> Stack:
    return Stack("storage", "openai", "key", "host", 1, (), {}, code)


def test_a_demo_takes_a_folder_or_the_name_of_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of that name in the current one goes first."""
    sample = project_root() / "config" / "summaries"
    assert _suite_folder(tmp_path) == tmp_path
    assert _suite_folder(Path("summaries")) == sample
    with pytest.raises(
        UserError, match=r"no sample 'sumaries' \(did you mean 'summaries'\?\)\. Samples: answer-quality, "
    ):
        _suite_folder(Path("sumaries"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "summaries").mkdir()
    assert _suite_folder(Path("summaries")) == Path("summaries")


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


def test_host_and_workers_are_told_what_the_emulator_grants(tmp_path: Path) -> None:
    """As the template tells them in Azure, so that the samples state no quota; what the user set goes before it."""
    sample = project_root() / "config" / "summaries" / "emulator.yaml"
    users = {"gpt-5.4": {"requests_per_minute": 6, "tokens_per_minute": 1000}}
    options = StackOptions(tmp_path, quota=_granted((sample,), Settings.load({"ASSAY_QUOTA": json.dumps(users)})))

    found = Settings.load(quota_environment(options)).quota
    assert {name: one.tokens_per_minute for name, one in found.items()} == {"gpt-5.4-mini": 750_000, "gpt-5.4": 1_000}
    assert quota_environment(StackOptions(tmp_path)) == {}
