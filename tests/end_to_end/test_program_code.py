"""A suite with a program, over the whole local stack: its code comes along, and its dataset is refused without it."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest

from assay.local.stack import project_root

from .small_suite import SUITE, rows, write_suite
from .test_commands import ASSAY

pytestmark = pytest.mark.timeout(240)

CODE = """\
def answer(row, model):
    colour = model.ask([{"role": "user", "content": f"Item {row['id']}: which colour? In JSON."}])
    return {"colour": model.ask(f"Say it again: {colour}", json=False), "twice": True}
"""


@pytest.mark.slow
def test_a_demo_brings_the_code_of_its_suite_along(tmp_path: Path) -> None:
    """Host and workers import the program from the suite's folder; each of its calls is a request like any other."""
    folder = write_suite(tmp_path / "colours", SUITE + "\n")
    suite = (folder / "suite.yaml").read_text(encoding="utf-8")
    variant = '  - {name: agent, program: "colour_program:answer"}\n'
    (folder / "suite.yaml").write_text(suite.replace("experiments:\n", f"experiments:\n{variant}"), encoding="utf-8")
    (folder / "colour_program.py").write_text(CODE, encoding="utf-8")
    (folder / "items.csv").write_text(rows(6), encoding="utf-8")
    home = tmp_path / "home"

    command = [ASSAY, "demo", "--home", str(home), "--suite", str(folder), "--workers", "1", "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=project_root())

    assert ended.returncode == 0, ended.stderr
    bundle = Path(json.loads(ended.stdout)["bundle"])
    with (bundle / "results.csv").open(encoding="utf-8", newline="") as file:
        answers = [line for line in csv.DictReader(file) if line["experiment"] == "agent"]
    assert [one["status"] for one in answers] == ["succeeded"] * 6
    assert all(json.loads(one["answer.answer"])["twice"] for one in answers)
