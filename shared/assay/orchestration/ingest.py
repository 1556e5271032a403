"""Ingest: a dropped file becomes a run, or a quarantine record that says why not. Both triggers call it.

Idempotent: the run's id derives from the file's name and content and from what the suite means.
"""

import asyncio
import hashlib
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from assay.errors import BlobExists, BlobMissing, DatasetError, MessageRefused, NameRefused, SuiteError, UserError
from assay.execution.job import quarantine_message
from assay.middleware.redaction import default_redact
from assay.orchestration.events import dropped_paths, resumed_run
from assay.orchestration.progress import read_progress, take_up
from assay.orchestration.scratch import scratch_folder
from assay.planning.datasets import check_beginning
from assay.planning.preflight import checked_suite
from assay.planning.programs import check_programs, has_programs, program_versions
from assay.registry import did_you_mean
from assay.run_records import DatasetReference, Progress, Refusal, RunHeader, Stage
from assay.storage import layout
from assay.storage.base import BlobEntry, Storage
from assay.storage.bundle_names import SUITE_FILE
from assay.suite.loading import source_map, suite_digest
from assay.suite.models import Suite
from assay.telemetry import Redact, Telemetry
from assay.telemetry_names import KIND, POISON, QUEUE

MAX_NAME_CHARACTERS = 200
SAFE_CHARACTERS = 80
AGAIN = "assay_again"
"""Metadata of a dropped blob; another value asks for another run of the same content."""
OVER_BUDGET = "assay_over_budget"
"""Metadata of a dropped blob; with any value the run begins even if it would likely cost more than its budget."""


@dataclass(frozen=True)
class Ingest:
    """Starts runs. `versions` is recorded in every run's header."""

    storage: Storage
    max_file_bytes: int
    versions: Mapping[str, str]
    now: Callable[[], datetime]
    telemetry: Telemetry
    redact: Redact = field(default_factory=default_redact)

    async def resumed(self, body: str) -> str | None:
        """The run that a message of the queue `ingest` lets go on, or None when it is about something else."""
        run = resumed_run(body)
        progress = await read_progress(self.storage, run) if run else None
        if progress is None or progress.stage in (Stage.DONE, Stage.STOPPED):
            return None
        self.telemetry.event("run_resumed", run=run)
        return run

    async def announced(self, body: str) -> list[str]:
        """The drops that a message of the queue `ingest` announces; one that cannot be read is quarantined."""
        try:
            return dropped_paths(body)
        except MessageRefused as refused:
            await quarantine_message(self.storage, body, str(refused), None, self.now(), self.redact)
            self.telemetry.problem("message_quarantined", reason=str(refused))
            self.telemetry.count(POISON, 1, {QUEUE: layout.INGEST_QUEUE, KIND: "unreadable"})
            return []

    async def admit(self, path: str) -> str | None:
        """The id of the run that the blob at `path` (`inbox/<suite>/<file>`) is to start, or None when there is none.

        None: the blob is gone, was refused (a quarantine record says why), or its run has ended well or is stopped.
        """
        etag = ""
        try:
            suite, file = split_drop(path)  # before the name reaches storage
            entry = await self.storage.find(path)
            if entry is None:
                self.telemetry.event("drop_gone", path=path)
                return None
            etag = entry.etag
            header = await self._header(entry, suite, file)
        except UserError as error:
            await self._quarantine(path, etag, str(error))
            return None
        except BlobMissing:
            self.telemetry.event("drop_replaced", path=path)
            return None
        return await self._begin(header)

    async def _header(self, entry: BlobEntry, suite_name: str, file: str) -> RunHeader:
        """Everything that can be refused without reading all rows is refused here. Raises UserError, BlobMissing."""
        if entry.size > self.max_file_bytes:
            found = f"{file}: {entry.size:,} bytes; at most {self.max_file_bytes:,} are accepted"
            raise DatasetError(f"{found}. Split the file, or raise ASSAY_MAX_FILE_BYTES")
        text = await suite_text(self.storage, suite_name)
        suite = checked_suite(text, f"{suite_name}/{SUITE_FILE}")
        if suite.name != suite_name:
            raise SuiteError(f"{suite_name}/{SUITE_FILE}: the suite is named '{suite.name}'; expected '{suite_name}'")
        if has_programs(suite):  # their modules may take seconds to import
            await asyncio.to_thread(check_programs, suite, source_map(text, f"{suite_name}/{SUITE_FILE}"))
        digest = await self._digest(entry, file, suite, text)
        return RunHeader(
            run=run_id(suite, entry.path, digest, again_of(entry.metadata)),
            suite_name=suite_name,
            suite=suite.model_dump(mode="json", by_alias=True),
            suite_source=text,
            suite_sha256=suite_digest(suite),
            dataset=DatasetReference(path=entry.path, file=file, etag=entry.etag, size=entry.size, sha256=digest),
            seed=suite.seed,
            created_at=self.now(),
            over_budget=OVER_BUDGET in entry.metadata,
            versions={**self.versions, **program_versions(suite)},
        )

    async def _digest(self, entry: BlobEntry, file: str, suite: Suite, text: str) -> str:
        """SHA-256 of the file, once its beginning has been found to fit the suite."""
        with scratch_folder() as folder:
            local = folder / "dataset"
            await self.storage.download(entry.path, local, etag=entry.etag)
            check_beginning(local, file, suite, text, f"{suite.name}/{SUITE_FILE}")
            return await asyncio.to_thread(file_digest, local)

    async def _begin(self, header: RunHeader) -> str | None:
        run = header.run
        await self._create(layout.header(run), header.model_dump_json(by_alias=True))
        begun = Progress(run=run, stage=Stage.PLANNING, started_at=header.created_at, updated_at=header.created_at)
        if not await self._create(layout.progress(run), begun.model_dump_json()):
            return await self._unless_done(run)
        self.telemetry.event("run_admitted", run=run, dataset=header.dataset.path, bytes=header.dataset.size)
        return run

    async def _unless_done(self, run: str) -> str | None:
        stage = await take_up(self.storage, run)
        self.telemetry.event("drop_known", run=run, stage=stage)
        return None if stage in (Stage.DONE, Stage.STOPPED) else run

    async def _create(self, path: str, text: str) -> bool:
        try:
            await self.storage.write(path, text.encode())
        except BlobExists:
            return False
        return True

    async def _quarantine(self, path: str, etag: str, reason: str) -> None:
        await quarantine_file(self.storage, path, etag, reason, None, self.now(), self.redact)
        self.telemetry.problem("file_quarantined", path=_shown(path), reason=reason)


async def suite_text(storage: Storage, suite: str) -> str:
    """The suite file as deployed. Raises SuiteError when there is none, or none that is text."""
    try:
        return (await storage.read(layout.suite_file(suite))).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SuiteError(f"{suite}/{SUITE_FILE}: not valid UTF-8 at byte {error.start + 1}") from None
    except BlobMissing:
        known = await storage.folders(f"{layout.SUITES}/")
        hint = did_you_mean(suite, known)
        raise SuiteError(f"there is no suite '{suite}'{hint}. Suites: {', '.join(known) or 'none yet'}") from None


def split_drop(path: str) -> tuple[str, str]:
    """Suite and file of a drop's path. Raises NameRefused for a name that could leave its folder or be misread."""
    container, _, name = path.partition("/")
    suite, _, file = name.partition("/")
    if container != layout.INBOX or not suite or not file or "/" in file:
        raise NameRefused(f"'{_shown(path)}' is not of the form inbox/<suite>/<file>")
    for part in (suite, file):
        if problem := _bad_name(part):
            raise NameRefused(f"the name '{_shown(part)}' {problem}")
    return suite, file


async def quarantine_file(
    storage: Storage, path: str, etag: str, reason: str, run: str | None, at: datetime, redact: Redact
) -> None:
    """Keeps a redacted record of a dropped file that was refused; the same version again replaces the record."""
    record = Refusal(kind="file", subject=_shown(redact(path)), reason=_encodable(redact(reason)), at=at, run=run)
    await storage.write(file_refusal_path(path, etag), record.model_dump_json(indent=1).encode(), overwrite=True)


def _bad_name(part: str) -> str | None:
    if part in (".", "..") or "\\" in part:
        return "could leave its folder; rename the file"
    if len(part) > MAX_NAME_CHARACTERS:
        return f"has {len(part)} characters; at most {MAX_NAME_CHARACTERS} are accepted"
    if not part.isprintable():
        return "holds characters that cannot be shown; rename the file"
    if unicodedata.normalize("NFC", part) != part:
        return "is not in Unicode's composed form (NFC), so two names could look the same; rename the file"
    return None


def again_of(metadata: Mapping[str, str]) -> str:
    """What tells this drop's run from others of the same content: a refused run does not stand in another's way."""
    return metadata.get(AGAIN, "") + (OVER_BUDGET if OVER_BUDGET in metadata else "")


def run_id(suite: Suite, path: str, digest: str, again: str = "") -> str:
    """The id of the run of this content under this name; `again` asks for another run of the same."""
    content = "\n".join((path, digest, suite_digest(suite), again))
    return f"{suite.name}-{hashlib.sha256(content.encode()).hexdigest()[:10]}"


def file_refusal_path(path: str, etag: str) -> str:
    """Where the quarantine record of a dropped blob is, if it was refused.

    Redacted with the shipped patterns alone, so that every process finds it.
    """
    suite, _, file = default_redact()(path).partition("/")[2].rpartition("/")
    digest = hashlib.sha256(_encodable(f"{path}\n{etag}").encode()).hexdigest()[:16]
    return layout.refused_file(_safe(suite), _safe(file), digest)


def file_digest(path: Path) -> str:
    """SHA-256 of a local file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _safe(name: str) -> str:
    """A folder's name that a person can still tell, whatever the name was; other names may give the same."""
    plain = re.sub(r"[^\w .()+-]", "_", name)[:SAFE_CHARACTERS].strip(" .")
    return plain or "_"


def _encodable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _shown(text: str) -> str:
    """The text with everything escaped that is invisible or turns the text around it."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text[:300])
