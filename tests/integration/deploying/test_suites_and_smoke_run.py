"""Suites and the smoke run: waiting for rights, and every way in which a run does not end well."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import ModuleType

import pytest
from tests.integration.deploying.recorded import ROOT, Run, assay_calls, told
from tests.stand_ins.azure_cli import SUBSCRIPTION, TENANT, Cloud

from assay.planning.preflight import checked_suite


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
    assert {(one.temperature, one.reasoning_effort, one.max_tokens) for one in suite.models} == {(None, None, 2_000)}
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


def fails(cloud: Cloud, word: str, code: int, message: str) -> None:
    """Let one command of `assay` fail."""
    (cloud.folder / f"{word}_fails").write_text(json.dumps([code, message]))


def test_a_suite_that_is_wrong_is_found_before_azure_is_asked(
    cloud: Cloud, deploy: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not half an hour later."""
    fails(cloud, "validate", 2, "suite.yaml is missing")

    assert deploy("--yes", "--suite", str(tmp_path)) == 1
    assert cloud.calls == [] and f"Checking --suite {tmp_path}" in told(capsys)


def test_an_empty_folder_is_no_suite(
    cloud: Cloud, deploy: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the real command says of it."""
    monkeypatch.setattr("azure_deploy.suites.ASSAY", ROOT / ".venv" / "bin" / "assay")
    folder = tmp_path / "mein Ordner ü"
    folder.mkdir()

    assert deploy("--yes", "--suite", str(folder)) == 1
    assert "suite.yaml" in told(capsys) and cloud.calls == []


def test_a_suite_is_uploaded_with_its_overrides_and_its_code(
    cloud: Cloud, deploy: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `assay deploy` would by hand: a budget, say, counts when the suite is checked and when it is uploaded."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_SUITE_BUDGET", "3")
    monkeypatch.setenv("ASSAY_CODE", os.pathsep.join(("mine", "/theirs")))

    assert deploy("--yes", "--no-smoke", "--suite", "triage") == 0

    calls = assay_calls(cloud)
    code = os.pathsep.join((str(tmp_path / "mine"), "/theirs"))
    assert [call["words"][0] for call in calls] == ["validate", "deploy"]
    for call in calls:
        assert call["environment"]["ASSAY_SUITE_BUDGET"] == "3"
        assert call["environment"]["ASSAY_CODE"] == code
        assert "ASSAY_STORAGE" not in call["environment"]


def test_an_override_and_code_are_what_the_real_command_needs(
    cloud: Cloud, deploying: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A suite that holds for both only, as the real `assay` sees it."""
    monkeypatch.setattr("azure_deploy.suites.ASSAY", ROOT / ".venv" / "bin" / "assay")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "our_scorers_1a2b.py").write_text(
        "def polite(fields, answers):\n    return True\n", encoding="utf-8"
    )
    suite = tmp_path / "triage"
    suite.mkdir()
    scorer = 'scorers: [{plugin: callable, call: "our_scorers_1a2b:polite", name: polite}]\n'
    override = "environment: {ASSAY_SUITE_BUDGET: limits.budget_usd}\n"
    text = deploying.suites._SMOKE_SUITE.format(deployment="gpt-5.4-mini").replace("name: smoke", "name: triage")
    (suite / "suite.yaml").write_text(text + scorer + override, encoding="utf-8")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CODE", "code")
    deploying.suites.check_suites([suite])
    monkeypatch.setenv("ASSAY_SUITE_BUDGET", "much")
    with pytest.raises(deploying.az.StepFailed, match="ASSAY_SUITE_BUDGET"):
        deploying.suites.check_suites([suite])


def test_what_was_deployed_is_told_even_when_the_upload_fails(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """The links are what one looks at then; and the next try is the same command."""
    fails(cloud, "deploy", 3, "AuthorizationPermissionMismatch")

    assert deploy("--yes") == 1
    shown = told(capsys)
    assert "https://portal.azure.com/" in shown and "same command again" in shown


def test_a_smoke_run_that_never_ends_is_left_alone_after_a_while(
    cloud: Cloud, deploy: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said where to look, and the run goes on."""
    monkeypatch.setattr("azure_deploy.suites.SMOKE_RUN_SECONDS", 0.3)
    (cloud.folder / "watch_hangs").touch()

    assert deploy("--yes") == 1
    shown = told(capsys)
    assert "did not end within" in shown and "assay show smoke-1a2b" in shown and "A stalled run" in shown


@pytest.mark.parametrize("command", ["deploy", "fetch"])
def test_a_command_that_hangs_is_killed_after_a_while(
    cloud: Cloud, deploy: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    """A firewall that drops packets would keep it for ever; it is not tried again, as that would take as long."""
    monkeypatch.setattr("azure_deploy.suites.COMMAND_SECONDS", 3.0)
    (cloud.folder / f"{command}_hangs").touch()

    assert deploy("--yes") == 1
    assert f"`assay {command}` did not end within" in told(capsys)
    assert assay_calls(cloud)[-1]["words"][0] == command


def test_a_smoke_run_that_fails_or_is_stopped_says_where_to_look(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is fetched then, and the exit code says it."""
    fails(cloud, "watch", 1, "stopped: not authorised")

    assert deploy("--yes") == 1
    assert "A run that stopped" in told(capsys)
    assert [call["words"][0] for call in assay_calls(cloud)][-1] == "watch"


def test_an_assay_that_does_not_start_is_told(
    cloud: Cloud, deploy: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when the folder was moved."""
    monkeypatch.setattr("azure_deploy.suites.ASSAY", cloud.folder / "nothing")

    assert deploy("--yes") == 1
    assert "make setup" in told(capsys)


def test_the_smoke_run_asks_the_first_deployment_as_suites_name_it(deploying: ModuleType) -> None:
    """Accounts after the first one are named behind an @; an account may have none."""
    none = {"name": "main", "deployments": []}
    west = {"name": "west", "deployments": [{"name": "gpt-4o"}]}

    assert deploying.main.deployment_names([west, none]) == ["gpt-4o"]
    assert deploying.main.deployment_names([none, west]) == ["gpt-4o@west"]
    assert deploying.main.deployment_names([none]) == []


def test_the_sample_is_left_out_where_nobody_would_answer_it(
    cloud: Cloud, deploy: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its deployment is not among those of the parameters; the smoke run asks one that is."""
    accounts = [{"name": "main", "deployments": [{"name": "gpt-4o", "capacity": 1}]}]
    read = {"parameters": {"openAiAccounts": {"value": accounts}}}
    cloud.answers("bicep build-params", {"parametersJson": json.dumps(read)})

    assert deploy("--yes", "--parameters", str(ROOT / "infra" / "dev.bicepparam")) == 0
    assert [call["words"][0] for call in assay_calls(cloud)] == ["deploy", "submit", "watch", "fetch", "verify"]
    assert "support-triage asks gpt-5.4-mini, and there is gpt-4o." in told(capsys)


def test_headings_that_messages_name_are_in_the_runbook() -> None:
    """A message that leads nowhere helps nobody."""
    runbook = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    script = (ROOT / "scripts" / "azure_deploy" / "suites.py").read_text(encoding="utf-8")

    named = re.findall(r"docs/runbook.md, '([^']+)'", script)
    assert len(named) == 2 and all(f"\n## {one}\n" in runbook for one in named)


def test_the_template_has_what_the_sample_asks(deploying: ModuleType) -> None:
    """So that who deploys without parameters can drop a file at once, which is asked no faster than Azure grants."""
    sample = checked_suite((deploying.main.SAMPLE / "suite.yaml").read_text(encoding="utf-8"), "support-triage")
    template = (ROOT / "infra" / "main.bicep").read_text(encoding="utf-8")

    assert {name for model in sample.models for name in model.deployments} == {deploying.main.deployment_of_sample()}
    assert f"deployments: [{{ name: '{deploying.main.deployment_of_sample()}'" in template
    assert sample.quota == {}, "the template tells the app what it grants, and a suite's word goes before that"


def test_no_sample_states_a_quota() -> None:
    """It would be the emulator's, and count in Azure too."""
    samples = sorted((ROOT / "config").glob("*/suite.yaml"))

    assert len(samples) >= 5
    for path in samples:
        assert checked_suite(path.read_text(encoding="utf-8"), path.parent.name).quota == {}, path
