"""Values that know where they were written. Suites are expanded as such, so that every complaint finds its line.

A `Node` of a mapping or list holds nodes. Nodes are never changed: merging makes new ones of old ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from assay.suite.yaml_text import Path, Place, SourceMap, read_yaml

_WHOLE = ("schema",)
"""Keys whose mapping is one value: half of one schema and half of another are none."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a suite and its place. The value of a mapping is a dict of nodes, that of a list a list of nodes."""

    value: Any
    place: Place

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)

    def get(self, key: str) -> "Node | None":
        """What stands under a key; None when nothing does, or when this is no mapping."""
        found: Node | None = self.value.get(key) if isinstance(self.value, dict) else None
        return None if found is None or found.value is None else found

    def at(self, *path: str) -> "Node | None":
        """What stands under keys within keys."""
        node: Node | None = self
        for key in path:
            node = node.get(key) if node else None
        return node

    def without(self, *keys: str) -> "Node":
        """The same mapping without some of its keys."""
        return Node({key: node for key, node in self.value.items() if key not in keys}, self.place)

    def having(self, **nodes: "Node") -> "Node":
        """The same mapping with these keys, in place of what they had."""
        return Node({**self.value, **nodes}, self.place)

    @property
    def items(self) -> list["Node"]:
        """The nodes of a list; a list that is not there has none."""
        return list(self.value) if isinstance(self.value, list) else []


def read_node(text: str, file: str) -> Node:
    """A YAML text as nodes. Raises SuiteError with `file:line:`."""
    source, tree = read_yaml(text, file)
    return located(tree, source)


def located(value: Any, source: SourceMap, path: Path = ()) -> Node:
    """Plain values as nodes, with the places that `source` has for them."""
    place = source.place(path)
    if isinstance(value, dict):
        return Node({key: located(one, source, (*path, key)) for key, one in value.items()}, place)
    if isinstance(value, list):
        return Node([located(one, source, (*path, index)) for index, one in enumerate(value)], place)
    return Node(value, place)


def placed(value: Any, place: Place) -> Node:
    """Plain values as nodes that all have one place."""
    return located(value, SourceMap({(): place}))


def plain(node: Node) -> Any:
    """The values without their places."""
    if isinstance(node.value, dict):
        return {key: plain(one) for key, one in node.value.items()}
    return [plain(one) for one in node.value] if isinstance(node.value, list) else node.value


def source_of(node: Node) -> SourceMap:
    """Where everything in a node stands."""
    return SourceMap(dict(_places(node, ())))


def merged(below: Node, above: Node) -> Node:
    """What `above` says, over what `below` says. Mappings merge key by key, lists and other values are replaced.

    A key without a value says nothing, a schema is one value, and the options of another plugin do not count.
    """
    if not (below.is_mapping and above.is_mapping):
        return below if above.value is None else above
    if _plugin(above) not in (None, _plugin(below)):
        return above
    both = dict(below.value)
    for key, one in above.value.items():
        both[key] = merged(both[key], one) if key in both and key not in _WHOLE else one
    return Node(both, above.place)


def _plugin(node: Node) -> Any:
    named = node.get("plugin")
    return named.value if named else None


def _places(node: Node, path: Path) -> Iterator[tuple[Path, Place]]:
    yield path, node.place
    if isinstance(node.value, dict):
        for key, one in node.value.items():
            yield from _places(one, (*path, key))
    elif isinstance(node.value, list):
        for index, one in enumerate(node.value):
            yield from _places(one, (*path, index))
