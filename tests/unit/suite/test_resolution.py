"""Profiles and environment variables go over the file; what is deployed means the same as what was written."""

import json

import pytest

from assay.errors import SuiteError
from assay.suite.loading import load_suite, source_map, suite_digest
from assay.suite.located import read_node
from assay.suite.resolution import ResolvedSuite, WrittenSuite

SUITE = """\
version: 1
name: demo
defaults: {model: {deployment: gpt-4o, max_tokens: 90}, system: "Line one.\\nLine two."}
limits: {attempts: 4}
scorers: [{plugin: label_match, name: correct, expected: queue}]
experiments:
  - {name: plain, baseline: true, user: "{{ text }}"}
  - {name: other, user: "Which? {{ text }}", matrix: {models: [a, b]}}
profiles:
  quick:
    defaults: {model: {deployment: gpt-4o-mini}}
    limits: {budget_usd: 1}
environment:
  ASSAY_SUITE_ATTEMPTS: limits.attempts
  ASSAY_SUITE_MODEL: experiments.plain.model.deployment
  ASSAY_SUITE_COLUMN: scorers.correct.expected
"""


def resolved(text: str = SUITE, profile: str = "", **environment: str) -> ResolvedSuite:
    return WrittenSuite(read_node(text, "s.yaml"), text).resolve(profile, environment)


def complaint(text: str = SUITE, profile: str = "", **environment: str) -> str:
    with pytest.raises(SuiteError) as caught:
        resolved(text, profile, **environment)
    return str(caught.value)


class TestProfiles:
    def test_a_profile_goes_over_the_file_key_by_key(self):
        """What it does not say stays."""
        suite = resolved(profile="quick").suite
        assert (suite.baseline.model.deployment, suite.baseline.model.max_tokens) == ("gpt-4o-mini", 90)
        assert (suite.limits.attempts, suite.limits.budget_usd) == (4, 1)

    def test_without_a_profile_none_counts(self):
        """Profiles that nobody names change neither meaning nor text."""
        found = resolved()
        assert found.suite.baseline.model.deployment == "gpt-4o"
        assert found.text == SUITE

    def test_an_unknown_profile_is_told_with_the_closest(self):
        """And with the line of the profiles."""
        assert complaint(profile="qick") == (
            "s.yaml:9: there is no profile 'qick' (did you mean 'quick'?). Profiles: quick"
        )

    def test_a_mistake_in_a_profile_is_found_though_nobody_names_it(self):
        """A profile is checked whenever its suite is."""
        assert complaint(SUITE.replace("budget_usd", "budget_us")).startswith(
            "s.yaml:12: unknown key 'budget_us' (did you mean 'budget_usd'?)"
        )


class TestEnvironment:
    def test_a_variable_that_is_set_goes_over_file_and_profile(self):
        """As its text would be read in the file."""
        suite = resolved(ASSAY_SUITE_ATTEMPTS="2", ASSAY_SUITE_MODEL="x", ASSAY_SUITE_COLUMN="label").suite
        assert (suite.limits.attempts, suite.baseline.model.deployment) == (2, "x")
        assert suite.scorers[0].options["expected"] == "label"

    def test_a_file_in_storage_never_reads_the_environment(self):
        """Loading a text gives the same on every machine."""
        assert load_suite(SUITE).limits.attempts == 4

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (
                "many",
                "limits.attempts: found 'many'; expected a whole number",
            ),
            ("[1]", "expected a number, true, false or text; found '[1]'"),
        ],
    )
    def test_a_value_that_does_not_fit_names_its_variable(self, value: str, expected: str):
        """There is no line to name."""
        assert complaint(ASSAY_SUITE_ATTEMPTS=value) == f"environment variable ASSAY_SUITE_ATTEMPTS: {expected}"

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (
                ("limits.attempts", "limits.atempts"),
                "14: 'limits.atempts': unknown key 'atempts' (did you mean",
            ),
            (
                ("limits.attempts", "limts.attempts"),
                "14: 'limts.attempts': unknown key 'limts' (did you mean",
            ),
            (
                ("ASSAY_SUITE_ATTEMPTS:", "SECRET:"),
                "14: environment.SECRET.[key]: found 'SECRET'; expected a na",
            ),
        ],
    )
    def test_a_wrong_target_is_found_before_its_variable_is_set(self, change: tuple[str, str], expected: str):
        """And a suite cannot publish what any variable holds."""
        assert complaint(SUITE.replace(*change)).startswith(f"s.yaml:{expected}")

    def test_a_name_that_is_not_there_is_told_with_the_closest(self):
        """Experiments and scorers are reached by name."""
        text = SUITE.replace("experiments.plain", "experiments.plan")
        assert complaint(text, ASSAY_SUITE_MODEL="x") == (
            "s.yaml:15: environment: 'experiments.plan.model.deployment' leads to no 'plan' (did you mean 'plain'?). "
            "There are: plain, other"
        )


class TestText:
    def test_a_resolved_text_means_the_same_and_needs_nothing_else(self):
        """What storage holds is one plain suite."""
        found = resolved(profile="quick", ASSAY_SUITE_ATTEMPTS="2")
        assert suite_digest(load_suite(found.text)) == suite_digest(found.suite)
        assert found.text.startswith(
            "# Resolved by Assay, profile quick, ASSAY_SUITE_ATTEMPTS. Change the source instead.\n"
        )
        assert not any(word in found.text for word in ("matrix:", "profiles:", "environment:"))

    @pytest.mark.parametrize(
        "text", ["a\r\nb", "a\x85b", "a\u2028\nb", "a \nb", "\ta\n", "yes", "1e3", "---", "a: b # c", "'"]
    )
    def test_texts_come_back_as_they_were(self, text: str):
        """YAML takes several signs for the end of a line, and some words for something else."""
        suite = SUITE.replace('"{{ text }}"', json.dumps(text))
        assert load_suite(resolved(suite, profile="quick").text).baseline.criteria[0].user == text

    def test_prompts_of_several_lines_stay_readable(self):
        """As blocks."""
        assert "system: |-\n    Line one.\n    Line two.\n" in resolved(profile="quick").text

    def test_places_are_those_of_what_was_written(self):
        """A profile's value has the profile's line, a variable's names the variable."""
        source = resolved(profile="quick", ASSAY_SUITE_ATTEMPTS="2").source
        assert str(source.place(("limits", "budget_usd"))) == "s.yaml:12"
        assert str(source.place(("limits", "attempts"))) == "environment variable ASSAY_SUITE_ATTEMPTS"
        assert source_map(SUITE).line(("limits", "attempts")) == 4
