"""Names within one file: what is used must be declared, and what is declared must be used."""

from __future__ import annotations

from collections.abc import Iterator

from tree_sitter import Node

from infra_checks.bicep import Bicep, Finding, called, source, walk

# Of https://learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions, those without side doors: nothing
# that reads keys, and nothing that depends on when or where it runs.
FUNCTIONS = frozenset(
    [
        "array",
        "bool",
        "base64",
        "base64ToString",
        "cidrSubnet",
        "concat",
        "contains",
        "deployment",
        "empty",
        "endsWith",
        "environment",
        "extensionResourceId",
        "filter",
        "first",
        "flatten",
        "format",
        "groupBy",
        "guid",
        "indexOf",
        "int",
        "intersection",
        "items",
        "join",
        "json",
        "last",
        "length",
        "loadJsonContent",
        "loadTextContent",
        "loadYamlContent",
        "map",
        "mapValues",
        "max",
        "min",
        "objectKeys",
        "padLeft",
        "range",
        "readEnvironmentVariable",
        "reduce",
        "replace",
        "resourceGroup",
        "resourceId",
        "shallowMerge",
        "skip",
        "sort",
        "split",
        "startsWith",
        "string",
        "subscription",
        "subscriptionResourceId",
        "substring",
        "take",
        "tenant",
        "tenantResourceId",
        "toLower",
        "toObject",
        "toUpper",
        "trim",
        "union",
        "uniqueString",
        "uri",
    ]
)
DECORATORS = frozenset(
    [
        "allowed",
        "batchSize",
        "description",
        "discriminator",
        "export",
        "maxLength",
        "maxValue",
        "metadata",
        "minLength",
        "minValue",
        "sealed",
        "secure",
    ]
)
_NAMESPACES = {"sys", "az"}
_MUST_BE_USED = ("parameter", "variable", "type", "function")


def check_names(file: Bicep) -> Iterator[Finding]:
    """Parse errors; names that are declared twice or not at all; functions that are none."""
    if file.root.has_error:
        yield from _parse_errors(file)
        return
    declared = {one.name for one in file.declarations if one.kind != "output"} | set(file.imported)
    yield from _declared_twice(file)
    for node, name in references(file.root):
        if name not in declared:
            yield file.finding(node, f"'{name}' is not declared")
    yield from _functions(file)


def check_use(file: Bicep) -> Iterator[Finding]:
    """Parameters, variables, types, imports and existing resources that are there for nothing."""
    used = {name for _, name in references(file.root)}
    for one in file.declarations:
        needs_use = one.kind in _MUST_BE_USED or (one.kind == "resource" and one.is_existing)
        if needs_use and one.name not in used and "export" not in one.decorators:
            yield file.finding(one.line, f"{one.kind} '{one.name}' is never used")
    for name, line in file.imported.items():
        if name not in used:
            yield file.finding(line, f"import '{name}' is never used")


def _parse_errors(file: Bicep) -> Iterator[Finding]:
    for node in walk(file.root):
        if node.is_error or node.is_missing:
            yield file.finding(node, f"does not parse near '{source(node)[:40]}'")


def _declared_twice(file: Bicep) -> Iterator[Finding]:
    seen: set[tuple[bool, str]] = set()
    for one in file.declarations:
        key = (one.kind == "output", one.name)
        if key in seen:
            yield file.finding(one.line, f"'{one.name}' is declared twice")
        seen.add(key)


def _functions(file: Bicep) -> Iterator[Finding]:
    own = {one.name for one in file.of("function")}
    for node in walk(file.root):
        if node.type != "call_expression":
            continue
        known = DECORATORS if node.parent and node.parent.type == "decorator" else FUNCTIONS | own
        if called(node) not in known:
            yield file.finding(node, f"'{called(node)}' is no function that is allowed here")


def references(node: Node, bound: frozenset[str] = frozenset()) -> Iterator[tuple[Node, str]]:
    """Identifiers that stand for something declared elsewhere in the file, outside what loops and lambdas bind."""
    if node.type == "for_statement":
        bound |= _loop_names(node)
    elif node.type == "lambda_expression":
        bound |= _lambda_names(node)
    elif node.type == "user_defined_function":
        bound |= {source(one) for one in walk(node) if one.parent and one.parent.type == "parameter"}
    for child in node.children:
        if child.type != "identifier":
            yield from references(child, bound)
        elif _is_reference(node, child) and (name := source(child)) not in bound:
            yield child, name


def _is_reference(parent: Node, child: Node) -> bool:
    first = next((one for one in parent.named_children if one.type != "comment"), None)
    is_first = first is not None and first.id == child.id
    if parent.type == "object_property" or parent.type.endswith("_declaration"):
        return not is_first
    if parent.type in ("import_functionality", "user_defined_function", "parameter"):
        return False
    if parent.type == "call_expression":
        return parent.child_by_field_name("function") != child
    return not (parent.type == "member_expression" and is_first and source(child) in _NAMESPACES)


def _loop_names(node: Node) -> frozenset[str]:
    single = node.child_by_field_name("initializer")
    several = (one for child in node.children if child.type == "for_loop_parameters" for one in child.named_children)
    return frozenset(source(one) for one in (*([single] if single else []), *several))


def _lambda_names(node: Node) -> frozenset[str]:
    names: set[str] = set()
    for child in node.children:
        if source(child) == "=>":
            break
        names |= {source(one) for one in walk(child) if one.type == "identifier"}
    return frozenset(names)
