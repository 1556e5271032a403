"""Records in infra/properties.json which properties the types of infra/ have, from the models of azure-mgmt packages.

Run it by hand, in an environment of its own, when infra/ uses a new type or object; docs/azure.md says how.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

from infra_checks.bicep import Bicep, properties
from infra_checks.shapes import OF_BICEP, objects_of

INFRA = Path(__file__).resolve().parents[1] / "infra"
MODELS = {
    "Microsoft.App/containerApps": ("appcontainers", "ContainerApp"),
    "Microsoft.App/managedEnvironments": ("appcontainers", "ManagedEnvironment"),
    "Microsoft.CognitiveServices/accounts": ("cognitiveservices", "Account"),
    "Microsoft.CognitiveServices/accounts/deployments": ("cognitiveservices", "Deployment"),
    "Microsoft.ContainerRegistry/registries": ("containerregistry", "Registry"),
    "Microsoft.DurableTask/schedulers": ("durabletask", "Scheduler"),
    "Microsoft.EventGrid/systemTopics": ("eventgrid", "SystemTopic"),
    "Microsoft.EventGrid/systemTopics/eventSubscriptions": ("eventgrid", "EventSubscription"),
    "Microsoft.Insights/actionGroups": ("monitor", "ActionGroupResource"),
    "Microsoft.Insights/components": ("applicationinsights", "ApplicationInsightsComponent"),
    "Microsoft.Insights/metricAlerts": ("monitor", "MetricAlertResource"),
    "Microsoft.Insights/scheduledQueryRules": ("monitor", "ScheduledQueryRuleResource"),
    "Microsoft.Insights/workbooks": ("applicationinsights", "Workbook"),
    "Microsoft.KeyVault/vaults": ("keyvault", "VaultCreateOrUpdateParameters"),
    "Microsoft.KeyVault/vaults/keys": ("keyvault", "KeyCreateParameters"),
    "Microsoft.KeyVault/vaults/secrets": ("keyvault", "SecretCreateOrUpdateParameters"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("msi", "Identity"),
    "Microsoft.Network/privateDnsZones": ("privatedns", "PrivateZone"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": ("privatedns", "VirtualNetworkLink"),
    "Microsoft.OperationalInsights/workspaces": ("loganalytics", "Workspace"),
    "Microsoft.Storage/storageAccounts": ("storage", "StorageAccountCreateParameters"),
    "Microsoft.Storage/storageAccounts/blobServices": ("storage", "BlobServiceProperties"),
    "Microsoft.Storage/storageAccounts/blobServices/containers": ("storage", "BlobContainer"),
    "Microsoft.Storage/storageAccounts/managementPolicies": ("storage", "ManagementPolicy"),
}

Shape = dict[str, Any]
"""For each property what it holds: another shape, or the name of a model."""


def main() -> int:
    """Write the file anew, and say what of infra/ the models do not know; returns 1 when there is such a thing."""
    unknown = 0
    recorded: dict[str, dict[str, list[str]]] = {}
    for path in sorted(INFRA.rglob("*.bicep")):
        for kind, place, node in objects_of(Bicep.read(path, path)):
            if kind in MODELS:
                shape = _shape_at(*MODELS[kind], place)
                names = recorded.setdefault(kind, {}).setdefault(place, [])
                # The models have it in the address, templates in the body.
                names[:] = sorted({*shape, *(["name"] if place == "" else [])}) if shape else []
                for name in properties(node).keys() - set(names) - OF_BICEP if names else ():
                    print(f"{path.name}: {kind} has no property {place}.{name}")
                    unknown = 1
    text = json.dumps({kind: recorded[kind] for kind in sorted(recorded)}, indent=1, sort_keys=True)
    (INFRA / "properties.json").write_text(f"{text}\n", encoding="utf-8")
    return unknown


def _shape_at(package: str, model: str, place: str) -> Shape:
    """What an object at a path of a model's resource may hold; nothing where anything goes."""
    shape = _shape(package, model)
    for name in filter(None, place.split(".")):
        held = shape.get(name, {})
        shape = held if isinstance(held, dict) else _shape(package, held)
    return shape


def _shape(package: str, model: str) -> Shape:
    """The properties of a model and of all that are derived from it."""
    found = getattr(importlib.import_module(f"azure.mgmt.{package}.models"), model, None)
    shape: Shape = {}
    for one in _with_subclasses(found) if isinstance(found, type) else ():
        _merge(shape, _old_shape(one) if hasattr(one, "_attribute_map") else _new_shape(one))
    return shape


def _with_subclasses(model: type) -> list[type]:
    below: list[type] = type.__subclasses__(model)
    return [model, *(one for derived in below for one in _with_subclasses(derived))]


def _merge(shape: Shape, more: Shape) -> None:
    for name, held in more.items():
        if isinstance(held, dict) and isinstance(shape.get(name), dict):
            _merge(shape[name], held)
        else:
            shape.setdefault(name, held)


def _old_shape(model: Any) -> Shape:
    """Models that say `properties.publicNetworkAccess` of an attribute."""
    shape: Shape = {}
    for one in model._attribute_map.values():
        *path, name = (part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", one["key"]))
        inner = shape
        for part in path:
            inner = inner.setdefault(part, {})
        inner[name] = "" if "{" in one["type"] else one["type"].strip("[]")
    return shape


def _new_shape(model: type) -> Shape:
    """Models whose attributes are fields with a name of the wire and an annotated type; dictionaries are free."""
    shape: Shape = {}
    for base in model.__mro__:
        for attribute, field in vars(base).items():
            if hasattr(field, "_rest_name_input"):
                kind = str(base.__annotations__.get(attribute, ""))
                models = [] if re.search("(?i)dict", kind) else re.findall(r"_models\.(?:_models\.)?(\w+)", kind)
                shape[field._rest_name_input or attribute] = models[0] if models else ""
    return shape


if __name__ == "__main__":
    sys.exit(main())
