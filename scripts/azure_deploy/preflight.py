"""What has to be so before anything is changed: tools, login, subscription, resource providers."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolchain import ROOT, StepFailed, say

from azure_deploy.az import INSTALL_AZ, Azure

OLDEST_AZ = (2, 60, 0)
ASSAY = ROOT / ".venv" / "bin" / "assay"
PROVIDERS = (
    "Microsoft.App",
    "Microsoft.CognitiveServices",
    "Microsoft.ContainerRegistry",
    "Microsoft.EventGrid",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.ManagedIdentity",
    "Microsoft.OperationalInsights",
    "Microsoft.Storage",
)
PROVIDERS_FOR = {"privateNetwork": "Microsoft.Network", "durableTaskScheduler": "Microsoft.DurableTask"}
"""Those that a parameter of the template asks for."""


@dataclass(frozen=True)
class Account:
    """Who deploys, and where to."""

    subscription: str
    name: str
    tenant: str
    user: str
    kind: str


def check_tools(azure: Azure) -> None:
    """Raises StepFailed unless the Azure CLI is new enough and has Bicep."""
    version = str((azure.ask("version", doing="Looking for the Azure CLI") or {}).get("azure-cli", "0"))
    if tuple(map(int, re.findall(r"\d+", version)[:3])) < OLDEST_AZ:
        wanted = ".".join(map(str, OLDEST_AZ))
        raise StepFailed(f"The Azure CLI is {version}; {wanted} or newer is needed. `az upgrade`, or {INSTALL_AZ}")
    azure.show("bicep", "version", doing="Looking for Bicep")


def check_assay() -> None:
    """Raises StepFailed unless `make setup` was run."""
    if not ASSAY.exists():
        raise StepFailed("`assay` is not installed, and uploads the suites. Run `make setup`.")


def check_account(azure: Azure, wanted: str) -> Account:
    """Who is logged in, for the wanted subscription (id or name; empty: the current one).

    Raises StepFailed when nobody is logged in, or when the subscription is not theirs or not enabled.
    """
    choice = ["--subscription", wanted] if wanted else []
    try:
        found = azure.ask("account", "show", *choice, doing="Looking who is logged in")
    except StepFailed as problem:
        if wanted and "az login" not in str(problem):
            raise StepFailed(f"{problem}\n`az account list --output table` shows the subscriptions you have.") from None
        raise
    if found.get("state", "Enabled") != "Enabled":
        raise StepFailed(f"Subscription {found['name']!r} is {found['state']}; choose another with --subscription.")
    user = found["user"]
    account = Account(found["id"], found["name"], found["tenantId"], user["name"], user["type"])
    say(f"Subscription {account.name} ({account.subscription}) as {account.user}")
    return account


def find_principal(azure: Azure) -> str:
    """The object id of who is logged in, read from a token for storage: no right to read the directory is needed.

    The Azure CLI keeps that token. Suites are uploaded with it after the deployment, when the proof of identity that a
    workflow logged in with, good for minutes, could fetch none. It is neither printed nor kept here.
    """
    words = ["account", "get-access-token", "--resource", "https://storage.azure.com", "--query", "accessToken"]
    token = str(azure.ask(*words, doing="Getting a token for storage"))
    try:
        body = token.split(".")[1]
        return str(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["oid"])
    except (IndexError, KeyError, ValueError):
        raise StepFailed("The token for storage does not say whose it is. Run `az login` again.") from None


def register_providers(azure: Azure, values: Mapping[str, Any]) -> None:
    """Registers the resource providers that the template needs, with these parameters, and the subscription lacks."""
    query = "[?registrationState=='Registered'].namespace"
    present = azure.ask("provider", "list", "--query", query, doing="Looking for resource providers")
    known = {str(one).lower() for one in present}
    needed = [*PROVIDERS, *(provider for parameter, provider in PROVIDERS_FOR.items() if values.get(parameter))]
    for provider in (one for one in needed if one.lower() not in known):
        say(f"Registering {provider}, which takes a minute or two")
        azure.change("provider", "register", "--namespace", provider, "--wait", doing=f"Registering {provider}")
