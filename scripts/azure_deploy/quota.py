"""Whether the regions have the model quota left that the parameters ask for, before Azure finds out minutes later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from toolchain import StepFailed, say

from azure_deploy.az import Azure
from azure_deploy.existing import DEFAULT_SKU, Existing
from azure_deploy.template import region_name

_MORE = "https://aka.ms/oai/quotaincrease"

Held = Mapping[tuple[str, str], int]
"""Capacity by region and the quota's name."""


@dataclass(frozen=True)
class Demand:
    """Capacity that the parameters ask for: a quota's name, in a region."""

    location: str
    usage: str
    capacity: int


def usage_name(sku: str, model: str) -> str:
    """What Azure calls a quota. Provisioned units belong to no model."""
    return f"OpenAI.{sku}" if "Provisioned" in sku else f"OpenAI.{sku}.{model}"


def demands_of(accounts: Iterable[dict[str, Any]], location: str) -> list[Demand]:
    """What the accounts that are to be created ask of each region's quota; accounts of yours ask nothing."""
    asked: Counter[tuple[str, str]] = Counter()
    for account in (one for one in accounts if not one.get("resourceId")):
        for deployment in account.get("deployments", []):
            model = deployment.get("model") or deployment["name"]
            usage = usage_name(deployment.get("sku") or DEFAULT_SKU, model)
            asked[region_name(account.get("location") or location), usage] += deployment["capacity"]
    return [Demand(place, usage, capacity) for (place, usage), capacity in sorted(asked.items())]


def held_capacity(existing: Iterable[Existing]) -> Held:
    """What this environment's own deployments hold of each quota already."""
    held: Counter[tuple[str, str]] = Counter()
    for one in existing:
        held[one.location, usage_name(one.sku, one.model)] += one.capacity
    return held


def check_quota(azure: Azure, demands: list[Demand], held: Held) -> None:
    """Raises StepFailed when a region has less left than the parameters ask for; what is `held` is asked already."""
    for location in sorted({one.location for one in demands}):
        words = ["cognitiveservices", "usage", "list", "--location", location]
        listed = azure.ask(*words, doing=f"Looking at the quota of {location}")
        left = {_key(str(one["name"]["value"])): one["limit"] - one["currentValue"] for one in listed}
        for demand in (one for one in demands if one.location == location):
            _check(demand, left, held.get((location, demand.usage), 0))


def _key(usage: str) -> str:
    """Azure writes some models with a hyphen less, as in gpt4.1-mini."""
    return usage.lower().replace("-", "")


def _check(demand: Demand, left: Mapping[str, float], held: int) -> None:
    free = left.get(_key(demand.usage))
    if free is None:
        say(
            f"Warning: {demand.location} lists no quota {demand.usage}; if the deployment fails for it, see "
            f"`az cognitiveservices usage list --location {demand.location} --output table`"
        )
    elif free + held < demand.capacity:
        raise StepFailed(
            f"{demand.location} has a capacity of {free + held:g} of {demand.usage} left (thousand tokens per minute, "
            f"or provisioned units), and the parameters ask for {demand.capacity}. Lower `capacity`, choose another "
            f"region, or ask for more: {_MORE}"
        )
