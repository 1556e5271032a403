"""Whether the regions have the models that the parameters name, before Azure finds out minutes later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from toolchain import StepFailed, say

from azure_deploy.az import Azure
from azure_deploy.existing import DEFAULT_SKU, Existing
from azure_deploy.template import region_name

_QUERY = "[?kind=='OpenAI'].{name: model.name, version: model.version, skus: model.skus[].name}"
_CHOOSE = "Choose another in `openAiAccounts` of the parameters file, or another region."

Offered = Mapping[str, Mapping[str, list[str]]]
"""What a region has: kinds of deployment by version, by model."""


def check_models(azure: Azure, accounts: Iterable[dict[str, Any]], location: str, existing: Sequence[Existing]) -> None:
    """Raises StepFailed for a model, version or kind of deployment that its region does not list.

    What is `existing` is left alone: a region no longer lists what Azure is about to retire, and goes on answering it.
    """
    known: dict[str, Offered] = {}
    for account in (one for one in accounts if not one.get("resourceId")):
        place = region_name(account.get("location") or location)
        if place not in known:
            known[place] = offered_in(azure, place)
        for deployment in account["deployments"]:
            if known[place] and not any(one.is_meant_by(deployment, place) for one in existing):
                _check(deployment, known[place], place)


def offered_in(azure: Azure, location: str) -> Offered:
    """The models of a region; none, with a warning, when it lists none."""
    words = ["cognitiveservices", "model", "list", "--location", location, "--query", _QUERY]
    found: dict[str, dict[str, list[str]]] = {}
    for one in azure.ask(*words, doing=f"Looking at the models of {location}") or []:
        found.setdefault(one["name"], {})[one["version"]] = one["skus"] or []
    if not found:
        say(f"Warning: {location} lists no models of Azure OpenAI; the deployment will tell.")
    return found


def _check(deployment: Mapping[str, Any], offered: Offered, location: str) -> None:
    model, version = deployment.get("model") or deployment["name"], deployment.get("version")
    if model not in offered:
        close = ", ".join(get_close_matches(model, offered, 5)) or ", ".join(sorted(offered)[:20])
        raise StepFailed(f"{location} has no model {model!r}. It has: {close}. {_CHOOSE}")
    versions = offered[model]
    if version and version not in versions:
        raise StepFailed(f"{location} has no version {version!r} of {model}. It has: {', '.join(versions)}. {_CHOOSE}")
    kinds = versions[version] if version else sorted({kind for some in versions.values() for kind in some})
    kind = deployment.get("sku") or DEFAULT_SKU
    if kinds and kind not in kinds:
        raise StepFailed(f"{location} has {model} {version or ''} not as {kind}, only as {', '.join(kinds)}. {_CHOOSE}")
