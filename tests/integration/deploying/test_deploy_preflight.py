"""What `scripts/deploy` finds before it changes anything, and what it says of failures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import pytest
from tests.integration.deploying.recorded import IN_SUBSCRIPTION, ROOT, Run, changes, commands, told
from tests.stand_ins.azure_cli import SUBSCRIPTION, TENANT, Cloud

# Preflight


@pytest.mark.parametrize(
    ("command", "complaint", "advice"),
    [
        ("bicep version", "Bicep CLI not found. Install it now by running az bicep install.", "az bicep install"),
        ("account show", "Please run 'az login' to setup account.", "az login"),
        ("bicep build", "main.bicep(3,7) : Error BCP057: The name 'x' does not exist", "names the line"),
        ("provider list", "(AuthorizationFailed) The client does not have authorization", "Contributor"),
        ("cognitiveservices usage list", "HTTPSConnectionPool: Max retries exceeded", "network"),
        ("account get-access-token", "AADSTS700082: The refresh token has expired", "az login"),
        ("deployment sub what-if", "(InvalidTemplateDeployment) RequestDisallowedByPolicy: no public", "policy"),
        ("deployment sub create", "(InsufficientQuota) This operation requires 100", "quotaincrease"),
        ("deployment sub create", "does not have Microsoft.Authorization/roleAssignments/write", "Owner"),
        ("deployment sub create", "(UnmatchedPrincipalType) The PrincipalId has type 'Group'", "`operatorsType`"),
        ("deployment sub create", "(DeploymentActive) the previous deployment is still active", "wait for it"),
        ("deployment sub create", "(InvalidResourceGroupLocation) already exists in location 'westus'", "--location"),
        ("deployment sub create", "(StorageAccountAlreadyTaken) The storage account named x", "another --name"),
        ("cognitiveservices model list", "(LocationNotAvailableForResourceType) 'narnia' is not", "another region"),
        ("deployment sub create", "(FlagMustBeSetForRestore) An existing resource", "--purge"),
    ],
)
def test_every_failure_names_its_step_and_says_what_to_do(
    cloud: Cloud,
    deploy: Run,
    capsys: pytest.CaptureFixture[str],
    command: str,
    complaint: str,
    advice: str,
) -> None:
    """Azure's own words stay, and nothing is done after it."""
    cloud.fails(command, complaint)

    assert deploy("--yes") == 1

    shown = told(capsys)
    assert "Deployment stopped." in shown and complaint in shown and advice in shown
    assert commands(cloud)[-1] == command


def test_a_failed_build_stops_before_the_app(cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """An app without its image would fail in Azure, much later."""
    cloud.fails("acr build", "failed to run step ID: build: exit status 1")

    assert deploy("--yes") == 1

    assert len(cloud.done("deployment", "sub", "create")) == 1
    assert "Building the image" in told(capsys)


def test_without_az_it_says_where_to_get_it(
    cloud: Cloud, deploy: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first thing that is looked for."""
    monkeypatch.setenv("PATH", "/nonexistent")

    assert deploy() == 1
    assert "https://aka.ms/install-azure-cli" in told(capsys)


def test_an_old_az_is_refused(cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Its commands have other options."""
    cloud.answers("version", {"azure-cli": "2.9.1"})

    assert deploy() == 1
    assert "2.60.0 or newer" in told(capsys)


def test_another_subscription_is_named_in_every_later_command(cloud: Cloud, deploy: Run) -> None:
    """The current one of the CLI is neither used nor changed."""
    assert deploy("--yes", "--subscription", "Research", "--no-smoke") == 0

    at = commands(cloud).index("account show")
    assert cloud.calls[at][-4:] == ["--subscription", "Research", "--output", "json"]
    assert all(call[-2:] == IN_SUBSCRIPTION for call in cloud.calls[at + 1 :])
    assert not cloud.done("account", "set")


def test_a_subscription_one_does_not_have_is_refused(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command that lists those one has."""
    cloud.fails("account show", "Subscription 'Sales' not found.")

    assert deploy("--subscription", "Sales") == 1
    assert "az account list" in told(capsys)


def test_a_disabled_subscription_is_refused(cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything in it would fail."""
    user = {"name": "ada@example.com", "type": "user"}
    account = {"id": SUBSCRIPTION, "name": "Old", "tenantId": TENANT, "state": "Disabled", "user": user}
    cloud.answers("account show", account)

    assert deploy() == 1
    assert "'Old' is Disabled" in told(capsys)


def test_missing_providers_are_registered_and_waited_for(cloud: Cloud, deploy: Run) -> None:
    """Those only."""
    cloud.answers("provider list", ["Microsoft.Storage", "microsoft.app", "Microsoft.KeyVault"])

    deploy("--yes", "--no-smoke")

    registered = cloud.done("provider", "register")
    assert [call[3] for call in registered][:2] == ["Microsoft.CognitiveServices", "Microsoft.ContainerRegistry"]
    assert len(registered) == 6 and all("--wait" in call for call in registered)


def test_too_little_quota_is_found_before_anything_is_changed(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Azure would find it minutes into the deployment."""
    usage = [{"name": {"value": "OpenAI.GlobalStandard.gpt-5.4-mini"}, "currentValue": 200, "limit": 250}]
    cloud.answers("cognitiveservices usage list", usage)

    assert deploy("--yes") == 1

    assert changes(cloud) == [] and "a capacity of 50 of OpenAI.GlobalStandard.gpt-5.4-mini" in told(capsys)


def test_a_quota_that_is_not_listed_is_left_to_azure(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names of quotas follow no documented rule, so a missing one may be there under another name."""
    cloud.answers("cognitiveservices usage list", [])

    assert deploy("--yes", "--no-smoke") == 0
    assert "lists no quota OpenAI.GlobalStandard.gpt-5.4-mini" in told(capsys)


@pytest.mark.parametrize(
    ("sku", "listed"),
    [("GlobalStandard", "OpenAI.GlobalStandard.gpt4.1-mini"), ("ProvisionedManaged", "OpenAI.ProvisionedManaged")],
)
def test_quotas_are_known_by_azures_names(cloud: Cloud, deploying: ModuleType, sku: str, listed: str) -> None:
    """A hyphen less for some models, and no model for provisioned units."""
    account = {"name": "main", "deployments": [{"name": "x", "model": "gpt-4.1-mini", "sku": sku, "capacity": 30}]}
    cloud.answers("cognitiveservices usage list", [{"name": {"value": listed}, "currentValue": 0, "limit": 29}])
    demands = deploying.quota.demands_of([account], "westus")

    with pytest.raises(deploying.az.StepFailed, match="capacity of 29"):
        deploying.quota.check_quota(deploying.az.Azure(), demands, {})


def has(cloud: Cloud, name: str, version: str) -> None:
    """Let the environment have one deployment already, of a model of its name."""
    model = {"model": {"format": "OpenAI", "name": name, "version": version}}
    made = {"name": name, "sku": {"name": "GlobalStandard", "capacity": 100}, "properties": model}
    cloud.answers("cognitiveservices account list", [{"name": "oai-assay", "location": "Sweden Central"}])
    cloud.answers("cognitiveservices account deployment list", [made])


def test_quota_that_this_environment_holds_counts_as_its_own(cloud: Cloud, deploy: Run) -> None:
    """Otherwise a second deployment would ask for twice of it."""
    usage = [{"name": {"value": "OpenAI.GlobalStandard.gpt-5.4-mini"}, "currentValue": 100, "limit": 100}]
    cloud.answers("cognitiveservices usage list", usage)
    has(cloud, "gpt-5.4-mini", "2026-03-17")

    assert deploy("--yes", "--no-smoke") == 0


def test_accounts_of_ones_own_ask_for_no_quota(deploying: ModuleType) -> None:
    """Their deployments are there; others count by region and kind, added up."""
    ours = {"name": "west", "location": "westus", "deployments": [{"name": "a", "model": "gpt-4.1", "capacity": 5}]}
    theirs = {"name": "x", "resourceId": "/subscriptions/s", "deployments": [{"name": "gpt-4.1", "capacity": 900}]}
    twice = {"name": "y", "location": "westus", "deployments": [{"name": "gpt-4.1", "capacity": 7, "sku": None}]}

    (demand,) = deploying.quota.demands_of([ours, theirs, twice], "swedencentral")

    assert (demand.location, demand.usage, demand.capacity) == ("westus", "OpenAI.GlobalStandard.gpt-4.1", 12)


# Parameters


def test_a_bicepparam_file_is_compiled_and_handed_on(cloud: Cloud, deploy: Run) -> None:
    """Its values count for names and quota; the options come after it."""
    read = {"parameters": {"name": {"value": "prod"}, "resourceGroupName": {"value": "rg-llm"}}}
    cloud.answers("bicep build-params", {"parametersJson": json.dumps(read), "templateJson": "{}"})
    file = ROOT / "infra" / "prod.bicepparam"

    assert deploy("--yes", "--no-smoke", "--parameters", str(file)) == 0

    created = cloud.done("deployment", "sub", "create")[-1]
    at = created.index(str(file))
    assert created[at - 1] == "--parameters" and created[at + 1 : at + 3] == ["--parameters", "name=prod"]
    assert created[created.index("--name") + 1] == "prod-rg-llm"


def test_operators_of_the_parameters_file_are_left_alone(cloud: Cloud, deploy: Run) -> None:
    """A group of people, say."""
    read = {"parameters": {"operatorsId": {"value": "team-id"}}}
    cloud.answers("bicep build-params", {"parametersJson": json.dumps(read)})

    deploy("--yes", "--no-smoke", "--parameters", str(ROOT / "infra" / "dev.bicepparam"))

    assert not any("operatorsId" in word for word in cloud.done("deployment", "sub", "create")[-1])


def test_a_service_principal_deploys_too(cloud: Cloud, deploy: Run) -> None:
    """As a workflow does, which may not read the directory and whose proof of identity is soon too old."""
    user = {"name": "app-id", "type": "servicePrincipal"}
    account = {"id": SUBSCRIPTION, "name": "Research", "tenantId": TENANT, "state": "Enabled", "user": user}
    cloud.answers("account show", account)

    deploy("--yes", "--no-smoke")

    assert commands(cloud).index("account get-access-token") < commands(cloud).index("bicep build")
    assert {"operatorsId=ada-object-id", "operatorsType=ServicePrincipal"} <= set(
        cloud.done("deployment", "sub", "create")[-1]
    )


def test_parameters_that_only_azd_can_fill_in_are_refused(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Azure would take ${AZURE_LOCATION} for a region."""
    assert deploy("--yes", "--parameters", str(ROOT / "infra" / "main.parameters.json")) == 1
    assert "only `azd` fills in" in told(capsys)


def test_without_a_region_it_asks_for_one(
    cloud: Cloud, deploying: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no region that suits everybody."""
    assert deploying.main.main(["--yes"]) == 1
    assert "--location" in told(capsys) and changes(cloud) == []


def test_the_template_has_every_parameter_and_output_that_the_script_uses(deploying: ModuleType) -> None:
    """A renamed one would be noticed in Azure only."""
    template = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")
    parameters = set(re.findall(r"^param (\w+)", template, re.MULTILINE))
    outputs = {name.upper() for name in re.findall(r"^output (\w+)", template, re.MULTILINE)}
    scripts = "".join(path.read_text() for path in sorted((ROOT / "scripts" / "azure_deploy").glob("*.py")))

    assert {"name", "location", "image", "operatorsId", "operatorsType"} <= parameters
    assert set(re.findall(r'values(?:\.get\(|\[)"(\w+)"', scripts)) <= parameters
    used = set(re.findall(r'"((?:ASSAY|AZURE|KEY)_[A-Za-z_]+)"', scripts)) - {"ASSAY_", "AZURE_OPENAI_", "KEY_VAULT_"}
    of_suites = {"ASSAY_SUITE_", "ASSAY_CODE"}
    assert {name.upper() for name in used} - {"ASSAY_DEPLOY_RETRY_SECONDS"} - of_suites <= outputs


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"parameters": {"locatoin": {"value": "westus"}}}', "no parameter 'locatoin'; did you mean 'location'?"),
        ('{"parameters": {"colour": {"value": "red"}}}', "no parameter 'colour'; docs/azure.md lists them all"),
        ('{"parameters": {"name": "prod"}}', 'expected {"parameters": {"name"'),
        ("[]", 'expected {"parameters": {"name"'),
        ('{"name": ', "expected a JSON parameters file"),
        ('{"parameters": {"name": {"value": "Prod"}}}', "2 to 7 lower-case letters and digits"),
        ('{"parameters": {"openAiAccounts": {"value": []}}}', "expected a list of accounts"),
        ('{"parameters": {"openAiAccounts": {"value": [{"name": "main"}]}}}', "a list of `deployments`"),
        (
            '{"parameters": {"openAiAccounts": {"value": [{"name": "a", "deployments": []}, {"deployments": []}]}}}',
            'each with a `name` and a list of `deployments`, and found {"deployments": []}.',
        ),
        (
            '{"parameters": {"openAiAccounts": {"value": [{"name": "a", "deployments": [{"name": "x"}]}]}}}',
            "needs a `name` and a whole number as `capacity`",
        ),
    ],
)
def test_a_mistake_in_the_parameters_file_is_found_before_anything_is_changed(
    cloud: Cloud, deploy: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, complaint: str
) -> None:
    """With the name of the file, in a sentence."""
    file = tmp_path / "my parameters é.json"
    file.write_text(content, encoding="utf-8")

    assert deploy("--yes", "--parameters", str(file)) == 1
    assert complaint in told(capsys) and changes(cloud) == []


def test_a_file_with_a_byte_order_mark_and_empty_values_is_read_as_azure_does(
    cloud: Cloud, deploy: Run, tmp_path: Path
) -> None:
    """Windows writes the one; the other leaves the default."""
    file = tmp_path / "parameters.json"
    file.write_text('{"parameters": {"name": {"value": null}}}', encoding="utf-8-sig")

    assert deploy("--yes", "--no-smoke", "--parameters", str(file)) == 0
    assert "name=assay" in cloud.done("deployment", "sub", "create")[-1]


def test_secrets_of_the_parameters_file_are_not_shown(
    cloud: Cloud, deploy: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor handed to a command, where other users of the machine see them: Azure gets the file."""
    file = tmp_path / "parameters.json"
    file.write_text('{"parameters": {"secrets": {"value": {"warehouse": "c2VjcmV0c2VjcmV0"}}}}', encoding="utf-8")

    assert deploy("--yes", "--no-smoke", "--parameters", str(file)) == 0
    assert "c2VjcmV0" not in told(capsys) + json.dumps(cloud.calls)


def test_a_region_is_the_same_however_it_is_written(cloud: Cloud, deploying: ModuleType) -> None:
    """The names of the resources depend on it: another spelling would make others."""
    assert deploying.main.main(["--yes", "--no-smoke", "--location", "Sweden Central"]) == 0
    assert "location=swedencentral" in cloud.done("deployment", "sub", "create")[0]


@pytest.mark.parametrize(
    ("deployment", "complaint"),
    [
        ({"name": "gpt-5.4-mino"}, "no model 'gpt-5.4-mino'. It has: gpt-5.4-mini"),
        (
            {"name": "x", "model": "gpt-4o", "version": "2024-01-01"},
            "no version '2024-01-01' of gpt-4o. It has: 2024-11-20",
        ),
        ({"name": "gpt-4o", "sku": "Standard"}, "not as Standard, only as GlobalStandard"),
    ],
)
def test_what_a_region_does_not_have_is_found_before_anything_is_changed(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str], deployment: dict[str, str], complaint: str
) -> None:
    """Azure would find it minutes into the deployment."""
    accounts = [{"name": "main", "location": "Sweden Central", "deployments": [{"capacity": 1} | deployment]}]
    read = {"parameters": {"openAiAccounts": {"value": accounts}}}
    cloud.answers("bicep build-params", {"parametersJson": json.dumps(read)})

    assert deploy("--yes", "--parameters", str(ROOT / "infra" / "dev.bicepparam")) == 1
    assert f"swedencentral has {complaint}" in told(capsys).replace("gpt-4o  not", "not") and changes(cloud) == []


@pytest.mark.parametrize(("version", "code"), [("2026-03-17", 0), ("2026-01-01", 1)])
def test_a_version_that_is_deployed_already_stops_no_upgrade_of_the_code(
    cloud: Cloud, deploy: Run, version: str, code: int
) -> None:
    """Azure goes on answering what it no longer offers; another version than the one that is there is a new one."""
    cloud.answers("cognitiveservices model list", [{"name": "gpt-5.4-mini", "version": "2027-01-01", "skus": []}])
    has(cloud, "gpt-5.4-mini", version)

    assert deploy("--yes", "--no-smoke") == code


@pytest.mark.parametrize("other", [{"name": "x"}, {"sku": "Standard"}, {"model": "gpt-4o"}, {"version": "2"}])
def test_only_the_very_deployment_is_one_that_is_there(deploying: ModuleType, other: dict[str, str]) -> None:
    """Anything else is made anew, and Azure would refuse it."""
    made = deploying.existing.Existing("westus", "mini", "gpt-5.4-mini", "1", "GlobalStandard", 100)
    asked = {"name": "mini", "model": "gpt-5.4-mini", "version": "1", "capacity": 5}

    assert made.is_meant_by(asked, "westus") and made.is_meant_by({**asked, "version": None}, "westus")
    assert not made.is_meant_by(asked, "eastus") and not made.is_meant_by({**asked, **other}, "westus")


def test_a_region_that_lists_no_models_is_left_to_azure(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list may be there under another kind one day. It is asked, and warned of, once for all accounts."""
    cloud.answers("cognitiveservices model list", [])
    accounts = [{"name": name, "deployments": [{"name": "gpt-4o", "capacity": 1}]} for name in ("main", "second")]
    read = {"parameters": {"openAiAccounts": {"value": accounts}}}
    cloud.answers("bicep build-params", {"parametersJson": json.dumps(read)})

    assert deploy("--yes", "--no-smoke", "--parameters", str(ROOT / "infra" / "dev.bicepparam")) == 0
    assert told(capsys).count("Warning: swedencentral lists no models") == 1


def test_providers_are_those_of_the_template(deploying: ModuleType) -> None:
    """A new resource type brings its provider along."""
    types = json.loads((ROOT / "infra" / "api-versions.json").read_text(encoding="utf-8"))
    named = {one.split("/")[0].lower() for one in re.findall(r"Microsoft\.\w+/[\w/]+", json.dumps(types))}
    always = {"microsoft.authorization", "microsoft.resources"}

    known = {*deploying.preflight.PROVIDERS, *deploying.preflight.PROVIDERS_FOR.values()}
    assert {one.lower() for one in known} == named - always


def test_a_private_network_needs_one_provider_more(cloud: Cloud, deploy: Run) -> None:
    """Which many subscriptions do not have yet."""
    read = {"parameters": {"privateNetwork": {"value": True}}}
    cloud.answers("bicep build-params", {"parametersJson": json.dumps(read)})

    deploy("--yes", "--parameters", str(ROOT / "infra" / "prod.bicepparam"))

    assert [call[3] for call in cloud.done("provider", "register")] == ["Microsoft.Network"]


@pytest.mark.parametrize("options", [["--image", "crassay.azurecr.io/assay:latest"], ["--base-digest", "sha256:abc"]])
def test_what_is_not_named_by_digest_is_refused_before_az_is_asked(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """The build would find it minutes later."""
    assert deploy("--yes", *options) == 1
    assert cloud.calls == [] and "sha256:" in told(capsys)


# Failures


NESTED = {
    "status": "Failed",
    "error": {
        "code": "DeploymentFailed",
        "target": "/subscriptions/s/providers/Microsoft.Resources/deployments/assay-rg-assay",
        "message": "At least one resource deployment operation failed. Please list deployment operations for details. "
        * 20,
        "details": [
            {
                "code": "ResourceDeploymentFailure",
                "target": "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Resources/deployments/openai-main",
                "message": "The resource write operation failed to complete successfully.",
                "details": [{"code": "InsufficientQuota", "message": "This operation requires 100 new capacity."}],
            },
            {
                "code": "Conflict",
                "message": json.dumps({"error": {"code": "VaultAlreadyExists", "message": "The name is in use."}}),
            },
        ],
    },
}


def test_the_innermost_errors_are_told_each_with_its_remedy(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Azure nests them, and repeats itself on the way there."""
    cloud.fails("deployment sub create", json.dumps(NESTED))

    assert deploy("--yes") == 1

    shown = told(capsys)
    assert "InsufficientQuota (deployments/openai-main): This operation requires 100 new capacity." in shown
    assert "VaultAlreadyExists (deployments/assay-rg-assay): The name is in use." in shown
    assert "quotaincrease" in shown and "choose another --name" in shown
    assert "At least one" not in shown


def test_of_a_long_complaint_the_end_is_told_too(cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A build says at the end why it failed."""
    cloud.fails("acr build", "step\n" * 2000 + "TasksOperationsNotAllowed: not permitted.")

    assert deploy("--yes") == 1
    shown = told(capsys)
    assert "not permitted." in shown and "build with Docker" in shown and len(shown) < 6000
