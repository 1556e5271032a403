"""Reads Bicep files: what they declare, which names they use, what their objects say. The rules stand on this.

The grammar is tree-sitter's. It knows no types and no spread operator, and parameter files only after a change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_DECLARED = {
    "parameter_declaration": "parameter",
    "variable_declaration": "variable",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
    "type_declaration": "type",
    "user_defined_function": "function",
}
_CONSTANTS = {"true": True, "false": False, "null": None}

UNKNOWN = object()
"""The value of an expression that is no literal."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, and where."""

    path: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.message}"


@dataclass(frozen=True)
class Declaration:
    """A parameter, variable, resource, module, output or type, with its decorators by name."""

    kind: str
    name: str
    node: Node
    decorators: dict[str, Node]

    @property
    def line(self) -> int:
        return line_of(self.node)

    @property
    def text(self) -> str:
        """The first string: the type of a resource, the path of a module."""
        return next(_plain(child) for child in self.node.children if child.type == "string")

    @property
    def body(self) -> Node | None:
        """The object of a resource, module or variable, inside its loop and condition."""
        return _object_in(self.node)

    @property
    def value(self) -> Node | None:
        """The expression of a variable or output, the default of a parameter."""
        named = [child for child in self.node.named_children if child.type != "comment"]
        first = 1 if self.kind == "variable" else 2
        return named[-1] if len(named) > first else None

    @property
    def is_optional(self) -> bool:
        """Whether a parameter may be left out."""
        kind = next((child for child in self.node.children if child.type == "type"), None)
        return self.value is not None or any(child.type == "nullable_type" for child in (kind.children if kind else ()))

    @property
    def is_existing(self) -> bool:
        return any(child.type == "existing" or _text(child) == "existing" for child in self.node.children)


class Bicep:
    """One file, which findings call `path`; the files that it loads lie beside it in `folder`."""

    def __init__(self, path: Path, text: str, folder: Path | None = None) -> None:
        self.path = path
        self.text = text
        self.folder = folder or path.parent
        self.root = Parser(Language(tree_sitter_bicep.language())).parse(text.encode()).root_node

    @classmethod
    def read(cls, path: Path, shown_as: Path) -> Bicep:
        return cls(shown_as, path.read_text(encoding="utf-8"), path.parent)

    @classmethod
    def read_parameters(cls, path: Path, shown_as: Path) -> Bicep:
        """A `.bicepparam` file: its assignments, which the grammar does not know, as variables."""
        text = re.sub(r"^param (\w+) =", r"var \1 =", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        return cls(shown_as, text)

    @cached_property
    def declarations(self) -> list[Declaration]:
        return [*self._top_level(), *self._nested_resources()]

    def of(self, kind: str) -> list[Declaration]:
        return [one for one in self.declarations if one.kind == kind]

    def named(self, kind: str, name: str) -> Declaration | None:
        return next((one for one in self.of(kind) if one.name == name), None)

    @cached_property
    def imported(self) -> dict[str, int]:
        """Names that the file imports, with their lines."""
        imports = [node for node in self.root.children if node.type == "import_functionality"]
        return {_text(one): line_of(one) for node in imports for one in node.named_children if one.type == "identifier"}

    def finding(self, node: Node | int, message: str) -> Finding:
        return Finding(self.path, node if isinstance(node, int) else line_of(node), message)

    def _top_level(self) -> Iterator[Declaration]:
        decorators: dict[str, Node] = {}
        for node in self.root.children:
            if node.type == "decorators":
                decorators = {_text(function): one for one in node.named_children if (function := _callee(one))}
            elif node.type in _DECLARED:
                yield _declared(node, decorators)
            if node.type not in ("decorators", "comment"):
                decorators = {}

    def _nested_resources(self) -> Iterator[Declaration]:
        top = {node.id for node in self.root.children}
        for node in walk(self.root):
            if node.type == "resource_declaration" and node.id not in top:
                yield _declared(node, {})


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it."""
    yield node
    for child in node.children:
        yield from walk(child)


def line_of(node: Node) -> int:
    return node.start_point[0] + 1


def properties(node: Node | None) -> dict[str, Node]:
    """What an object says, by name; nothing for what is no object."""
    if node is None or node.type != "object":
        return {}
    pairs = (child.named_children for child in node.named_children if child.type == "object_property")
    return {_plain(pair[0]): pair[-1] for pair in pairs if len(pair) > 1}


def items(node: Node | None) -> list[Node]:
    """The elements of an array; nothing for what is no array."""
    return [child for child in node.named_children if child.type != "comment"] if node and node.type == "array" else []


def at(node: Node | None, *path: str) -> Node | None:
    """What lies at a path of property names in an object, or None."""
    for name in path:
        node = properties(node).get(name)
    return node


def literal(node: Node | None) -> Any:
    """The value of a literal: text, number, truth value, None, list or dict; `UNKNOWN` for any other expression."""
    if node is None:
        return UNKNOWN
    if node.type == "string":
        return UNKNOWN if any(child.type == "interpolation" for child in node.children) else _plain(node)
    if node.type in ("number", "integer"):
        return int(_text(node))
    if node.type == "array":
        return [literal(one) for one in items(node)]
    if node.type == "object":
        return {name: literal(one) for name, one in properties(node).items()}
    return _CONSTANTS.get(_text(node), UNKNOWN)


def arguments(node: Node) -> list[Node]:
    """The arguments of a call or decorator."""
    found = next((one for one in walk(node) if one.type == "arguments"), None)
    return found.named_children if found else []


def calls(node: Node, function: str) -> Iterator[Node]:
    """Every call of a function below a node."""
    return (one for one in walk(node) if one.type == "call_expression" and _text(_callee(one)) == function)


def called(node: Node) -> str:
    """The name of the function of a call, without its namespace."""
    return _text(_callee(node)).rpartition(".")[2]


def source(node: Node | None) -> str:
    """The text of a node, as it was written but for spaces."""
    return " ".join(_text(node).split())


def _declared(node: Node, decorators: dict[str, Node]) -> Declaration:
    name = next(child for child in node.children if child.type == "identifier")
    return Declaration(_DECLARED[node.type], _text(name), node, decorators)


def _object_in(node: Node) -> Node | None:
    for child in reversed(node.named_children):
        if child.type == "object":
            return child
        if child.type in ("if_statement", "for_statement"):
            return _object_in(child)
    return None


def _callee(node: Node) -> Node | None:
    call = node if node.type == "call_expression" else next(iter(node.named_children), None)
    return call.child_by_field_name("function") if call else None


def _plain(node: Node) -> str:
    """An identifier, or a string without its quotes and escapes."""
    text = _text(node)
    if node.type != "string":
        return text
    return re.sub(r"\\(.)", r"\1", text.strip("'"))


def _text(node: Node | None) -> str:
    return node.text.decode() if node and node.text else ""
