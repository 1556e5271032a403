"""Suites as folders: Markdown prompts with front matter become the one suite that storage holds."""

from pathlib import Path

import pytest

from assay.errors import AssayError, SuiteError
from assay.suite.folders import read_suite_folder
from assay.suite.loading import load_suite, suite_digest
from assay.suite.models import Suite

SUITE = "version: 1\nname: demo\ndefaults: {model: {deployment: m}}\n"
FILES = {
    "suite.yaml": SUITE,
    "defaults/system.md": "You sort tickets.\n",
    "experiments/plain/user.md": "---\nbaseline: true\ndescription: As it was\nmodel: {temperature: 0}\n---\n"
    "\nQueue of {{ text }}?\n",
    "experiments/two/experiment.yaml": "model: {max_tokens: 9}\n",
    "experiments/two/system.md": "Think first.\n\nThen answer.\n",
    "experiments/two/criteria/queue/user.md": "Queue?\n",
    "experiments/two/criteria/reason/user.md": "---\nschema: [reason]\n---\nWhy?\n",
    "experiments/README.md": "Notes.\n",
}


def folder_of(tmp_path: Path, **changes: str | None) -> Path:
    """The folder above with other or more files; None takes one away."""
    for name, text in {**FILES, **changes}.items():
        if text is not None:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def loaded(folder: Path) -> Suite:
    return read_suite_folder(folder).resolve().suite


def complaint(folder: Path) -> str:
    with pytest.raises(AssayError) as caught:
        loaded(folder)
    return str(caught.value).replace(f"{folder}/", "")


class TestMeaning:
    def test_a_folder_of_prompts_is_a_suite(self, tmp_path: Path):
        """Front matter holds settings, the rest is the prompt; the folder's name is the experiment's."""
        suite = loaded(folder_of(tmp_path))
        plain, two = suite.experiments
        assert (plain.name, plain.baseline, plain.description) == ("plain", True, "As it was")
        assert (plain.model.deployment, plain.model.temperature) == ("m", 0)
        assert (plain.criteria[0].system, plain.criteria[0].user) == ("You sort tickets.", "Queue of {{ text }}?")
        assert (two.name, two.model.max_tokens) == ("two", 9)
        assert [(one.name, one.system, one.user) for one in two.criteria] == [
            ("queue", "Think first.\n\nThen answer.", "Queue?"),
            ("reason", "Think first.\n\nThen answer.", "Why?"),
        ]
        assert two.criteria[1].answer_schema is not None

    def test_what_is_deployed_is_one_file_that_means_the_same(self, tmp_path: Path):
        """Storage holds a single suite.yaml."""
        resolved = read_suite_folder(folder_of(tmp_path)).resolve()
        assert suite_digest(load_suite(resolved.text)) == suite_digest(resolved.suite)

    def test_packs_and_templates_may_be_folders_too(self, tmp_path: Path):
        """A pack looks like an experiment, a template is a file."""
        folder = folder_of(
            tmp_path,
            **{
                "packs/short/pack.yaml": "limits: {attempts: 2}\n",
                "packs/short/user.md": "Short?\n",
                "templates/base.md": "Base {{ text }}\n",
                "experiments/packed/experiment.yaml": "pack: short\n",
            },
        )
        suite = loaded(folder)
        assert suite.experiment("packed").criteria[0].user == "Short?"
        assert suite.limits.attempts == 2
        assert suite.templates == {"base": "Base {{ text }}"}

    def test_one_file_alone_stays_as_it_is_written(self, tmp_path: Path):
        """With its comments."""
        text = "# note\n" + SUITE + "experiments: [{name: a, baseline: true, user: u}]\n"
        (tmp_path / "suite.yaml").write_text(text, encoding="utf-8")
        assert read_suite_folder(tmp_path).resolve().text == text

    def test_lines_end_as_any_system_ends_them(self, tmp_path: Path):
        """An editor on Windows changes nothing."""
        folder = folder_of(tmp_path)
        before = suite_digest(loaded(folder))
        file = folder / "experiments/plain/user.md"
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        assert suite_digest(loaded(folder)) == before


class TestComplaints:
    @pytest.mark.parametrize(
        ("file", "text", "expected"),
        [
            (
                "experiments/plain/user.md",
                "---\nbaseline: true\nmodle: {}\n---\nq\n",
                "experiments/plain/user.md:3: unknown key 'modle' (did you mean 'model'?)",
            ),
            (
                "experiments/plain/user.md",
                "---\nbaseline: true\n---\n\n\n",
                "experiments/plain/user.md:4: the prompt is empty",
            ),
            (
                "experiments/plain/user.md",
                "---\nbaseline: true\n",
                "experiments/plain/user.md:1: the front matter has no end",
            ),
            (
                "experiments/plain/sytem.md",
                "s\n",
                "experiments/plain/sytem.md: no suite has this (did you mean 'system.md'?). Known here: ",
            ),
            ("experiments/loose.md", "s\n", "experiments/loose.md: expected folders here, one for each of the exp"),
            (
                "experiments/two/experiment.yaml",
                "system: Again.\n",
                "experiments/two/system.md:1: 'system' is said twice, also at experiments/two/experiment.yaml:1",
            ),
            (
                "experiments/two/experiment.yaml",
                "name: other\n",
                "experiments/two/experiment.yaml:1: the folder's name is the name, 'two'; take 'name' away",
            ),
            ("experiments/two/experiment.yaml", "- 1\n", "experiments/two/experiment.yaml:1: expected a mapping"),
            ("suite.yaml", SUITE + "experiments: {a: 1}\n", "suite.yaml:4: experiments: expected a list"),
            ("suite.yaml", SUITE + "defaults: 1\n", "suite.yaml:4: key 'defaults' stands twice"),
        ],
    )
    def test_what_is_wrong_has_its_file_and_line(self, tmp_path: Path, file: str, text: str, expected: str):
        """A person finds the place in the folder, not in the file that is made of it."""
        folder = folder_of(tmp_path, **{file: text})
        assert complaint(folder).startswith(expected)

    def test_a_folder_without_a_suite_file_is_none(self, tmp_path: Path):
        """The file says at least version and name."""
        assert complaint(tmp_path) == "suite.yaml: cannot be read: No such file or directory"

    def test_a_prompt_that_is_no_text_is_refused(self, tmp_path: Path):
        """With the byte at which it ends to be one."""
        folder = folder_of(tmp_path)
        (folder / "experiments/plain/user.md").write_bytes(b"ab\xff")
        assert complaint(folder) == "experiments/plain/user.md: not valid UTF-8 at byte 3"

    def test_contradictions_between_files_are_found(self, tmp_path: Path):
        """As in one file."""
        folder = folder_of(tmp_path, **{"experiments/two/experiment.yaml": "baseline: true\n"})
        with pytest.raises(SuiteError, match="exactly one experiment must have 'baseline: true'; found 2: plain, two"):
            loaded(folder)
