"""Uploads suites and makes a smoke run, with the identity of who is logged in and `assay` itself."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolchain import StepFailed, say

from azure_deploy.failures import without_secrets
from azure_deploy.preflight import ASSAY

# Rights take minutes to reach every server of Azure, and a new container takes a while to start.
TRIES = 15
SECONDS_BETWEEN_TRIES = 20.0
SMOKE_RUN_SECONDS = 900.0
COMMAND_SECONDS = 300.0
_OUR_VARIABLES = ("ASSAY_", "AZURE_OPENAI_", "KEY_VAULT_")
# These say what a suite is, not where it goes: its overrides, and the folders of its code.
_OVERRIDES, _CODE = "ASSAY_SUITE_", "ASSAY_CODE"
# No temperature, which reasoning models refuse; and room for what they think before they say the number.
_SMOKE_SUITE = """version: 1
name: smoke
description: Shows that a dropped file becomes a signed bundle
dataset: {{id: id, columns: [id, number]}}
defaults:
  model: {{deployment: {deployment}, max_tokens: 2000}}
  criteria: [{{name: answer}}]
experiments:
  - {{name: plain, baseline: true, user: "Say only this number: {{{{ number }}}}"}}
  - {{name: polite, user: "Please be so kind as to say only this number: {{{{ number }}}}"}}
limits: {{budget_usd: 1}}
"""


@dataclass(frozen=True)
class Place:
    """Where a deployment keeps its data, as the command line is told."""

    outputs: Mapping[str, str]

    def environment(self) -> dict[str, str]:
        """This process's variables, without what may name another installation, and with this one's addresses."""
        names = ("ASSAY_STORAGE__blobServiceUri", "ASSAY_STORAGE__queueServiceUri", "KEY_VAULT_URI")
        kept = {name: value for name, value in os.environ.items() if not _may_name_another(name)}
        return kept | _code() | {name: self.outputs[name.upper()] for name in names if name.upper() in self.outputs}


def _may_name_another(variable: str) -> bool:
    return variable.startswith(_OUR_VARIABLES) and not variable.startswith(_OVERRIDES)


def _code() -> dict[str, str]:
    """The folders of code from the root on, as `assay` is started in another folder; nothing when none is named."""
    named = [str(Path(folder).absolute()) for folder in os.environ.get(_CODE, "").split(os.pathsep) if folder]
    return {_CODE: os.pathsep.join(named)} if named else {}


def check_suites(folders: Sequence[Path]) -> None:
    """Raises StepFailed for a suite that could not be uploaded, before half an hour is spent on the way there."""
    for folder in folders:
        _assay(Place({}), "validate", str(folder.absolute()), doing=f"Checking --suite {folder}")


def upload_suites(place: Place, folders: Sequence[Path]) -> None:
    """Put suites where runs find them. Raises StepFailed with what `assay deploy` said."""
    for folder in folders:
        _patiently(place, "deploy", str(folder.absolute()), doing=f"Uploading {folder}")
        say(f"Uploaded {folder}")


def smoke_run(place: Place, deployment: str, nonce: str) -> str:
    """Drop three rows, wait for the signed bundle, check it; gives the run's id. Raises StepFailed.

    `nonce` makes the rows new: what was run before is not run again.
    """
    with _smoke_files(deployment, nonce) as folder:
        _patiently(place, "deploy", str(folder), doing="Uploading the smoke suite")
        dropped = ["submit", str(folder / "rows.csv"), "--suite", "smoke", "--json"]
        run = str(json.loads(_patiently(place, *dropped, doing="Starting the smoke run"))["run"])
        say(f"Smoke run {run}")
        _watch(place, run)
        _assay(place, "fetch", run, "--to", str(folder / "bundle"), doing="Fetching the smoke run's bundle")
        _assay(place, "verify", str(folder / "bundle"), doing="Verifying the smoke run's bundle")
    return run


@contextmanager
def _smoke_files(deployment: str, nonce: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder, "smoke")
        suite.mkdir()
        (suite / "suite.yaml").write_text(_SMOKE_SUITE.format(deployment=deployment), encoding="utf-8")
        rows = "".join(f"{nonce}-{number},{number}\n" for number in range(1, 4))
        (suite / "rows.csv").write_text(f"id,number\n{rows}", encoding="utf-8")
        yield suite


def _watch(place: Place, run: str) -> None:
    """Shows the run's progress until it has ended. Raises StepFailed when it does not end well, or not in time."""
    with _started(place, "watch", run) as watching:
        try:
            code = watching.wait(SMOKE_RUN_SECONDS)
        except subprocess.TimeoutExpired:
            watching.kill()
            raise StepFailed(
                f"The smoke run did not end within {SMOKE_RUN_SECONDS / 60:g} minutes; it may still do so: "
                f"`assay show {run}` with the settings above. What may hold it up: docs/runbook.md, 'A stalled run'."
            ) from None
    if code != 0:
        raise StepFailed(
            f"The smoke run did not end well; why is said above, and by `assay show {run}` with the settings above. "
            "docs/runbook.md, 'A run that stopped', says what to do; then run the same command again."
        )


def _patiently(place: Place, *words: str, doing: str) -> str:
    """The same again while Azure is not ready; a mistake of the person's (exit code 2) is told at once."""
    for _ in range(TRIES - 1):
        try:
            return _assay(place, *words, doing=doing)
        except _NotYet as problem:
            say(f"{doing}: not yet ({str(problem).splitlines()[-1][:160]}); trying again")
            time.sleep(SECONDS_BETWEEN_TRIES)
    try:
        return _assay(place, *words, doing=doing)
    except _NotYet as problem:
        raise StepFailed(
            f"{problem}\nTried {TRIES} times. New rights can take longer to hold everywhere: run the same command "
            "again in some minutes."
        ) from None


class _NotYet(StepFailed):
    """An outside service refused, or nothing happened: waiting may help."""


_USER_ERROR = 2


def _assay(place: Place, *words: str, doing: str) -> str:
    with _started(place, *words, pipe=subprocess.PIPE) as process:
        try:
            answer, complaint = process.communicate(timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise StepFailed(
                f"{doing}: `assay {words[0]}` did not end within {COMMAND_SECONDS / 60:g} minutes and was killed. "
                "See whether this network lets it reach the storage account; then run the same command again."
            ) from None
    if process.returncode == 0:
        return answer
    problem = without_secrets(complaint.strip() or answer.strip())
    kind = StepFailed if process.returncode == _USER_ERROR else _NotYet
    raise kind(f"{doing}: `assay {words[0]}` ended with exit code {process.returncode}.\n{problem}")


@contextmanager
def _started(place: Place, *words: str, pipe: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """`assay` at work, in a folder of its own, so that no .env of the current one is read. Raises StepFailed."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            process = subprocess.Popen(
                [str(ASSAY), *words],
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=pipe,
                encoding="utf-8",
                errors="replace",
                env=place.environment(),
                cwd=folder,
            )
        except OSError as problem:
            raise StepFailed(f"`{ASSAY}` could not be started ({problem}). Run `make setup`.") from None
        with process:
            yield process
