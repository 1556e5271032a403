"""Values that fit a JSON schema, drawn from a content's digest: the subset that structured outputs allow.

Called by the filler answers. `pattern` is not followed; every other keyword that structured outputs know is.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from assay.local.emulated_draws import pick, uniform

MAX_SCHEMA_DEPTH = 8
"""From here on recursion takes its way out: empty arrays, required properties only, the last alternative."""

_ENDLESS_DEPTH = 24
_WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "haven", "inlet", "juniper")
_FORMATS = {
    "date-time": "2026-03-14T09:26:53Z",
    "date": "2026-03-14",
    "time": "09:26:53Z",
    "duration": "P3DT4H",
    "email": "kim@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.7",
    "ipv6": "2001:db8::7",
    "uuid": "7f3a9c1e-5b2d-4e8f-9a6b-0c1d2e3f4a5b",
}

_Schema = Mapping[str, Any]
_Draw = tuple[int, str, str]
_Builder = Callable[[_Schema, _Schema, _Draw], Any]


def schema_instance(schema: _Schema, seed: int, digest: str) -> Any:
    """A value that fits the schema, the same for the same digest."""
    return _instance(schema, schema, (seed, digest, ""))


def referred(reference: str, root: _Schema) -> _Schema | None:
    """What a local reference such as `#/$defs/name` points to; None when there is nothing."""
    found: Any = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        if not isinstance(found, dict):
            return None
        found = found.get(step) if step else found
    return found if isinstance(found, dict) else None


def _instance(schema: _Schema, root: _Schema, draw: _Draw) -> Any:
    if _depth(draw) > _ENDLESS_DEPTH:
        # Only a schema that no finite value fits leads here.
        return {}
    if "$ref" in schema:
        return _instance(referred(schema["$ref"], root) or {}, root, _deeper(draw, "ref"))
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][pick(len(schema["enum"]), *draw)]
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    if alternatives:
        # The last alternative is the way out of a recursive schema, by convention `null`.
        return _instance(alternatives[-1 if _is_deep(draw) else 0], root, _deeper(draw, "any"))
    kind = schema.get("type", "object" if "properties" in schema else "string")
    build = _BUILDERS.get(kind[0] if isinstance(kind, list) else kind, _BUILDERS["string"])
    return build(schema, root, draw)


def _object(schema: _Schema, root: _Schema, draw: _Draw) -> dict[str, Any]:
    properties: _Schema = schema.get("properties", {})
    wanted = schema.get("required", ()) if _is_deep(draw) else properties
    return {name: _instance(properties.get(name, {}), root, _deeper(draw, name)) for name in wanted}


def _array(schema: _Schema, root: _Schema, draw: _Draw) -> list[Any]:
    least = schema.get("minItems", 0)
    count = least if _is_deep(draw) else min(max(1, least), schema.get("maxItems", math.inf))
    return [_instance(schema.get("items", {}), root, _deeper(draw, str(index))) for index in range(int(count))]


def _integer(schema: _Schema, _root: _Schema, draw: _Draw) -> int:
    return round(_multiple(schema, schema.get("multipleOf", 1), draw))


def _number(schema: _Schema, _root: _Schema, draw: _Draw) -> float:
    low, high = _bounds(schema)
    step = schema.get("multipleOf") or min(0.01, (high - low) / 4 or 0.01)
    return round(float(_multiple(schema, step, draw)), 12)


def _multiple(schema: _Schema, step: float, draw: _Draw) -> float:
    """A multiple of `step` within the bounds of the schema."""
    low, high = _bounds(schema)
    first, last = math.ceil(low / step), math.floor(high / step)
    first += bool(first * step <= schema.get("exclusiveMinimum", -math.inf))
    last -= bool(last * step >= schema.get("exclusiveMaximum", math.inf))
    return step * (first + math.floor(uniform(*draw) * max(1, last - first + 1)))


def _bounds(schema: _Schema) -> tuple[float, float]:
    low = max(schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf))
    high = min(schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf))
    span = 10 * max(1, schema.get("multipleOf", 1))
    if math.isinf(low):
        low = 0.0 if high >= 0 else high - span
    return low, low + span if math.isinf(high) else high


def _string(schema: _Schema, _root: _Schema, draw: _Draw) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    text = _WORDS[pick(len(_WORDS), *draw)]
    least = schema.get("minLength", 0)
    text = (text * (least // len(text) + 1)) if len(text) < least else text
    return text[: schema.get("maxLength", max(least, len(text)))]


def _boolean(_schema: _Schema, _root: _Schema, draw: _Draw) -> bool:
    return uniform(*draw) < 0.5


def _null(_schema: _Schema, _root: _Schema, _draw: _Draw) -> None:
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


def _deeper(draw: _Draw, step: str) -> _Draw:
    seed, digest, path = draw
    return seed, digest, f"{path}/{step.replace('/', '_')}"


def _depth(draw: _Draw) -> int:
    return draw[2].count("/")


def _is_deep(draw: _Draw) -> bool:
    return _depth(draw) >= MAX_SCHEMA_DEPTH
