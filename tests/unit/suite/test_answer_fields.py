"""The key `schema`: a list of fields becomes a JSON Schema, and one that cannot is refused."""

from __future__ import annotations

from typing import Any

import pytest

from assay.errors import SuiteError
from assay.suite.loading import load_suite
from assay.suite.models import Criterion

SUITE = """\
version: 1
name: demo
defaults:
  model: {deployment: m}
experiments:
  - name: plain
    baseline: true
    user: Hello?
"""


def schema(written: Any) -> dict[str, Any]:
    made = Criterion.model_validate({"name": "a", "user": "Hello?", "schema": written}).answer_schema
    assert made is not None
    return made


def refusal(written: str) -> str:
    with pytest.raises(SuiteError) as caught:
        load_suite(SUITE + written)
    return str(caught.value)


def test_a_json_schema_is_kept_as_it_is() -> None:
    """Preflight judges it."""
    assert schema({"type": "object", "properties": {}}) == {"type": "object", "properties": {}}


def test_fields_become_a_strict_object_in_their_order() -> None:
    """Order matters: models answer in it, and a reason before a label changes the label."""
    made = schema(["why", {"name": "label", "values": ["a", "b"], "description": "The queue"}])
    assert made == {
        "type": "object",
        "properties": {
            "why": {"type": "string"},
            "label": {"type": "string", "enum": ["a", "b"], "description": "The queue"},
        },
        "required": ["why", "label"],
        "additionalProperties": False,
    }
    assert list(made["properties"]) == ["why", "label"]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({"type": "integer", "minimum": 0, "maximum": 10}, {"type": "integer", "minimum": 0.0, "maximum": 10.0}),
        ({"type": "boolean"}, {"type": "boolean"}),
        ({"many": True}, {"type": "array", "items": {"type": "string"}}),
        ({"optional": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        ({"type": "number", "values": [1, 2.5]}, {"type": "number", "enum": [1, 2.5]}),
    ],
)
def test_a_field_says_what_its_value_is(field: dict[str, Any], expected: dict[str, Any]) -> None:
    """What people say in one line of YAML."""
    assert schema([{"name": "x", **field}])["properties"] == {"x": expected}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("[]", "expected at least one field"),
        ("[a, a]", "field 'a' stands twice"),
        ("[{name: a, valuess: [x]}]", "field 1: valuess: unknown key; known here: name, type"),
        ("[a, {name: b, type: texts}]", "field 2: type: expected 'text', 'integer', 'number' or 'boolean'"),
        ("[a b]", "field 1: 'a b' is no field's name; expected up to 64 letters"),
        ("[{name: a, minimum: 3}]", "only numbers have a minimum or a maximum"),
        ("[{name: a, type: integer, values: [x]}]", "'x' of 'values' of 'a' is not of the type 'integer'"),
        ("[{name: a, values: [yes]}]", "True of 'values' of 'a' is not of the type 'text'"),
        ("{enum: [2026-01-01]}", "a JSON Schema holds only what JSON can"),
        ("7", "expected a mapping of keys to values"),
    ],
)
def test_what_makes_no_schema_is_refused_with_its_line(fields: str, problem: str) -> None:
    """In the words of the suite, not of JSON Schema."""
    found = refusal(f"    schema: {fields}\n")
    assert found.startswith("suite.yaml:9: experiments.0.schema: ")
    assert problem in found


def test_criteria_take_schema_examples_and_history_from_above() -> None:
    """From the experiment, or else the defaults; their own goes first."""
    text = SUITE.replace("  model: {deployment: m}", "  model: {deployment: m}\n  schema: [a]\n  history: chat")
    text += (
        "    examples: [{user: u, assistant: a}]\n"
        "    criteria:\n      - {name: one}\n      - {name: two, schema: [b], examples: [], history: other}\n"
    )
    one, two = load_suite(text).experiments[0].criteria
    assert (list((one.answer_schema or {})["properties"]), one.history, len(one.examples)) == (["a"], "chat", 1)
    assert (list((two.answer_schema or {})["properties"]), two.history, len(two.examples)) == (["b"], "other", 0)


def test_a_schema_that_every_criterion_hides_is_refused() -> None:
    """It would silently not be asked for."""
    found = refusal("    schema: [a]\n    criteria:\n      - {name: one, schema: [b]}\n")
    assert found.startswith("suite.yaml:9: 'schema' of experiment 'plain' is never used")
