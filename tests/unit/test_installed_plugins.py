"""Plugins of other distributions: found by name, loaded late, and never able to break others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from assay.registry import OpenRegistry, Plugin, UnknownName, UnusablePlugin
from installing import install


class Options(BaseModel):
    size: int = 1


def built(options: Options) -> str:
    """What is built in."""
    return "x" * options.size


MODULE = """\
from pydantic import BaseModel
from assay.registry import Plugin

class Options(BaseModel):
    size: int = 1

def made(options):
    '''What is installed.'''
    return "y" * options.size

PLUGIN = Plugin("{name}", Options, made, kind="{kind}")
"""
REGISTRY: OpenRegistry[str] = OpenRegistry("scorer", Plugin("contains", Options, built))


class TestFinding:
    def test_an_installed_plugin_is_made_like_a_built_in_one(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        """By the name of its entry point, with its own options."""
        install(
            monkeypatch,
            tmp_path,
            "polite",
            {"politeness": "polite_a:PLUGIN"},
            {"polite_a": MODULE.format(name="politeness", kind="scorer")},
        )
        assert REGISTRY.make("politeness", {"size": 3}) == "yyy"
        assert REGISTRY.find("politeness").docs == "What is installed."
        assert REGISTRY.make("contains", {}) == "x"

    def test_only_the_plugin_that_is_asked_for_is_imported(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        """A distribution with a heavy or broken plugin costs nobody else anything."""
        modules = {
            "late_a": MODULE.format(name="late", kind="scorer"),
            "late_b": "raise RuntimeError('no licence')",
        }
        install(monkeypatch, tmp_path, "late", {"late": "late_a:PLUGIN", "later": "late_b:PLUGIN"}, modules)
        assert REGISTRY.make("contains", {}) == "x"
        assert not {"late_a", "late_b"} & set(sys.modules)
        assert REGISTRY.make("late", {}) == "y"
        assert "late_b" not in sys.modules


class TestMistakes:
    @pytest.mark.parametrize(
        ("value", "module", "problem"),
        [
            ("bad_a:PLUGIN", "raise RuntimeError('no licence')", "cannot be loaded: RuntimeError: no licence"),
            ("bad_b:PLUGIN", "import no_such_module", "cannot be loaded: ModuleNotFoundError"),
            ("bad_c:OTHER", "PLUGIN = 1", "cannot be loaded: AttributeError"),
            ("bad_d:PLUGIN", "PLUGIN = 1", "is no plugin: expected assay.registry.Plugin, found int"),
            ("bad_e:PLUGIN", MODULE.format(name="other", kind="scorer"), "holds the plugin 'other'"),
        ],
    )
    def test_a_plugin_that_cannot_be_used_names_its_distribution(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, module: str, problem: str
    ):
        """And its entry point, for whoever has to mend it."""
        install(monkeypatch, tmp_path, "bad", {"politeness": value}, {value.partition(":")[0]: module})
        with pytest.raises(UnusablePlugin) as caught:
            REGISTRY.find("politeness")
        assert str(caught.value).startswith(f"bad 1.0 (entry point politeness = {value})")
        assert problem in str(caught.value)

    def test_a_name_that_is_built_in_too_is_refused(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        """Which of the two is meant would be a guess."""
        modules = {"clash_a": MODULE.format(name="contains", kind="scorer")}
        install(monkeypatch, tmp_path, "clash", {"contains": "clash_a:PLUGIN"}, modules)
        with pytest.raises(UnusablePlugin) as caught:
            REGISTRY.find("contains")
        assert str(caught.value) == (
            "scorer 'contains' is there more than once: built in; "
            "clash 1.0 (entry point contains = clash_a:PLUGIN). Uninstall one"
        )

    def test_another_kind_may_have_the_name_of_a_built_in_one(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        """Kinds are named in different places of a suite."""
        modules = {"kind_a": MODULE.format(name="contains", kind="aggregator")}
        install(monkeypatch, tmp_path, "kinds", {"contains": "kind_a:PLUGIN"}, modules)
        assert REGISTRY.make("contains", {}) == "x"

    def test_a_plugin_of_another_kind_is_told_as_such(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        """It stands in the wrong list of the suite."""
        modules = {"kind_b": MODULE.format(name="totals", kind="aggregator")}
        install(monkeypatch, tmp_path, "others", {"totals": "kind_b:PLUGIN"}, modules)
        with pytest.raises(UnknownName, match=r"unknown scorer 'totals' \('totals' is one of kind aggregator\)"):
            REGISTRY.find("totals")

    def test_names_of_installed_plugins_are_suggested(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        """Like those that are built in."""
        modules = {"near_a": MODULE.format(name="politeness", kind="scorer")}
        install(monkeypatch, tmp_path, "near", {"politeness": "near_a:PLUGIN"}, modules)
        with pytest.raises(UnknownName, match=r"did you mean 'politeness'\?\)\. Known: contains, politeness"):
            REGISTRY.find("politness")
