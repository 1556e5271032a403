"""`scripts/deploy` and `scripts/teardown` with a recording stand-in for `az`: order, arguments, failures, repeats."""

from __future__ import annotations

import io
import json
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from tests.stand_ins.azure_cli import DIGEST, GROUP, SUBSCRIPTION, TENANT, TOKEN, Cloud

from assay.planning.preflight import checked_suite

ROOT = Path(__file__).resolve().parents[2]
IMAGE = f"crassay.azurecr.io/assay@{DIGEST}"
IN_SUBSCRIPTION = ["--subscription", SUBSCRIPTION]
CHANGES = ("deployment sub create", "deployment sub delete", "acr build", "provider register", "group delete")

ASSAY = """#!{python} -IS
import json, os, sys
from pathlib import Path
here = Path(__file__).parent
names = ("ASSAY_STORAGE", "ASSAY_STORAGE__blobServiceUri", "ASSAY_STORAGE__queueServiceUri", "KEY_VAULT_URI")
seen = {{"words": sys.argv[1:], "environment": {{name: os.environ[name] for name in names if name in os.environ}}}}
log = here / "assay.jsonl"
tries = sum(1 for _ in log.open()) if log.exists() else 0
with log.open("a") as lines:
    lines.write(json.dumps(seen) + "\\n")
failing = here / "assay_fails"
if failing.exists():
    code, times, message = json.loads(failing.read_text())
    if tries < times:
        sys.exit(sys.stderr.write(message) and code)
if sys.argv[1] == "submit":
    print(json.dumps({{"run": "smoke-1a2b"}}))
"""


@pytest.fixture(scope="module")
def deploying() -> Iterator[ModuleType]:
    """The script's modules, which are no part of the package."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import azure_deploy.main
    import azure_deploy.teardown

    yield azure_deploy
    sys.path.remove(str(ROOT / "scripts"))


@pytest.fixture
def cloud(tmp_path: Path, deploying: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """`az` and `assay` stand-ins, first in line; nobody at the keyboard."""
    made = Cloud(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{made.install()}:/usr/bin:/bin")
    monkeypatch.setenv("ASSAY_STORAGE", "UseDevelopmentStorage=true")
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    program = made.folder / "assay"
    program.write_text(ASSAY.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setattr("azure_deploy.preflight.ASSAY", program)
    monkeypatch.setattr("azure_deploy.suites.ASSAY", program)
    monkeypatch.setattr("azure_deploy.suites.SECONDS_BETWEEN_TRIES", 0.0)
    return made


Run = Callable[..., int]


@pytest.fixture
def deploy(deploying: ModuleType) -> Run:
    """Run `scripts/deploy` in a region, with more options."""
    return lambda *options: int(deploying.main.main(["--location", "swedencentral", *options]))


@pytest.fixture
def teardown(deploying: ModuleType) -> Run:
    """Run `scripts/teardown` likewise."""
    return lambda *options: int(deploying.teardown.main(["--location", "swedencentral", *options]))


def commands(cloud: Cloud) -> list[str]:
    """The commands in order, without options."""
    return [re.split(r" -", " ".join(call))[0] for call in cloud.calls]


def changes(cloud: Cloud) -> list[str]:
    """Those which change something."""
    return [command for command in commands(cloud) if command.startswith(CHANGES)]


def assay_calls(cloud: Cloud) -> list[dict[str, list[str]]]:
    log = cloud.folder / "assay.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def told(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


# A first deployment


def test_the_first_deployment_goes_from_preflight_to_the_app_in_order(cloud: Cloud, deploy: Run) -> None:
    """Registry before image, image before app; every change has a preview before it."""
    assert deploy("--yes") == 0

    assert [re.sub(r"/\S+/", "", command) for command in commands(cloud)] == [
        "version",
        "bicep version",
        "account show",
        "account get-access-token",
        "bicep build",
        "provider list",
        "cognitiveservices account list",
        "cognitiveservices usage list",
        "deployment sub show",
        "deployment sub what-if",
        "deployment sub create",
        "acr repository show",
        "acr build",
        "acr repository show",
        "deployment sub what-if",
        "deployment sub create",
    ]


def test_what_is_previewed_is_what_is_deployed(cloud: Cloud, deploy: Run) -> None:
    """Word for word: the same template and parameters."""
    deploy("--yes")

    common = ["--name", "assay-assay", "--location", "swedencentral"]
    common += ["--template-file", str(ROOT / "infra" / "main.bicep"), "--parameters"]
    common += ["name=assay", "location=swedencentral", "operatorsId=ada-object-id", "operatorsType=User"]
    previews, creations = cloud.done("deployment", "sub", "what-if"), cloud.done("deployment", "sub", "create")
    answer = ["--query", "properties.outputs", "--output", "json"]
    assert previews[0] == ["deployment", "sub", "what-if", *common, *IN_SUBSCRIPTION]
    assert previews[1] == ["deployment", "sub", "what-if", *common, f"image={IMAGE}", *IN_SUBSCRIPTION]
    assert creations[0] == ["deployment", "sub", "create", *common, *answer, *IN_SUBSCRIPTION]
    assert creations[1] == ["deployment", "sub", "create", *common, f"image={IMAGE}", *answer, *IN_SUBSCRIPTION]


def test_the_image_is_built_in_the_registry_with_commit_and_base(cloud: Cloud, deploy: Run) -> None:
    """And deployed by digest, so that nobody can put another one in its place."""
    deploy("--yes", "--base-digest", DIGEST)

    (build,) = cloud.done("acr", "build")
    assert build[:4] == ["acr", "build", "--registry", "crassay"]
    assert re.fullmatch(r"assay:[0-9a-z]{7,12}(-[0-9a-f]{12})?", build[build.index("--image") + 1])
    arguments = [build[at + 1] for at, word in enumerate(build) if word == "--build-arg"]
    assert [one.split("=")[0] for one in arguments] == ["REVISION", "VERSION", "BASE_DIGEST"]
    assert build[build.index("--platform") + 1] == "linux/amd64"
    assert str(ROOT) in build


def test_suites_and_smoke_run_go_to_the_deployed_account_with_the_own_identity(cloud: Cloud, deploy: Run) -> None:
    """What else the environment names, such as a local account, is left out."""
    assert deploy("--yes") == 0

    calls = assay_calls(cloud)
    assert [call["words"][0] for call in calls] == ["deploy", "deploy", "submit", "watch", "fetch", "verify"]
    assert calls[0]["words"][1] == str(ROOT / "config" / "support-triage")
    assert all(
        call["environment"]
        == {
            "ASSAY_STORAGE__blobServiceUri": "https://stassay.blob.core.windows.net",
            "ASSAY_STORAGE__queueServiceUri": "https://stassay.queue.core.windows.net",
            "KEY_VAULT_URI": "https://kv-assay.vault.azure.net",
        }
        for call in calls
    )


def test_the_last_words_are_links_and_what_to_set(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Resource group, app and workbook, in the right tenant."""
    deploy("--yes", "--no-smoke")

    shown = told(capsys)
    assert f"https://portal.azure.com/#@{TENANT}/resource{GROUP}\n" in shown
    assert f"{GROUP}/providers/Microsoft.Insights/workbooks/w1" in shown
    assert f"{GROUP}/providers/Microsoft.App/containerApps/ca-assay" in shown
    assert 'export ASSAY_STORAGE__blobServiceUri="https://stassay.blob.core.windows.net"' in shown


# Again


def test_a_second_deployment_of_the_same_code_builds_nothing(cloud: Cloud, deploy: Run) -> None:
    """And needs one step in place of two, as the registry is there."""
    deploy("--yes", "--no-smoke")
    before = len(cloud.calls)

    assert deploy("--yes", "--no-smoke") == 0

    again = [call for call in cloud.calls[before:] if call[0] in ("acr", "deployment")]
    assert [" ".join(call[:3]) for call in again] == [
        "deployment sub show",
        "acr repository show",
        "deployment sub what-if",
        "deployment sub create",
    ]
    assert f"image={IMAGE}" in again[-1]


def test_after_a_failure_the_same_command_goes_on(cloud: Cloud, deploy: Run) -> None:
    """What was deployed and built before the failure is not done twice."""
    cloud.fails("deployment sub what-if", "(Conflict) Another operation is in progress.")
    assert deploy("--yes") == 1
    cloud.mend("deployment sub what-if")

    assert deploy("--yes") == 0

    assert changes(cloud)[-1] == "deployment sub create"
    assert len(cloud.done("acr", "build")) == 1


def test_an_image_that_was_built_elsewhere_is_deployed_without_a_build(cloud: Cloud, deploy: Run) -> None:
    """In one step, even the first time."""
    assert deploy("--yes", "--no-smoke", "--image", IMAGE) == 0

    assert changes(cloud) == ["deployment sub create"]
    assert f"image={IMAGE}" in cloud.done("deployment", "sub", "create")[0]


def test_an_image_by_tag_is_refused(cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A tag can be moved."""
    assert deploy("--yes", "--image", "crassay.azurecr.io/assay:latest") == 1

    assert changes(cloud) == [] and "by digest" in told(capsys)


def test_equal_code_has_equal_tags(deploying: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit while nothing differs from it; else a digest of what goes into the image, too."""
    monkeypatch.setattr(deploying.image, "_git", lambda *words: "c0ffee" * 7 if words[0] == "rev-parse" else "")
    assert deploying.image.current_revision().tag == "c0ffeec0ffee"

    monkeypatch.setattr(deploying.image, "_git", lambda *words: "c0ffee" * 7 if words[0] == "rev-parse" else " M x")
    changed = deploying.image.current_revision().tag
    assert re.fullmatch(r"c0ffeec0ffee-[0-9a-f]{12}", changed) and changed == deploying.image.current_revision().tag


# Nothing is changed


def test_a_dry_run_changes_nothing_and_shows_every_command(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """It asks what is there, and previews."""
    assert deploy("--dry-run") == 0

    shown = told(capsys)
    assert changes(cloud) == [] and assay_calls(cloud) == []
    assert len(cloud.done("deployment", "sub", "what-if")) == 2
    assert shown.count("Would run: az deployment sub create") == 2 and "Would run: az acr build" in shown


@pytest.mark.parametrize(("answer", "message"), [("n\n", "Declined"), ("\n", "Declined"), ("", "Nobody is there")])
def test_who_declines_gets_nothing(
    cloud: Cloud,
    deploy: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    message: str,
) -> None:
    """Nor does a script that forgot --yes."""
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))

    assert deploy() == 1

    assert changes(cloud) == [] and message in told(capsys)


def test_who_agrees_is_asked_once(cloud: Cloud, deploy: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not again after the image, minutes later."""
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))

    assert deploy("--no-smoke") == 0
    assert changes(cloud) == ["deployment sub create", "acr build", "deployment sub create"]


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
    usage = [{"name": {"value": "OpenAI.GlobalStandard.gpt-4o-mini"}, "currentValue": 200, "limit": 250}]
    cloud.answers("cognitiveservices usage list", usage)

    assert deploy("--yes") == 1

    assert changes(cloud) == [] and "a capacity of 50 of OpenAI.GlobalStandard.gpt-4o-mini" in told(capsys)


def test_a_quota_that_is_not_listed_is_left_to_azure(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names of quotas follow no documented rule, so a missing one may be there under another name."""
    cloud.answers("cognitiveservices usage list", [])

    assert deploy("--yes", "--no-smoke") == 0
    assert "lists no quota OpenAI.GlobalStandard.gpt-4o-mini" in told(capsys)


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


def test_quota_that_this_environment_holds_counts_as_its_own(cloud: Cloud, deploy: Run) -> None:
    """Otherwise a second deployment would ask for twice of it."""
    usage = [{"name": {"value": "OpenAI.GlobalStandard.gpt-4o-mini"}, "currentValue": 100, "limit": 100}]
    held = {"sku": {"name": "GlobalStandard", "capacity": 100}, "properties": {"model": {"name": "gpt-4o-mini"}}}
    cloud.answers("cognitiveservices usage list", usage)
    cloud.answers("cognitiveservices account list", [{"name": "oai-assay", "location": "swedencentral"}])
    cloud.answers("cognitiveservices account deployment list", [held])

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
    assert created[created.index("--name") + 1] == "assay-prod"


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
    assert {name.upper() for name in used} - {"ASSAY_DEPLOY_RETRY_SECONDS"} <= outputs


# Suites and smoke run


def test_rights_that_are_not_there_yet_are_waited_for(cloud: Cloud, deploy: Run) -> None:
    """Azure spreads them over minutes."""
    (cloud.folder / "assay_fails").write_text(json.dumps([3, 2, "AuthorizationPermissionMismatch"]))

    assert deploy("--yes", "--no-smoke") == 0
    assert [call["words"][0] for call in assay_calls(cloud)] == ["deploy"] * 3


def test_a_mistake_in_a_suite_is_told_at_once(cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Waiting would not mend it."""
    (cloud.folder / "assay_fails").write_text(json.dumps([2, 99, "suite.yaml:3: unknown key 'expriments'"]))

    assert deploy("--yes") == 1

    assert len(assay_calls(cloud)) == 1 and "unknown key" in told(capsys)


def test_waiting_ends(cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """And says what the last try said."""
    (cloud.folder / "assay_fails").write_text(json.dumps([1, 99, "no run started within 30 seconds"]))

    assert deploy("--yes") == 1

    assert len(assay_calls(cloud)) == 15 and "no run started" in told(capsys)


def test_the_smoke_suite_is_a_valid_suite(deploying: ModuleType) -> None:
    """With whatever deployment there is."""
    suite = checked_suite(deploying.suites._SMOKE_SUITE.format(deployment="gpt-4.1"), "smoke")

    assert [one.name for one in suite.experiments] == ["plain", "polite"]
    assert "{{ number }}" in deploying.suites._SMOKE_SUITE.format(deployment="x")


def test_with_a_private_network_nothing_is_uploaded_from_here(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Storage cannot be reached."""
    read = {"parameters": {"privateNetwork": {"value": True}}}
    cloud.answers("bicep build-params", {"parametersJson": json.dumps(read)})

    assert deploy("--yes", "--parameters", str(ROOT / "infra" / "prod.bicepparam")) == 0
    assert assay_calls(cloud) == [] and "private network" in told(capsys)


def test_a_workflow_leaves_the_suites_to_the_operators(cloud: Cloud, deploy: Run) -> None:
    """It has no right to the data then, and waiting would bring none."""
    user = {"name": "app-id", "type": "servicePrincipal"}
    account = {"id": SUBSCRIPTION, "name": "Research", "tenantId": TENANT, "state": "Enabled", "user": user}
    cloud.answers("account show", account)
    cloud.answers(
        "bicep build-params", {"parametersJson": json.dumps({"parameters": {"operatorsId": {"value": "team"}}})}
    )

    assert deploy("--yes", "--parameters", str(ROOT / "infra" / "prod.bicepparam")) == 0
    assert assay_calls(cloud) == []


# Secrets


@pytest.mark.parametrize(
    "secret",
    [
        "DefaultEndpointsProtocol=https;AccountKey=c2VjcmV0c2VjcmV0;",
        "https://x.blob.core.windows.net/a?sv=2024&sig=c2VjcmV0c2VjcmV0",
        "Authorization: Bearer c2VjcmV0c2VjcmV0",
        '{"password": "c2VjcmV0c2VjcmV0"}',
        "api-key: c2VjcmV0c2VjcmV0",
    ],
)
def test_no_secret_is_printed(cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str], secret: str) -> None:
    """Whatever Azure puts into its complaints."""
    cloud.fails("deployment sub create", f"(Bad) in the request: {secret}")

    deploy("--yes")

    shown = told(capsys)
    assert "c2VjcmV0" not in shown and "in the request" in shown


def test_the_token_is_not_printed(cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor handed to another program."""
    deploy("--yes")

    assert TOKEN not in told(capsys)
    assert TOKEN not in json.dumps([cloud.calls, assay_calls(cloud)])


# Teardown


def test_teardown_deletes_the_group_and_the_record_after_the_name_was_written(
    cloud: Cloud, deploy: Run, teardown: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order: a record without its group could not be found again."""
    deploy("--yes", "--no-smoke")
    before = len(changes(cloud))
    monkeypatch.setattr("sys.stdin", io.StringIO("rg-assay\n"))

    assert teardown() == 0

    assert changes(cloud)[before:] == ["group delete", "deployment sub delete"]
    assert cloud.done("group", "delete")[0][2:5] == ["--name", "rg-assay", "--yes"]


@pytest.mark.parametrize("answer", ["y\n", "rg-other\n", ""])
def test_teardown_takes_nothing_but_the_name(
    cloud: Cloud, teardown: Run, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """A yes by habit deletes nothing."""
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))

    assert teardown() == 1
    assert changes(cloud) == []


def test_teardown_of_nothing_succeeds(cloud: Cloud, teardown: Run) -> None:
    """A second run has nothing left to do."""
    cloud.fails("group show", "(ResourceGroupNotFound) Resource group 'rg-assay' could not be found.")

    assert teardown("--yes") == 0
    assert changes(cloud) == []


def test_purging_leaves_protected_vaults_and_other_environments_alone(
    cloud: Cloud, teardown: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names and quota of this environment come free, others stay."""
    home = f"{GROUP}/providers/Microsoft"
    vaults = [
        {"name": "kv-a", "properties": {"vaultId": f"{home}.KeyVault/vaults/kv-a"}},
        {
            "name": "kv-b",
            "properties": {
                "vaultId": f"{home}.KeyVault/vaults/kv-b",
                "purgeProtectionEnabled": True,
                "scheduledPurgeDate": "2027-02-18T00:00:00+00:00",
            },
        },
    ]
    accounts = [
        {"name": "oai-a", "location": "swedencentral", "id": f"{home}.CognitiveServices/accounts/oai-a".upper()},
        {"name": "oai-b", "location": "swedencentral", "id": "/subscriptions/s/resourceGroups/rg-other/x"},
    ]
    cloud.answers("cognitiveservices account list-deleted", accounts)
    cloud.answers("keyvault list-deleted", vaults)

    assert teardown("--yes", "--purge") == 0

    assert [call[4] for call in cloud.done("cognitiveservices", "account", "purge")] == ["oai-a"]
    assert [call[3] for call in cloud.done("keyvault", "purge")] == ["kv-a"]
    assert "kv-b is protected and stays until 2027-02-18" in told(capsys)


def test_a_rehearsed_teardown_deletes_nothing(cloud: Cloud, teardown: Run) -> None:
    """It lists what would go."""
    assert teardown("--dry-run", "--purge") == 0
    assert changes(cloud) == [] and cloud.done("resource", "list")


@pytest.mark.parametrize("name", ["deploy", "teardown"])
def test_the_scripts_can_be_run(name: str) -> None:
    """From a checkout, without an environment."""
    script = ROOT / "scripts" / name

    assert script.stat().st_mode & stat.S_IXUSR
    assert script.read_text().startswith("#!/usr/bin/env python3\n")


# azd


def test_the_azd_hook_builds_and_provisions_once_for_each_image(
    cloud: Cloud, deploying: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The inner `azd provision` calls the hook again, which must come to an end."""
    import azd as hook

    log = cloud.folder / "azd.log"
    (cloud.folder / "azd").write_text(f'#!/bin/sh\necho "$@" >> "{log}"\n')
    (cloud.folder / "azd").chmod(0o755)
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
    monkeypatch.setenv("AZURE_CONTAINER_REGISTRY_ENDPOINT", "crassay.azurecr.io")
    monkeypatch.setenv("ASSAY_IMAGE", "")

    assert hook.main() == 0
    monkeypatch.setenv("ASSAY_IMAGE", IMAGE)
    assert hook.main() == 0

    assert log.read_text().splitlines() == [f"env set ASSAY_IMAGE {IMAGE}", "provision --no-prompt"]
    assert changes(cloud) == ["acr build"]


def test_the_azd_hook_is_for_azd(
    deploying: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says so when a person calls it."""
    import azd as hook

    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID", raising=False)

    assert hook.main() == 1
    assert "azd up" in told(capsys)
