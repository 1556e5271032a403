"""Private networking: what the switch closes, the private endpoint of each part, and its name in DNS.

`PARTS` is the map of what Azure calls the parts of a service and their zones:
https://learn.microsoft.com/azure/private-link/private-endpoint-dns
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from tree_sitter import Node

from infra_checks.bicep import Bicep, Declaration, Finding, at, literal, properties, source, walk

MAIN, ENDPOINTS, ZONES = Path("main.bicep"), Path("modules/private-endpoints.bicep"), Path("modules/dns-zones.bicep")
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

# For each module with the switch: when it is created, its resource id, and the zone of each part of it that is reached.
PARTS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "modules/storage-account.bicep": (
        "isNewStorage ? storageId : ''",
        {part: f"'privatelink.{part}.${{storageSuffix}}'" for part in ("blob", "queue", "table")},
    ),
    "modules/key-vault.bicep": ("isNewKeyVault ? keyVaultId : ''", {"vault": "'privatelink.vaultcore.azure.net'"}),
    "modules/registry.bicep": (
        "isNewRegistry && privateRegistry ? registryId : ''",
        {"registry": "'privatelink.azurecr.io'"},
    ),
    "modules/content-safety.bicep": (
        "contentSafety ? '${home}/providers/Microsoft.CognitiveServices/accounts/${contentSafetyName}' : ''",
        {"account": "'privatelink.cognitiveservices.azure.com'"},
    ),
    "modules/durable-task.bicep": (
        "durableTaskScheduler ? '${home}/providers/Microsoft.DurableTask/schedulers/${durableTaskName}' : ''",
        {"scheduler": "'privatelink.durabletask.io'"},
    ),
    "modules/openai.bicep": ("one.id", {"account": "'privatelink.${openAiDomain}'"}),
}

# What main.bicep must say, so that rows become endpoints, names, and links of the zones to the network.
WIRING: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("variable", "privateEndpoints"): {"": "concat(fixedEndpoints, openAiEndpoints)"},
    ("variable", "privateZones"): {"": "union(map(privateEndpoints, one => one.zone), [])"},
    ("module", "privateLinks"): {"endpoints": "privateEndpoints", "subnetId": "endpointsSubnetId"},
    ("module", "dnsZones"): {"zoneNames": "privateZones", "networkId": "networkId"},
    ("module", "appEnvironment"): {"subnetId": "privateNetwork ? appsSubnetId : ''"},
}
CONDITIONS = {"privateLinks": "privateNetwork", "dnsZones": "privateNetwork && empty(existingDnsZonesGroupId)"}


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
    """Each part of what can be closed has its endpoint, with its name in a zone that is linked to the network."""
    if ENDPOINTS not in files:
        return
    main = files[MAIN]
    rows = list(_rows(main))
    wanted = _wanted(main)
    yield from _without_parts(main)
    for row in rows:
        if _said(row) not in wanted:
            yield main.finding(row, f"no resource, part and zone of Azure: {', '.join(_said(row))}")
    for missing in wanted - {_said(row) for row in rows}:
        yield main.finding(
            1, f"no private endpoint for the part '{missing[1]}' of {missing[0]}, in the zone {missing[2]}"
        )
    yield from _wiring(main)
    yield from _in_modules(files)


def _rows(main: Bicep) -> Iterator[Node]:
    return (node for node in walk(main.root) if {"resourceId", "groupId", "zone"} <= properties(node).keys())


def _said(row: Node) -> tuple[str, str, str]:
    return source(at(row, "resourceId")), str(literal(at(row, "groupId"))), source(at(row, "zone"))


def _wanted(main: Bicep) -> set[tuple[str, str, str]]:
    called = {call.text for call in main.of("module")}
    known = (row for module, row in PARTS.items() if module in called)
    return {(identity, part, zone) for identity, zones in known for part, zone in zones.items()}


def _without_parts(main: Bicep) -> Iterator[Finding]:
    for call in main.of("module"):
        if at(call.body, "params", "isPrivate") is not None and call.text not in PARTS:
            yield main.finding(call.line, f"module '{call.name}' can be private, and its parts are not known here")


def _wiring(main: Bicep) -> Iterator[Finding]:
    for (kind, name), said in WIRING.items():
        one = main.named(kind, name)
        for parameter, expected in said.items():
            node = at(one.body, "params", parameter) if one and parameter else one.value if one else None
            if source(node) != expected:
                yield main.finding(one.line if one else 1, f"{kind} '{name}': {parameter or 'it'} must be {expected}")
    for name, expected in CONDITIONS.items():
        if _condition(main.named("module", name)) != expected:
            yield main.finding(1, f"module '{name}' must be there if ({expected})")


def _condition(one: Declaration | None) -> str:
    found = next((node for node in walk(one.node) if node.type == "if_statement"), None) if one else None
    condition = next((child for child in found.named_children if child.type != "object"), None) if found else None
    return source(condition).removeprefix("(").removesuffix(")")


def _in_modules(files: Mapping[Path, Bicep]) -> Iterator[Finding]:
    """An endpoint is of its row's part and has its row's zone; each zone is linked; the environment lets nobody in."""
    demands = {
        ENDPOINTS: {
            "groupIds": "[one.groupId]",
            "privateLinkServiceId": "one.resourceId",
            "privateDnsZoneId": "'${zonesGroupId}/providers/Microsoft.Network/privateDnsZones/${one.zone}'",
        },
        ZONES: {"parent": "zones[index]", "virtualNetwork": "{ id: networkId }", "registrationEnabled": "false"},
        Path("modules/environment.bicep"): {
            "vnetConfiguration": "empty(subnetId) ? null : { infrastructureSubnetId: subnetId, internal: true }"
        },
    }
    for path, said in demands.items():
        for name, expected in said.items():
            if expected not in {source(node) for node in _values(files[path], name)}:
                yield files[path].finding(1, f"{name} must be {expected}")


def _values(file: Bicep, name: str) -> Iterator[Node]:
    return (properties(node)[name] for node in walk(file.root) if name in properties(node))
