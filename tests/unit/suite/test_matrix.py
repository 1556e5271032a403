"""Matrices: every combination becomes an experiment with a stable name, and one of all is the baseline."""

import re

import pytest

from assay.errors import SuiteError
from assay.suite.loading import load_suite, prompt_path, source_map
from assay.suite.models import ITEM_NAME

MATRIX = """\
version: 1
name: demo
defaults: {model: {deployment: m, max_tokens: 50}, user: u}
experiments:
  - name: ask
    matrix:
      models: [gpt-4o, {name: small, deployment: gpt-4.1-mini, max_tokens: 9}]
      parameters: {temperature: [0, 0.7]}
      prompts:
        - {name: short, user: "{{ text }}?"}
        - {name: long, system: Think., user: "Why {{ text }}?"}
      baseline: {model: small, temperature: 0, prompt: short}
"""


def complaints(text: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load_suite(text, "s.yaml")
    return str(caught.value).splitlines()


def suite_of(*lines: str, defaults: str = "{model: {deployment: m}, user: u}", more: str = "") -> str:
    """A suite of these experiments; the first stands on line 5."""
    listed = "".join(f"  - {line}\n" for line in lines)
    return f"version: 1\nname: demo\ndefaults: {defaults}\nexperiments:\n{listed}{more}"


class TestExpansion:
    def test_every_combination_becomes_an_experiment_in_the_order_of_the_axes(self):
        """Models, then parameters, then prompts; the last varies first."""
        assert [one.name for one in load_suite(MATRIX).experiments] == [
            "ask-gpt-4o-t0-short",
            "ask-gpt-4o-t0-long",
            "ask-gpt-4o-t0_7-short",
            "ask-gpt-4o-t0_7-long",
            "ask-small-t0-short",
            "ask-small-t0-long",
            "ask-small-t0_7-short",
            "ask-small-t0_7-long",
        ]

    def test_an_effort_is_a_parameter_like_others_and_none_is_a_word(self):
        """It stands in names, and may choose the baseline."""
        text = MATRIX.replace("{temperature: [0, 0.7]}", "{reasoning_effort: [none, high]}")
        suite = load_suite(text.replace("temperature: 0", "reasoning_effort: none"))
        assert suite.baseline.name == "ask-small-effort-none-short"
        assert suite.experiment("ask-small-effort-high-long").model.reasoning_effort == "high"

    def test_a_combination_goes_over_its_experiment_and_the_defaults(self):
        """What no axis says comes from the experiment, then the defaults."""
        suite = load_suite(MATRIX)
        small, large = suite.experiment("ask-small-t0_7-long"), suite.experiment("ask-gpt-4o-t0-short")
        assert (small.model.deployment, small.model.max_tokens, small.model.temperature) == ("gpt-4.1-mini", 9, 0.7)
        assert (large.model.deployment, large.model.max_tokens, large.model.temperature) == ("gpt-4o", 50, 0)
        assert (small.criteria[0].system, small.criteria[0].user) == ("Think.", "Why {{ text }}?")

    def test_a_matrix_of_the_suite_expands_every_experiment_without_one_of_its_own(self):
        """An empty matrix of its own keeps an experiment as it is."""
        text = suite_of(
            "{name: a, baseline: true}",
            "{name: b}",
            "{name: c, matrix: {}}",
            more="matrix: {models: [x, y], baseline: {model: y}}\n",
        )
        suite = load_suite(text)
        assert [one.name for one in suite.experiments] == ["a-x", "a-y", "b-x", "b-y", "c"]
        assert suite.baseline.name == "a-y"

    def test_a_prompt_may_set_what_it_needs_of_the_model(self):
        """Thinking aloud needs longer answers."""
        text = suite_of("{name: a, baseline: true, matrix: {prompts: [{name: p, user: x, model: {max_tokens: 900}}]}}")
        assert load_suite(text).baseline.model.max_tokens == 900

    def test_lines_of_complaints_are_those_of_the_matrix(self):
        """The prompt of a combination is written in the matrix."""
        source = source_map(MATRIX)
        assert source.line(prompt_path(source, 1, 0, "system")) == 11
        assert source.line(prompt_path(source, 0, 0, "user")) == 10


class TestNames:
    def test_a_name_depends_on_its_own_values_only(self):
        """More values rename nothing."""
        before = {one.name for one in load_suite(MATRIX).experiments}
        after = {one.name for one in load_suite(MATRIX.replace("[0, 0.7]", "[0, 0.7, 1]")).experiments}
        assert before < after

    def test_a_name_that_is_too_long_ends_in_a_digest(self):
        """Two long names that begin alike stay apart, and are valid names."""
        models = "[the-very-long-name-of-a-deployment-1, the-very-long-name-of-a-deployment-2]"
        text = suite_of(
            "{name: a, baseline: true, user: u}", f"{{name: experiment, user: u, matrix: {{models: {models}}}}}"
        )
        one, other = (one.name for one in load_suite(text).experiments[1:])
        assert one != other
        assert len(one) == len(other) == 40
        assert one.startswith("experiment-the-very-long-name-o-")
        assert re.match(ITEM_NAME, one)

    def test_names_that_become_the_same_are_refused(self):
        """Signs that names cannot have are replaced."""
        (found,) = complaints(
            suite_of("{name: a, baseline: true, matrix: {}}", "{name: b, matrix: {models: [x.1, x_1]}}")
        )
        assert found == "s.yaml:6: experiment 'b-x_1' stands twice"


class TestBaseline:
    def test_the_chosen_combination_is_the_only_baseline(self):
        """A choice in an experiment's own matrix makes it the baseline."""
        suite = load_suite(MATRIX)
        assert [one.name for one in suite.experiments if one.baseline] == ["ask-small-t0-short"]

    def test_a_matrix_of_the_baseline_must_choose(self):
        """Which of several is meant is not guessed; the complaint shows how to say it."""
        (found,) = complaints(suite_of("{name: a, baseline: true, matrix: {models: [x, y]}}"))
        assert found == (
            "s.yaml:5: experiment 'a' is the baseline, and its matrix makes 2 experiments of it; "
            'say which of them is it, such as baseline: {model: "x"} in the matrix'
        )

    def test_a_suite_without_a_baseline_is_told_at_its_first_matrix(self):
        """Where it can be said."""
        two = "{name: a, matrix: {models: [x, y]}}\n  - {name: b, matrix: {models: [x, y]}}"
        assert complaints(suite_of(two)) == [
            's.yaml:5: no experiment is the baseline; say which one is it, such as baseline: {model: "x"} in the matrix'
        ]

    def test_a_choice_must_fit_one_combination(self):
        """A choice that leaves an axis open says which."""
        (found,) = complaints(MATRIX.replace(", prompt: short}", "}"))
        assert found == (
            "s.yaml:12: matrix.baseline fits 2 combinations (ask-small-t0-short, ask-small-t0-long); say the prompt too"
        )

    def test_a_value_that_is_not_in_the_matrix_is_refused(self):
        """With the closest one."""
        (found,) = complaints(MATRIX.replace("model: small", "model: smal"))
        assert found == (
            "s.yaml:12: matrix.baseline: the matrix has no model 'smal' (did you mean 'small'?). It has: gpt-4o, small"
        )

    def test_two_baselines_are_refused(self):
        """Also when one of them comes from a matrix."""
        (found,) = complaints(MATRIX + "  - {name: other, baseline: true}\n")
        assert found.endswith("exactly one experiment must have 'baseline: true'; found 2: ask-small-t0-short, other")


class TestRefusals:
    def test_too_many_experiments_are_refused_before_they_are_made(self):
        """A million combinations are counted, not built."""
        values = ", ".join(str(number) for number in range(1, 1001))
        text = suite_of(
            "{name: a, baseline: true, matrix: {}}",
            f"{{name: b, matrix: {{parameters: {{seed: [{values}], max_tokens: [{values}]}}}}}}",
        )
        (found,) = complaints(text)
        assert found == (
            "s.yaml:6: the suite would have 1,000,001 experiments, 1,000,000 of them (1000 x 1000) from 'b'; "
            "at most 50 are allowed. Take values away, or raise limits.experiments"
        )

    def test_experiments_that_are_written_out_are_bounded_too(self):
        """By the highest number that the limit may have: without a matrix nobody multiplies by mistake."""
        written = ["{name: a, baseline: true}", *(f"{{name: e{number}}}" for number in range(1_000))]
        assert complaints(suite_of(*written)) == [
            "s.yaml:4: the suite has 1,001 experiments; at most 1,000 are allowed"
        ]

    def test_the_limit_can_be_raised(self):
        """Up to what the suite says, and no further."""
        seeds = ", ".join(str(number) for number in range(60))
        text = suite_of(
            "{name: a, baseline: true, matrix: {}}", f"{{name: b, matrix: {{parameters: {{seed: [{seeds}]}}}}}}"
        )
        assert "at most 50" in complaints(text)[0]
        assert len(load_suite(text + "limits: {experiments: 61}\n").experiments) == 61

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (("[0, 0.7]", "[0, 0.0]"), "8: temperature '0.0' stands twice in the matrix"),
            (("small,", "gpt-4o,"), "7: model 'gpt-4o' stands twice in the matrix"),
            (("[0, 0.7]", "[0, 3]"), "8: experiments.0.matrix.parameters.temperature.1: found 3; expected "),
            (("parameters: {temperature", "parameters: {temprature"), "8: unknown key 'temprature' (did you mean 'tem"),
            (
                ("deployment: gpt-4.1-mini, max", "deployment: gpt-4.1-mini, temperature: 1, max"),
                "8: model.temperature is",
            ),
            (("models: [", "model: ["), "7: unknown key 'model' (did you mean 'models'?). Known here: models, "),
            (("      models: [gpt-4o, {", "      models: []\n#"), "7: experiments.0.matrix.models: found "),
        ],
    )
    def test_what_is_wrong_has_its_line(self, change: tuple[str, str], expected: str):
        """As everything else in a suite."""
        assert complaints(MATRIX.replace(*change))[0].startswith(f"s.yaml:{expected}")
