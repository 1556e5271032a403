"""azure.yaml and its hook."""

from __future__ import annotations

from types import ModuleType

import pytest
from tests.integration.deploying.recorded import IMAGE, changes, told
from tests.stand_ins.azure_cli import SUBSCRIPTION, Cloud


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
