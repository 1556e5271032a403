"""`assay suite show`, `assay suite diff` and `--profile`: what a suite became, and what changed."""

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from assay.cli.main import app
from assay.errors import SuiteError, UserError

SUITE = """\
version: 1
name: demo
defaults: {model: {deployment: gpt-4o}}
limits: {attempts: 4}
experiments:
  - name: plain
    baseline: true
    user: |
      One {{ text }}
      Two
  - {name: other, user: "{{ text }}", matrix: {models: [a, b]}}
profiles:
  quick: {limits: {attempts: 1}}
environment: {ASSAY_SUITE_ATTEMPTS: limits.attempts}
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return write(tmp_path / "demo", SUITE)


def write(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "suite.yaml").write_text(text, encoding="utf-8")
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


class TestShow:
    def test_a_suite_of_one_file_is_shown_as_it_is_written(self, folder: Path):
        """That text is what `deploy` puts into storage."""
        assert run("suite", "show", folder) == SUITE

    def test_a_profile_is_shown_resolved(self, folder: Path):
        """What would be deployed needs no profile any more."""
        shown = run("suite", "show", folder, "--profile", "quick")
        assert "attempts: 1" in shown
        assert "profiles:" not in shown

    def test_every_value_is_shown_with_its_place(self, folder: Path):
        """Its line, or that it is a default."""
        values = json.loads(run("suite", "show", folder, "--resolved", "--json"))["settings"]
        by_key = {(one["experiment"], one["key"]): (one["value"], one["origin"]) for one in values}
        assert by_key[None, "limits.attempts"] == (4, f"{folder}/suite.yaml:4")
        assert by_key["other-b", "model.deployment"] == ("b", f"{folder}/suite.yaml:11")
        assert by_key["plain", "model.max_tokens"] == (400, "default")

    def test_the_table_has_what_was_said_and_what_counts(self, folder: Path):
        """A default that is nothing is left out."""
        shown = run("suite", "show", folder, "--experiment", "plain")
        assert "experiment plain" in shown
        assert "One {{ text }} Two" in shown
        assert "model.stop" not in shown
        assert "other-a" not in shown

    def test_an_unknown_experiment_is_told_with_the_closest(self, folder: Path):
        """After expansion, because that is what is shown."""
        with pytest.raises(UserError, match="did you mean 'other-a'"):
            run("suite", "show", folder, "--experiment", "other_a")

    def test_an_environment_variable_counts_where_the_suite_lists_it(self, folder: Path, monkeypatch):
        """Its name stands where a line would."""
        monkeypatch.setenv("ASSAY_SUITE_ATTEMPTS", "2")
        values = json.loads(run("suite", "show", folder, "--resolved", "--json"))["settings"]
        [attempts] = [one for one in values if one["key"] == "limits.attempts"]
        assert (attempts["value"], attempts["origin"]) == (2, "environment variable ASSAY_SUITE_ATTEMPTS")


class TestDiff:
    def test_layout_is_no_difference(self, folder: Path, tmp_path: Path):
        """Only meaning counts."""
        other = write(tmp_path / "again", "# note\n" + SUITE)
        assert run("suite", "diff", folder, other) == "Both mean the same.\n"

    def test_a_change_is_shown_with_both_values_and_prompts_line_by_line(self, folder: Path, tmp_path: Path):
        """An experiment that came or went says so."""
        changed = SUITE.replace("Two", "Three").replace("attempts: 4", "attempts: 5").replace("[a, b]", "[a]")
        shown = run("suite", "diff", folder, write(tmp_path / "new", changed))
        assert "limits.attempts: 4 -> 5" in shown
        assert "    -Two\n    +Three\n" in shown
        assert "experiment other-b (gone)" in shown

    def test_json_has_the_whole_values(self, folder: Path, tmp_path: Path):
        """For other programs."""
        other = write(tmp_path / "new", SUITE.replace("attempts: 4", "attempts: 5"))
        found = json.loads(run("suite", "diff", folder, other, "--json"))
        assert found == {
            "same": False,
            "differences": [{"experiment": None, "key": "limits.attempts", "before": 4, "after": 5}],
        }


class TestValidate:
    def test_a_column_that_is_missing_is_complained_of_where_it_is_written(self, folder: Path):
        """Also under a profile, whose lines are not those of the text that is deployed."""
        (folder / "rows.csv").write_text("txt\nhello\n", encoding="utf-8")
        with pytest.raises(
            SuiteError, match=r"suite\.yaml:8: experiment 'plain': line 1 of the prompt uses column 'text'"
        ):
            run("validate", folder, "--profile", "quick")

    def test_a_profile_can_be_validated_and_estimated(self, folder: Path):
        """Before anything is deployed."""
        (folder / "rows.csv").write_text("text\nhello\n", encoding="utf-8")
        assert "other-a" in run("validate", folder, "--profile", "quick")
        assert "other-a" in run("estimate", folder, "--profile", "quick")


def test_a_program_is_shown_in_place_of_prompts(tmp_path: Path) -> None:
    """And it is said when prompts became a program."""
    prompts = write(tmp_path / "one", SUITE)
    program = write(tmp_path / "two", SUITE.replace('user: "{{ text }}", matrix', "program: 'string:capwords', matrix"))
    shown = CliRunner().invoke(app, ["suite", "show", str(program), "--experiment", "other-a"]).stdout
    assert "string:capwords" in shown and "criteria" not in shown
    changed = CliRunner().invoke(app, ["suite", "diff", str(prompts), str(program)]).stdout
    assert "program: - -> string:capwords" in changed or "program: (absent) -> string:capwords" in changed


def test_a_suite_s_folder_brings_its_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`assay validate` imports the program from beside the suite, and says what is wrong with it."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr("assay.planning.programs._opened", {})
    folder = write(tmp_path / "own", SUITE.replace('user: "{{ text }}", matrix', "program: 'own_code:answr', matrix"))
    (folder / "own_code.py").write_text("def answer(row, model): return ''\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["validate", str(folder)])
    assert isinstance(result.exception, SuiteError)
    assert "own_code has no 'answr' (did you mean 'answer'?)" in str(result.exception)


def test_two_versions_of_a_suite_with_code_are_compared_without_importing_it(tmp_path: Path) -> None:
    """Both folders have a module of the same name, and the code is not what is compared."""
    folders = []
    for function in ("run", "walk"):
        agent = f'  - {{name: agent, program: "my_agent:{function}"}}\nprofiles:'
        folders.append(write(tmp_path / function, SUITE.replace("profiles:", agent)))
        (folders[-1] / "my_agent.py").write_text("raise RuntimeError('imported')", encoding="utf-8")

    assert "program: my_agent:run -> my_agent:walk" in run("suite", "diff", *folders)
