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

from azure_deploy.failures import explained

INSTALL_AZ = "Install the Azure CLI: https://aka.ms/install-azure-cli"


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
            # No input: what it asks would not be seen, and it would read the answer that the person gives to us.
            nobody, pipe = subprocess.DEVNULL, subprocess.PIPE
            done = subprocess.run(
                command, stdin=nobody, stdout=stdout, stderr=pipe, encoding="utf-8", errors="replace", check=False
            )
        except OSError as problem:
            raise StepFailed(f"{doing}: `az` could not be started ({problem}). {INSTALL_AZ}") from problem
        if done.returncode != 0:
            raise StepFailed(f"{doing}: `az {' '.join(words[:3])}` failed.\n{explained(done.stderr)}")
        return done.stdout or ""

    def _subscription_words(self) -> list[str]:
        return ["--subscription", self.subscription] if self.subscription else []


class Rehearsal(Azure):
    """The same for --dry-run: asks what is there, and prints what it would change."""

    def change(self, *words: str, doing: str) -> Any:
        """Prints the command; there is no answer."""
        say(f"Would run: {shlex.join(['az', *words, *self._subscription_words()])}")

    def change_aloud(self, *words: str, doing: str) -> None:
        """Prints the command."""
        self.change(*words, doing=doing)

    def unbuilt_digest(self) -> str:
        """Stands for the digest of an image that only a deployment builds."""
        return f"sha256:{'0' * 64}"
