"""Private networking: what the switch closes, the private endpoint of each part, and its name in DNS.

What is wanted lies in `CLOSED` and `PARTS`; how main.bicep arrives at it is its own affair, so names of variables are
followed, not compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from tree_sitter import Node

from infra_checks.bicep import Bicep, Declaration, Finding, at, literal, properties, source, walk
from infra_checks.names import references

MAIN, ENDPOINTS, ZONES = Path("main.bicep"), Path("modules/private-endpoints.bicep"), Path("modules/dns-zones.bicep")
ENVIRONMENT = Path("modules/environment.bicep")
SWITCHES = ("privateNetwork", "privateNetwork && privateRegistry")
_OFF, _DENY = "isPrivate ? 'Disabled' : 'Enabled'", "isPrivate ? 'Deny' : 'Allow'"

# What the switch `isPrivate` must change. Storage stays enabled behind its firewall: Event Grid comes through it.
CLOSED: Mapping[str, Mapping[str, str]] = {
    "Microsoft.Storage/storageAccounts": {
        "publicNetworkAccess": "'Enabled'",
        "networkAcls.defaultAction": _DENY,
        "networkAcls.bypass": "'AzureServices'",
    },
    "Microsoft.KeyVault/vaults": {"publicNetworkAccess": _OFF, "networkAcls.defaultAction": _DENY},
    "Microsoft.CognitiveServices/accounts": {"publicNetworkAccess": _OFF, "networkAcls.defaultAction": _DENY},
    "Microsoft.ContainerRegistry/registries": {"publicNetworkAccess": _OFF},
    "Microsoft.DurableTask/schedulers": {"publicNetworkAccess": _OFF},
}

# The zone of each part that is reached of what a module creates; a * is what differs between clouds:
# https://learn.microsoft.com/azure/private-link/private-endpoint-dns
# The scheduler's part: https://learn.microsoft.com/azure/durable-task/scheduler/durable-task-scheduler-private-endpoints,
# which names no zone; that one is as in public samples.
PARTS: Mapping[str, Mapping[str, str]] = {
    "modules/storage-account.bicep": {part: f"privatelink.{part}.*" for part in ("blob", "queue", "table")},
    "modules/key-vault.bicep": {"vault": "privatelink.vaultcore.azure.net"},
    "modules/registry.bicep": {"registry": "privatelink.azurecr.io"},
    "modules/content-safety.bicep": {"account": "privatelink.cognitiveservices.azure.com"},
    "modules/openai.bicep": {"account": "privatelink.*"},
    "modules/durable-task.bicep": {"scheduler": "privatelink.durabletask.io"},
}

# Which property of an endpoint says what of its row.
SAYS = {"privateLinkServiceId": "resourceId", "groupIds": "groupId", "privateDnsZoneId": "zone"}


def check_private(files: Mapping[Path, Bicep]) -> Iterator[Finding]:
    """What can be closed follows the switch `isPrivate`, and each such switch is the main file's `privateNetwork`."""
    for file in files.values():
        for one in (one for one in file.of("resource") if not one.is_existing):
            for path, expected in CLOSED.get(one.text.partition("@")[0], {}).items():
                if source(at(one.body, "properties", *path.split("."))) != expected:
                    yield file.finding(one.line, f"'{one.name}': {path} must be {expected}")
        for call in file.of("module"):
            given = at(call.body, "params", "isPrivate")
            if given is not None and source(given) not in SWITCHES:
                yield file.finding(given, f"module '{call.name}': isPrivate must be privateNetwork")


def check_endpoints(files: Mapping[Path, Bicep]) -> Iterator[Finding]:
    """Each part of what can be closed has its endpoint and its zone, and both are made when the network is private."""
    if ENDPOINTS not in files:
        return
    main = files[MAIN]
    rows = {row: _said(main, row) for row in _rows(main)}
    wanted = _wanted(files)
    yield from _without_parts(main)
    for row, said in rows.items():
        if said not in wanted:
            yield main.finding(row, f"no resource, part and zone of Azure: {', '.join(said)}")
    for resource, part, zone in sorted(wanted - set(rows.values())):
        yield main.finding(1, f"no private endpoint for the part '{part}' of {resource}, in the zone {zone}")
    for path, parameter in ((ENDPOINTS, "endpoints"), (ZONES, "zoneNames")):
        yield from _left_out(main, path, parameter, list(rows))
    yield from _public(files)


def _rows(main: Bicep) -> Iterator[Node]:
    return (node for node in walk(main.root) if {"resourceId", "groupId", "zone"} <= properties(node).keys())


def _said(main: Bicep, row: Node) -> tuple[str, str, str]:
    zone = re.sub(r"\$\{[^}]*\}", "*", source(at(row, "zone")).strip("'"))
    return _types(main, row), str(literal(at(row, "groupId"))), zone


def _types(main: Bicep, row: Node) -> str:
    """Of what type the resource is: as the id says, or else what the row is made of; several are a mistake."""
    around = next(one.value for one in main.of("variable") if any(node == row for node in walk(one.node)))
    for start in (at(row, "resourceId"), around):
        texts = " ".join(source(node) for node in _behind(main, start))
        if types := set(re.findall(r"/providers/([\w.]+/\w+)/", texts)):
            return " and ".join(sorted(types))
    return ""


def _behind(main: Bicep, start: Node | None) -> Iterator[Node]:
    """What an expression is made of: itself, and the variables that it names, directly or through others."""
    waiting, seen = [start.parent or start] if start else [], set[str]()
    while waiting:
        yield (node := waiting.pop())
        names = {name for _, name in references(node)} - seen
        seen |= names
        waiting += [one.node for one in main.of("variable") if one.name in names]


def _wanted(files: Mapping[Path, Bicep]) -> set[tuple[str, str, str]]:
    called = {call.text for call in files[MAIN].of("module")} & PARTS.keys()
    return {(_closed_type(files[Path(one)]), part, zone) for one in called for part, zone in PARTS[one].items()}


def _closed_type(module: Bicep) -> str:
    return next(kind for one in module.of("resource") if (kind := one.text.partition("@")[0]) in CLOSED)


def _without_parts(main: Bicep) -> Iterator[Finding]:
    for call in main.of("module"):
        if at(call.body, "params", "isPrivate") is not None and call.text not in PARTS:
            yield main.finding(call.line, f"module '{call.name}' can be private, and its parts are not known here")


def _left_out(main: Bicep, path: Path, parameter: str, rows: list[Node]) -> Iterator[Finding]:
    """Rows that do not arrive at the module that makes something of them."""
    for call in _calls(main, path):
        reached = [node for start in _behind(main, at(call.body, "params", parameter)) for node in walk(start)]
        for row in (row for row in rows if row not in reached):
            yield main.finding(row, f"this endpoint is not among the {parameter} of module '{call.name}'")


def _calls(main: Bicep, path: Path) -> Iterator[Declaration]:
    return (call for call in main.of("module") if call.text == path.as_posix())


def _public(files: Mapping[Path, Bicep]) -> Iterator[Finding]:
    """What does not follow the switch, and endpoints that are not what their rows say."""
    for path in (ENDPOINTS, ZONES, ENVIRONMENT):
        if not any("privateNetwork" in _named(call) for call in _calls(files[MAIN], path)):
            yield files[MAIN].finding(1, f"no module {path.as_posix()} that follows privateNetwork")
    for name, said in SAYS.items():
        if not all(re.search(rf"\.{said}\b", source(value)) for value in _values(files[ENDPOINTS], name)):
            yield files[ENDPOINTS].finding(1, f"{name} must be made of the row's {said}")
    if [literal(value) for value in _values(files[ENVIRONMENT], "internal")] != [True]:
        yield files[ENVIRONMENT].finding(1, "internal must be true in a network")


def _named(call: Declaration) -> set[str]:
    return {name for _, name in references(call.node)}


def _values(file: Bicep, name: str) -> Iterator[Node]:
    return (properties(node)[name] for node in walk(file.root) if name in properties(node))
