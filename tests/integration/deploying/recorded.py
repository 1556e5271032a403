"""What the stand-ins for `az` and `assay` were called with, for the tests of the deploy scripts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.stand_ins.azure_cli import DIGEST, SUBSCRIPTION, Cloud

ROOT = Path(__file__).resolve().parents[3]
IMAGE = f"crassay.azurecr.io/assay@{DIGEST}"
IN_SUBSCRIPTION = ["--subscription", SUBSCRIPTION]
CHANGES = ("deployment sub create", "deployment sub delete", "acr build", "provider register", "group delete")

Run = Callable[..., int]


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
