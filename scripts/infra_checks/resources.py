"""What may be deployed: known API versions, rights from one table, no keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from infra_checks.bicep import UNKNOWN, Bicep, Declaration, Finding, at, items, literal, properties, source

ROLES = Path("modules/roles.bicep")
_ASSIGNMENT = "Microsoft.Authorization/roleAssignments"
_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")

# What a resource of a type must say, so that no key of it opens anything.
KEYLESS: Mapping[str, Mapping[str, Any]] = {
    "Microsoft.Storage/storageAccounts": {
        "allowBlobPublicAccess": False,
        "allowSharedKeyAccess": False,
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
    },
    "Microsoft.Storage/storageAccounts/blobServices/containers": {"publicAccess": "None"},
    "Microsoft.KeyVault/vaults": {"enableRbacAuthorization": True, "enableSoftDelete": True},
    "Microsoft.CognitiveServices/accounts": {"disableLocalAuth": True},
    "Microsoft.ContainerRegistry/registries": {"adminUserEnabled": False, "anonymousPullEnabled": False},
    "Microsoft.Insights/components": {"DisableLocalAuth": True},
    "Microsoft.OperationalInsights/workspaces": {"features.disableLocalAuth": True},
}


def check_versions(files: Mapping[Path, Bicep], allowed: Mapping[str, str]) -> Iterator[Finding]:
    """Every resource has the API version of the list, and the list has no type that nothing uses."""
    seen: set[str] = set()
    for file in files.values():
        for one in file.of("resource"):
            kind, _, version = one.text.partition("@")
            seen.add(kind)
            if allowed.get(kind) != version:
                yield file.finding(
                    one.line, f"{one.text} is not in the list, which has {allowed.get(kind, 'no such type')}"
                )
    for kind in allowed.keys() - seen:
        yield Finding(Path("api-versions.json"), 1, f"nothing uses {kind}")


def check_keyless(file: Bicep) -> Iterator[Finding]:
    """Resources that could be opened by a key or by anybody say that they cannot."""
    for one in _created(file):
        kind = one.text.partition("@")[0]
        for path, expected in KEYLESS.get(kind, {}).items():
            found = literal(at(one.body, "properties", *path.split(".")))
            if found is UNKNOWN or found != expected:
                yield file.finding(one.line, f"'{one.name}': {path} must be {expected!r}")


def check_roles(files: Mapping[Path, Bicep]) -> Iterator[Finding]:
    """Rights are given in one file, from one table, whose roles, kinds of resource and of principal are all used."""
    for path, file in files.items():
        for one in file.of("resource"):
            if one.text.startswith(_ASSIGNMENT) and path != ROLES:
                yield file.finding(one.line, f"'{one.name}' gives a right; only {ROLES} may")
    if ROLES in files:
        yield from _assignments(files[ROLES])
        yield from _table(files[ROLES])
        yield from _role_calls(files)


def _assignments(file: Bicep) -> Iterator[Finding]:
    for one in file.of("resource"):
        if not one.text.startswith(_ASSIGNMENT):
            continue
        if "scope" not in properties(one.body):
            yield file.finding(one.line, f"'{one.name}' has no scope: it would count in the whole group")
        if at(one.body, "properties", "principalType") is None:
            yield file.finding(one.line, f"'{one.name}' has no principalType: a new identity may not be found yet")


def _table(file: Bicep) -> Iterator[Finding]:
    known, rows = _roles_known(file), _rows(file)
    for role, guid in known.items():
        if not isinstance(guid, str) or not _GUID.fullmatch(guid) or list(known.values()).count(guid) > 1:
            yield file.finding(1, f"role '{role}': {guid!r} is no GUID of its own")
        if role not in {row.get("role") for row in rows}:
            yield file.finding(1, f"role '{role}' is given to nobody")
    for row in rows:
        if row.get("role") not in known:
            yield file.finding(1, f"role '{row.get('role')}' has no GUID")
        if rows.count(row) > 1:
            yield file.finding(1, f"the row {row} stands there twice")


def _role_calls(files: Mapping[Path, Bicep]) -> Iterator[Finding]:
    file = files[ROLES]
    wanted = {(row.get("on"), row.get("who")) for row in _rows(file)}
    given = set(_principals_by_kind(files))
    for kind, who in sorted(wanted - given):
        yield file.finding(1, f"the table has rights on '{kind}' for '{who}', and no call of this module passes them")
    for kind, who in sorted(given - wanted):
        yield file.finding(1, f"a call passes '{who}' for '{kind}', and the table has no right for them")


def _principals_by_kind(files: Mapping[Path, Bicep]) -> Iterator[tuple[str, str]]:
    """The pairs of kind of resource and kind of principal that calls of the module name."""
    for file in files.values():
        for call in file.of("module"):
            if Path(call.text).name != ROLES.name:
                continue
            kind = literal(at(call.body, "params", "kind"))
            for one in items(at(call.body, "params", "principals")):
                variable = file.named("variable", source(one))
                yield kind, literal(at(variable.value if variable else one, "who"))


def _roles_known(file: Bicep) -> dict[str, Any]:
    found = file.named("variable", "roleIds")
    known = literal(found.value) if found else {}
    return known if isinstance(known, dict) else {}


def _rows(file: Bicep) -> list[dict[str, Any]]:
    found = file.named("variable", "table")
    rows = literal(found.value) if found else []
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _created(file: Bicep) -> Iterator[Declaration]:
    return (one for one in file.of("resource") if not one.is_existing)
