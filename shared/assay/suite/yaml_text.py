"""Reads YAML text into plain values and the line of each. `loading.py` and the emulator call it.

Aliases and merge keys work; tags, keys that are no text or stand twice, and texts that grow without bound are refused.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import yaml

from assay.errors import SuiteError

Path = tuple[str | int, ...]

MAX_CHARACTERS = 1_000_000
MAX_GROWN_CHARACTERS = 2_000_000
MAX_DEPTH = 20

TEXT_TAG = "tag:yaml.org,2002:str"
MERGE_TAG = "tag:yaml.org,2002:merge"


class Place(NamedTuple):
    """Where something is written. No line: `file` says in words where it comes from."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class SourceMap:
    """Places of the values of a suite by path, to say where a complaint belongs."""

    def __init__(self, places: Mapping[Path, Place]) -> None:
        """`places` has one for the whole, under the empty path."""
        self._places = dict(places)

    def place(self, path: Path) -> Place:
        """The place of the longest known beginning of `path`."""
        while path not in self._places:
            path = path[:-1]
        return self._places[path]

    def line(self, path: Path) -> int:
        """The line of `place`."""
        return self.place(path).line

    def knows(self, path: Path) -> bool:
        return path in self._places

    def listed(self, complaints: Iterable[tuple[Path, str]]) -> list[str]:
        """Complaints as `file:line: ...`, by place, each once."""
        return listed((self.place(path), complaint) for path, complaint in complaints)

    def refuse(self, complaints: Iterable[tuple[Path, str]]) -> None:
        """Raises SuiteError with all of the complaints, if there are any."""
        refuse((self.place(path), complaint) for path, complaint in complaints)


def listed(complaints: Iterable[tuple[Place, str]]) -> list[str]:
    """Complaints as `file:line: ...`, by place, each once."""
    by_place = sorted(complaints, key=lambda one: one[0])
    return list(dict.fromkeys(f"{place}: {complaint}" for place, complaint in by_place))


def refuse(complaints: Iterable[tuple[Place, str]]) -> None:
    """Raises SuiteError with all of the complaints, if there are any."""
    if lines := listed(complaints):
        raise SuiteError("\n".join(lines))


def read_yaml(text: str, file: str) -> tuple[SourceMap, Any]:
    """The values of a YAML text, and where they stand. Raises SuiteError with `file:line:`."""
    if len(text) > MAX_CHARACTERS:
        raise SuiteError(f"{file}:1: {len(text):,} characters; at most {MAX_CHARACTERS:,} are read")
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        _refuse_bad_keys(file, root)
        tree = loader.construct_document(root) if root is not None else None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"the character {chr(error.character)!a} is not allowed"
        raise SuiteError(f"{file}:{line}: not valid YAML: {problem}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise SuiteError(f"{file}:{mark.line + 1 if mark else 1}: not valid YAML: {error.problem}") from None
    lines = {(): 1, **dict(_lines(root, ()))} if root is not None else {(): 1}
    return SourceMap({path: Place(file, line) for path, line in lines.items()}), tree


class _Loader(yaml.SafeLoader):
    """The safe loader, with bounds on depth and on what aliases multiply, and without tags."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth, self._size = 0, 0
        self._sizes: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        before = self._size
        _refuse_event(event, self._depth)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._size += self._grown_by(event, node, before)
        if self._size > MAX_GROWN_CHARACTERS:
            raise _refused(event, f"with its aliases followed it exceeds {MAX_GROWN_CHARACTERS:,} characters")
        return node

    def _grown_by(self, event: yaml.Event, node: yaml.Node | None, before: int) -> int:
        """What a node adds to its own children; an alias adds all that its anchor holds."""
        if not isinstance(event, yaml.AliasEvent):
            own = 1 + len(node.value) if isinstance(node, yaml.ScalarNode) else 1
            self._sizes[id(node)] = self._size - before + own
            return own
        if id(node) not in self._sizes:
            raise _refused(event, f"the alias '*{event.anchor}' stands inside of what it stands for")
        return self._sizes[id(node)]

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError:
            shown = str(node.value)[:40]
            raise _refused(node, f"'{shown}' looks like a number or date and is none; put text in quotes") from None


def _refuse_event(event: yaml.Event, depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise _refused(event, f"nested more than {MAX_DEPTH} levels deep")
    if tag := getattr(event, "tag", None):
        raise _refused(event, f"the tag '{tag.replace('tag:yaml.org,2002:', '!!')}' is not allowed; leave it out")
    if isinstance(event, yaml.ScalarEvent) and not event.value.isascii() and not _is_unicode(event.value):
        raise _refused(event, "half of a surrogate pair is no character; write the character itself")


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _refused(at: yaml.Event | yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=cast(yaml.Mark, at.start_mark))


def _refuse_bad_keys(file: str, root: yaml.Node | None) -> None:
    found = sorted(set(_bad_keys(root)))
    if found:
        raise SuiteError("\n".join(f"{file}:{line}: {complaint}" for line, complaint in found))


def _bad_keys(node: yaml.Node | None) -> Iterator[tuple[int, str]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag not in (TEXT_TAG, MERGE_TAG):
                shown = f"'{key.value}'" if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                yield line, f"key {shown} is not text; expected text, in quotes if YAML takes it for something else"
            elif key.value in seen:
                yield line, f"key '{key.value}' stands twice"
            seen.add(str(key.value))
            yield from _bad_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _bad_keys(value)


def _lines(node: yaml.Node, path: Path) -> Iterator[tuple[Path, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, key.value)
            yield below, key.start_mark.line + 1
            yield from _lines(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1
            yield from _lines(value, (*path, index))
