"""What has to be so before anything is changed: tools, login, subscription, resource providers, model quota."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Iterable
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


@dataclass(frozen=True)
class Account:
    """Who deploys, and where to."""

    subscription: str
    name: str
    tenant: str
    user: str
    kind: str


def check_tools(azure: Azure) -> None:
    """Raises StepFailed unless the Azure CLI is new enough, has Bicep, and `make setup` was run."""
    version = str(azure.ask("version", doing="Looking for the Azure CLI").get("azure-cli", "0"))
    if tuple(map(int, re.findall(r"\d+", version)[:3])) < OLDEST_AZ:
        wanted = ".".join(map(str, OLDEST_AZ))
        raise StepFailed(f"The Azure CLI is {version}; {wanted} or newer is needed. `az upgrade`, or {INSTALL_AZ}")
    azure.show("bicep", "version", doing="Looking for Bicep")
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


def register_providers(azure: Azure) -> None:
    """Registers the resource providers that the template needs and the subscription does not have yet."""
    query = "[?registrationState=='Registered'].namespace"
    present = azure.ask("provider", "list", "--query", query, doing="Looking for resource providers")
    known = {str(one).lower() for one in present}
    for provider in (one for one in PROVIDERS if one.lower() not in known):
        say(f"Registering {provider}, which takes a minute or two")
        azure.change("provider", "register", "--namespace", provider, "--wait", doing=f"Registering {provider}")


@dataclass(frozen=True)
class Demand:
    """Capacity that the parameters ask for: a quota's name, in a region."""

    location: str
    usage: str
    capacity: int


def held_capacity(azure: Azure, group: str) -> dict[tuple[str, str], int]:
    """What this environment's own deployments hold of each quota already, by region and the quota's name."""
    held: Counter[tuple[str, str]] = Counter()
    words = ["cognitiveservices", "account", "list", "--resource-group", group]
    for account in azure.finds(*words) or []:
        named = ["--resource-group", group, "--name", account["name"]]
        words = ["cognitiveservices", "account", "deployment", "list", *named]
        for one in azure.ask(*words, doing=f"Looking at the deployments of {account['name']}"):
            usage = f"OpenAI.{one['sku']['name']}.{one['properties']['model']['name']}"
            held[account["location"], usage] += one["sku"]["capacity"]
    return dict(held)


def demands_of(accounts: Iterable[dict[str, Any]], location: str) -> list[Demand]:
    """What the accounts that are to be created ask of each region's quota; accounts of yours ask nothing."""
    asked: Counter[tuple[str, str]] = Counter()
    for account in accounts:
        if account.get("resourceId"):
            continue
        for deployment in account.get("deployments", []):
            usage = (
                f"OpenAI.{deployment.get('sku') or 'GlobalStandard'}.{deployment.get('model') or deployment['name']}"
            )
            asked[account.get("location") or location, usage] += deployment["capacity"]
    return [Demand(place, usage, capacity) for (place, usage), capacity in sorted(asked.items())]


def check_quota(azure: Azure, demands: list[Demand], granted: dict[tuple[str, str], int]) -> None:
    """Raises StepFailed when a region has not the quota left that the parameters ask for.

    `granted` is what this environment's own deployments hold already, which asking again does not add to.
    """
    for location in sorted({one.location for one in demands}):
        listed = azure.ask(
            "cognitiveservices", "usage", "list", "--location", location, doing=f"Looking at the quota of {location}"
        )
        left = {str(one["name"]["value"]).lower(): one["limit"] - one["currentValue"] for one in listed}
        for demand in (one for one in demands if one.location == location):
            _check_demand(demand, left, granted.get((location, demand.usage), 0))


def _check_demand(demand: Demand, left: dict[str, float], held: int) -> None:
    free = left.get(demand.usage.lower())
    if free is None:
        raise StepFailed(
            f"{demand.location} has no quota named {demand.usage}: the model or the kind of deployment is not offered "
            f"there. `az cognitiveservices usage list --location {demand.location} --output table` shows what is."
        )
    if free + held < demand.capacity:
        raise StepFailed(
            f"{demand.location} has {free + held:g} thousand tokens per minute of {demand.usage} left, and the "
            f"parameters ask for {demand.capacity}. Lower `capacity`, choose another region, or ask for more: "
            "https://aka.ms/oai/quotaincrease"
        )
