"""The app, and what the local host believes of it, under the real Functions worker library (Python 3.13 only)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("azure_functions_runtime")

ROOT = Path(__file__).resolve().parents[2]
APPS = {"function_app": ROOT / "function_app", "sample_app": ROOT / "tests" / "fixtures" / "sample_app"}
# How functions end that were called in the right way, with nothing around them to work with.
OWN_FAILURES = ("own code reached", "KeyError('SAMPLE", "a secret reason", "Connect call failed ('127.0.0.1', 1)")
SCRIPT = Path(__file__).with_name("worker_library.py")


def run_in_worker(app_dir: Path) -> subprocess.CompletedProcess[str]:
    """The worker library keeps its state in its modules: one app, one process."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SAMPLE")}
    command = [sys.executable, str(SCRIPT), str(app_dir)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100, check=False)


@cache
def report_of(name: str) -> dict[str, dict[str, Any]]:
    finished = run_in_worker(APPS[name])
    assert finished.returncode == 0, finished.stderr
    report: dict[str, dict[str, Any]] = json.loads(finished.stdout.splitlines()[-1])
    return report


@pytest.mark.parametrize("name", APPS)
def test_every_function_is_indexed_and_reaches_its_own_code(name: str) -> None:
    """The worker binds every parameter, converts every input, and calls the function."""
    for function, outcome in report_of(name).items():
        is_own_failure = any(each in str(outcome["error"]) for each in OWN_FAILURES)
        assert outcome["is_success"] or is_own_failure, f"{function}: {outcome['error']}"


@pytest.mark.parametrize("name", APPS)
def test_orchestrators_answer_in_the_protocol_that_the_task_hub_reads(name: str) -> None:
    """The first episode succeeds and schedules work."""
    outcomes = [each for each in report_of(name).values() if kind_of(each) == "orchestrationTrigger"]

    assert outcomes
    for outcome in outcomes:
        state = json.loads(outcome["returned"])
        assert outcome["is_success"]
        assert (state["isDone"], len(state["actions"][0])) == (False, 1)


@pytest.mark.parametrize("name", APPS)
def test_the_local_host_reads_the_same_bindings_as_the_worker(name: str) -> None:
    """Kinds, names and settings of every trigger and binding."""
    code = (
        "import json, sys; from pathlib import Path; from assay.local.functions import load_functions\n"
        "class Same(dict):\n"
        "    def __contains__(self, key): return True\n"
        "    def __getitem__(self, key): return f'%{key}%'\n"
        "found = load_functions(Path(sys.argv[1]), Same())\n"
        "print(json.dumps({f.name: [{'type': b.kind, 'name': b.name, **b.options} for b in (f.trigger, *f.bindings)]"
        " for f in found}))"
    )
    command = [sys.executable, "-c", code, str(APPS[name])]
    read = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    indexed = {function: outcome["bindings"] for function, outcome in report_of(name).items()}
    assert {each: in_order(bindings) for each, bindings in read.items()} == {
        each: in_order(bindings) for each, bindings in indexed.items()
    }


def test_values_pass_through_the_workers_own_converters() -> None:
    """The sample's synchronous function with an output, and its HTTP echo, work as under the local host."""
    report = report_of("sample_app")

    assert report["shout"]["outputs"] == {"out": '{"RUN": "R1", "NUMBER": 1, "OF": 2}'}
    assert report["echo"]["is_success"]
    assert not report["broken"]["is_success"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def work(msg: func.QueueMessage, extra: str): ...", "extra"),
        ("def work(message: func.QueueMessage): ...", "message"),
        ("def work(msg: dict): ...", "dict"),
    ],
)
def test_an_app_that_would_not_start_in_azure_is_refused_here(tmp_path: Path, source: str, message: str) -> None:
    """A parameter without a binding, a binding without its parameter, a type that does not fit."""
    app = "import azure.functions as func\napp = func.FunctionApp()\n"
    trigger = "@app.queue_trigger(arg_name='msg', queue_name='q', connection='S')\n"
    (tmp_path / "function_app.py").write_text(app + trigger + source)

    finished = run_in_worker(tmp_path)

    assert finished.returncode != 0
    assert "load failed" in finished.stderr
    assert message in finished.stderr


def kind_of(outcome: dict[str, Any]) -> str:
    return next(str(each["type"]) for each in outcome["bindings"] if each["type"].endswith("Trigger"))


def in_order(bindings: list[dict[str, Any]]) -> list[str]:
    """Without regard to order, case of directions, and settings that are not set."""
    kept = [{key: value for key, value in each.items() if key != "direction"} for each in bindings]
    return sorted(json.dumps(each, sort_keys=True) for each in kept)
