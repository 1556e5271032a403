"""What Azure must know before it starts, and what may be missing: loops, conditions, names of role assignments.

The Bicep compiler finds the same, where it can be had; its codes stand beside the rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tree_sitter import Node

from infra_checks.bicep import Bicep, Declaration, Finding, at, source, walk

_AT_START = ("name", "scope", "parent")
_RUNTIME = re.compile(r"\.\??(outputs|properties|identity)\b")
_CONDITIONAL_PART = r"(?<![\w.']){name}\.(outputs|properties|identity)\b"


def check_loops(file: Bicep) -> Iterator[Finding]:
    """A loop stands in a declaration or a property of a resource or module, and in no other loop (BCP138, BCP142)."""
    for one in file.declarations:
        for loop in (node for node in walk(one.node) if node.type == "for_statement"):
            above = list(_above(loop, one.node))
            in_property = bool(above) and above[0].type == "object_property"
            if above and not (in_property and one.kind in ("resource", "module")):
                yield file.finding(loop, f"'{one.name}': no loop is allowed here; use map()")
            if in_property and any(_loops_over_a_property(node) for node in above):
                yield file.finding(loop, f"'{one.name}': a loop in a loop of properties; use map()")


def check_known_at_start(file: Bicep) -> Iterator[Finding]:
    """Names, scopes, conditions and what is looped over do not wait for another resource (BCP120, BCP178, BCP182)."""
    for one in (*file.of("resource"), *file.of("module")):
        for what, node in _needed_at_start(one):
            if late := next(_late(file, node), None):
                yield file.finding(node, f"'{one.name}': its {what} depends on {late}, which comes after the start")


def check_conditions(file: Bicep) -> Iterator[Finding]:
    """What may not be there is asked with `!` where a condition was asked before, or with `.?` (BCP318)."""
    for one in (*file.of("resource"), *file.of("module")):
        if not any(node.type == "if_statement" for node in one.node.named_children):
            continue
        for found in re.finditer(_CONDITIONAL_PART.format(name=one.name), file.text):
            line = 1 + file.text[: found.start()].count("\n")
            yield file.finding(
                line, f"'{one.name}' may not be there: write {one.name}!.{found[1]} behind its condition"
            )


def check_assignment_names(file: Bicep) -> Iterator[Finding]:
    """The name of a role assignment is made of its resource, its principal and its role, so that each has its own."""
    for one in file.of("resource"):
        if not one.text.startswith("Microsoft.Authorization/roleAssignments@") or one.body is None:
            continue
        name = source(at(one.body, "name"))
        said = (
            f"{source(at(one.body, 'scope'))}.id",
            source(at(one.body, "properties", "principalId")),
            source(at(one.body, "properties", "roleDefinitionId")),
        )
        if name != f"guid({', '.join(said)})":
            yield file.finding(one.line, f"'{one.name}': its name must be guid({', '.join(said)})")


def _above(node: Node, top: Node) -> Iterator[Node]:
    while node.parent is not None and node.parent.id != top.id:
        node = node.parent
        yield node


def _loops_over_a_property(node: Node) -> bool:
    return node.type == "for_statement" and node.parent is not None and node.parent.type == "object_property"


def _needed_at_start(one: Declaration) -> Iterator[tuple[str, Node]]:
    for name in _AT_START:
        if node := at(one.body, name):
            yield name, node
    for node in one.node.named_children:
        yield from _heads(node)


def _heads(node: Node) -> Iterator[tuple[str, Node]]:
    """The condition, or what is looped over, of a declaration; both for a loop with a condition."""
    if node.type not in ("if_statement", "for_statement"):
        return
    inner = [child for child in node.named_children if child.type in ("if_statement", "object")]
    what = "condition" if node.type == "if_statement" else "loop"
    yield from ((what, child) for child in node.named_children if child not in inner)
    for child in inner:
        yield from _heads(child)


def _late(file: Bicep, node: Node, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """What an expression takes, itself or by a variable, from a resource or module that has to be there first."""
    for child in walk(node):
        if child.type == "member_expression" and _RUNTIME.search(source(child)) and _is_of_resource(file, child):
            yield source(child)
        name = source(child) if child.type == "identifier" else ""
        variable = file.named("variable", name) if name and name not in seen else None
        if variable is not None and variable.value is not None:
            yield from _late(file, variable.value, seen | {name})


def _is_of_resource(file: Bicep, node: Node) -> bool:
    owner = re.split(r"\W", source(node), maxsplit=1)[0]
    return any(file.named(kind, owner) for kind in ("resource", "module"))
