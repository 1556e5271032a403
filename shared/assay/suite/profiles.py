"""Puts a profile and values of the environment over a suite. `resolution.py` calls it, before anything is deployed.

What is deployed holds the values themselves: a run never reads the environment.
"""

from collections.abc import Iterator, Mapping

from assay.errors import SuiteError
from assay.registry import did_you_mean
from assay.suite.located import Node, merged, placed, plain
from assay.suite.yaml_text import Place, read_yaml, refuse


def with_profile(suite: Node, profile: str) -> Node:
    """The suite with a profile over it; without a name, the suite. Raises SuiteError when there is no such profile."""
    if not profile:
        return suite
    known = suite.get("profiles")
    names = list(known.value) if known else []
    chosen = known.get(profile) if known else None
    if chosen is None and profile not in names:
        place = known.place if known else suite.place
        hint = did_you_mean(profile, names)
        raise SuiteError(f"{place}: there is no profile '{profile}'{hint}. Profiles: {', '.join(names) or 'none'}")
    return merged(suite, chosen.without("description")) if chosen else suite


def with_environment(suite: Node, environment: Mapping[str, str]) -> Node:
    """The suite with the values that it takes from environment variables, where these are set.

    Raises SuiteError when a value is more than one number, truth value or text, or has no place in the suite.
    """
    overrides = suite.get("environment")
    for name, target in overrides.value.items() if overrides else ():
        if name in environment:
            suite = _put(suite, tuple(str(target.value).split(".")), _read(name, environment[name]), target)
    return suite


def variables_set(suite: Node, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The environment variables that count for a suite and are set."""
    overrides = suite.get("environment")
    return tuple(name for name in overrides.value if name in environment) if overrides else ()


def _read(name: str, text: str) -> Node:
    place = Place(f"environment variable {name}")
    value = read_yaml(text, place.file)[1]
    if isinstance(value, dict | list) or value is None:
        raise SuiteError(f"{place}: expected a number, true, false or text; found {text!r}")
    return placed(value, place)


def _put(node: Node, path: tuple[str, ...], value: Node, target: Node) -> Node:
    if not path:
        return value
    key, *rest = path
    if isinstance(node.value, list):
        return _put_in_list(node, path, value, target)
    below = node.value.get(key)
    if below is None or below.value is None:
        below = Node({}, value.place) if rest else value
    if rest and not isinstance(below.value, dict | list):
        refuse([(target.place, f"environment: '{target.value}' leads through '{key}', which is one value")])
    return Node({**node.value, key: _put(below, tuple(rest), value, target)}, node.place)


def _put_in_list(node: Node, path: tuple[str, ...], value: Node, target: Node) -> Node:
    """Lists of the suite hold things with names; the path says the name."""
    key, *rest = path
    names = list(_names(node))
    if key not in names or not rest:
        hint = did_you_mean(key, names)
        there = f"There are: {', '.join(names)}" if names else "It has none"
        refuse([(target.place, f"environment: '{target.value}' leads to no '{key}'{hint}. {there}")])
    at = names.index(key)
    changed = [_put(one, tuple(rest), value, target) if index == at else one for index, one in enumerate(node.value)]
    return Node(changed, node.place)


def _names(node: Node) -> Iterator[str]:
    for one in node.items:
        named = one.get("name") or one.get("plugin")
        yield str(plain(named)) if named else ""
