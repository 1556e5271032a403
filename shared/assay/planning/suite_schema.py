"""The JSON Schema of suite files with the options of every built-in plugin, so that editors complete and check them."""

from collections.abc import Mapping
from typing import Any

from assay.planning.plugin_catalogue import KINDS
from assay.registry import Plugin, Registry
from assay.suite.loading import schema

PLACE = "#/$defs/"
ANY_PLUGIN = (f"{PLACE}PluginSettings", f"{PLACE}JudgeSettings")


def suite_schema() -> dict[str, Any]:
    """The schema. A plugin that is not built in may have any options: its model is not known here."""
    whole = schema()
    definitions: dict[str, Any] = {}
    for key, registry in KINDS.items():
        changed = _with_plugins(whole, key)
        definitions |= _definitions(key, registry) if changed != whole else {}
        whole = changed
    return {**whole, "$defs": {**whole["$defs"], **definitions}}


def _with_plugins(part: Any, key: str) -> Any:
    """The schema with the plugins of a kind for whatever any plugin might be under its key."""
    if isinstance(part, list):
        return [_with_plugins(one, key) for one in part]
    if not isinstance(part, dict):
        return part
    changed = {name: _with_plugins(value, key) for name, value in part.items()}
    properties = changed.get("properties")
    if isinstance(properties, dict) and key in properties:
        places = dict.fromkeys(ANY_PLUGIN, f"{PLACE}{key}")
        changed["properties"] = {**properties, key: _referring(properties[key], places)}
    return changed


def _referring(part: Any, places: Mapping[str, str]) -> Any:
    """The schema with its references to places changed."""
    if isinstance(part, list):
        return [_referring(one, places) for one in part]
    if isinstance(part, dict):
        return {name: _referring(value, places) for name, value in part.items()}
    return places.get(part, part) if isinstance(part, str) else part


def _definitions(key: str, registry: Registry[Any]) -> dict[str, Any]:
    """One definition per built-in plugin, and one of the kind: whoever names a plugin gets its options checked."""
    found: dict[str, Any] = {}
    for name in registry.names:
        found |= _described(f"{key}.{name}", registry.built_in(name))
    of_kind = {
        "type": "object",
        "properties": {"plugin": {"anyOf": [{"enum": list(registry.names)}, {"type": "string"}]}},
        "required": ["plugin"],
        # Not anyOf: its errors would tell of all plugins but the one that is meant.
        "allOf": [
            {
                "if": {"properties": {"plugin": {"const": name}}, "required": ["plugin"]},
                "then": {"$ref": f"{PLACE}{key}.{name}"},
            }
            for name in registry.names
        ],
    }
    return {key: of_kind, **found}


def _described(place: str, plugin: Plugin[Any]) -> dict[str, Any]:
    """The definition of a plugin with its options, and those that it refers to."""
    options = plugin.options.model_json_schema(by_alias=True)
    own = options.pop("$defs", {})
    places = {f"{PLACE}{name}": f"{PLACE}{place}.{name}" for name in own}
    name = {"const": plugin.name, "description": " ".join(plugin.docs.partition("\n\n")[0].split())}
    options["properties"] = {"plugin": name, **options.get("properties", {})}
    options["required"] = ["plugin", *options.get("required", [])]
    options.pop("examples", None)
    described = {place: options, **{f"{place}.{name}": one for name, one in own.items()}}
    return {name: _referring(one, places) for name, one in described.items()}
