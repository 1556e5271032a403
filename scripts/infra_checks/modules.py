"""What files say to each other: module calls, their parameters and outputs, parameter files, limits of values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tree_sitter import Node

from infra_checks.bicep import (
    UNKNOWN,
    Bicep,
    Declaration,
    Finding,
    arguments,
    at,
    calls,
    literal,
    properties,
    source,
    walk,
)

_AZD = re.compile(r"\$\{\w+(=[^}]*)?\}")  # azd replaces it before the deployment


def check_calls(files: Mapping[Path, Bicep]) -> Iterator[Finding]:
    """Module calls give what the module needs and nothing else; outputs that are asked for exist, and are asked for.

    `files` are by their path below the folder of the main file, `main.bicep`.
    """
    asked: set[tuple[Path, str]] = set()
    called: set[Path] = set()
    for path, file in files.items():
        for call in file.of("module"):
            target = _beside(path, call.text)
            called.add(target)
            if target not in files:
                yield file.finding(call.line, f"module '{call.text}' is not there")
                continue
            yield from _parameters(file, call, files[target])
            yield from _outputs(file, call, target, files[target], asked)
        yield from _loaded(file)
        called |= {
            _beside(path, _import_path(node)) for node in file.root.children if node.type == "import_functionality"
        }
    yield from _never_called(files, called)
    yield from _never_asked(files, asked)


def check_values(file: Bicep) -> Iterator[Finding]:
    """Every parameter and output is described, defaults keep to their limits, and what is secret is marked so."""
    for one in (*file.of("parameter"), *file.of("output")):
        if not _description(one):
            yield file.finding(one.line, f"{one.kind} '{one.name}' has no @description")
    for one in file.of("parameter"):
        yield from _within(file, one, one.value, f"the default of '{one.name}'")
        if re.search(r"(?i)secret|password|token$", one.name) and "secure" not in one.decorators:
            yield file.finding(one.line, f"parameter '{one.name}' needs @secure()")
    secure = {one.name for one in file.of("parameter") if "secure" in one.decorators}
    for one in file.of("output"):
        if one.value and any(source(node) in secure for node in walk(one.value) if node.type == "identifier"):
            yield file.finding(one.line, f"output '{one.name}' shows a secret")


def check_bicepparam(given: Bicep, main: Bicep) -> Iterator[Finding]:
    """A `.bicepparam` file gives parameters that exist, within their limits, and all that are needed."""
    for one in given.of("variable"):
        parameter = main.named("parameter", one.name)
        if parameter is None:
            yield given.finding(one.line, f"{main.path} has no parameter '{one.name}'")
        else:
            yield from _within(given, parameter, one.value, f"'{one.name}'")
    yield from _missing(given, 1, {one.name for one in given.of("variable")}, main)


def check_parameters_json(path: Path, text: str, main: Bicep) -> Iterator[Finding]:
    """The same of a parameter file in JSON, with the placeholders of azd."""
    given: dict[str, Any] = json.loads(text)["parameters"]
    file = Bicep(path, "")
    for name, entry in given.items():
        line = 1 + text[: text.index(f'"{name}"')].count("\n")
        parameter = main.named("parameter", name)
        if parameter is None:
            yield file.finding(line, f"{main.path} has no parameter '{name}'")
        elif not (isinstance(entry["value"], str) and _AZD.search(entry["value"])):
            yield from _kept(file, parameter, line, entry["value"], f"'{name}'")
    yield from _missing(file, 1, set(given), main)


def _parameters(file: Bicep, call: Declaration, target: Bicep) -> Iterator[Finding]:
    given = properties(at(call.body, "params"))
    known = {one.name: one for one in target.of("parameter")}
    for name, node in given.items():
        if name not in known:
            yield file.finding(node, f"module '{call.name}' has no parameter '{name}'")
        else:
            yield from _within(file, known[name], node, f"'{name}' of module '{call.name}'")
    for name in known.keys() - given.keys():
        if not known[name].is_optional:
            yield file.finding(call.line, f"module '{call.name}' needs the parameter '{name}'")
    if _is_subscription(file) and "scope" not in properties(call.body):
        yield file.finding(call.line, f"module '{call.name}' needs a scope: it is for a resource group")


def _outputs(
    file: Bicep, call: Declaration, path: Path, target: Bicep, asked: set[tuple[Path, str]]
) -> Iterator[Finding]:
    # The grammar takes what stands before `!` too far, so only the end of what it found counts.
    pattern = re.compile(rf"(?<![\w.]){call.name}(?:\[[^\]]*\])?!?\.\??outputs\.(\w+)$")
    for node in walk(file.root):
        parts = pattern.search(source(node))
        if node.type != "member_expression" or parts is None:
            continue
        asked.add((path, parts[1]))
        if target.named("output", parts[1]) is None:
            yield file.finding(node, f"module '{call.name}' has no output '{parts[1]}'")


def _loaded(file: Bicep) -> Iterator[Finding]:
    for function in ("loadTextContent", "loadJsonContent", "loadYamlContent"):
        for call in calls(file.root, function):
            name = literal(arguments(call)[0])
            if name is UNKNOWN or not (file.folder / name).is_file():
                yield file.finding(call, f"{function} names no file: {source(arguments(call)[0])}")


def _never_called(files: Mapping[Path, Bicep], called: set[Path]) -> Iterator[Finding]:
    for path, file in files.items():
        if path not in called and path != Path("main.bicep"):
            yield file.finding(1, "no other file calls this module")


def _never_asked(files: Mapping[Path, Bicep], asked: set[tuple[Path, str]]) -> Iterator[Finding]:
    for path, file in files.items():
        for one in file.of("output"):
            if path != Path("main.bicep") and (path, one.name) not in asked:
                yield file.finding(one.line, f"output '{one.name}' is never asked for")


def _missing(file: Bicep, line: int, given: set[str], main: Bicep) -> Iterator[Finding]:
    for one in main.of("parameter"):
        if not one.is_optional and one.name not in given:
            yield file.finding(line, f"the parameter '{one.name}' is missing")


def _within(file: Bicep, parameter: Declaration, node: Node | None, what: str) -> Iterator[Finding]:
    value = literal(node)
    if node is not None and value is not UNKNOWN:
        yield from _kept(file, parameter, node, value, what)


def _kept(file: Bicep, parameter: Declaration, where: Node | int, value: Any, what: str) -> Iterator[Finding]:
    """Findings where a value breaks the limits that its parameter's decorators say."""
    limits = {name: literal(arguments(node)[0]) for name, node in parameter.decorators.items() if arguments(node)}
    size = value if isinstance(value, int) else len(value) if isinstance(value, str | list) else 0
    if "allowed" in limits and value not in limits["allowed"]:
        yield file.finding(where, f"{what} is {value!r}; allowed are {limits['allowed']}")
    lowest = limits.get("minValue", limits.get("minLength"))
    highest = limits.get("maxValue", limits.get("maxLength"))
    if (lowest is not None and size < lowest) or (highest is not None and size > highest):
        yield file.finding(where, f"{what} is {value!r}; the limits are {lowest} and {highest}")


def _description(one: Declaration) -> str:
    node = one.decorators.get("description")
    text = literal(arguments(node)[0]) if node else ""
    return text if isinstance(text, str) else ""


def _is_subscription(file: Bicep) -> bool:
    return "targetScope = 'subscription'" in file.text


def _import_path(node: Node) -> str:
    return next(str(literal(one)) for one in node.children if one.type == "string")


def _beside(path: Path, name: str) -> Path:
    """A path as another file writes it, below the folder of the main file."""
    parts: list[str] = []
    for part in (path.parent / name).parts:
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return Path(*parts)
