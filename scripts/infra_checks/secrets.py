"""Looks for keys, and for ways to get at them, in every text file that a deployment is made of."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from tree_sitter import Node

from infra_checks.bicep import Bicep, Finding, properties, source, walk

_FORBIDDEN = {
    "a function that reads keys": re.compile(r"\blist(\w*Keys?|Credentials|\w*Secrets?|\w*Sas)\b", re.IGNORECASE),
    "a key of an account": re.compile(r"AccountKey\s*=|SharedAccessKey|SharedAccessSignature\s*=|AccountName\s*="),
    "a key of Application Insights": re.compile(r"\.InstrumentationKey|InstrumentationKey=", re.IGNORECASE),
    "a connection string": re.compile(
        r"DefaultEndpointsProtocol|BlobEndpoint\s*=|Password\s*=|Server\s*=\s*tcp", re.IGNORECASE
    ),
    "a key that a resource shows": re.compile(r"\.(primary|secondary)\w*Key\b|\bsharedKey\b|\.key[12]\b"),
    "a signature": re.compile(r"[?&]sig=", re.IGNORECASE),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"),
    "what looks like a key": re.compile(
        r"(?<![\w/+-])(?=[\w/+]*[A-Z])(?=[\w/+]*\d)(?=[\w/+]*[a-z])[A-Za-z0-9/+]{43,88}={1,2}"
    ),
}

_HARMLESS = re.compile(r"Authentication=ManagedIdentity")

# Named like secrets, and none: addresses, a name, and a connection string in which nothing opens anything.
NO_SECRETS = frozenset(
    (
        "APPLICATIONINSIGHTS_CONNECTION_STRING",
        "ASSAY_ENDPOINTS",
        "ASSAY_SIGNING_KEY",
        "AzureFunctionsJobHost__extensions__durableTask__storageProvider__connectionStringName",
        "DURABLE_TASK_SCHEDULER_CONNECTION_STRING",
    )
)


def check_text(path: Path, text: str) -> Iterator[Finding]:
    """Keys, connection strings, and functions that read keys, in a file of any kind."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in _FORBIDDEN.items():
            if (found := pattern.search(line)) and not _HARMLESS.search(line):
                yield Finding(path, number, f"'{found[0][:20]}' looks like {what}; use identities")


def check_connection_strings(file: Bicep) -> Iterator[Finding]:
    """A connection string may be read only of Application Insights, and only where local authentication is off."""
    for node in walk(file.root):
        if node.type != "member_expression" or not source(node).lower().endswith("connectionstring"):
            continue
        owner = file.named("resource", source(node).partition(".")[0])
        of_insights = owner is not None and owner.text.startswith("Microsoft.Insights/components@")
        if not of_insights or "DisableLocalAuth: true" not in file.text:
            yield file.finding(node, "a connection string may be read only of Application Insights without local auth")


def check_settings(file: Bicep, secret_names: Collection[str] = ()) -> Iterator[Finding]:
    """The app's settings hold no secret: none of `secret_names` is set, and none that is named like a secret."""
    for name, node in _settings(file).items():
        looks_secret = name in secret_names or re.search(r"(?i)key$|secret|password|token|connection_?string", name)
        if looks_secret and name not in NO_SECRETS:
            yield file.finding(node, f"the setting {name} is a secret; use an identity or keyvault:<secret>")


def settings_of(file: Bicep) -> dict[str, str]:
    """The settings that the app is given, by name, with their expressions."""
    return {name: source(node) for name, node in _settings(file).items()}


def _settings(file: Bicep) -> dict[str, Node]:
    table = file.named("variable", "settings")
    return properties(table.value if table else None)
