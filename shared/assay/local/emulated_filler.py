"""Plausible short answers for prompts whose true answer nobody knows: the same content always gets the same one.

Called by the emulated model when no task matches a request.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from assay.local.emulated_draws import pick, uniform
from assay.local.emulator_requests import ChatRequest

MAX_SCHEMA_DEPTH = 8

_SENTENCES = (
    "The request is clear and can be answered with the facts given.",
    "Two points matter here: the stated need, and the time it has to be met.",
    "There is not enough detail to be certain, but the first reading is the likelier one.",
    "In short: yes, with the usual exceptions.",
    "The text describes a routine case and asks for a confirmation.",
    "The main point is the change of plan; the rest is background.",
    "It depends on the order of events, which the text leaves open.",
    "The answer follows from the second paragraph and needs no further steps.",
)
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "juniper")


def filler_answer(chat: ChatRequest, seed: int) -> str:
    """Text, or JSON when the request asks for it: a small object, or an instance of its JSON schema."""
    kind = chat.response_format.get("type")
    if kind == "json_schema":
        schema = chat.response_format["json_schema"].get("schema", {})
        return json.dumps(schema_instance(schema, seed, chat.digest))
    sentence = _SENTENCES[pick(len(_SENTENCES), seed, chat.digest, "sentence")]
    if kind == "json_object":
        return json.dumps({"answer": sentence, "confidence": round(uniform(seed, chat.digest, "confidence"), 2)})
    return sentence


def schema_instance(schema: Mapping[str, Any], seed: int, digest: str) -> Any:
    """A value that fits the subset of JSON schema which structured outputs allow, drawn from the content's digest."""
    return _instance(schema, schema, (seed, digest, ""))


_Draw = tuple[int, str, str]
_Builder = Callable[[Mapping[str, Any], Mapping[str, Any], _Draw], Any]


def _instance(schema: Mapping[str, Any], root: Mapping[str, Any], draw: _Draw) -> Any:
    if "$ref" in schema:
        return _instance(_referred(schema["$ref"], root), root, _deeper(draw, "ref"))
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][pick(len(schema["enum"]), *draw)]
    if schema.get("anyOf"):
        # The last alternative is the way out of a recursive schema, by convention `null`.
        alternatives = schema["anyOf"]
        return _instance(alternatives[-1 if _is_deep(draw) else 0], root, _deeper(draw, "any"))
    kind = schema.get("type", "object" if "properties" in schema else "string")
    build = _BUILDERS.get(kind[0] if isinstance(kind, list) else kind, _BUILDERS["string"])
    return build(schema, root, draw)


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], draw: _Draw) -> dict[str, Any]:
    properties: Mapping[str, Any] = {} if _is_deep(draw) else schema.get("properties", {})
    return {name: _instance(part, root, _deeper(draw, name)) for name, part in properties.items()}


def _array(schema: Mapping[str, Any], root: Mapping[str, Any], draw: _Draw) -> list[Any]:
    count = 0 if _is_deep(draw) else max(1, schema.get("minItems", 1))
    return [_instance(schema.get("items", {}), root, _deeper(draw, str(index))) for index in range(count)]


def _integer(schema: Mapping[str, Any], root: Mapping[str, Any], draw: _Draw) -> int:
    return round(_number(schema, root, draw))


def _number(schema: Mapping[str, Any], _root: Mapping[str, Any], draw: _Draw) -> float:
    minimum = schema.get("minimum", 0)
    maximum = schema.get("maximum", minimum + 10)
    return round(float(minimum + (maximum - minimum) * uniform(*draw)), 2)


def _string(_schema: Mapping[str, Any], _root: Mapping[str, Any], draw: _Draw) -> str:
    return _WORDS[pick(len(_WORDS), *draw)]


def _boolean(_schema: Mapping[str, Any], _root: Mapping[str, Any], draw: _Draw) -> bool:
    return uniform(*draw) < 0.5


def _null(_schema: Mapping[str, Any], _root: Mapping[str, Any], _draw: _Draw) -> None:
    return None


_BUILDERS: dict[str, _Builder] = {
    "object": _object,
    "array": _array,
    "integer": _integer,
    "number": _number,
    "string": _string,
    "boolean": _boolean,
    "null": _null,
}


def _referred(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        found = found.get(step, {}) if step else found
    return found if isinstance(found, dict) else {}


def _deeper(draw: _Draw, step: str) -> _Draw:
    seed, digest, path = draw
    return seed, digest, f"{path}/{step}"


def _is_deep(draw: _Draw) -> bool:
    return draw[2].count("/") >= MAX_SCHEMA_DEPTH
