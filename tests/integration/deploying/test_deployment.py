"""`scripts/deploy` with a recording stand-in for `az`: order, arguments, repeats, what is never printed."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from types import ModuleType

import pytest
from tests.integration.deploying.recorded import IMAGE, IN_SUBSCRIPTION, ROOT, Run, assay_calls, changes, commands, told
from tests.stand_ins.azure_cli import DIGEST, GROUP, SUBSCRIPTION, TENANT, TOKEN, Cloud

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
        "cognitiveservices model list",
        "cognitiveservices usage list",
        "deployment sub show",
        "group show",
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

    common = ["--name", "assay-rg-assay", "--location", "swedencentral"]
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
        "acr show --name",
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


# What was left behind by others, or by halves


def test_a_registry_that_is_gone_means_a_first_deployment(cloud: Cloud, deploy: Run) -> None:
    """As after the group was deleted in the portal, which leaves the deployment's record."""
    deploy("--yes", "--no-smoke")
    cloud.fails("acr show", "The resource with name 'crassay' could not be found in subscription 'Research'.")
    cloud.fails("acr repository show", 'Error: repository "assay" is not found.')
    before = len(changes(cloud))

    assert deploy("--yes", "--no-smoke") == 0
    assert changes(cloud)[before:] == ["deployment sub create", "acr build", "deployment sub create"]


def test_a_deployment_that_failed_is_made_again_from_the_beginning(cloud: Cloud, deploy: Run) -> None:
    """Azure records it without outputs."""
    cloud.answers("deployment sub show", None)
    cloud.mend("deployment sub show")

    assert deploy("--yes", "--no-smoke") == 0
    assert changes(cloud) == ["deployment sub create", "acr build", "deployment sub create"]


def test_a_group_that_is_there_is_named_before_the_question(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be somebody else's, and teardown would delete it."""
    cloud.answers("group show", {"name": "rg-assay"})
    cloud.mend("group show")

    assert deploy() == 1
    shown = told(capsys)
    assert shown.index("rg-assay is there already") < shown.index("Deploy this to rg-assay")


def test_a_registry_in_another_subscription_is_built_in_there(cloud: Cloud, deploy: Run) -> None:
    """It is looked for in the subscription that its id names."""
    registry = "/subscriptions/33333333/resourceGroups/hub/providers/Microsoft.ContainerRegistry/registries/crassay"
    read = {"parameters": {"existingRegistryId": {"value": registry}}}
    cloud.answers("bicep build-params", {"parametersJson": json.dumps(read)})

    assert deploy("--yes", "--no-smoke", "--parameters", str(ROOT / "infra" / "dev.bicepparam")) == 0

    assert cloud.done("acr", "build")[0][-2:] == ["--subscription", "33333333"]
    assert cloud.done("deployment", "sub", "create")[-1][-2:] == IN_SUBSCRIPTION


def test_an_interrupt_is_told_in_a_sentence(
    cloud: Cloud, deploy: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the exit code of all commands that Ctrl-C ends."""
    monkeypatch.setattr("azure_deploy.template.create", interrupted)

    assert deploy("--yes") == 130
    assert "What Azure has begun goes on there" in told(capsys)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_az_cannot_take_the_answer_that_is_meant_for_the_script(
    cloud: Cloud, deploy: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that asks something would hang, as its question is not seen."""
    (cloud.folder / "az").write_text((cloud.folder / "az").read_text().replace("key=", "cat > /dev/null; key=", 1))
    read, write = os.pipe()
    os.write(write, b"y\n")
    with os.fdopen(read) as keyboard:
        monkeypatch.setattr("sys.stdin", keyboard)
        assert deploy("--no-smoke") == 0
    os.close(write)


def test_a_terminal_that_cannot_show_a_name_ends_nothing(cloud: Cloud) -> None:
    """Subscriptions have names in every script."""
    user = {"name": "zoë@example.com", "type": "user"}
    account = {
        "id": SUBSCRIPTION,
        "name": "Zürich 研究",
        "tenantId": TENANT,
        "state": "Enabled",
        "user": user,
    }
    cloud.answers("account show", account)
    command = [sys.executable, str(ROOT / "scripts" / "deploy"), "--location", "swedencentral", "--dry-run"]

    done = subprocess.run(command, env=os.environ | {"PYTHONIOENCODING": "ascii"}, capture_output=True, check=False)

    assert done.returncode == 0 and b"Z?rich" in done.stdout


def test_a_reader_that_goes_away_is_no_error_of_the_script(cloud: Cloud) -> None:
    """As `head` does after its first line."""
    command = [sys.executable, str(ROOT / "scripts" / "deploy"), "--location", "swedencentral", "--dry-run"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as deploying:
        assert deploying.stdout and deploying.stderr
        deploying.stdout.close()
        complaint = deploying.stderr.read()

    assert deploying.returncode == 1 and complaint == b""
