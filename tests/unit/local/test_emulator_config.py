"""Emulator files are read strictly, and a mistake is told with its place."""

from pathlib import Path

import pytest

from assay.errors import SuiteError
from assay.local.emulated_truths import read_truths
from assay.local.emulator_config import granted_quota, load_emulator_config

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "emulator"


def write(folder: Path, text: str, name: str = "emulator.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_files_are_merged_and_keep_their_own_seed_and_tasks() -> None:
    """Two suites are served by one emulator."""
    config = load_emulator_config([FIXTURES / "triage.yaml", FIXTURES / "ratings.yaml"])

    assert sorted(config.deployments) == ["large", "mini"]
    assert [script.content.seed for script in config.scripts] == [11, 5]


def test_what_deployments_grant_is_said_where_both_limits_are_known(tmp_path: Path) -> None:
    """As ASSAY_QUOTA has it: a deployment without a limit needs nobody who paces."""
    whole = "{model: m, requests_per_minute: 60, tokens_per_minute: 900, accounting: settled}"
    path = write(tmp_path, f"deployments:\n  whole: {whole}\n  half: {{model: m, requests_per_minute: 60}}\n")

    assert granted_quota([path]) == {
        "whole": {"requests_per_minute": 60, "tokens_per_minute": 900, "accounting": "settled"}
    }


def test_an_empty_file_is_an_emulator_without_deployments(tmp_path: Path) -> None:
    """Nothing in the file is required."""
    assert load_emulator_config([write(tmp_path, "")]).deployments == {}


def test_files_that_disagree_on_a_deployment_are_refused(tmp_path: Path) -> None:
    """The error names both files and the deployment."""
    first = write(tmp_path, "deployments: {mini: {model: a}}", "a.yaml")
    second = write(tmp_path, "deployments: {mini: {model: b}}", "b.yaml")

    with pytest.raises(SuiteError, match=r"b\.yaml: deployment 'mini' differs from the one in .*a\.yaml"):
        load_emulator_config([first, second])


def test_an_unknown_field_is_refused_with_file_and_line(tmp_path: Path) -> None:
    """A misspelt quota must not mean no quota."""
    path = write(tmp_path, "seed: 1\ndeployments:\n  mini:\n    model: a\n    request_per_minute: 10\n")

    with pytest.raises(SuiteError, match=r"emulator\.yaml:5: deployments\.mini\.request_per_minute: "):
        load_emulator_config([path])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed: [", "emulator.yaml:1: not valid YAML"),
        ("- a", ":1: the file: "),
        ("faults: {error_500: 0.7, dropped: 0.7}", "add up to 1.4"),
        ("faults: {content_filter: ['(']}", "content_filter.0"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, text: str, told: str) -> None:
    """Each mistake is told when the file is read, not when a request meets it."""
    with pytest.raises(SuiteError) as refusal:
        load_emulator_config([write(tmp_path, text)])
    assert told in str(refusal.value)


@pytest.mark.parametrize(
    ("find", "rule", "told"),
    [("T-(.+)", "easy: 1", "a group named key"), ("(?P<key>.+)", "noise: 1", "needs `easy`")],
)
def test_a_task_that_cannot_answer_is_refused(tmp_path: Path, find: str, rule: str, told: str) -> None:
    """A label task needs a key to find and a probability."""
    task = f"{{name: t, find: '{find}', answers: {{file: f, key: k, answer: a}}, skill: [{{name: r, {rule}}}]}}"

    with pytest.raises(SuiteError, match=told):
        load_emulator_config([write(tmp_path, f"tasks: [{task}]")])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A wrong path is the user's to fix."""
    with pytest.raises(SuiteError, match=r"nowhere\.yaml: cannot be read"):
        load_emulator_config([tmp_path / "nowhere.yaml"])


def test_rows_without_a_usable_answer_are_left_out_and_the_first_of_a_key_counts() -> None:
    """Sample data may hold bad rows on purpose."""
    script = load_emulator_config([FIXTURES / "triage.yaml"]).scripts[0]
    truths = read_truths(script.content.tasks[0], FIXTURES)

    assert len(truths) == 600
    assert truths["T-1"].label == "network" and truths["T-1"].hard
    assert "T-601" not in truths


def test_numbers_are_read_from_json_lines() -> None:
    """A text where a number belongs is a bad row."""
    script = load_emulator_config([FIXTURES / "ratings.yaml"]).scripts[0]
    truths = read_truths(script.content.tasks[0], FIXTURES)

    assert truths["R-3"].number == 3.0
    assert "R-900" not in truths


@pytest.mark.parametrize(
    ("content", "told"),
    [("id,other\n1,a\n", "has no column 'a'.*It has: id, other"), ("id,a\n1,\n", "holds no answer"), (None, "cannot")],
)
def test_an_unusable_answer_file_is_refused(tmp_path: Path, content: str | None, told: str) -> None:
    """An emulator without truths would quietly answer filler."""
    task = "{name: t, find: '(?P<key>.)', answers: {file: f.csv, key: id, answer: a}, skill: [{name: r, easy: 1}]}"
    script = load_emulator_config([write(tmp_path, f"tasks: [{task}]")]).scripts[0]
    if content is not None:
        write(tmp_path, content, "f.csv")

    with pytest.raises(SuiteError, match=told):
        read_truths(script.content.tasks[0], tmp_path)
