"""`assay plugins` and `assay new`: what they show, and that what they write works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from assay.planning.plugin_catalogue import KINDS, all_plugins
from assay.planning.preflight import aggregators_of, checked_suite, comparers_of, scorers_of
from installing import install

Running = Callable[..., tuple[int, str, str]]


def install_scaffold(monkeypatch: pytest.MonkeyPatch, folder: Path, target: Path) -> None:
    """Does with a written plugin what pip would do: its module and entry points onto the path."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    modules = {path.stem: path.read_text(encoding="utf-8") for path in folder.glob("assay_*.py")}
    install(monkeypatch, target, project["name"], project["entry-points"]["assay.plugins"], modules)


class TestList:
    def test_every_kind_is_listed_with_its_plugins(self, assay: Running):
        """What stands in a suite, and what it is for."""
        code, out, _ = assay("plugins")
        assert code == 0
        for registry in KINDS.values():
            for name in registry.names:
                assert any(line.split()[:3].count(name) for line in out.splitlines()), name

    def test_an_installed_plugin_that_is_broken_is_listed_with_its_fault(
        self, assay: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ):
        """It hides no other."""
        install(monkeypatch, tmp_path, "bad", {"worse": "worse_a:PLUGIN"}, {"worse_a": "raise RuntimeError('no')"})
        code, out, _ = assay("plugins", "--json")
        found = {one["name"]: one for one in json.loads(out)["plugins"]}
        assert code == 0
        assert (found["worse"]["usable"], found["worse"]["from"]) == (False, "bad 1.0")
        assert "RuntimeError: no" in found["worse"]["summary"]
        assert found["contains"]["usable"]


class TestShow:
    def test_a_plugin_is_shown_with_options_and_an_example(self, assay: Running):
        """From its docstring and its options model."""
        code, out, _ = assay("plugins", "show", "json_score")
        assert code == 0
        assert "json_score (scorer)\nA number from the answer, checked against its range" in out
        assert "maximum    number" in out
        assert "scorers:\n- plugin: json_score\n  name: helpfulness\n" in out

    def test_all_plugins_of_a_name_are_shown(self, assay: Running):
        """A name may be that of several kinds."""
        _, out, _ = assay("plugins", "show", "callable", "--json")
        found = json.loads(out)["plugins"]
        assert [one["kind"] for one in found] == ["scorer", "aggregator", "comparer"]
        options = {one["name"]: one for one in found[0]["options"]}
        assert (options["call"]["default"], options["kind"]["default"]) == (None, "numeric")
        assert options["kind"]["type"] == "binary | numeric"

    def test_a_name_that_is_not_there_is_told_with_the_closest(self, assay: Running):
        """Exit code 2: the input is wrong."""
        code, _, err = assay("plugins", "show", "contain")
        assert code == 2
        assert "there is no plugin 'contain' (did you mean 'contains'?)" in err

    @pytest.mark.parametrize("plugin", [one for one in all_plugins() if one.plugin], ids=lambda one: one.name)
    def test_every_plugin_says_what_it_is_and_every_option_what_it_does(self, plugin: Any):
        """Nobody has to read the code; and examples can be copied."""
        assert plugin.line.endswith(".")
        assert [option.name for option in plugin.options if not option.description and plugin.kind in OURS] == []
        (example,) = yaml.safe_load(plugin.example)[plugin.key]
        assert example.pop("plugin") == plugin.name
        if plugin.kind in OURS and plugin.name != "callable":
            plugin.plugin.make(plugin.plugin.options.model_validate(example))


OURS = ("scorer", "aggregator", "comparer")


class TestNew:
    def test_what_is_written_runs_its_test_is_listed_and_used_by_a_suite(
        self, assay: Running, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ):
        """For each kind: a package that works as it is."""
        names = {"scorer": "thankful", "aggregator": "seen_scores", "comparer": "gains"}
        for kind, name in names.items():
            code, out, _ = assay("new", kind, name, "--folder", str(tmp_path / "new"))
            assert (code, f"Made {tmp_path / 'new' / name}" in out) == (0, True)
            install_scaffold(monkeypatch, tmp_path / "new" / name, tmp_path / "installed")
        path = os.pathsep.join(str(tmp_path / "new" / name) for name in names.values())
        command = (
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            tmp_path,
            tmp_path / "new",
        )
        environment = {**os.environ, "PYTHONPATH": path}
        tests = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (tests.returncode, "4 passed" in tests.stdout) == (0, True), tests.stdout + tests.stderr
        _, out, _ = assay("plugins", "--json")
        listed = {one["name"]: one for one in json.loads(out)["plugins"]}
        assert {listed[name]["kind"] for name in names.values()} == set(names)
        assert listed["seen_scores"]["from"] == "assay-seen-scores 1.0"
        suite = checked_suite(SUITE)
        made = (*scorers_of(suite), *aggregators_of(suite), *comparers_of(suite))
        assert [one.name for one in made] == ["thankful", "seen_scores", "gains"]

    def test_nothing_is_written_over(self, assay: Running, tmp_path: Path):
        """What somebody has changed stays."""
        assert assay("new", "scorer", "mine", "--folder", str(tmp_path))[0] == 0
        (tmp_path / "mine" / "assay_mine.py").write_text("changed", encoding="utf-8")
        code, _, err = assay("new", "scorer", "mine", "--folder", str(tmp_path))
        assert (code, "is there already; nothing was written" in err) == (2, True)
        assert (tmp_path / "mine" / "assay_mine.py").read_text(encoding="utf-8") == "changed"

    @pytest.mark.parametrize(
        ("name", "problem"),
        [
            ("../mine", "expected 2 to 40 small letters"),
            ("Mine", "expected 2 to 40 small letters"),
            ("contains", "scorer 'contains' is built in; give yours another name"),
        ],
    )
    def test_a_name_that_could_not_be_used_is_refused(self, assay: Running, tmp_path: Path, name: str, problem: str):
        """Before anything is written."""
        code, _, err = assay("new", "scorer", name, "--folder", str(tmp_path / "new"))
        assert (code, problem in err) == (2, True)
        assert not (tmp_path / "new").exists()

    def test_the_files_are_told_as_json(self, assay: Running, tmp_path: Path):
        """For scripts."""
        _, out, _ = assay("new", "comparer", "gains", "--folder", str(tmp_path), "--json")
        names = {Path(one).name for one in json.loads(out)["files"]}
        assert names == {"pyproject.toml", "README.md", "assay_gains.py", "test_gains.py"}
        assert all(Path(one).is_file() for one in json.loads(out)["files"])


SUITE = """\
version: 1
name: demo
defaults: {model: {deployment: m}, user: "{{ text }}"}
experiments: [{name: plain, baseline: true}]
scorers: [{plugin: thankful, words: [cheers]}]
aggregators: [{plugin: seen_scores, score: thankful}]
comparers: [{plugin: gains, score: thankful}]
"""
