"""Refuses JSON schemas that structured outputs would refuse, in the service's words.

Called by `emulator_requests` for requests that ask for a JSON schema.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from assay.local.emulated_schema import referred
from assay.local.emulator_refusals import Refusal, invalid_request, wrong_type

TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
MAX_LEVELS = 5
MAX_PROPERTIES = 100
# fmt: off
NOT_PERMITTED = (
    "allOf", "oneOf", "not", "if", "then", "else", "dependentRequired", "dependentSchemas", "patternProperties",
    "unevaluatedProperties", "propertyNames", "minProperties", "maxProperties", "contains", "uniqueItems",
)
# fmt: on
_PLACE = "response_format.json_schema"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")

_LIST, _NUMBER, _COUNT = (list, "array"), ((int, float), "number"), (int, "integer")
_KEYWORDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    **dict.fromkeys(("enum", "anyOf", "oneOf", "required"), _LIST),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"), _NUMBER),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), _COUNT),
    **dict.fromkeys(("properties", "items"), (dict, "object")),
    "$ref": (str, "string"),
}

_Node = Mapping[str, Any]
_Context = tuple[str, ...]


def check_json_schema(wanted: object) -> None:
    """Check the `json_schema` part of a response format. Raises Refusal (400).

    Every schema needs known types; a strict one is an object whose every object lists all its properties as required
    and allows no others, within the levels and properties that the service allows. Limits of values are accepted.
    """
    if wanted is None:
        raise invalid_request(f"Missing required parameter: '{_PLACE}'.", _PLACE, "missing_required_parameter")
    if not isinstance(wanted, dict):
        raise wrong_type(_PLACE, "an object", wanted)
    name = _name(wanted)
    schema = wanted.get("schema", {})
    if not isinstance(schema, dict):
        raise wrong_type(f"{_PLACE}.schema", "an object", schema)
    strict = wanted.get("strict") is True
    if strict:
        _check_root(schema, name)
    properties = 0
    # Each schema is checked before its parts are looked for: they may not be where they should.
    for context, node in _nodes(schema, ()):
        _check_values(node, context, name)
        _check_type(node, context, name)
        if strict:
            _check_strict(node, context, name, schema)
        properties += len(node.get("properties", ()))
    if strict and properties > MAX_PROPERTIES:
        raise _invalid(name, (), f"schema has {properties} object properties; at most {MAX_PROPERTIES} are allowed")


def _name(wanted: _Node) -> str:
    name = wanted.get("name")
    if name is None:
        place = f"{_PLACE}.name"
        raise invalid_request(f"Missing required parameter: '{place}'.", place, "missing_required_parameter")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise invalid_request(
            f"Invalid '{_PLACE}.name': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
            f"{_PLACE}.name",
            "invalid_value",
        )
    return name


def _nodes(node: object, context: _Context) -> Iterator[tuple[_Context, _Node]]:
    """A schema and all schemas inside it, each with the path to it."""
    if not isinstance(node, dict):
        return
    yield context, node
    for part in ("properties", "$defs", "definitions"):
        children = node.get(part)
        if isinstance(children, dict):
            for key, child in children.items():
                yield from _nodes(child, (*context, part, key))
    yield from _nodes(node.get("items"), (*context, "items"))
    for index, child in enumerate(node.get("anyOf") or ()):
        yield from _nodes(child, (*context, "anyOf", str(index)))


def _check_root(schema: _Node, name: str) -> None:
    if schema.get("type") != "object" or "anyOf" in schema:
        found = schema.get("type")
        raise _invalid(name, (), f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{found}\"'")


def _check_type(node: _Node, context: _Context, name: str) -> None:
    for one in _types(node):
        if not isinstance(one, str) or one not in TYPES:
            raise _invalid(name, context, f"{one!r} is not valid under any of the given schemas")
    children = [*node.get("properties", {}).values(), *node.get("anyOf", ()), *node.get("oneOf", ())]
    if not all(isinstance(child, dict) for child in children):
        raise _invalid(name, context, "every part of a schema must be an object")


def _check_values(node: _Node, context: _Context, name: str) -> None:
    for keyword, (kind, told) in _KEYWORDS.items():
        value = node.get(keyword)
        if keyword in node and (not isinstance(value, kind) or isinstance(value, bool)):
            raise _invalid(name, context, f"{value!r} is not of type '{told}'")
    if node.get("multipleOf", 1) <= 0 or node.get("type") == []:
        raise _invalid(name, context, "'multipleOf' must be above 0, and 'type' not empty")


def _check_strict(node: _Node, context: _Context, name: str, root: _Node) -> None:
    for keyword in NOT_PERMITTED:
        if keyword in node:
            raise _invalid(name, context, f"'{keyword}' is not permitted")
    if "$ref" in node:
        if referred(node["$ref"], root) is None:
            raise _invalid(name, context, f"reference {node['$ref']!r} points to no schema")
        return
    if not node.keys() & {"type", "anyOf", "enum", "const"}:
        raise _invalid(name, context, "schema must have a 'type' key")
    if "array" in _types(node) and "items" not in node:
        raise _invalid(name, context, "array schema missing items")
    if "object" in _types(node):
        _check_object(node, context, name)


def _types(node: _Node) -> list[Any]:
    kind = node.get("type", [])
    return kind if isinstance(kind, list) else [kind]


def _check_object(node: _Node, context: _Context, name: str) -> None:
    if node.get("additionalProperties") is not False:
        raise _invalid(name, context, "'additionalProperties' is required to be supplied and to be false")
    properties, required = node.get("properties", {}), node.get("required")
    every = "'required' is required to be supplied and to be an array including every key in properties"
    missing = [key for key in properties if not isinstance(required, list) or key not in required]
    if missing:
        raise _invalid(name, context, f"{every}. Missing {missing[0]!r}")
    extra = [key for key in required or () if key not in properties]
    if extra:
        raise _invalid(name, context, f"{every}. Extra required key {extra[0]!r} supplied")
    if sum(step in ("properties", "items") for step in context) >= MAX_LEVELS:
        raise _invalid(name, context, f"schema exceeds the limit of {MAX_LEVELS} levels of nesting")


def _invalid(name: str, context: _Context, reason: str) -> Refusal:
    return invalid_request(
        f"Invalid schema for response_format '{name}': In context={context}, {reason}.", "response_format"
    )
