"""The Bicep template: what its parameters are, what it would change, and carrying that out."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolchain import ROOT, StepFailed, say

from azure_deploy.az import Azure

TEMPLATE = ROOT / "infra" / "main.bicep"


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
        """Name of the deployment's record in the subscription."""
        return f"assay-{self.name}"


def read_environment(azure: Azure, parameters_file: Path | None, name: str, location: str) -> Environment:
    """The environment that the options and the parameters file describe. Raises StepFailed.

    Compiling the template is part of it, so that a mistake in it is found before anything is changed.
    """
    values = _defaults(azure) | _given(azure, parameters_file)
    name, location = name or str(values.get("name", "")), location or str(values.get("location", ""))
    if not location:
        raise StepFailed("No region: say --location, as in --location swedencentral, or `location` in the parameters.")
    group = str(values.get("resourceGroupName") or f"rg-{name}")
    return Environment(name, location, group, parameters_file, values)


def _defaults(azure: Azure) -> dict[str, Any]:
    words = ["bicep", "build", "--file", str(TEMPLATE), "--stdout"]
    compiled = azure.ask_as_is(*words, doing="Compiling infra/main.bicep")
    defaults = {name: one.get("defaultValue") for name, one in compiled["parameters"].items()}
    return {name: value for name, value in defaults.items() if not _is_expression(value)}


def _is_expression(value: object) -> bool:
    """Whether only Azure can say what the value is, as of [deployment().location]."""
    return isinstance(value, str) and value.startswith("[")


def _given(azure: Azure, parameters_file: Path | None) -> dict[str, Any]:
    if parameters_file is None:
        return {}
    if not parameters_file.is_file():
        raise StepFailed(f"--parameters {parameters_file}: there is no such file; infra/ has samples.")
    if parameters_file.suffix == ".bicepparam":
        words = ["bicep", "build-params", "--file", str(parameters_file), "--stdout"]
        read = json.loads(azure.ask_as_is(*words, doing=f"Compiling {parameters_file}")["parametersJson"])
    else:
        read = _json_of(parameters_file)
    return {name: one.get("value") for name, one in read.get("parameters", {}).items()}


def _json_of(path: Path) -> dict[str, Any]:
    try:
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise StepFailed(f"{path}: expected a JSON parameters file or a .bicepparam file ({problem}).") from None
    if "${" in json.dumps(read):
        raise StepFailed(f"{path} has ${{...}} in it, which only `azd` fills in. Use a .bicepparam file.")
    return read


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
    answer = sys.stdin.readline()
    if not answer:
        raise StepFailed("Nobody is there to confirm. Nothing was changed; --yes goes ahead without asking.")
    if answer.strip().lower() not in {"y", "yes"}:
        raise StepFailed("Declined. Nothing was changed.")


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
