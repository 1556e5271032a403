"""Calls the Azure CLI: questions, changes (which a rehearsal only prints), and what its failures mean.

Every step goes through here; nothing else starts `az`.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from dataclasses import dataclass
from typing import Any

from toolchain import StepFailed, say

_LONGEST_SHOWN = 1500
_SECRETS = (
    (
        re.compile(
            r"(?i)(AccountKey|SharedAccessKey|InstrumentationKey|password|secret|api[-_]?key)(\"?\s*[=:]\s*\"?)[^\s;\",&]+"
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
    (r"AuthorizationFailed|does not have authorization|Forbidden", "Ask an owner of the subscription for Contributor."),
    (
        r"FlagMustBeSetForRestore|soft.?deleted|ConflictError.*deleted state",
        "A resource of this name was deleted and can still be restored, so its name is taken: restore it, or run "
        "`scripts/teardown` for that environment with --purge.",
    ),
    (
        r"InsufficientQuota|QuotaExceeded|exceeds.*quota",
        "Lower the capacity of the deployments in the parameters file, choose another region, or ask for more quota: "
        "https://aka.ms/oai/quotaincrease",
    ),
    (
        r"ServiceModelDeprecated|DeploymentModelNotSupported|InvalidDeployment|model.*not (available|supported)",
        "Choose a model and version that this region has: `az cognitiveservices model list --location REGION`.",
    ),
    (r"LocationNotAvailable|not available in location", "Choose another region with --location."),
    (r"RequestDisallowedByPolicy", "A policy of your organisation forbids this; its name is in the message."),
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
    (r"BCP\d{3}|InvalidTemplate", "The template or the parameters file is wrong; the message names the line."),
    (r"timed out|ConnectionError|Max retries|Temporary failure", "Check the network, then run the same command again."),
)
_ANYWAY = "Run the same command again: what is already done is not done twice."


@dataclass(frozen=True)
class Azure:
    """The Azure CLI, for one subscription once it is known."""

    subscription: str = ""

    def ask(self, *words: str, doing: str) -> Any:
        """The answer of a command that changes nothing, read from JSON. Raises StepFailed with what to do."""
        return self.ask_as_is(*words, "--output", "json", doing=doing)

    def ask_as_is(self, *words: str, doing: str) -> Any:
        """The same of a command that prints JSON by itself, as those of Bicep do. Raises StepFailed."""
        answer = self._run([*words], doing, stdout=subprocess.PIPE)
        try:
            return json.loads(answer or "null")
        except ValueError:
            raise StepFailed(f"{doing}: `az {words[0]} {words[1]}` answered with something that is no JSON.") from None

    def finds(self, *words: str) -> Any:
        """The same, or None when there is no such thing."""
        try:
            return self.ask(*words, doing=f"Looking with `az {' '.join(words[:3])}`")
        except StepFailed as problem:
            if re.search(r"(?i)not ?found|does not exist|could not be found", str(problem)):
                return None
            raise

    def show(self, *words: str, doing: str) -> None:
        """Run a command that changes nothing, with its own output for the person to read. Raises StepFailed."""
        self._run(list(words), doing, stdout=None)

    def change(self, *words: str, doing: str) -> Any:
        """The answer of a command that changes something. Raises StepFailed with what to do."""
        return self.ask(*words, doing=doing)

    def change_aloud(self, *words: str, doing: str) -> None:
        """Run a command that changes something and takes its time, with its output. Raises StepFailed."""
        self.show(*words, doing=doing)

    def unbuilt_digest(self) -> str:
        """For an image that has just been built and is not to be found. Raises StepFailed."""
        raise StepFailed("The registry does not have the image that was just built. Run the same command again.")

    def of(self, subscription: str) -> Azure:
        """The same for a subscription, which every later command names."""
        return type(self)(subscription)

    def _run(self, words: list[str], doing: str, stdout: int | None) -> str:
        command = ["az", *words, "--only-show-errors", *self._subscription_words()]
        try:
            done = subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
        except OSError as problem:
            raise StepFailed(f"{doing}: `az` could not be started ({problem}). {INSTALL_AZ}") from problem
        if done.returncode != 0:
            raise StepFailed(f"{doing}: `az {' '.join(words[:3])}` failed.\n{explained(done.stderr)}")
        return done.stdout or ""

    def _subscription_words(self) -> list[str]:
        return ["--subscription", self.subscription] if self.subscription else []


class Rehearsal(Azure):
    """The same for --dry-run: asks what is there, and prints what it would change."""

    def finds(self, *words: str) -> Any:
        """None also where nothing can be asked yet, as of a registry that only a deployment would make."""
        try:
            return super().finds(*words)
        except StepFailed:
            return None

    def change(self, *words: str, doing: str) -> Any:
        """Prints the command; there is no answer."""
        say(f"Would run: {shlex.join(['az', *words, *self._subscription_words()])}")

    def change_aloud(self, *words: str, doing: str) -> None:
        """Prints the command."""
        self.change(*words, doing=doing)

    def unbuilt_digest(self) -> str:
        """Stands for the digest of an image that only a deployment builds."""
        return f"sha256:{'0' * 64}"


INSTALL_AZ = "Install the Azure CLI: https://aka.ms/install-azure-cli"


def explained(stderr: str) -> str:
    """What the CLI complained of, without secrets, and what to do about it."""
    message = without_secrets(stderr.strip())[:_LONGEST_SHOWN] or "It said nothing."
    return f"{message}\n{remedy_for(message)}"


def remedy_for(message: str) -> str:
    """What to do about a failure, by the words that Azure uses for it."""
    return next((remedy for words, remedy in _REMEDIES if re.search(words, message, re.IGNORECASE)), _ANYWAY)


def without_secrets(text: str) -> str:
    """The text, with what looks like a key, a signature or a token left out."""
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return text
