"""The model deployments that an environment has already: they hold quota, and Azure keeps what it no longer offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure_deploy.az import Azure
from azure_deploy.template import region_name

DEFAULT_SKU = "GlobalStandard"


@dataclass(frozen=True)
class Existing:
    """A model deployment of this environment, as Azure lists it."""

    location: str
    name: str
    model: str
    version: str
    sku: str
    capacity: int

    def is_meant_by(self, asked: Mapping[str, Any], location: str) -> bool:
        """Whether the parameters ask for this one, at most with another capacity; no version asked: whichever it is."""
        model, version = asked.get("model") or asked["name"], asked.get("version") or self.version
        wanted = (location, asked["name"], model, version, asked.get("sku") or DEFAULT_SKU)
        return wanted == (self.location, self.name, self.model, self.version, self.sku)


def existing_deployments(azure: Azure, group: str) -> list[Existing]:
    """All of the environment's own accounts; none before a first deployment. Raises StepFailed."""
    return [
        _read(one, region_name(account["location"]))
        for account in azure.finds("cognitiveservices", "account", "list", "--resource-group", group) or []
        for one in _listed(azure, group, account["name"])
    ]


def _listed(azure: Azure, group: str, account: str) -> list[dict[str, Any]]:
    words = ["cognitiveservices", "account", "deployment", "list", "--resource-group", group, "--name", account]
    return list(azure.ask(*words, doing=f"Looking at the deployments of {account}") or [])


def _read(one: Mapping[str, Any], location: str) -> Existing:
    model, sku = one["properties"]["model"], one["sku"]
    return Existing(location, one["name"], model["name"], model.get("version") or "", sku["name"], sku["capacity"])
