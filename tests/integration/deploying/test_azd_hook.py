"""azure.yaml, and its hook as `azd` runs it: by a shell in the project's folder, outputs in the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from tests.integration.deploying.recorded import IMAGE, ROOT, changes
from tests.stand_ins.azure_cli import SUBSCRIPTION, Cloud

STATED: dict[str, Any] = yaml.safe_load((ROOT / "azure.yaml").read_text(encoding="utf-8"))
HOOK = STATED["hooks"]["postprovision"]["posix"]["run"]

# What azd's schema (Azure/azure-dev, schemas/v1.0/azure.yaml.json, read on 2026-11-20) says of the keys used here.
ONE_HOOK = {
    "additionalProperties": False,
    "required": ["run"],
    "properties": {
        "run": {"type": "string"},
        "shell": {"enum": ["sh", "pwsh"]},
        "interactive": {"type": "boolean"},
        "continueOnError": {"type": "boolean"},
    },
}
SCHEMA = {
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "minLength": 2, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
        "metadata": {"properties": {"template": {"type": "string"}}},
        "infra": {"properties": {name: {"type": "string"} for name in ("provider", "path", "module")}},
        "services": {"type": "object", "minProperties": 1},
        "hooks": {
            "additionalProperties": False,
            "properties": {
                "postprovision": {
                    "additionalProperties": False,
                    "properties": {"windows": ONE_HOOK, "posix": ONE_HOOK},
                }
            },
        },
    },
}

AZD = """#!/bin/sh
here="${{0%/*}}"
echo "$@" >> "$here/azd.log"
case "$1" in
    env) echo "$4" > "$here/image" ;;
    provision)
        [ ! -f "$here/provision_fails" ] || exit 7
        ASSAY_IMAGE="$(cat "$here/image" 2> /dev/null)" sh -c '{hook}' ;;
esac
"""


@pytest.fixture
def azd(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """`azd` as far as the hook sees it: it keeps variables, and runs the hook after each provisioning."""
    (cloud.folder / "azd").write_text(AZD.format(hook=HOOK))
    (cloud.folder / "azd").chmod(0o755)
    (cloud.folder / "python3").symlink_to(sys.executable)
    monkeypatch.setenv("AZURE_SUBSCRIPTION_ID", SUBSCRIPTION)
    monkeypatch.setenv("AZURE_CONTAINER_REGISTRY_ENDPOINT", "crassay.azurecr.io")
    return cloud


def run_hook(**variables: str) -> subprocess.CompletedProcess[str]:
    """As azd does."""
    environment = os.environ | variables
    return subprocess.run(["sh", "-c", HOOK], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def calls_of(azd: Cloud) -> list[str]:
    log = Path(azd.folder, "azd.log")
    return log.read_text().splitlines() if log.exists() else []


def test_azure_yaml_is_as_azd_expects_it() -> None:
    """Services are left out, not empty, which azd's schema refuses."""
    jsonschema.validate(STATED, SCHEMA)


def test_the_hook_builds_and_provisions_once_more_and_comes_to_an_end(azd: Cloud) -> None:
    """Although the inner `azd provision` runs it again."""
    done = run_hook(ASSAY_IMAGE="")

    assert done.returncode == 0, done.stderr
    assert calls_of(azd) == [f"env set ASSAY_IMAGE {IMAGE}", "provision --no-prompt"]
    assert changes(azd) == ["acr build"]
    assert "The app has this image already" in done.stdout


def test_the_same_code_is_neither_built_nor_provisioned_again(azd: Cloud) -> None:
    """As with a second `azd up`."""
    run_hook(ASSAY_IMAGE="")
    before = calls_of(azd), changes(azd)

    assert run_hook(ASSAY_IMAGE=IMAGE).returncode == 0
    assert (calls_of(azd), changes(azd)) == before


def test_a_failed_provisioning_is_a_failed_hook_and_the_next_one_has_the_image(azd: Cloud) -> None:
    """azd has kept its name by then."""
    (azd.folder / "provision_fails").touch()

    failed = run_hook(ASSAY_IMAGE="")

    assert failed.returncode == 1 and "`azd provision --no-prompt` ended with exit code 7" in failed.stderr
    assert (azd.folder / "image").read_text().strip() == IMAGE


def test_an_az_that_is_not_logged_in_is_told(azd: Cloud) -> None:
    """azd's own login does not count for it."""
    azd.fails("acr repository show", "Please run 'az login' to setup account.")

    failed = run_hook(ASSAY_IMAGE="")

    assert failed.returncode == 1 and "Log in with `az login`" in failed.stderr


def test_the_hook_is_for_azd(cloud: Cloud) -> None:
    """It says so when a person calls it."""
    done = subprocess.run(
        [sys.executable, "scripts/azd.py"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1 and "azd up" in done.stderr
