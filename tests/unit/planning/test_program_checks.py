"""Programs before a run: what can be found wrong with a reference is found, and said with its place."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_run_estimate import PRICES, ROWS

from assay.errors import SuiteError, UserError
from assay.planning import programs
from assay.planning.estimate import estimate_run
from assay.planning.plan import build_plan
from assay.planning.preflight import checked_suite
from assay.planning.programs import BadProgram, check_programs, load_program, open_code
from assay.sources.tabular import open_source
from assay.suite.loading import load_suite, source_map

SUITE = """\
version: 1
name: demo
defaults:
  model: {deployment: tiny, max_tokens: 10}
experiments:
  - {name: plain, baseline: true, user: "{{ text }}"}
  - name: agent
    program: PROGRAM
"""

CODE = """\
import asyncio

def answer(row, model): return "x"
async def awaited(row, model, more=1): return "x"
def too_few(row): return "x"
def too_many(row, model, more): return "x"
def yields(row, model): yield "x"
number = 3

class Agent:
    def __call__(self, row, model): return "x"

class AwaitedAgent:
    async def __call__(self, row, model): return "x"

agent, awaited_agent = Agent(), AwaitedAgent()

class inner:
    answer = staticmethod(answer)
"""

Writing = Callable[..., str]


@pytest.fixture(name="module")
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Writing:
    """Writes a module that programs can be imported from while the test runs; gives its name."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(code: str = CODE) -> str:
        name = f"programs_of_{abs(hash(request.node.nodeid))}"
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        return name

    return write


@pytest.mark.parametrize(
    ("name", "is_async"),
    [("answer", False), ("awaited", True), ("agent", False), ("awaited_agent", True), ("inner.answer", False)],
)
def test_functions_and_objects_that_can_be_called_are_programs(module: Writing, name: str, is_async: bool) -> None:
    """Plain or to be awaited, at the top of the module or within a class."""
    found = load_program(f"{module()}:{name}")
    assert found.is_async is is_async


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("answr", "has no 'answr' (did you mean 'answer'?). The module is "),
        ("too_few", "takes (row); expected a function of two parameters, the row and the model"),
        ("too_many", "takes (row, model, more); expected a function of two parameters"),
        ("yields", "yields; expected"),
        ("number", "is of type int; expected a function"),
        ("Agent", "is a class; expected"),
    ],
)
def test_what_cannot_be_a_program_is_said(module: Writing, name: str, said: str) -> None:
    """Before the first row."""
    with pytest.raises(BadProgram) as refused:
        load_program(f"{module()}:{name}")
    assert said in str(refused.value)


def test_a_module_that_is_not_there_is_told_from_one_that_fails(module: Writing) -> None:
    """The first has to be brought along, the second to be mended."""
    with pytest.raises(BadProgram, match=r"there is no module 'no_such'\. Install it beside Assay, or name the folder"):
        load_program("no_such.module:answer")
    with pytest.raises(BadProgram, match=r"cannot import \w+: ModuleNotFoundError: No module named 'absent'"):
        load_program(f"{module('import absent')}:answer")


def test_a_broken_module_says_what_is_wrong_with_it(module: Writing) -> None:
    """With the error of Python."""
    with pytest.raises(BadProgram, match=r"cannot import .*: SyntaxError: .*"):
        load_program(f"{module('def answer(row, model) return')}:answer")


def test_a_bad_reference_is_a_complaint_with_file_and_line(module: Writing) -> None:
    """Of what it should look like, and of what it names."""
    with pytest.raises(SuiteError, match=r"suite\.yaml:8: .*expected a module and what it holds, such as my_package"):
        load_suite(SUITE.replace("PROGRAM", "answer"))
    text = SUITE.replace("PROGRAM", f"{module()}:too_few")
    with pytest.raises(SuiteError, match=r"^suite\.yaml:8: experiment 'agent': program '.*:too_few' takes \(row\)"):
        check_programs(load_suite(text), source_map(text))


@pytest.mark.parametrize("key", ["user: Hello", "system: Hello", "criteria: [{name: a, user: Hello}]", "schema: [a]"])
def test_a_program_and_prompts_contradict_each_other(key: str) -> None:
    """One of them would silently not count."""
    with pytest.raises(SuiteError, match=rf"suite\.yaml:9: experiment 'agent' has a program.* take '{key[:4]}"):
        load_suite(SUITE.replace("PROGRAM", f"a:b\n    {key}"))


def test_prompts_of_the_defaults_are_for_the_others() -> None:
    """A baseline of prompts may have them in common with nobody."""
    of = load_suite(SUITE.replace("PROGRAM", "a:b").replace("max_tokens: 10}", "max_tokens: 10}\n  user: Hello"))
    agent = of.experiment("agent")
    assert (agent.program, agent.criteria, agent.criterion_names) == ("a:b", (), ("answer",))
    assert (agent.model.deployment, agent.model.max_tokens) == ("tiny", 10)


def test_a_pack_gives_a_program_its_model_and_no_prompts() -> None:
    """As far as defaults name it."""
    text = SUITE.replace("defaults:", "packs:\n  p: {user: Hello, model: {seed: 3}}\ndefaults:\n  pack: p")
    agent = load_suite(text.replace("PROGRAM", "a:b")).experiment("agent")
    assert (agent.criteria, agent.model.seed) == ((), 3)


def test_a_matrix_runs_the_same_program_over_several_models() -> None:
    """Each is an experiment of its own."""
    of = load_suite(SUITE.replace("PROGRAM", "a:b\n    matrix: {models: [tiny, tiny-pro]}"))
    agents = [(one.name, one.program, one.model.deployment) for one in of.experiments if one.program]
    assert agents == [("agent-tiny", "a:b", "tiny"), ("agent-tiny-pro", "a:b", "tiny-pro")]


def test_an_estimate_says_that_a_program_is_a_guess(tmp_path: Path) -> None:
    """One call a row, with the row as prompt."""
    text = SUITE.replace("PROGRAM", "a:b")
    made = checked_suite(text)
    (tmp_path / "data.csv").write_text(ROWS, encoding="utf-8")
    source = open_source(tmp_path / "data.csv", "data.csv", "id")
    estimate = estimate_run(made, build_plan("estimate", made, text, source, "data.csv", tmp_path), "data.csv", PRICES)
    agent = estimate.experiments[1]
    assert (estimate.programs, agent.program, agent.requests) == (("agent",), "a:b", 2)
    assert agent.prompt_tokens > estimate.experiments[0].prompt_tokens


@pytest.fixture(name="own_path")
def _own_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(programs, "_opened", {})


def folder_with(place: Path, name: str, **files: str) -> Path:
    (place / name).mkdir()
    for file, text in files.items():
        (place / name / f"{file}.py").write_text(text, encoding="utf-8")
    return place / name


def test_code_folders_come_after_everything_that_is_installed(tmp_path: Path, own_path: None) -> None:
    """So that no suite's file replaces a part of Assay; a second call does nothing."""
    folder = folder_with(tmp_path, "one", a="")
    open_code([folder])
    open_code([folder])
    assert sys.path.count(str(folder.resolve())) == 1
    assert sys.path[-1] == str(folder.resolve())


def test_two_code_folders_must_not_have_a_module_of_the_same_name(tmp_path: Path, own_path: None) -> None:
    """The first would be taken for both."""
    open_code([folder_with(tmp_path, "one", program="")])
    with pytest.raises(UserError, match=r"one and .*two both have a module 'program'; rename one of them"):
        open_code([folder_with(tmp_path, "two", program="")])


def test_a_code_folder_has_to_be_there(tmp_path: Path, own_path: None) -> None:
    """A slip in the variable would show as a module that is missing."""
    with pytest.raises(UserError, match=r"ASSAY_CODE names '.*gone', which is no folder"):
        open_code([tmp_path / "gone"])
