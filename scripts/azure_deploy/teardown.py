"""`scripts/teardown`: deletes an environment's resource group and what a deployment keeps outside of it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from toolchain import StepFailed, say

from azure_deploy import preflight, template
from azure_deploy.az import Azure, Rehearsal
from azure_deploy.main import add_common, guarded
from azure_deploy.template import Environment

EPILOG = (
    "Deletes all runs, bundles, suites and logs in that resource group for good. What was there before the deployment, "
    "such as a storage account or an OpenAI account of yours in another group, stays, and so do the app's roles on it."
)


def main(arguments: Sequence[str]) -> int:
    """Delete as the command line says; returns the exit code."""
    made = argparse.ArgumentParser(prog="scripts/teardown", description="Delete Assay from Azure.", epilog=EPILOG)
    add_common(made)
    made.add_argument("--purge", action="store_true", help="also the deleted model accounts and vault that Azure keeps")
    options = made.parse_args(arguments)
    return guarded(lambda: tear_down(Rehearsal() if options.dry_run else Azure(), options), "Teardown")


def tear_down(azure: Azure, options: argparse.Namespace) -> None:
    """Take every step. Raises StepFailed at the first that cannot be done."""
    preflight.check_tools(azure)
    account = preflight.check_account(azure, options.subscription)
    azure = azure.of(account.subscription)
    environment = template.read_environment(azure, options.parameters, options.name, options.location)
    record = azure.finds("deployment", "sub", "show", "--name", environment.deployment)
    if azure.finds("group", "show", "--name", environment.group) is None:
        say(f"There is no resource group {environment.group}")
    else:
        delete_group(azure, environment, options, record)
    if options.purge:
        purge(azure, environment)
    if record:
        doing = "Deleting the deployment's record"
        azure.change("deployment", "sub", "delete", "--name", environment.deployment, doing=doing)


def delete_group(azure: Azure, environment: Environment, options: argparse.Namespace, record: object) -> None:
    """Show what is in the group, ask, delete it, and wait. Raises StepFailed for one that Assay was not deployed to."""
    if not record:
        raise StepFailed(
            f"The subscription has no record {environment.deployment} of a deployment, so the resource group "
            f"{environment.group} may be somebody else's. Nothing was deleted. Give the --name and --parameters of the "
            f"deployment; if the group is Assay's all the same: az group delete --name {environment.group}"
        )
    words = ["resource", "list", "--resource-group", environment.group]
    listed = azure.ask(*words, doing=f"Looking into {environment.group}")
    print("\n".join(f"  {one['type']}  {one['name']}" for one in listed))
    if not (options.yes or options.dry_run):
        confirm_by_name(environment.group)
    say(f"Deleting {environment.group}, several minutes")
    azure.change("group", "delete", "--name", environment.group, "--yes", doing=f"Deleting {environment.group}")


def purge(azure: Azure, environment: Environment) -> None:
    """Delete for good what Azure keeps after a deletion, so that its names and its quota are free again."""
    home = f"/resourceGroups/{environment.group}/".lower()
    words = ["cognitiveservices", "account", "list-deleted"]
    for one in azure.ask(*words, doing="Looking for deleted model accounts"):
        if home in str(one["id"]).lower():
            named = ["--name", one["name"], "--location", one["location"], "--resource-group", environment.group]
            azure.change("cognitiveservices", "account", "purge", *named, doing=f"Purging {one['name']}")
    words = ["keyvault", "list-deleted", "--resource-type", "vault"]
    for one in azure.ask(*words, doing="Looking for deleted vaults"):
        if home in str(one["properties"]["vaultId"]).lower():
            _purge_vault(azure, one)


def _purge_vault(azure: Azure, vault: dict[str, Any]) -> None:
    """A vault with purge protection stays until its days are over, and its name with it."""
    if vault["properties"].get("purgeProtectionEnabled"):
        until = str(vault["properties"]["scheduledPurgeDate"])[:10]
        say(f"Vault {vault['name']} is protected and stays until {until}")
        return
    azure.change("keyvault", "purge", "--name", vault["name"], doing=f"Purging {vault['name']}")


def confirm_by_name(group: str) -> None:
    """Raises StepFailed unless the person writes the group's name."""
    print(f"Everything above is deleted, all runs and results with it. Write {group} to go on: ", end="", flush=True)
    if template.line_from_person().strip() != group:
        raise StepFailed("The name was not given. Nothing was deleted; --yes goes ahead without asking.")
