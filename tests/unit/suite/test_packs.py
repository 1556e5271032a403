"""Packs: bundles of prompts, plugins and limits that stand under what the suite says."""

import pytest

from assay.errors import SuiteError
from assay.planning.preflight import checked_suite
from assay.suite.loading import load_suite, prompt_path, source_map

SUITE = """\
version: 1
name: demo
packs:
  triage:
    model: {temperature: 0, max_tokens: 60}
    system: From the pack.
    criteria: [{name: queue, user: "Queue of {{ text }}?"}]
    scorers: [{plugin: label_match, name: correct, expected: queue}]
    middleware: [{plugin: audit}]
    limits: {attempts: 3, rows_per_message: 1}
defaults: {model: {deployment: m, max_tokens: 90}, pack: triage}
limits: {attempts: 4}
experiments:
  - {name: plain, baseline: true}
  - {name: own, system: Mine., model: {temperature: 1}}
"""


def complaints(text: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load_suite(text, "s.yaml")
    return str(caught.value).splitlines()


class TestMeaning:
    def test_a_pack_stands_under_the_defaults_and_these_under_the_experiment(self):
        """pack < defaults < experiment, key by key."""
        suite = load_suite(SUITE)
        plain, own = suite.experiments
        assert (plain.model.temperature, plain.model.max_tokens) == (0, 90)
        assert (own.model.temperature, own.model.max_tokens) == (1, 90)
        assert (plain.criteria[0].name, plain.criteria[0].system) == ("queue", "From the pack.")
        assert (own.criteria[0].system, own.criteria[0].user) == ("Mine.", "Queue of {{ text }}?")

    def test_plugins_and_limits_of_a_pack_become_the_suites(self):
        """What the suite says itself stays."""
        suite = load_suite(SUITE)
        assert [one.options["name"] for one in suite.scorers] == ["correct"]
        assert [one.plugin for one in suite.middleware] == ["audit"]
        assert (suite.limits.attempts, suite.limits.rows_per_message) == (4, 1)

    def test_a_scorer_of_the_suite_replaces_that_of_the_pack(self):
        """By the name of the score; the suite's own come first."""
        own = (
            "scorers: [{plugin: json_score, name: r, path: s}, {plugin: label_match, name: correct, expected: other}]\n"
        )
        suite = load_suite(SUITE + own)
        assert [(one.options["name"], one.options.get("expected")) for one in suite.scorers] == [
            ("r", None),
            ("correct", "other"),
        ]

    def test_a_pack_that_nobody_names_changes_nothing(self):
        """Packs may lie ready."""
        text = SUITE.replace(", pack: triage", ", user: u")
        assert load_suite(text).scorers == ()

    def test_an_experiment_may_name_another_pack(self):
        """Instead of the one of the defaults, not on top of it."""
        text = SUITE.replace("{name: own,", "{name: own, pack: other,").replace(
            "packs:\n", 'packs:\n  other: {user: "Hm?"}\n'
        )
        own = load_suite(text).experiment("own")
        assert [(one.name, one.user) for one in own.criteria] == [("answer", "Hm?")]

    def test_a_matrix_may_compare_packs(self):
        """A prompt of a matrix may be a pack."""
        text = SUITE.replace("packs:\n", 'packs:\n  other: {user: "Hm?"}\n') + (
            "  - {name: both, matrix: {prompts: [{name: a, pack: triage}, {name: b, pack: other}]}}\n"
        )
        suite = load_suite(text)
        assert suite.experiment("both-a").criteria[0].name == "queue"
        assert suite.experiment("both-b").criteria[0].user == "Hm?"

    def test_prompts_that_criteria_hide_are_no_mistake_of_the_pack(self):
        """The experiment's criteria have their own; the pack's prompt stays below them unused."""
        text = SUITE + "  - {name: third, criteria: [{name: queue, system: s, user: u}]}\n"
        assert load_suite(text).experiment("third").criteria[0].system == "s"


class TestComplaints:
    def test_an_unknown_pack_is_told_with_the_closest(self):
        """And with its line."""
        (found,) = complaints(SUITE.replace("pack: triage", "pack: triag"))
        assert found == "s.yaml:11: unknown pack 'triag' (did you mean 'triage'?). Packs: triage"

    def test_an_unknown_key_in_a_pack_is_told_with_the_known_ones(self):
        """As everywhere."""
        (found,) = complaints(SUITE.replace("    system: From", "    sistem: From"))
        assert found.startswith("s.yaml:6: unknown key 'sistem' (did you mean 'system'?). Known here: model, system, ")

    def test_packs_that_contradict_each_other_are_refused(self):
        """Which of two limits counts is for the suite to say."""
        text = SUITE.replace("packs:\n", "packs:\n  other: {user: u, limits: {attempts: 9, rows_per_message: 2}}\n")
        (found,) = complaints(text + "  - {name: third, pack: other}\n")
        assert found == (
            "s.yaml:4: packs 'triage' and 'other' have different limits 'rows_per_message'; "
            "say it in the suite's limits"
        )

    def test_lines_are_those_of_the_pack(self):
        """A prompt and a scorer of a pack are complained of where they stand."""
        source = source_map(SUITE)
        assert source.line(prompt_path(source, 0, 0, "user")) == 7
        with pytest.raises(SuiteError, match=r"s\.yaml:8: unknown scorer 'label_mach'"):
            checked_suite(SUITE.replace("label_match", "label_mach"), "s.yaml")
