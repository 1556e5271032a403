"""Every kind of plugin, and what each plugin is: read from its docstring and options, for people and editors."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from assay.installed import InstalledPlugin, installed_plugins
from assay.middleware.chain import MIDDLEWARE
from assay.planning.judges.catalogue import JUDGES
from assay.registry import Plugin, Registry, UnusablePlugin, did_you_mean, loaded
from assay.scoring.early_stop.rules import STOPPING_RULES
from assay.scoring.experiments import AGGREGATORS, COMPARERS
from assay.scoring.rows import SCORERS
from assay.suite.sink_options import SINKS

KINDS: Mapping[str, Registry[Any]] = {
    "scorers": SCORERS,
    "judges": JUDGES,
    "aggregators": AGGREGATORS,
    "comparers": COMPARERS,
    "early_stop": STOPPING_RULES,
    "middleware": MIDDLEWARE,
    "sinks": SINKS,
}
"""By the key of a suite under which they stand."""

BUILT_IN = "built in"


@dataclass(frozen=True)
class Option:
    """An option of a plugin. `default` is as YAML writes it, None where the option must be given."""

    name: str
    type: str
    default: str | None
    description: str


@dataclass(frozen=True)
class Description:
    """What a plugin is. `origin` is the distribution that it comes from, or BUILT_IN.

    `problem` says why it cannot be used; its kind is then "unknown".
    """

    kind: str
    name: str
    key: str
    origin: str
    plugin: Plugin[Any] | None
    problem: str | None = None

    @property
    def docs(self) -> str:
        """The docstring of what makes it, or of its options."""
        if self.plugin is None:
            return ""
        return self.plugin.docs or (self.plugin.options.__doc__ or "").strip()

    @property
    def line(self) -> str:
        """Its docstring's first paragraph, as one line; or why it cannot be used."""
        return self.problem or " ".join(self.docs.partition("\n\n")[0].split())

    @cached_property
    def options(self) -> tuple[Option, ...]:
        """What may stand beside `plugin` in a suite."""
        return tuple(_options(self.plugin.options)) if self.plugin else ()

    @property
    def example(self) -> str:
        """YAML of a suite that uses it, with the options that it must have."""
        if self.plugin is None:
            return ""
        settings = {"plugin": self.name, **example_options(self.plugin.options)}
        text: str = yaml.safe_dump({self.key: [settings]}, sort_keys=False, allow_unicode=True, width=100)
        return text


def all_plugins() -> tuple[Description, ...]:
    """Every plugin, built in and installed, by kind. Imports those that are installed; none can break the list."""
    built_in = [_built_in(key, registry, name) for key, registry in KINDS.items() for name in registry.names]
    order = [registry.kind for registry in KINDS.values()]
    found = [*built_in, *map(_installed, installed_plugins())]
    return tuple(sorted(found, key=lambda one: order.index(one.kind) if one.kind in order else len(order)))


def plugins_named(name: str) -> tuple[Description, ...]:
    """The plugins of one name, of whatever kind. Raises LookupError that suggests the closest name."""
    everything = all_plugins()
    found = tuple(one for one in everything if one.name == name)
    if not found:
        known = list(dict.fromkeys(one.name for one in everything))
        raise LookupError(f"there is no plugin '{name}'{did_you_mean(name, known)}. Known: {', '.join(known)}")
    return found


def example_options(options: type[BaseModel]) -> dict[str, Any]:
    """Options that a suite could give: those of the model's own example, or else all that must be given."""
    extra = options.model_config.get("json_schema_extra")
    examples = extra.get("examples") if isinstance(extra, dict) else None
    if isinstance(examples, list) and isinstance(examples[0], dict):
        return dict(examples[0])
    return {
        field.alias or name: _example_of(field) for name, field in options.model_fields.items() if field.is_required()
    }


def _example_of(field: FieldInfo) -> Any:
    if field.examples:
        return field.examples[0]
    if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
        return example_options(field.annotation)
    by_type: dict[Any, Any] = {int: 1, float: 1.0, bool: True}
    return by_type.get(field.annotation, "...")


def _built_in(key: str, registry: Registry[Any], name: str) -> Description:
    return Description(registry.kind, name, key, BUILT_IN, registry.built_in(name))


def _installed(found: InstalledPlugin) -> Description:
    try:
        plugin = loaded(found)
    except UnusablePlugin as problem:
        return Description("unknown", found.name, "", found.distribution, None, str(problem))
    keys = {registry.kind: key for key, registry in KINDS.items()}
    if plugin.kind not in keys:
        strange = f"{found} has the kind '{plugin.kind}'; expected one of {', '.join(keys)}"
        return Description("unknown", found.name, "", found.distribution, None, strange)
    return Description(plugin.kind, plugin.name, keys[plugin.kind], found.distribution, plugin)


def _options(model: type[BaseModel]) -> Iterator[Option]:
    described = model.model_json_schema(by_alias=True)
    definitions = described.get("$defs", {})
    for name, field in model.model_fields.items():
        key = field.alias or name
        schema = described["properties"][key]
        default = None if field.is_required() else _yaml(schema.get("default"))
        yield Option(key, type_text(schema, definitions), default, schema.get("description", ""))


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=1_000)
    return text.removesuffix("\n...\n").strip()


def type_text(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """A JSON Schema in few words: `number`, `list of text`, `all | any | none`."""
    if "$ref" in schema:
        return type_text(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "enum" in schema:
        return " | ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    if "anyOf" in schema:
        parts = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(type_text(one, definitions) for one in parts))
    if schema.get("type") == "array":
        items = schema.get("items")
        return f"list of {type_text(items, definitions)}" if items else "list"
    words = {"string": "text", "integer": "whole number", "boolean": "true or false", "object": "mapping"}
    kind = str(schema.get("type", "anything"))
    return words.get(kind, kind)
