"""JSON Schemas of answers: what is wrong with a schema, and with an answer that should fit it.

Preflight asks the first, the link `answer_schemas` the second. Only structured outputs' part of JSON Schema is known.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

MAX_LEVELS = 5
MAX_PROPERTIES = 100
TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
# fmt: off
KEYWORDS = frozenset({
    "type", "title", "description", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf",
    "$ref", "$defs", "definitions", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "pattern", "format", "minItems", "maxItems",
})
# fmt: on
_SHOWN_PROBLEMS = 5
_SHOWN_CHARACTERS = 200
_Place = tuple[str, ...]
_Schema = Mapping[str, Any]


def schema_problem(schema: _Schema) -> str | None:
    """What is wrong with a schema for strict structured outputs, and where in it; None when nothing is.

    Rules: https://learn.microsoft.com/azure/ai-services/openai/how-to/structured-outputs
    """
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return _at(tuple(map(str, error.absolute_path)), error.message[:_SHOWN_CHARACTERS])
    except RecursionError:
        return "the schema is nested too deep"
    if schema.get("type") != "object":
        return "the answer must be an object: give the schema 'type: object' and 'properties'"
    problems = (_at(place, said) for place, node in _nodes(schema, ()) for said in _problems(node, place, schema))
    return next(problems, None) or _too_large(schema)


def answer_problem(schema_text: str, answer: str) -> str | None:
    """Why an answer does not fit the schema of that JSON text, in a line; None when it does."""
    try:
        value = json.loads(answer, parse_constant=_refuse_constant)
        found = islice(_validator(schema_text).iter_errors(value), _SHOWN_PROBLEMS)
        errors = sorted(found, key=lambda one: one.json_path)
    except ValueError as error:
        return f"it is not JSON: {error}"[:_SHOWN_CHARACTERS]
    except Exception as error:  # numbers beyond all bounds, endless depth: no answer may end more than its trial
        return f"it cannot be checked: {type(error).__name__}"
    return "; ".join(f"at {one.json_path}: {_shortened(one.message)}" for one in errors) or None


@lru_cache(maxsize=256)
def _validator(schema_text: str) -> "Draft202012Validator":
    from jsonschema import Draft202012Validator
    from referencing import Registry

    # With a registry of its own it never looks a reference up anywhere else.
    return Draft202012Validator(json.loads(schema_text), registry=Registry())


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number in JSON")


def _shortened(text: str) -> str:
    """The end says what was expected, the beginning quotes what was found."""
    half = _SHOWN_CHARACTERS // 2
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:half]} ... {text[-half:]}"


def _at(place: _Place, said: str) -> str:
    return f"at {'.'.join(place)}: {said}" if place else said


def _nodes(node: Any, place: _Place) -> Iterator[tuple[_Place, _Schema]]:
    """A schema and all schemas inside of it, each with the path to it; each before its parts."""
    if not isinstance(node, dict):
        return
    yield place, node
    for part in ("properties", "$defs", "definitions"):
        for key, child in node.get(part, {}).items():
            yield from _nodes(child, (*place, part, str(key)))
    yield from _nodes(node.get("items"), (*place, "items"))
    for at, child in enumerate(node.get("anyOf", ())):
        yield from _nodes(child, (*place, "anyOf", str(at)))


def _problems(node: _Schema, place: _Place, root: _Schema) -> Iterator[str]:
    for keyword in node:
        if keyword not in KEYWORDS:
            yield f"structured outputs do not know '{keyword}'. They know: {', '.join(sorted(KEYWORDS))}"
    children = [*node.get("properties", {}).values(), *node.get("anyOf", ()), node.get("items", {})]
    if not all(isinstance(child, dict) for child in children):
        yield "expected a mapping for every property, item and alternative"
    if "$ref" in node:
        yield from _reference_problems(node, root)
    elif not node.keys() & {"type", "anyOf", "enum", "const"}:
        yield "'type' is missing"
    types = node.get("type", [])
    if "array" in types and "items" not in node:
        yield "an array needs 'items'"
    if "object" in types:
        yield from _object_problems(node)
        if sum(step in ("properties", "items") for step in place) >= MAX_LEVELS:
            yield f"objects are nested more than {MAX_LEVELS} levels deep"


def _object_problems(node: _Schema) -> Iterator[str]:
    if node.get("additionalProperties") is not False:
        yield "an object needs 'additionalProperties: false'"
    properties, required = node.get("properties", {}), node.get("required", [])
    missing = [name for name in properties if name not in required]
    unknown = [name for name in required if name not in properties]
    if missing:
        yield f"'required' must name every property; '{missing[0]}' is missing. What may be absent has type null too"
    if unknown:
        yield f"'required' names '{unknown[0]}', which is no property"


def _reference_problems(node: _Schema, root: _Schema) -> Iterator[str]:
    """A reference stays within the schema, and does not lead back to itself before a value is looked into."""
    seen: list[str] = []
    waiting = [node]
    while waiting:
        at = waiting.pop()
        if "$ref" in at:
            found = _referred(at["$ref"], root)
            if found is None:
                yield f"'$ref: {at['$ref']}' points to no schema; expected the form #/$defs/NAME"
                return
            if at["$ref"] in seen:
                yield f"'$ref: {at['$ref']}' leads back to itself"
                return
            seen.append(at["$ref"])
            waiting.append(found)
        waiting.extend(child for child in at.get("anyOf", ()) if isinstance(child, dict))


def _referred(reference: str, root: _Schema) -> _Schema | None:
    found: Any = root
    if reference.partition("/")[0] != "#":
        return None
    for step in reference.split("/")[1:]:
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else None


def _too_large(schema: _Schema) -> str | None:
    properties = sum(len(node.get("properties", ())) for _, node in _nodes(schema, ()))
    return f"{properties} properties; at most {MAX_PROPERTIES} are allowed" if properties > MAX_PROPERTIES else None
