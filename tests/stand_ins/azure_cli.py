"""Stands for `az` first on PATH: writes down how it was called, and answers as a subscription would.

What it answers depends on what was done before: there is no registry before the first deployment, and no image before
a build. It is a shell script, because every test calls it a dozen times.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUBSCRIPTION = "11111111-1111-1111-1111-111111111111"
TENANT = "22222222-2222-2222-2222-222222222222"
DIGEST = f"sha256:{'ab' * 32}"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-assay"
OUTPUTS = {
    # Azure Resource Manager changes the case of names as it pleases.
    "azurE_RESOURCE_GROUP": "rg-assay",
    "azurE_CONTAINER_REGISTRY_ENDPOINT": "crassay.azurecr.io",
    "assaY_APP_NAME": "ca-assay",
    "assaY_APP_URL": "https://ca-assay.example.net",
    "assaY_STORAGE__blobServiceUri": "https://stassay.blob.core.windows.net",
    "assaY_STORAGE__queueServiceUri": "https://stassay.queue.core.windows.net",
    "keY_VAULT_URI": "https://kv-assay.vault.azure.net",
    "assaY_SIGNING_KEY": "https://kv-assay.vault.azure.net/keys/assay-signing",
    "assaY_WORKBOOK_ID": f"{GROUP}/providers/Microsoft.Insights/workbooks/w1",
}
TOKEN = ".".join(
    ["eyJhbGciOiJub25lIn0", base64.urlsafe_b64encode(b'{"oid": "ada-object-id"}').decode().rstrip("="), "s"]
)
PROVIDERS = [
    "Microsoft.App",
    "Microsoft.CognitiveServices",
    "Microsoft.ContainerRegistry",
    "Microsoft.EventGrid",
    "microsoft.insights",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.OperationalInsights",
    "Microsoft.Storage",
]
ACCOUNTS = [{"name": "main", "deployments": [{"name": "gpt-5.4-mini", "version": "2026-03-17", "capacity": 100}]}]
_BICEP = Path(__file__).resolve().parents[2] / "infra" / "main.bicep"
TEMPLATE = {
    "parameters": {
        **{name: {} for name in re.findall(r"^param (\w+)", _BICEP.read_text(encoding="utf-8"), re.MULTILINE)},
        "name": {"defaultValue": "assay"},
        "location": {"defaultValue": "[deployment().location]"},
        "resourceGroupName": {"defaultValue": "[format('rg-{0}', parameters('name'))]"},
        "operatorsId": {"defaultValue": ""},
        "openAiAccounts": {"defaultValue": ACCOUNTS},
        "privateNetwork": {"defaultValue": False},
    }
}
MODELS = [
    {"name": "gpt-5.4-mini", "version": "2026-03-17", "skus": ["GlobalStandard", "Standard"]},
    {"name": "gpt-4o", "version": "2024-11-20", "skus": ["GlobalStandard"]},
]
USAGE = [{"name": {"value": "OpenAI.GlobalStandard.gpt-5.4-mini"}, "currentValue": 50, "limit": 250}]
NOTHING_DEPLOYED = "(DeploymentNotFound) Deployment 'assay-assay' could not be found."


SHOWN_OUTPUTS = {name: {"type": "String", "value": value} for name, value in OUTPUTS.items()}
ANSWERS: dict[str, Any] = {
    "version": {"azure-cli": "2.91.0", "extensions": {}},
    "bicep build": TEMPLATE,
    "account show": {
        "id": SUBSCRIPTION,
        "name": "Research",
        "tenantId": TENANT,
        "state": "Enabled",
        "user": {"name": "ada@example.com", "type": "user"},
    },
    "account get-access-token": TOKEN,
    "provider list": PROVIDERS,
    "cognitiveservices model list": MODELS,
    "cognitiveservices usage list": USAGE,
    "deployment sub create": SHOWN_OUTPUTS,
    "resource list": [{"type": "Microsoft.App/containerApps", "name": "ca-assay"}],
    "cognitiveservices account list": [],
    "cognitiveservices account list-deleted": [],
    "keyvault list-deleted": [],
}
FAILING = {
    "deployment sub show": NOTHING_DEPLOYED,
    "group show": "(ResourceGroupNotFound) Resource group 'rg-assay' could not be found.",
    "acr show": "The resource with name 'crassay' and type 'registries' could not be found in subscription 'Research'.",
    "acr repository show": 'Error: repository "assay" is not found.',
}
EFFECTS: dict[str, dict[str, Any]] = {
    "deployment sub create": {
        "deployment sub show": SHOWN_OUTPUTS,
        "group show": {"name": "rg-assay"},
        "acr show": "crassay.azurecr.io",
    },
    "acr build": {"acr repository show": DIGEST},
}
"""What a command, once it has succeeded, changes in others' answers."""

PROGRAM = """#!/bin/sh
here="${0%/*}"
printf '%s\\037' "$@" >> "$here/calls"
printf '\\036' >> "$here/calls"
key=""
for word; do
    case "$word" in -*) break ;; /*) ;; *) key="$key${key:+ }$word" ;; esac
done
if [ -f "$here/failing/$key" ]; then
    cat "$here/failing/$key" >&2
    exit 1
fi
[ ! -f "$here/answers/$key" ] || cat "$here/answers/$key"
for effect in "$here/effects/$key/"*; do
    [ -f "$effect" ] || continue
    cp "$effect" "$here/answers/"
    rm -f "$here/failing/${effect##*/}"
done
"""


@dataclass
class Cloud:
    """What the stand-in is told to answer, and what it was asked; a folder holds both."""

    folder: Path

    def install(self) -> Path:
        """Write the executable and what it answers at first; gives the folder for PATH."""
        for name in ("answers", "failing", "effects"):
            (self.folder / name).mkdir(parents=True)
        program = self.folder / "az"
        program.write_text(PROGRAM, encoding="utf-8")
        program.chmod(0o755)
        for command, answer in ANSWERS.items():
            self.answers(command, answer)
        for command, complaint in FAILING.items():
            self.fails(command, complaint)
        for command, answers in EFFECTS.items():
            effects = self.folder / "effects" / command
            effects.mkdir()
            for other, answer in answers.items():
                (effects / other).write_text(json.dumps(answer), encoding="utf-8")
        return self.folder

    def answers(self, command: str, answer: Any) -> None:
        """Let a command answer this from now on."""
        (self.folder / "answers" / command).write_text(json.dumps(answer), encoding="utf-8")

    def fails(self, command: str, complaint: str) -> None:
        """Let a command fail from now on."""
        (self.folder / "failing" / command).write_text(f"ERROR: {complaint}\n", encoding="utf-8")

    def mend(self, command: str) -> None:
        """Let a command succeed again."""
        (self.folder / "failing" / command).unlink()

    @property
    def calls(self) -> list[list[str]]:
        """Every call so far, without the word that all calls have in common."""
        log = self.folder / "calls"
        lines = log.read_text(encoding="utf-8").split("\x1e")[:-1] if log.exists() else []
        return [[word for word in line.split("\x1f")[:-1] if word != "--only-show-errors"] for line in lines]

    def done(self, *words: str) -> list[list[str]]:
        """The calls that begin with these words."""
        return [call for call in self.calls if call[: len(words)] == list(words)]
