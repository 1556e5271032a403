"""Puts the packs that experiments name under what the suite says. `loading.py` calls it once matrices are expanded.

A pack is the lowest of three: pack < defaults < experiment. Its scorers, middleware, limits and templates become the
suite's.
"""

from collections.abc import Iterator
from typing import Any

from assay.registry import did_you_mean
from assay.suite.located import Node, plain
from assay.suite.yaml_text import Place, refuse

PLUGINS = ("scorers", "aggregators", "comparers", "judges", "middleware", "sinks")
SECTIONS = ("limits", "templates")
FOR_THE_SUITE = (*PLUGINS, *SECTIONS)
"""What a pack gives to the whole suite, because every experiment is judged and guarded alike."""

_Named = tuple[str, Node]


def unpacked(suite: Node) -> Node:
    """The suite without packs. Raises SuiteError for packs that are not there or contradict each other."""
    packs = suite.get("packs")
    known: dict[str, Node] = packs.value if packs else {}
    defaults = suite.get("defaults") or Node({}, suite.place)
    experiments = suite.value["experiments"]
    chosen = [experiment.get("pack") or defaults.get("pack") for experiment in experiments.items]
    refuse(_unknown([one for one in chosen if one], known))
    used = {str(one.value): known[one.value] for one in chosen if one}
    bare_defaults = defaults.without("pack")
    made = [
        _over(known[pack.value], bare_defaults, experiment.without("pack")) if pack else experiment.without("pack")
        for experiment, pack in zip(experiments.items, chosen, strict=True)
    ]
    bare = suite.without("packs").having(
        experiments=Node(made, experiments.place), **({"defaults": bare_defaults} if defaults.value else {})
    )
    return _with_shared(bare, used)


def _with_shared(suite: Node, used: dict[str, Node]) -> Node:
    """The suite with what its packs give to the whole of it."""
    for section in PLUGINS:
        suite = _with_plugins(suite, used, section)
    for section in SECTIONS:
        suite = _with_section(suite, used, section)
    return suite


def _unknown(chosen: list[Node], known: dict[str, Node]) -> Iterator[tuple[Place, str]]:
    for name in chosen:
        if name.value not in known:
            hint = did_you_mean(str(name.value), list(known))
            yield name.place, f"unknown pack '{name.value}'{hint}. Packs: {', '.join(known) or 'none'}"


def _over(pack: Node, defaults: Node, experiment: Node) -> Node:
    """The experiment with all of the pack that neither it nor the defaults say themselves; a program has no prompts."""
    criteria = experiment.get("criteria") or defaults.get("criteria")
    added: dict[str, Node] = {}
    for key, node in pack.without(*FOR_THE_SUITE).value.items():
        if key == "model":
            added[key] = _model_over(node, defaults.get(key), experiment.get(key))
        elif not (experiment.get("program") or experiment.get(key) or defaults.get(key) or _is_hidden(key, criteria)):
            added[key] = node
    return experiment.having(**added)


def _model_over(pack: Node, defaults: Node | None, experiment: Node | None) -> Node:
    own = experiment.value if experiment else {}
    shared = defaults.value if defaults else {}
    from_pack = {key: node for key, node in pack.value.items() if key not in shared}
    return Node({**from_pack, **own}, (experiment or pack).place)


def _is_hidden(key: str, criteria: Node | None) -> bool:
    """Whether criteria that are not the pack's all say it themselves, so that the pack's would never be used."""
    return criteria is not None and all(criterion.get(key) for criterion in criteria.items)


def _with_plugins(suite: Node, packs: dict[str, Node], section: str) -> Node:
    """The suite's own plugins, then those of its packs that it does not say itself."""
    own = suite.get(section)
    made = {_plugin_name(one, section): one for one in (own.items if own else [])}
    refuse(_contradictions(packs, section, list(made)))
    for pack in packs.values():
        for plugin in (pack.get(section) or Node([], pack.place)).items:
            made.setdefault(_plugin_name(plugin, section), plugin)
    doubled = own is not None and len(own.items) > len(made)
    if doubled or not made:
        return suite  # what stands twice in the suite itself is complained of later
    return suite.having(**{section: Node(list(made.values()), (own or next(iter(made.values()))).place)})


def _plugin_name(plugin: Node, section: str) -> str:
    named = plugin.get("name") if section != "middleware" else None
    return str((named or plugin.value["plugin"]).value)


def _with_section(suite: Node, packs: dict[str, Node], section: str) -> Node:
    """What packs say of a mapping of the suite, under what the suite says of it."""
    own = suite.get(section)
    said = own.value if own else {}
    refuse(_contradictions(packs, section, list(said)))
    given = {key: node for pack in packs.values() for key, node in _named(pack, section)}
    if not given:
        return suite
    place = own.place if own else next(iter(given.values())).place
    return suite.having(**{section: Node({**given, **said}, place)})


def _contradictions(packs: dict[str, Node], section: str, said: list[str]) -> Iterator[tuple[Place, str]]:
    """Where two packs say different things of which the suite itself says nothing."""
    seen: dict[str, tuple[str, Any]] = {}
    for name, pack in packs.items():
        for key, node in _named(pack, section):
            other, value = seen.setdefault(key, (name, plain(node)))
            if key not in said and value != plain(node):
                yield (
                    node.place,
                    f"packs '{other}' and '{name}' have different {section} '{key}'; say it in the suite's {section}",
                )


def _named(pack: Node, section: str) -> list[_Named]:
    node = pack.get(section)
    if node is None:
        return []
    if node.is_mapping:
        return list(node.value.items())
    return [(_plugin_name(one, section), one) for one in node.items]
