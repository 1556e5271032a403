"""Lists what a suite means, setting by setting, each with the place it comes from; and what differs between two suites.

`assay suite show --resolved` and `assay suite diff` print it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from assay.suite.models import Suite
from assay.suite.yaml_text import Path, SourceMap

DEFAULT = "default"
SHARED = ""
"""The owner of settings that belong to the suite and not to one experiment."""

NAMES = ("name", "plugin")
"""What tells the things of a list apart, the first that they have."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of a suite. `owner` is the experiment's name, or SHARED; `origin` is `file:line` or DEFAULT."""

    owner: str
    key: str
    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that two suites have differently. None where a suite does not have it."""

    owner: str
    key: str
    before: Any
    after: Any


def settings_of(suite: Suite, source: SourceMap) -> list[Setting]:
    """Every setting of the suite, then those of each experiment, the baseline first."""
    written = suite.model_dump(mode="json", by_alias=True, exclude={"experiments"})
    found = [Setting(SHARED, key, value, _origin(source, [path])) for key, path, value in _flat(written)]
    for experiment in suite.ordered:
        at = suite.experiments.index(experiment)
        left_out = {"name", "criteria"} if experiment.program else {"name"}
        for key, path, value in _flat(experiment.model_dump(mode="json", by_alias=True, exclude=left_out)):
            found.append(Setting(experiment.name, key, value, _origin(source, _places(source, at, path))))
    return found


def differences(before: Suite, after: Suite) -> list[Difference]:
    """What changed in meaning, in the order of the later suite; what only the earlier one has comes last.

    Places, comments, the order of keys and how a value came about do not count.
    """
    old, new = _by_name(before), _by_name(after)
    names = dict.fromkeys((*new, *old))
    return [
        Difference(owner, key, old.get((owner, key)), new.get((owner, key)))
        for owner, key in names
        if old.get((owner, key)) != new.get((owner, key))
    ]


def _by_name(suite: Suite) -> dict[tuple[str, str], Any]:
    return {(one.owner, one.key): one.value for one in settings_of(suite, SourceMap({}))}


def _flat(value: Any, key: str = "", path: Path = ()) -> Iterator[tuple[str, Path, Any]]:
    """Single values with a name for people and their path; lists of things with names by these names."""
    if isinstance(value, dict) and value and path[-1:] != ("schema",):
        for name, below in value.items():
            yield from _flat(below, f"{key}.{name}" if key else str(name), (*path, name))
    elif isinstance(value, list) and value and all(_name(one) for one in value):
        yield from _flat_list(value, key, path)
    else:
        yield key, path, value


def _flat_list(value: list[Any], key: str, path: Path) -> Iterator[tuple[str, Path, Any]]:
    names = [_name(one) for one in value]
    for index, one in enumerate(value):
        rest = {name: below for name, below in one.items() if name != "name"}  # the name is in the key
        again = f"[{index}]" if names[index] in names[:index] else ""
        yield from _flat(rest, f"{key}.{names[index]}{again}", (*path, index))


def _name(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    return next((str(value[name]) for name in NAMES if value.get(name)), None)


def _places(source: SourceMap, experiment: int, path: Path) -> list[Path]:
    """Where a setting of an experiment may be written, the nearest first."""
    own: Path = ("experiments", experiment)
    if path[0] != "criteria":
        return [(*own, *path), ("defaults", *path), *([path] if path == ("repeats",) else [])]
    criteria = (*own, "criteria") if source.knows((*own, "criteria")) else ("defaults", "criteria")
    inherited = path[2:]
    return [(*criteria, *path[1:]), (*own, *inherited), ("defaults", *inherited)]


def _origin(source: SourceMap, paths: list[Path]) -> str:
    found = next((path for path in (*paths, *map(_unlisted, paths)) if source.knows(path)), None)
    return str(source.place(found)) if found is not None else DEFAULT


def _unlisted(path: Path) -> Path:
    """Where one thing stands that is written without the list around it, as `early_stop: {plugin: ...}` may be."""
    return (*path[:1], *path[2:]) if path[1:2] == (0,) else path
