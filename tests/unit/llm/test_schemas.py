"""JSON Schemas of answers: which ones can be asked for, and which answers fit them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from assay.llm.schemas import MAX_PROPERTIES, answer_problem, schema_problem
from assay.local.emulator_refusals import Refusal
from assay.local.emulator_schemas import check_json_schema

TEXT = {"type": "string"}


def an_object(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        **more,
    }


LABEL = an_object({"label": {"type": "string", "enum": ["a", "b"]}, "score": {"type": "integer", "minimum": 0}})
TREE = an_object(
    {"root": {"$ref": "#/$defs/node"}},
    **{"$defs": {"node": an_object({"below": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}})}},
)


def nested(levels: int, innermost: dict[str, Any] = TEXT) -> dict[str, Any]:
    return innermost if levels == 0 else an_object({"a": nested(levels - 1, innermost)})


@pytest.mark.parametrize(
    "schema",
    [
        LABEL,
        TREE,
        an_object({}),
        an_object({"tags": {"type": "array", "items": TEXT, "minItems": 1}}),
        an_object({"when": {"type": ["string", "null"], "format": "date", "description": "day"}}),
        an_object({"code": {"type": "string", "pattern": "^[A-Z]{3}$"}}),
        nested(5),
        nested(5, {"type": "array", "items": TEXT}),
    ],
)
def test_a_schema_that_the_service_takes_is_accepted(schema: dict[str, Any]) -> None:
    """The emulator judges as the service documents it."""
    assert schema_problem(schema) is None
    check_json_schema({"name": "answer", "strict": True, "schema": schema})


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({}, "the answer must be an object: give the schema 'type: object' and 'properties'"),
        ({"type": "array", "items": TEXT}, "the answer must be an object"),
        ({"type": "objekt"}, "at type: 'objekt' is not valid"),
        (an_object({"a": {"type": "text"}}), "at properties.a.type: 'text' is not valid"),
        ({"type": "object", "properties": {"a": TEXT}}, "an object needs 'additionalProperties: false'"),
        (an_object({"a": TEXT}) | {"required": []}, "'required' must name every property; 'a' is missing"),
        (an_object({"a": TEXT}) | {"required": ["a", "b"]}, "'required' names 'b', which is no property"),
        (an_object({"a": {"type": "array"}}), "at properties.a: an array needs 'items'"),
        (an_object({"a": {}}), "at properties.a: 'type' is missing"),
        (an_object({"a": True}), "expected a mapping for every property"),
        (an_object({"a": {"allOf": [TEXT]}}), "at properties.a: structured outputs do not know 'allOf'"),
        (an_object({"a": {"$ref": "#/$defs/b"}}), "points to no schema; expected the form #/$defs/NAME"),
        (an_object({"a": {"$ref": "https://example.com/s.json"}}), "points to no schema"),
        (an_object({"a": {"$ref": "#/$defs/a"}}, **{"$defs": {"a": {"$ref": "#/$defs/a"}}}), "leads back to itself"),
        (an_object({"a": {"type": "string", "pattern": "("}}), "at properties.a.pattern: '(' is not a 'regex'"),
        (nested(6), "objects are nested more than 5 levels deep"),
        (an_object({f"p{n}": TEXT for n in range(MAX_PROPERTIES + 1)}), "101 properties; at most 100 are allowed"),
    ],
)
def test_a_schema_that_the_service_would_refuse_is_told_with_its_place(schema: dict[str, Any], problem: str) -> None:
    """Before a cent is spent."""
    assert problem in (schema_problem(schema) or "")


def test_what_leads_back_to_itself_between_alternatives_is_refused() -> None:
    """No answer could ever be checked against it."""
    circle = {"anyOf": [{"$ref": "#/$defs/a"}, TEXT]}
    assert "leads back to itself" in (schema_problem(an_object({"a": circle}, **{"$defs": {"a": circle}})) or "")


@pytest.mark.parametrize("keyword", ["allOf", "oneOf", "not", "uniqueItems", "patternProperties", "minProperties"])
def test_what_the_emulator_refuses_is_refused_here_too(keyword: str) -> None:
    """Preflight must not let through what fails later."""
    schema = an_object({"a": TEXT | {keyword: {} if keyword == "not" else [TEXT] if "Of" in keyword else 1}})
    with pytest.raises(Refusal):
        check_json_schema({"name": "answer", "strict": True, "schema": schema})
    assert schema_problem(schema)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ('{"label": "a", "score": 3}', None),
        (' {"score": 0,\n"label": "b"} ', None),
        ('{"label": "c", "score": 3}', "at $.label: 'c' is not one of ['a', 'b']"),
        ('{"label": "a", "score": -1}', "at $.score: -1 is less than the minimum of 0"),
        ('{"label": "a"}', "at $: 'score' is a required property"),
        ('{"label": "a", "score": 1, "x": 2}', "('x' was unexpected)"),
        ('["a"]', "at $: ['a'] is not of type 'object'"),
        ("Sure!", "it is not JSON: Expecting value"),
        ('{"label": "a", "score": NaN}', "it is not JSON: NaN is no number in JSON"),
        ("[" * 100_000, "it cannot be checked: RecursionError"),
        ('{"label": "a", "score": 1' + "0" * 5_000 + "}", "it is not JSON: Exceeds the limit"),
    ],
)
def test_an_answer_that_does_not_fit_is_told_what_and_where(answer: str, problem: str | None) -> None:
    """The model is told this too, so it has to be short and to the point."""
    found = answer_problem(json.dumps(LABEL), answer)
    assert (found is None) == (problem is None)
    assert (problem or "") in (found or "")
    assert len(found or "") < 1_000


def test_a_reference_is_followed_and_never_looked_up_elsewhere() -> None:
    """No answer makes a worker ask the network."""
    assert answer_problem(json.dumps(TREE), '{"root": {"below": {"below": null}}}') is None
    assert "is not valid under any" in (answer_problem(json.dumps(TREE), '{"root": {"below": 3}}') or "")
    elsewhere = json.dumps(an_object({"a": {"$ref": "https://example.com/s.json"}}))
    assert answer_problem(elsewhere, '{"a": 1}') == "it cannot be checked: _WrappedReferencingError"


@pytest.mark.parametrize("value", ["1e400", "1" + "0" * 400])
def test_numbers_beyond_all_bounds_do_no_harm(value: str) -> None:
    """Whether they fit or not, a trial ends with a verdict."""
    schema = an_object({"a": {"type": "number", "multipleOf": 0.01}})
    answer_problem(json.dumps(schema), f'{{"a": {value}}}')
