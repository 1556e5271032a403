"""Structured outputs: what the service would refuse is refused, and answers fit the schema."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from assay.local.emulated_schema import schema_instance
from assay.local.emulator_refusals import Refusal
from assay.local.emulator_schemas import check_json_schema

TEXT: dict[str, Any] = {"type": "string"}


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": "answer", "strict": True, "schema": schema}


def objects(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def nested(levels: int) -> dict[str, Any]:
    return objects(a=TEXT if levels == 1 else nested(levels - 1))


def refused(wanted: object) -> str:
    with pytest.raises(Refusal) as refusal:
        check_json_schema(wanted)
    assert refusal.value.status == 400
    return str(refusal.value.error["message"])


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "array", "items": TEXT}, "got 'type: \"array\"'"),
        ({"type": "object", "properties": {"a": TEXT}, "required": ["a"]}, "'additionalProperties' is required"),
        ({**objects(a=TEXT), "required": []}, "Missing 'a'"),
        ({**objects(a=TEXT), "required": ["a", "b"]}, "Extra required key 'b'"),
        (objects(a={"type": "text"}), "In context=('properties', 'a'), 'text' is not valid"),
        (objects(a={"description": "d"}), "must have a 'type' key"),
        (objects(a={"type": "array"}), "array schema missing items"),
        (objects(a={"allOf": [TEXT]}), "'allOf' is not permitted"),
        (objects(a={"$ref": "#/$defs/gone"}), "'#/$defs/gone' points to no schema"),
        (objects(a={"type": "array", "items": {"type": "object"}}), "In context=('properties', 'a', 'items')"),
        (nested(6), "5 levels of nesting"),
        (objects(**{f"p{n}": TEXT for n in range(101)}), "101 object properties"),
    ],
)
def test_a_strict_schema_that_the_service_refuses_is_refused_with_its_place(schema: dict[str, Any], told: str) -> None:
    """In the words that callers search for."""
    message = refused(strict(schema))

    assert message.startswith("Invalid schema for response_format 'answer': In context=(") and told in message


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (None, "Missing required parameter: 'response_format.json_schema'"),
        ({"schema": {}}, "json_schema.name"),
        ({"name": "two words", "schema": {}}, "does not match pattern"),
        ({"name": "n", "schema": []}, "expected an object, but got an array"),
        ({"name": "n", "schema": {"type": "text"}}, "'text' is not valid"),
        ({"name": "n", "schema": {"type": []}}, "'type' not empty"),
        ({"name": "n", "schema": {"minItems": "1"}}, "'1' is not of type 'integer'"),
        ({"name": "n", "schema": {"anyOf": 5}}, "5 is not of type 'array'"),
        ({"name": "n", "schema": {"enum": "ab"}}, "'ab' is not of type 'array'"),
        ({"name": "n", "schema": {"properties": {"a": True}}}, "every part of a schema must be an object"),
        ({"name": "n", "schema": {"type": "number", "multipleOf": 0}}, "must be above 0"),
    ],
)
def test_a_schema_needs_a_name_and_known_types_even_when_it_is_not_strict(wanted: object, told: str) -> None:
    """Nothing else is asked of it."""
    assert told in refused(wanted)
    check_json_schema({"name": "n", "schema": {"type": "object", "properties": {"a": TEXT}}})


def test_a_strict_schema_may_be_recursive_and_limit_its_values() -> None:
    """Definitions, alternatives and limits are part of the subset."""
    node = objects(value={"type": ["string", "null"]}, next={"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]})
    schema = {**objects(head={"$ref": "#/$defs/node"}, n={"type": "integer", "minimum": 1}), "$defs": {"node": node}}

    check_json_schema(strict(schema))

    Draft202012Validator(schema).validate(schema_instance(schema, 1, "digest"))


@pytest.mark.parametrize("schema", [{"$ref": "#"}, objects(left={"$ref": "#"}, right={"$ref": "#"})])
def test_a_schema_that_nothing_finite_fits_comes_to_an_end(schema: dict[str, Any]) -> None:
    """The emulator must not hang on it."""
    assert schema_instance(schema, 1, "digest") is not None


def numbers(kind: str) -> st.SearchStrategy[dict[str, Any]]:
    bounds = st.tuples(st.integers(-50, 50), st.integers(1, 30), st.sampled_from(["minimum", "exclusiveMinimum"]))
    return bounds.map(lambda b: {"type": kind, b[2]: b[0], "maximum": b[0] + b[1]})


LEAVES = st.one_of(
    st.sampled_from([TEXT, {"type": "boolean"}, {"type": "null"}, {"enum": ["a", 3]}, {"const": 7}]),
    st.sampled_from([{"type": "string", "format": name} for name in ("date-time", "email", "uuid")]),
    st.builds(
        lambda n, m: {"type": "string", "minLength": n, "maxLength": n + m}, st.integers(0, 40), st.integers(0, 5)
    ),
    st.builds(lambda n: {"type": "integer", "multipleOf": n, "minimum": -n}, st.integers(1, 9)),
    st.builds(lambda n: {"type": "number", "maximum": n}, st.integers(-40, 40)),
    numbers("integer"),
    numbers("number"),
)


def grown(children: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    arrays = st.builds(
        lambda items, n, m: {"type": "array", "items": items, "minItems": n, "maxItems": n + m},
        children,
        st.integers(0, 3),
        st.integers(0, 2),
    )
    alternatives = st.lists(children, min_size=1, max_size=3).map(lambda parts: {"anyOf": parts})
    named = st.dictionaries(st.sampled_from("abc"), children, max_size=3).map(lambda parts: objects(**parts))
    return st.one_of(arrays, alternatives, named)


@given(st.recursive(LEAVES, grown, max_leaves=8), st.text(max_size=5))
def test_every_answer_fits_its_schema(schema: dict[str, Any], digest: str) -> None:
    """Checked by a validator that is not ours."""
    value = schema_instance(schema, 3, digest)

    Draft202012Validator(schema).validate(value)
    assert schema_instance(schema, 3, digest) == value
