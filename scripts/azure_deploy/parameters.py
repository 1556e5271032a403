"""What the template's parameters are: its defaults, and what the parameters file says. `template.py` calls it.

A mistake is told here, before anything is changed; Azure would tell it minutes later, or take it for something else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from toolchain import StepFailed

from azure_deploy.az import Azure


def read_values(azure: Azure, template: Path, file: Path | None) -> dict[str, Any]:
    """The parameters by name, without those that only Azure can say. Raises StepFailed.

    Compiling the template is part of it, so that a mistake in it is found before anything is changed.
    """
    words = ["bicep", "build", "--file", str(template), "--stdout"]
    declared = azure.ask_as_is(*words, doing=f"Compiling infra/{template.name}")["parameters"]
    defaults = {name: one.get("defaultValue") for name, one in declared.items()}
    given = _read_file(azure, file, set(declared)) if file else {}
    known = {name: value for name, value in defaults.items() if not _is_expression(value)}
    values = known | {name: value for name, value in given.items() if value is not None}
    _check_accounts(values.get("openAiAccounts"), str(file or f"infra/{template.name}"))
    return values


def _is_expression(value: object) -> bool:
    """Whether only Azure can say what the value is, as of [deployment().location]."""
    return isinstance(value, str) and value.startswith("[")


def _read_file(azure: Azure, file: Path, declared: set[str]) -> dict[str, Any]:
    if not file.is_file():
        raise StepFailed(f"--parameters {file}: there is no such file; infra/ has samples.")
    if file.suffix == ".bicepparam":
        words = ["bicep", "build-params", "--file", str(file), "--stdout"]
        read = json.loads(azure.ask_as_is(*words, doing=f"Compiling {file}")["parametersJson"])
    else:
        read = _json_of(file)
    given = read.get("parameters") if isinstance(read, dict) else None
    if not (isinstance(given, dict) and all(isinstance(one, dict) for one in given.values())):
        raise StepFailed(
            f'{file}: expected {{"parameters": {{"name": {{"value": "assay"}}, ...}}}}, as Azure reads it.'
        )
    _check_names(given, declared, file)
    return {name: one.get("value") for name, one in given.items()}


def _json_of(path: Path) -> Any:
    try:
        read = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise StepFailed(f"--parameters {path}: it cannot be read ({problem.strerror}).") from None
    except ValueError as problem:
        raise StepFailed(f"{path}: expected a JSON parameters file or a .bicepparam file ({problem}).") from None
    if "${" in json.dumps(read):
        raise StepFailed(f"{path} has ${{...}} in it, which only `azd` fills in. Use a .bicepparam file.")
    return read


def _check_names(given: Iterable[str], declared: set[str], file: Path) -> None:
    for name in (one for one in given if one not in declared):
        close = get_close_matches(name, declared, 1)
        hint = f"did you mean {close[0]!r}?" if close else "docs/azure.md lists them all."
        raise StepFailed(f"{file}: the template has no parameter {name!r}; {hint}")


def _check_accounts(accounts: object, where: str) -> None:
    """The compiler checks .bicepparam files; nothing checks a JSON file before Azure does."""
    shape = "`openAiAccounts`: expected a list of accounts, each with a `name` and a list of `deployments`"
    if not (isinstance(accounts, list) and accounts):
        raise StepFailed(f"{where}: {shape}.")
    for account in accounts:
        if not _is_account(account):
            raise StepFailed(f"{where}: {shape}, and found {json.dumps(account)[:200]}.")
        for one in account["deployments"]:
            _check_deployment(one, where)


def _is_account(one: object) -> bool:
    return isinstance(one, Mapping) and bool(one.get("name")) and isinstance(one.get("deployments"), list)


def _check_deployment(one: object, where: str) -> None:
    if isinstance(one, Mapping) and one.get("name") and type(one.get("capacity")) is int:
        return
    raise StepFailed(
        f"{where}: a deployment in `openAiAccounts` needs a `name` and a whole number as `capacity`, "
        f"and this one is {json.dumps(one)[:200]}."
    )
