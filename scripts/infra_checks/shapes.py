"""Property names of resources, held to infra/properties.json, which infra_types.py records from Azure's own models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tree_sitter import Node

from infra_checks.bicep import Bicep, Finding, arguments, called, items, properties, source

Recorded = Mapping[str, Mapping[str, list[str]]]
"""For each type, for each path of an object in it, the names that it may have; no names: any."""

OF_BICEP = {"dependsOn", "parent", "scope"}


def check_shapes(files: Mapping[Path, Bicep], recorded: Recorded) -> Iterator[Finding]:
    """Properties that Azure does not know, of the types that are recorded."""
    for file in files.values():
        for kind, path, node in objects_of(file):
            if kind not in recorded:
                continue
            known = recorded[kind].get(path)
            if known is None:
                yield file.finding(node, f"'{path}' is not recorded for {kind}; run scripts/infra_types.py")
            yield from _unknown(file, node, path, known or [])


def objects_of(file: Bicep) -> Iterator[tuple[str, str, Node]]:
    """Each object of each resource that is created: the resource's type, the path in it, the object."""
    for one in file.of("resource"):
        if not one.is_existing and one.body is not None:
            for path, node in _below(file, "", one.body):
                yield one.text.partition("@")[0], path, node


def _unknown(file: Bicep, node: Node, path: str, known: list[str]) -> Iterator[Finding]:
    for name, value in properties(node).items():
        if known and name not in known and not (path == "" and name in OF_BICEP):
            yield file.finding(value, f"there is no property '{f'{path}.{name}'.lstrip('.')}'")


def _below(file: Bicep, path: str, node: Node) -> Iterator[tuple[str, Node]]:
    for one in _objects(file, node):
        yield path, one
        for name, value in properties(one).items():
            if not (path == "" and name in OF_BICEP):
                yield from _below(file, f"{path}.{name}".lstrip("."), value)


def _objects(file: Bicep, node: Node) -> Iterator[Node]:
    """The objects that an expression may give: itself, elements, branches, what a variable holds."""
    if node.type == "object":
        yield node
        return
    for one in _inside(file, node):
        yield from _objects(file, one)


def _inside(file: Bicep, node: Node) -> list[Node]:
    if node.type == "array":
        return items(node)
    if node.type == "ternary_expression":
        return node.named_children[1:]
    if node.type == "for_statement":
        body = node.child_by_field_name("body")
        return [body] if body else []
    if node.type == "call_expression" and called(node) in ("concat", "union"):
        return arguments(node)
    variable = file.named("variable", source(node)) if node.type == "identifier" else None
    return [variable.value] if variable and variable.value else []
