"""Preflight: what is wrong with a suite is told before a model is asked."""

import pytest

from assay.errors import SuiteError
from assay.planning.preflight import check_columns, checked_suite, columns_used, primary_score, scorers_of
from assay.scoring.rows import SCORERS

SUITE = """\
version: 1
name: demo
dataset:
  columns: [subject, body]
defaults:
  model: {deployment: m}
  system: You sort {{ kind }}.
  criteria:
    - name: queue
experiments:
  - name: plain
    baseline: true
    user: "{{ subject }}"
  - name: long
    user: "{{ subject }} {{ body }} {{ note|default('-') }}"
scorers:
  - plugin: label_match
    name: correct
    path: queue
    criterion: queue
    expected: label
comparison:
  primary: correct
"""


def complaints(text: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        checked_suite(text, "demo/suite.yaml")
    return str(caught.value).splitlines()


class TestColumns:
    def test_columns_come_from_the_dataset_section_the_prompts_and_the_scorers(self):
        """Each must be in every row; what has a default need not."""
        assert columns_used(checked_suite(SUITE)) == {"subject", "body", "kind", "label"}

    def test_a_dataset_with_all_columns_is_accepted(self):
        """More columns than the suite uses do no harm."""
        check_columns(checked_suite(SUITE), SUITE, ("subject", "body", "kind", "label", "more"), "a.csv")

    def test_every_use_of_a_missing_column_is_told_with_its_line(self):
        """By line, with the closest name, and at the end what the dataset has."""
        with pytest.raises(SuiteError) as caught:
            check_columns(checked_suite(SUITE), SUITE, ("subjects", "body", "kind"), "a.csv", "demo/suite.yaml")
        assert str(caught.value).splitlines() == [
            "demo/suite.yaml:4: dataset.columns uses column 'subject' (did you mean 'subjects'?), "
            "which a.csv does not have.",
            "demo/suite.yaml:13: experiment 'plain': line 1 of the prompt uses column 'subject' "
            "(did you mean 'subjects'?), which a.csv does not have.",
            "demo/suite.yaml:15: experiment 'long': line 1 of the prompt uses column 'subject' "
            "(did you mean 'subjects'?), which a.csv does not have.",
            "demo/suite.yaml:21: scorer 'label_match' uses column 'label', which a.csv does not have.",
            "a.csv has: subjects, body, kind",
        ]

    def test_a_prompt_that_several_criteria_inherit_is_told_once(self):
        """One fault, one line."""
        text = SUITE.replace("    - name: queue\n", "    - name: queue\n    - name: mood\n")
        with pytest.raises(SuiteError) as caught:
            check_columns(checked_suite(text), text, ("subject", "body", "label"), "a.csv")
        assert str(caught.value).splitlines() == [
            "suite.yaml:7: experiment 'plain': line 1 of the prompt uses column 'kind', which a.csv does not have.",
            "suite.yaml:7: experiment 'long': line 1 of the prompt uses column 'kind', which a.csv does not have.",
            "a.csv has: subject, body, label",
        ]


class TestPrompts:
    def test_a_prompt_error_names_the_line_in_the_suite_and_in_the_prompt(self):
        """The prompt may be many lines long."""
        text = SUITE.replace('user: "{{ subject }}"', "user: |\n      Hello\n      {{ subject")
        assert complaints(text) == [
            "demo/suite.yaml:13: experiment 'plain': line 2 of the prompt: template syntax: "
            "unexpected end of template, expected 'end of print statement'."
        ]

    def test_other_files_cannot_be_included(self):
        """A prompt has no folder to take them from."""
        text = SUITE.replace('"{{ subject }}"', "\"{% include 'rules.md' %}\"")
        assert complaints(text) == [
            "demo/suite.yaml:13: experiment 'plain': line 1 of the prompt: "
            "the suite has no template 'rules.md'. It has no 'templates'"
        ]


class TestScorers:
    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            (
                ("plugin: label_match", "plugin: label_mach"),
                f"17: unknown scorer 'label_mach' (did you mean 'label_match'?). Known: {', '.join(SCORERS.names)}",
            ),
            (
                ("path: queue", "pth: queue"),
                "19: scorer 'label_match': unknown option 'pth' (did you mean 'path'?). "
                "Known: name, criterion, path, expected, ignore_case",
            ),
            (("    expected: label\n", ""), "17: scorer 'label_match': option 'expected' is missing"),
            (
                ("path: queue", 'path: ""'),
                "19: scorer 'label_match': option 'path': found nothing; expected some text",
            ),
            (
                ("criterion: queue", "criterion: quene"),
                "20: experiment 'plain' has no criterion 'quene' (did you mean 'queue'?). It has: queue",
            ),
            (
                ("primary: correct", "primary: corect"),
                "23: no scorer gives 'corect' (did you mean 'correct'?). Scores: correct",
            ),
            (
                ("    name: correct\n", "    name: 5\n"),
                "18: scorer 'label_match': option 'name': found 5; expected text; "
                "put it in quotes if YAML takes it for something else",
            ),
        ],
    )
    def test_a_mistake_in_a_scorer_is_told_with_its_line(self, change: tuple[str, str], expected: str):
        """Options are checked by the plugin's own model."""
        assert f"demo/suite.yaml:{expected}" in complaints(SUITE.replace(*change))

    def test_bounds_in_the_wrong_order_are_told(self):
        """A scorer that no answer can satisfy is a mistake."""
        text = SUITE.replace("comparison:", "  - {plugin: json_score, minimum: 5, maximum: 5}\ncomparison:")
        assert complaints(text) == ["demo/suite.yaml:22: scorer 'json_score': minimum 5.0 is not below maximum 5.0"]

    @pytest.mark.parametrize("bound", [".nan", ".inf"])
    def test_bounds_are_finite(self, bound: str):
        """Nothing is within a range that ends at no number."""
        text = SUITE.replace("comparison:", f"  - {{plugin: json_score, maximum: {bound}}}\ncomparison:")
        assert complaints(text) == [
            f"demo/suite.yaml:22: scorer 'json_score': option 'maximum': found {bound[1:]}; expected a finite number"
        ]

    def test_two_scores_of_one_name_are_refused(self):
        """Scores are kept by name."""
        text = SUITE.replace("comparison:", "  - {plugin: json_score, name: correct}\ncomparison:")
        assert complaints(text) == ["demo/suite.yaml:22: score 'correct' stands twice; give one of them another 'name'"]

    def test_a_primary_score_without_scorers_is_told(self):
        """There is no closest name then."""
        text = SUITE[: SUITE.index("scorers:")] + "comparison: {primary: correct}\n"
        assert complaints(text) == [
            "demo/suite.yaml:16: no scorer gives 'correct'. Scores: none, because the suite has no scorers"
        ]

    def test_complaints_of_all_kinds_come_by_line(self):
        """Prompts and scorers are checked in one go."""
        text = SUITE.replace("{{ kind }}", "{{ kind|uper }}").replace("path: queue", "pth: queue")
        text = text.replace("primary: correct", "primary: other")
        assert [one.split(": ")[0] for one in complaints(text)] == [
            "demo/suite.yaml:7",
            "demo/suite.yaml:7",
            "demo/suite.yaml:19",
            "demo/suite.yaml:23",
        ]

    def test_scorers_are_made_in_the_order_of_the_suite(self):
        """The first decides unless the suite says otherwise."""
        text = SUITE.replace("comparison:\n  primary: correct\n", "  - {plugin: json_score}\n")
        suite = checked_suite(text)
        assert [(one.name, one.kind) for one in scorers_of(suite)] == [("correct", "binary"), ("json_score", "numeric")]
        assert primary_score(suite) == "correct"
        assert primary_score(checked_suite(text + "comparison: {primary: json_score}\n")) == "json_score"

    def test_a_suite_without_scorers_has_no_primary_score(self):
        """It only collects answers."""
        assert primary_score(checked_suite(SUITE[: SUITE.index("scorers:")])) is None


class TestMiddleware:
    def test_an_unknown_name_is_told_with_its_line_the_closest_and_all_names(self):
        """A guard that is misspelt must not be left out silently."""
        text = SUITE + "middleware:\n  - {plugin: audit}\n  - {plugin: promt_shield}\n"
        assert complaints(text) == [
            "demo/suite.yaml:26: unknown middleware 'promt_shield' (did you mean 'prompt_shield'?). "
            "Known: redaction, audit, prompt_shield, images, cache, answer_schemas, answer_limits"
        ]

    def test_the_same_plugin_twice_is_an_error(self):
        """Two sets of options for one link would be a guess."""
        text = SUITE + "middleware:\n  - {plugin: audit}\n  - {plugin: audit, content: redacted}\n"
        (found,) = complaints(text)
        assert found.startswith("demo/suite.yaml:26: middleware 'audit' stands twice")

    @pytest.mark.parametrize(
        ("entry", "problem"),
        [
            ("{plugin: audit, contents: redacted}", "unknown option 'contents' (did you mean 'content'?)"),
            ("{plugin: audit, content: plain}", "option 'content': found 'plain'; expected 'none' or 'redacted'"),
            ("{plugin: answer_limits, most: 3}", "unknown option 'most'. Known: none"),
            ("{plugin: prompt_shield, patterns: ['(']}", "is not a regular expression"),
            ("{plugin: prompt_shield, patterns: ['(a+)+b']}", "may take for ever"),
        ],
    )
    def test_wrong_options_are_told_with_their_line(self, entry: str, problem: str):
        """As scorers' are."""
        (found,) = complaints(SUITE + f"middleware:\n  - {entry}\n")
        assert found.startswith("demo/suite.yaml:25: middleware '")
        assert problem in found

    def test_links_may_stand_in_any_order(self):
        """Their order is not the suite's to say."""
        checked_suite(SUITE + "middleware:\n  - {plugin: cache}\n  - {plugin: redaction}\n  - {plugin: audit}\n")


class TestTemplatesAndSchemas:
    TEMPLATES = SUITE + "templates:\n  base: |\n    Sort {{ kind }}.\n    {% block more %}{% endblock %}\n"

    def test_a_fault_in_a_template_is_told_at_the_template(self):
        """Once, however many prompts use it."""
        text = self.TEMPLATES.replace("{% block more %}{% endblock %}", "{{ x|uper }}")
        (line,) = complaints(text)
        assert line.startswith("demo/suite.yaml:25: line 2 of template 'base': there is no filter 'uper'")

    def test_columns_of_templates_are_needed(self):
        """A prompt that includes them could not be rendered without."""
        text = self.TEMPLATES.replace("You sort {{ kind }}.", "\"{% include 'base' %}\"")
        assert columns_used(checked_suite(text)) == {"subject", "body", "kind", "label"}

    def test_a_missing_column_is_told_with_the_line_of_the_prompt_or_template_that_uses_it(self):
        """A prompt may be long, and the column may be used in what it includes."""
        text = self.TEMPLATES.replace("You sort {{ kind }}.", "\"{% include 'base' %}\"")
        text = text.replace('user: "{{ subject }}"', 'user: "First.\\nThen {{ subject }}."')
        with pytest.raises(SuiteError) as caught:
            check_columns(checked_suite(text), text, ("body", "label"), "a.csv")
        told = str(caught.value)
        assert "experiment 'plain': line 2 of the prompt uses column 'subject'" in told
        assert "of template 'base' uses column 'kind'" in told

    def test_the_column_of_a_history_is_needed(self):
        """Told with the line that names it."""
        text = SUITE.replace("    - name: queue\n", "    - name: queue\n      history: chat\n")
        assert "chat" in columns_used(checked_suite(text))
        with pytest.raises(SuiteError) as caught:
            check_columns(checked_suite(text), text, ("subject", "body", "kind", "label"), "a.csv")
        assert str(caught.value).splitlines()[0] == (
            "suite.yaml:10: experiment 'plain' uses column 'chat', which a.csv does not have."
        )

    def test_a_fault_in_an_example_is_told_at_its_line(self):
        """Examples are templates too."""
        text = SUITE.replace(
            "    - name: queue\n",
            '    - name: queue\n      examples:\n        - user: a\n          assistant: "{{ b|uper }}"\n',
        )
        assert complaints(text)[0].startswith("demo/suite.yaml:12: experiment 'plain': line 1 of the prompt: there is")

    @pytest.mark.parametrize(
        ("schema", "problem"),
        [
            ("{type: array}", "the answer must be an object: give the schema 'type: object' and 'properties'"),
            (
                "{type: object, properties: {a: {type: text}}, required: [a], additionalProperties: false}",
                "at properties.a.type: 'text' is not valid under any of the given schemas",
            ),
            (
                "{type: object, properties: {a: {type: string, pattern: '(a+)+'}}, required: [a], "
                "additionalProperties: false}",
                "the pattern '(a+)+' repeats a group that itself repeats or has alternatives; it may take for ever",
            ),
        ],
    )
    def test_a_schema_that_cannot_be_asked_for_is_told_at_its_line(self, schema: str, problem: str):
        """The service would refuse every single question."""
        text = SUITE.replace("    - name: queue\n", f"    - name: queue\n      schema: {schema}\n")
        assert complaints(text)[0] == (
            f"demo/suite.yaml:10: experiment 'plain', schema of criterion 'queue': {problem}"
        )
