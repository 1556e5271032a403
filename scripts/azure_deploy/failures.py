"""What the Azure CLI complained of: the innermost causes, without secrets, and what to do about each.

`az.py` and `suites.py` call it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_LONGEST_END = 1500
_SECRETS = (
    (
        re.compile(
            r"(?i)(AccountKey|SharedAccessKey|InstrumentationKey|password|secret|api[-_]?key)"
            r"(\\*\"?\s*[=:]\s*\\*\"?)[^\s;\",&\\]+"
        ),
        r"\1\2***",
    ),
    (re.compile(r"(?i)([?&](?:sig|se|st|code)=)[^\s&\"]+"), r"\1***"),
    (re.compile(r"(?i)(bearer\s+)[\w.~+/=-]+"), r"\1***"),
    (re.compile(r"eyJ[\w-]{10,}\.[\w-]+\.[\w-]*"), "***"),
)
_REMEDIES = (
    (r"az login|AADSTS|not logged in|refresh token", "Log in with `az login`, then run the same command again."),
    (
        r"roleAssignments/write|RoleAssignment.*(denied|forbidden)",
        "You need the role Owner on the subscription, or Contributor together with Role Based Access Control "
        "Administrator.",
    ),
    (
        r"UnmatchedPrincipalType",
        "Say in the parameters what `operatorsId` is: `operatorsType` is User, Group or ServicePrincipal.",
    ),
    (r"RequestDisallowedByPolicy", "A policy of your organisation forbids this; its name is in the message."),
    (r"ScopeLocked", "Somebody put a lock on it: `az lock list` shows it; its owner can take it away."),
    (
        r"TasksOperationsNotAllowed",
        "This subscription may not build in a registry, as is usual for free and trial ones: build with Docker, push "
        "to the registry, and name what you pushed with --image REGISTRY/assay@sha256:...",
    ),
    (r"AuthorizationFailed|does not have authorization|Forbidden", "Ask an owner of the subscription for Contributor."),
    (
        r"FlagMustBeSetForRestore|soft.?deleted|in deleted state",
        "A resource of this name was deleted and can still be restored, so its name is taken: run `scripts/teardown` "
        "for that environment with --purge. A vault that is protected from that keeps its name: choose another --name.",
    ),
    (
        r"AlreadyTaken|VaultAlreadyExists|CustomDomainInUse|AlreadyInUse|already (in use|used by|taken)",
        "The name belongs to something else, perhaps in another subscription: choose another --name.",
    ),
    (
        r"InsufficientQuota|QuotaExceeded|exceeds.*quota|MaxNumberOf",
        "Lower the capacity of the deployments in the parameters file, choose another region, or ask for more quota: "
        "https://aka.ms/oai/quotaincrease",
    ),
    (
        r"ServiceModelDeprecated|DeploymentModelNotSupported|InvalidDeployment(?!Location)|"
        r"model.*not (available|supported)",
        "Choose a model and version that this region has: `az cognitiveservices model list --location REGION`.",
    ),
    (
        r"InvalidResourceGroupLocation",
        "The resource group is there in another region: use that one with --location, another --name, or another "
        "`resourceGroupName` in the parameters.",
    ),
    (r"ResourceGroupBeingDeleted", "The group is still being deleted: wait some minutes, then run this again."),
    (r"LocationNotAvailable|not available in location", "Choose another region with --location."),
    (
        r"MissingSubscriptionRegistration|not registered to use namespace",
        "Run the same command again in a few minutes.",
    ),
    (
        r"InvalidDeploymentLocation",
        "This environment was deployed with another --location: use that one, or another --name.",
    ),
    (r"DeploymentActive", "Another deployment of this environment is running: wait for it, then run this again."),
    (r"RoleAssignmentExists|PrincipalNotFound", "Azure's directory lags behind: run the same command again."),
    (r"Bicep CLI|bicep.*(download|install)|Error while attempting to retrieve", "Install Bicep: `az bicep install`."),
    (
        r"BCP\d{3}|InvalidTemplate(?!Deployment)|unrecognized template parameter",
        "The template or the parameters file is wrong; the message names the line. If you changed neither: "
        "`az bicep upgrade`.",
    ),
    (
        r"timed out|ConnectionError|Max retries|Temporary failure|Name or service not known",
        "Check the network, then run the same command again.",
    ),
    (
        r"At least one resource deployment operation failed",
        "The portal says which, under Deployments of the subscription, and so does `az deployment operation sub list`.",
    ),
)
_ANYWAY = "Run the same command again: what is already done is not done twice."


def explained(stderr: str) -> str:
    """What the CLI complained of, and what to do about it."""
    said = without_secrets(stderr.strip()) or "It said nothing."
    causes = list(causes_of(said)) or [_shortened(said)]
    remedies = dict.fromkeys(remedy_for(cause) for cause in causes)
    return "\n".join([*causes, *remedies])


def remedy_for(message: str) -> str:
    """What to do about a failure, by the words that Azure uses for it."""
    return next((remedy for words, remedy in _REMEDIES if re.search(words, message, re.IGNORECASE)), _ANYWAY)


def without_secrets(text: str) -> str:
    """The text, with what looks like a key, a signature or a token left out."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text


def causes_of(said: str) -> Iterator[str]:
    """The innermost errors of what Azure Resource Manager answered; it nests them, and says the reason last."""
    yield from dict.fromkeys(_innermost(_answer_in(said), ""))


def _answer_in(said: str) -> Any:
    """The first JSON object in a text; None when there is none."""
    start = said.find("{")
    try:
        return json.JSONDecoder().raw_decode(said, start)[0] if start >= 0 else None
    except ValueError:
        return None


def _innermost(answer: Any, target: str) -> Iterator[str]:
    error = answer.get("error", answer) if isinstance(answer, dict) else None
    if not isinstance(error, dict) or not error.get("message"):
        return
    target, message = str(error.get("target") or target), str(error["message"])
    inner = [cause for one in error.get("details") or [] for cause in _innermost(one, target)]
    # Some services put their own answer into the message, as text.
    inner = inner or list(_innermost(_answer_in(message), target))
    where = f" ({'/'.join(target.split('/')[-2:])})" if target else ""
    yield from inner or [f"{error.get('code', 'Error')}{where}: {message}"]


def _shortened(text: str) -> str:
    """The beginning and the end: a template's complaint begins with the reason, a build's ends with it."""
    if len(text) <= 2 * _LONGEST_END:
        return text
    return f"{text[:_LONGEST_END]}\n...\n{text[-_LONGEST_END:]}"
