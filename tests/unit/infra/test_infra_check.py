"""`make infra-check` finds what it says it finds: each rule meets a small deployment with one fault planted in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from infra_check import ROOT, findings, secrets
from infra_checks.bicep import Bicep
from infra_checks.modules import check_parameters_json
from infra_checks.names import FUNCTIONS
from infra_checks.secrets import check_text

MAIN = """targetScope = 'subscription'

import { shape } from 'modules/types.bicep'

@description('Region.')
param location string

@description('Copies.')
@allowed(['LRS', 'ZRS'])
param sku string = 'LRS'

@description('How many.')
@minValue(1)
@maxValue(5)
param count int = 2

@description('Only from inside.')
param privateNetwork bool = false

@description('Shapes.')
param shapes shape[] = []

var names = [for (one, at) in shapes: '${one.name}${at}']
var app = { who: 'app', id: 'an-id', type: 'ServicePrincipal' }

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: 'rg'
  location: location
}

module store 'modules/store.bicep' = if (count > 1) {
  name: 'store'
  scope: group
  params: {
    location: location
    sku: sku
    isPrivate: privateNetwork
    parts: map(names, name => toLower(name))
  }
}

module rights 'modules/roles.bicep' = {
  name: 'rights'
  scope: group
  params: {
    kind: 'storage'
    principals: [app]
  }
}

@description('Address.')
output url string = empty(names) ? '' : store!.outputs.url
"""
STORE = """@description('Region.')
param location string

@description('Copies.')
@allowed(['LRS', 'ZRS'])
param sku string

@description('Only from inside.')
param isPrivate bool

@description('Parts.')
param parts string[] = []

var settings = {
  ASSAY_PARTS: string(parts)
}

resource account 'Microsoft.Storage/storageAccounts@2025-06-01' = {
  name: 'store'
  location: location
  sku: {
    name: sku
  }
  tags: settings
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: 'Enabled'
    networkAcls: {
      bypass: 'AzureServices'
      defaultAction: isPrivate ? 'Deny' : 'Allow'
    }
  }
}

@description('Address.')
output url string = account.properties.primaryEndpoints.blob
"""
ROLES = """@description('Kind.')
param kind string

@description('Who.')
param principals { who: string, id: string, type: string }[]

var roleIds = {
  Reader: 'acdd72a7-3385-48ef-bd42-f606fba81ae7'
}

var table = [
  { on: 'storage', who: 'app', role: 'Reader' }
]

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: 'store'
}

var wanted = filter(table, row => row.on == kind)

resource grants 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for row in wanted: {
  scope: storage
  name: guid(storage.id, principals[0].id, roleIds[row.role])
  properties: { principalId: principals[0].id, principalType: 'ServicePrincipal', roleDefinitionId: roleIds[row.role] }
}]
"""
TYPES = """@export()
@description('A shape.')
type shape = {
  @description('Its name.')
  name: string
}
"""
PARAMETERS = "using './main.bicep'\n\nparam location = 'westeurope'\nparam count = 3\n"
VERSIONS = {
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.Resources/resourceGroups": "2024-03-01",
    "Microsoft.Storage/storageAccounts": "2025-06-01",
}
PROPERTIES = {
    "Microsoft.Storage/storageAccounts": {
        "": ["location", "name", "properties", "sku", "tags"],
        "properties": [
            "allowBlobPublicAccess",
            "allowSharedKeyAccess",
            "minimumTlsVersion",
            "networkAcls",
            "publicNetworkAccess",
            "supportsHttpsTrafficOnly",
        ],
        "properties.networkAcls": ["bypass", "defaultAction"],
        "sku": ["name"],
        "tags": [],
    }
}
FILES = {
    "main.bicep": MAIN,
    "modules/store.bicep": STORE,
    "modules/roles.bicep": ROLES,
    "modules/types.bicep": TYPES,
    "dev.bicepparam": PARAMETERS,
    "api-versions.json": json.dumps(VERSIONS),
    "properties.json": json.dumps(PROPERTIES),
}

# File, what stands there, the fault in its place, and what the finding says.
FAULTS = {
    "broken syntax": ("main.bicep", "name: 'rg'\n", "name: \n", "does not parse"),
    "the spread operator": ("main.bicep", "  name: 'rg'\n", "  ...app\n", "does not parse"),
    "an unknown name": (
        "main.bicep",
        "location: location\n    sku",
        "location: lokation\n    sku",
        "'lokation' is not",
    ),
    "a name outside its loop": ("main.bicep", "name: 'rg'", "name: one.name", "'one' is not declared"),
    "a name outside its lambda": (
        "main.bicep",
        "name: 'rg'",
        "name: concat(map(names, a => a), [a])[0]",
        "'a' is not decl",
    ),
    "an unknown function": ("main.bicep", "toLower(name)", "lower(name)", "'lower' is no function"),
    "an unknown decorator": ("main.bicep", "@minValue(1)", "@min(1)", "'min' is no function"),
    "an unused parameter": ("modules/store.bicep", "    name: sku\n", "    name: 'LRS'\n", "'sku' is never used"),
    "an unused variable": ("main.bicep", "[app]", "[{ who: 'app', id: '', type: '' }]", "variable 'app' is never used"),
    "an unused import": ("main.bicep", "shapes shape[] = []", "shapes object[] = []", "import 'shape' is never used"),
    "an unused existing resource": (
        "main.bicep",
        "module store ",
        "resource old 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {\n  name: 'a'\n}\n\nmodule store ",
        "resource 'old' is never used",
    ),
    "a name that is declared twice": (
        "main.bicep",
        "param count int = 2",
        "param sku int = 2",
        "'sku' is declared twice",
    ),
    "a module that is not there": ("main.bicep", "modules/store.bicep", "modules/shop.bicep", "is not there"),
    "a module that nothing calls": ("main.bicep", "modules/store.bicep", "modules/roles.bicep", "no other file calls"),
    "a missing parameter": ("main.bicep", "    sku: sku\n", "", "module 'store' needs the parameter 'sku'"),
    "a parameter too many": ("main.bicep", "    sku: sku\n", "    sku: sku\n    size: 1\n", "has no parameter 'size'"),
    "a module without a scope": (
        "main.bicep",
        "  scope: group\n  params: {\n    kind",
        "  params: {\n    kind",
        "a scope",
    ),
    "an output that is not there": ("main.bicep", "outputs.url", "outputs.address", "has no output 'address'"),
    "an output that nobody asks for": ("main.bicep", "store!.outputs.url", "sku", "output 'url' is never asked for"),
    "a parameter without a description": ("main.bicep", "@description('Region.')\n", "", "'location' has no @desc"),
    "an output without a description": ("main.bicep", "@description('Address.')\n", "", "output 'url' has no @desc"),
    "a default that is not allowed": ("main.bicep", "sku string = 'LRS'", "sku string = 'GRS'", "allowed are"),
    "a default above its limit": ("main.bicep", "count int = 2", "count int = 6", "the limits are 1 and 5"),
    "an argument that is not allowed": (
        "main.bicep",
        "    sku: sku\n",
        "    sku: 'XRS'\n",
        "'sku' of module 'store' is",
    ),
    "a secret parameter that is shown": ("main.bicep", "param location", "param secretOf", "needs @secure()"),
    "a secret in an output": (
        "main.bicep",
        "@description('How many.')",
        "@secure()\n@description('Hidden.')\nparam hidden string\n\n"
        "@description('Shown.')\noutput shown string = hidden\n\n"
        "@description('How many.')",
        "output 'shown' shows a secret",
    ),
    "a file that is not there": ("main.bicep", "name: 'rg'", "name: loadTextContent('a.txt')", "names no file"),
    "an unknown API version": ("main.bicep", "2024-03-01", "2023-03-01", "is not in the list"),
    "an unknown type": ("main.bicep", "resourceGroups@", "groups@", "is not in the list, which has no such type"),
    "a type in the list that nothing uses": (
        "api-versions.json",
        "{",
        '{"A.B/c": "2020-01-01", ',
        "nothing uses A.B/c",
    ),
    "a property that is none": ("modules/store.bicep", "  tags: settings", "  tag: settings", "no property 'tag'"),
    "a property below that is none": (
        "modules/store.bicep",
        "    networkAcls: {\n",
        "    networkAcls: {\n      bypas: 'None'\n",
        "there is no property 'properties.networkAcls.bypas'",
    ),
    "a property of a variable that is none": (
        "modules/store.bicep",
        "  sku: {\n    name: sku\n  }\n",
        "  sku: empty(sku) ? null : settings\n",
        "there is no property 'sku.ASSAY_PARTS'",
    ),
    "an object that is not recorded": (
        "modules/store.bicep",
        "    networkAcls: {\n",
        "    networkAcls: {\n      defaultRules: { a: 1 }\n",
        "'properties.networkAcls.defaultRules' is not recorded",
    ),
    "a right that is given elsewhere": (
        "modules/store.bicep",
        "@description('Address.')",
        "resource extra 'Microsoft.Authorization/roleAssignments@2022-04-01' = {\n  name: guid('a')\n}\n\n"
        "@description('Address.')",
        "'extra' gives a right; only",
    ),
    "a right on a whole group": ("modules/roles.bicep", "  scope: storage\n", "", "has no scope"),
    "a right without a principal type": (
        "modules/roles.bicep",
        "principalType: 'ServicePrincipal', ",
        "",
        "principalType",
    ),
    "two rights of one name": ("modules/roles.bicep", "principals[0].id, roleIds", "roleIds", "its name must be guid("),
    "a loop inside a variable": (
        "main.bicep",
        "var app = {",
        "var all = { a: [for one in shapes: one.name] }\nvar app = {",
        "'all': no loop is allowed here",
    ),
    "a loop of properties in another": (
        "modules/store.bicep",
        "  tags: settings\n",
        "  tags: [for one in parts: { a: [for two in parts: two] }]\n",
        "a loop in a loop of properties",
    ),
    "a condition that comes too late": (
        "main.bicep",
        "module rights 'modules/roles.bicep' = {",
        "var late = store!.outputs.url\n\nmodule rights 'modules/roles.bicep' = if (empty(late)) {",
        "'rights': its condition depends on store!.outputs",
    ),
    "a loop over what comes too late": (
        "modules/roles.bicep",
        "for row in wanted:",
        "for row in storage.properties.tables:",
        "'grants': its loop depends on storage.properties",
    ),
    "a name that comes too late": (
        "main.bicep",
        "  name: 'rights'",
        "  name: store!.outputs.url",
        "its name depends on",
    ),
    "an output of what may not be there": ("main.bicep", "store!.outputs", "store.outputs", "'store' may not be there"),
    "a role without a GUID": ("modules/roles.bicep", "role: 'Reader'", "role: 'Owner'", "role 'Owner' has no GUID"),
    "a role that nobody gets": (
        "modules/roles.bicep",
        "role: 'Reader'",
        "role: 'Owner'",
        "'Reader' is given to nobody",
    ),
    "a GUID that is none": ("modules/roles.bicep", "acdd72a7-", "acdd-", "is no GUID of its own"),
    "a right that no call passes": ("modules/roles.bicep", "on: 'storage'", "on: 'vault'", "no call of this module"),
    "a call without a right": ("main.bicep", "kind: 'storage'", "kind: 'vault'", "the table has no right for them"),
    "shared keys": (
        "modules/store.bicep",
        "allowSharedKeyAccess: false",
        "allowSharedKeyAccess: true",
        "must be False",
    ),
    "nothing said of shared keys": (
        "modules/store.bicep",
        "    allowSharedKeyAccess: false\n",
        "",
        "allowSharedKeyAccess",
    ),
    "public blobs": ("modules/store.bicep", "PublicAccess: false", "PublicAccess: isPrivate", "allowBlobPublicAccess"),
    "public where the switch says private": (
        "modules/store.bicep",
        "isPrivate ? 'Deny' : 'Allow'",
        "isPrivate ? 'Allow' : 'Allow'",
        "networkAcls.defaultAction must be",
    ),
    "a switch that is not passed on": (
        "main.bicep",
        "isPrivate: privateNetwork",
        "isPrivate: false",
        "must be privateN",
    ),
    "a connection string that is read": (
        "modules/store.bicep",
        "account.properties.primaryEndpoints.blob",
        "account.properties.connectionString",
        "a connection string may be read only of",
    ),
    "a secret setting": ("modules/store.bicep", "ASSAY_PARTS:", "AZURE_OPENAI_API_KEY:", "is a secret"),
    "an unknown parameter in a file": ("dev.bicepparam", "param count", "param kount", "has no parameter 'kount'"),
    "a value in a file above its limit": ("dev.bicepparam", "count = 3", "count = 9", "'count' is 9; the limits are"),
    "a parameter missing in a file": ("dev.bicepparam", "param location = 'westeurope'\n", "", "'location' is missing"),
    "a parameter file that does not parse": ("dev.bicepparam", "count = 3", "count = [", "does not parse"),
}


def deployment(folder: Path, **changed: str) -> Path:
    """A small deployment in a folder, with some files replaced."""
    for name, text in {**FILES, **changed}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def test_a_sound_deployment_has_no_findings(tmp_path: Path) -> None:
    """What is planted below is what the findings are about."""
    assert [str(one) for one in findings(deployment(tmp_path))] == []


@pytest.mark.parametrize("fault", FAULTS)
def test_each_rule_finds_its_fault(fault: str, tmp_path: Path) -> None:
    """One change to a sound deployment, and the finding that it deserves, in the file that it is about."""
    name, there, planted, expected = FAULTS[fault]
    assert there in FILES[name]

    found = [str(one) for one in findings(deployment(tmp_path, **{name: FILES[name].replace(there, planted, 1)}))]

    assert any(expected in one for one in found), found


@pytest.mark.parametrize(
    "text",
    [
        "value: account.listKeys().keys[0].value",
        "value: listKeys(account.id, '2025-06-01').keys[0].value",
        "value: registry.listCredentials().passwords[0].value",
        "value: 'DefaultEndpointsProtocol=https;AccountName=a'",
        "AccountKey=abc",
        "Endpoint=sb://a.servicebus.windows.net/;SharedAccessKeyName=b",
        "InstrumentationKey=00000000-0000-0000-0000-000000000000",
        "key: insights.properties.InstrumentationKey",
        "sharedKey: workspace",
        "https://a.blob.core.windows.net/b?sv=1&sig=abc",
        "-----BEGIN EC PRIVATE KEY-----",
        "key: 'aB3dE5fG7hI9jK1lM3nO5pQ7rS9tU1vW3xY5zA7bC9dE1fG3hI5jK7lM9nO1pQ3rS5tU7vW9xY1zA3bC5dE7fA=='",
    ],
)
def test_a_key_is_found_in_any_text(text: str) -> None:
    """Whatever the file is, and wherever in the line it stands."""
    assert next(check_text(Path("a.yml"), f"first: line\n{text}\n")).line == 2


def test_an_identity_is_no_key() -> None:
    """What the Durable Task Scheduler calls a connection string names an identity."""
    address = "Endpoint=https://a.durabletask.io;TaskHub=b;Authentication=ManagedIdentity;ClientID=c"
    assert list(check_text(Path("a.bicep"), address)) == []


def test_a_parameter_file_in_json_is_held_to_the_template() -> None:
    """Placeholders of azd are replaced before the deployment, so they are left alone."""
    given = {"location": "${AZURE_LOCATION}", "sku": "XRS", "kount": 1}
    text = json.dumps({"parameters": {name: {"value": value} for name, value in given.items()}})

    found = [one.message for one in check_parameters_json(Path("a.json"), text, Bicep(Path("main.bicep"), MAIN))]

    assert found == ["'sku' is 'XRS'; allowed are ['LRS', 'ZRS']", "main.bicep has no parameter 'kount'"]


def test_no_function_that_reads_keys_is_allowed() -> None:
    """The list of functions is a door that has to stay shut."""
    assert not [name for name in FUNCTIONS if name.startswith("list") or name in ("reference", "getSecret", "newGuid")]


def test_the_deployment_has_no_findings() -> None:
    """`make infra-check`: every file of infra/."""
    assert [str(one) for one in findings(ROOT / "infra")] == []


def test_no_key_is_in_what_is_deployed() -> None:
    """Infra, host settings, workflows, scripts that deploy."""
    assert [str(one) for one in secrets(ROOT)] == []
