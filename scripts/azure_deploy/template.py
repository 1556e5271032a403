"""The Bicep template: what its parameters are, what it would change, and carrying that out."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolchain import ROOT, StepFailed, say

from azure_deploy.az import Azure
from azure_deploy.parameters import read_values

TEMPLATE = ROOT / "infra" / "main.bicep"
_LONGEST_RECORD = 64


@dataclass(frozen=True)
class Environment:
    """One installation: where it is, and the parameters that its template gets."""

    name: str
    location: str
    group: str
    parameters_file: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def deployment(self) -> str:
        """Name of the deployment's record in the subscription: another one for each name and for each group."""
        whole = f"{self.name}-{self.group}"
        if len(whole) <= _LONGEST_RECORD and re.fullmatch(r"[A-Za-z0-9_.()-]+", whole):
            return whole
        return f"{self.name}-{hashlib.sha256(self.group.encode()).hexdigest()[:12]}"


def read_environment(azure: Azure, parameters_file: Path | None, name: str, location: str) -> Environment:
    """The environment that the options and the parameters file describe. Raises StepFailed."""
    values = read_values(azure, TEMPLATE, parameters_file)
    name, location = name or str(values.get("name", "")), location or str(values.get("location", ""))
    if not re.fullmatch(r"[a-z][a-z0-9]{1,6}", name):
        raise StepFailed(f"--name {name!r}: expected 2 to 7 lower-case letters and digits, a letter first.")
    if not location:
        raise StepFailed("No region: say --location, as in --location swedencentral, or `location` in the parameters.")
    group = str(values.get("resourceGroupName") or f"rg-{name}")
    return Environment(name, region_name(location), group, parameters_file, values)


def region_name(written: str) -> str:
    """A region as Azure's answers write it. `Sweden Central` would make other resources than `swedencentral`."""
    return "".join(written.split()).lower()


def earlier_outputs(azure: Azure, environment: Environment) -> dict[str, str]:
    """What the last deployment of this environment put out; nothing before the first one, or after a failed one."""
    words = ["deployment", "sub", "show", "--name", environment.deployment, "--query", "properties.outputs"]
    return _plain(azure.finds(*words))


def preview(azure: Azure, environment: Environment, more: Mapping[str, str]) -> None:
    """Show what a deployment would change."""
    say("What the deployment would change:")
    azure.show("deployment", "sub", "what-if", *_words(environment, more), doing="Previewing the deployment")


def confirm(question: str) -> None:
    """Ask the person. Raises StepFailed when they decline, or when there is nobody to ask."""
    print(f"{question} [y/N] ", end="", flush=True)
    answer = line_from_person()
    if not answer:
        raise StepFailed("Nobody is there to confirm. Nothing was deployed; --yes goes ahead without asking.")
    if answer.strip().lower() not in {"y", "yes"}:
        raise StepFailed("Declined. Nothing was deployed.")


def line_from_person() -> str:
    """What the person writes, with its line end; nothing when nobody is there."""
    return sys.stdin.readline() if sys.stdin else ""


def create(azure: Azure, environment: Environment, more: Mapping[str, str]) -> dict[str, str]:
    """Deploy, and give what the template puts out. Raises StepFailed."""
    say("Deploying, ten minutes the first time")
    words = [*_words(environment, more), "--query", "properties.outputs"]
    return _plain(azure.change("deployment", "sub", "create", *words, doing="Deploying"))


def _words(environment: Environment, more: Mapping[str, str]) -> list[str]:
    files = ["--parameters", str(environment.parameters_file)] if environment.parameters_file else []
    inline = {"name": environment.name, "location": environment.location, **more}
    return [
        *("--name", environment.deployment, "--location", environment.location, "--template-file", str(TEMPLATE)),
        *files,
        *("--parameters", *(f"{name}={value}" for name, value in inline.items())),
    ]


def _plain(outputs: Mapping[str, Any] | None) -> dict[str, str]:
    """Names and values; Azure Resource Manager may change the case of a name's first letters."""
    return {name.upper(): str(one["value"]) for name, one in (outputs or {}).items()}
