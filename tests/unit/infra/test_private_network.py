"""With `privateNetwork` nothing stays public: `make infra-check` finds each way in which something would."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from infra_check import ROOT
from infra_checks.bicep import Bicep, source
from infra_checks.network import PARTS, check_endpoints, check_private

# A file of infra/, what stands there, the fault in its place, and what is said of it.
OPEN = {
    "storage lets everybody in": (
        "modules/storage-account.bicep",
        "isPrivate ? 'Deny' : 'Allow'",
        "'Allow'",
        "networkAcls.defaultAction must be",
    ),
    "storage lets Event Grid no longer in": (
        "modules/storage-account.bicep",
        "bypass: 'AzureServices'",
        "bypass: 'None'",
        "networkAcls.bypass must be",
    ),
    "the vault lets everybody in": (
        "modules/key-vault.bicep",
        "isPrivate ? 'Disabled' : 'Enabled'",
        "'Enabled'",
        "publicNetworkAccess must be",
    ),
    "the vault's firewall lets everybody in": (
        "modules/key-vault.bicep",
        "isPrivate ? 'Deny' : 'Allow'",
        "'Allow'",
        "networkAcls.defaultAction must be",
    ),
    "models answer everybody": (
        "modules/openai.bicep",
        "isPrivate ? 'Disabled' : 'Enabled'",
        "'Enabled'",
        "publicNetworkAccess must be",
    ),
    "Content Safety answers everybody": (
        "modules/content-safety.bicep",
        "isPrivate ? 'Disabled' : 'Enabled'",
        "isPrivate ? 'Enabled' : 'Disabled'",
        "publicNetworkAccess must be",
    ),
    "the registry answers everybody": (
        "modules/registry.bicep",
        "isPrivate ? 'Disabled' : 'Enabled'",
        "'Enabled'",
        "publicNetworkAccess must be",
    ),
    "the scheduler answers everybody": (
        "modules/durable-task.bicep",
        "isPrivate ? 'Disabled' : 'Enabled'",
        "'Enabled'",
        "publicNetworkAccess must be",
    ),
    "a switch is not passed on": (
        "main.bicep",
        "    isPrivate: privateNetwork && privateRegistry",
        "    isPrivate: privateRegistry",
        "isPrivate must be privateNetwork",
    ),
    "the wrong part": (
        "main.bicep",
        "groupId: 'vault'",
        "groupId: 'vaults'",
        "no private endpoint for the part 'vault'",
    ),
    "a part without an endpoint": ("main.bicep", "'pe-${name}-table', resourceId", "'x', resource", "part 'table' of"),
    "another part's zone": ("main.bicep", "privatelink.queue.", "privatelink.blob.", "no resource, part and zone"),
    "a zone that Azure does not ask": (
        "main.bicep",
        "privatelink.vaultcore.azure.net",
        "privatelink.vault.azure.net",
        "no private endpoint for the part 'vault'",
    ),
    "an endpoint of another resource": (
        "main.bicep",
        "resourceId: isNewKeyVault ? keyVaultId : '', groupId",
        "resourceId: isNewKeyVault ? storageId : '', groupId",
        "no resource, part and zone",
    ),
    "models without endpoints": (
        "main.bicep",
        "concat(fixedEndpoints, openAiEndpoints)",
        "fixedEndpoints",
        "not among the endpoints of module 'privateLinks'",
    ),
    "zones of some endpoints only": (
        "main.bicep",
        "union(map(privateEndpoints,",
        "union(map(openAiEndpoints,",
        "not among the zoneNames of module 'dnsZones'",
    ),
    "endpoints that follow another switch": (
        "main.bicep",
        "module privateLinks 'modules/private-endpoints.bicep' = if (privateNetwork)",
        "module privateLinks 'modules/private-endpoints.bicep' = if (privateRegistry)",
        "no module modules/private-endpoints.bicep that follows privateNetwork",
    ),
    "an endpoint whose name is in no zone": (
        "modules/private-endpoints.bicep",
        "privateDnsZones/${one.zone}",
        "privateDnsZones/${one.name}",
        "privateDnsZoneId must be made of the row's zone",
    ),
    "an endpoint of every part alike": (
        "modules/private-endpoints.bicep",
        "[one.groupId]",
        "['blob']",
        "groupIds must be made of the row's groupId",
    ),
    "an environment outside the network": (
        "main.bicep",
        "subnetId: privateNetwork ? appsSubnetId : ''",
        "subnetId: ''",
        "no module modules/environment.bicep that follows",
    ),
    "an environment that is open to everybody": (
        "modules/environment.bicep",
        "internal: true",
        "internal: false",
        "internal must be true",
    ),
    "something private of which nothing is known": (
        "main.bicep",
        "modules/key-vault.bicep",
        "modules/other.bicep",
        "module 'keyVault' can be private, and its parts are not known",
    ),
}


@pytest.fixture(scope="module")
def infra() -> dict[Path, Bicep]:
    """The files of infra/ by their path in it."""
    folder = ROOT / "infra"
    return {path.relative_to(folder): Bicep.read(path, path) for path in folder.rglob("*.bicep")}


@pytest.mark.parametrize("fault", OPEN)
def test_each_way_to_stay_public_is_found(fault: str, infra: dict[Path, Bicep]) -> None:
    """One change to infra/ as it is, and the finding that it deserves."""
    name, there, planted, expected = OPEN[fault]
    file = infra[Path(name)]
    assert there in file.text

    changed = {**infra, Path(name): Bicep(Path(name), file.text.replace(there, planted, 1), file.folder)}

    found = [str(one) for one in (*check_private(changed), *check_endpoints(changed))]
    assert any(expected in one for one in found), found


def test_the_switch_names_all_that_it_closes(infra: dict[Path, Bicep]) -> None:
    """Who sets it reads no further; the registry has a switch of its own."""
    (switch,) = [one for one in infra[Path("main.bicep")].of("parameter") if one.name == "privateNetwork"]
    names = ("storage", "vault", "models", "Content Safety", "scheduler")

    assert len(names) == len(PARTS) - 1 and "modules/registry.bicep" in PARTS
    assert all(name in source(switch.decorators["description"]) for name in names)


def test_other_words_for_the_same_are_no_finding(infra: dict[Path, Bicep]) -> None:
    """Names of variables, and how a row is made of them, are the template's own affair."""
    main = infra[Path("main.bicep")]
    text = main.text
    for word, other in (("storageId", "accountId"), ("fixedEndpoints", "ours"), ("isNewKeyVault", "makesVault")):
        assert word in text
        text = re.sub(rf"\b{word}\b", other, text)
    text = text.replace("concat(ours, openAiEndpoints)", "flatten([openAiEndpoints, ours])")

    changed = {**infra, Path("main.bicep"): Bicep(Path("main.bicep"), text, main.folder)}
    assert "flatten([openAiEndpoints, ours])" in text
    assert [str(one) for one in (*check_private(changed), *check_endpoints(changed))] == []
