"""`scripts/teardown`: what it deletes, and what it leaves."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest
from tests.integration.deploying.recorded import ROOT, Run, changes, told
from tests.stand_ins.azure_cli import GROUP, Cloud


@pytest.fixture
def deployed(cloud: Cloud, deploy: Run) -> Cloud:
    """An environment that is there."""
    assert deploy("--yes", "--no-smoke") == 0
    return cloud


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
    deployed: Cloud, teardown: Run, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    """A yes by habit deletes nothing."""
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    before = changes(deployed)

    assert teardown() == 1
    assert changes(deployed) == before


def test_teardown_of_nothing_succeeds(cloud: Cloud, teardown: Run) -> None:
    """A second run has nothing left to do."""
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


def test_a_rehearsed_teardown_deletes_nothing(deployed: Cloud, teardown: Run) -> None:
    """It lists what would go."""
    before = changes(deployed)

    assert teardown("--dry-run", "--purge") == 0
    assert changes(deployed) == before and deployed.done("resource", "list")


def test_a_group_that_assay_was_not_deployed_to_is_left_alone(
    cloud: Cloud, teardown: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even with --yes: somebody else's group may have the name that the options lead to."""
    cloud.answers("group show", {"name": "rg-assay"})
    cloud.mend("group show")

    assert teardown("--yes", "--purge") == 1
    assert changes(cloud) == [] and "may be somebody else's" in told(capsys)


def test_other_parameters_do_not_lead_to_another_environment(deployed: Cloud, teardown: Run) -> None:
    """Two environments of one name in two groups have two records, so forgetting --parameters deletes neither."""
    read = {"parameters": {"resourceGroupName": {"value": "rg-assay-dev"}}}
    deployed.answers("bicep build-params", {"parametersJson": json.dumps(read)})
    teardown("--dry-run", "--parameters", str(ROOT / "infra" / "dev.bicepparam"))
    teardown("--dry-run")

    names = [call[4] for call in deployed.done("deployment", "sub", "show")][-2:]
    assert names == ["assay-rg-assay-dev", "assay-rg-assay"]


def test_a_group_under_lock_is_told_and_the_record_stays(
    deployed: Cloud, teardown: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """So that the same command finds it again once the lock is gone."""
    deployed.fails("group delete", "(ScopeLocked) The scope 'rg-assay' cannot perform delete operation.")

    assert teardown("--yes") == 1
    assert "az lock list" in told(capsys) and not deployed.done("deployment", "sub", "delete")


def test_teardown_does_not_ask_for_what_it_does_not_need(
    deployed: Cloud, teardown: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`assay` is for uploading suites."""
    monkeypatch.setattr("azure_deploy.preflight.ASSAY", Path("/nonexistent"))

    assert teardown("--yes") == 0


def test_a_question_that_az_cannot_answer_stops_a_rehearsal_too(
    deployed: Cloud, teardown: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise it would say that there is no such group."""
    deployed.fails("group show", "(AuthorizationFailed) The client does not have authorization")

    assert teardown("--dry-run") == 1
    assert "Contributor" in told(capsys)


@pytest.mark.parametrize("name", ["deploy", "teardown"])
def test_the_scripts_can_be_run(name: str) -> None:
    """From a checkout, without an environment."""
    script = ROOT / "scripts" / name

    assert script.stat().st_mode & stat.S_IXUSR
    assert script.read_text().startswith("#!/usr/bin/env python3\n")
