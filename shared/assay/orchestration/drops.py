"""Dropping a file from here, and finding out what became of it. The command line calls this; no trigger does."""

import asyncio
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from assay.errors import BlobMissing, UserError
from assay.orchestration.ingest import AGAIN, file_digest, file_refusal_path, run_id, split_drop, suite_text
from assay.planning.preflight import checked_suite
from assay.records import Refusal
from assay.storage import layout
from assay.storage.base import Storage


@dataclass(frozen=True)
class Drop:
    """A file in the inbox, and the run that it starts."""

    path: str
    etag: str
    run: str


async def upload_suite(storage: Storage, folder: Path) -> str:
    """Checks a suite folder and puts its suite file where runs find it; gives its name. Raises UserError."""
    file = folder / "suite.yaml"
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as UTF-8 text: {error}") from None
    suite = checked_suite(text, str(file))
    await storage.write(layout.suite_file(suite.name), text.encode(), overwrite=True)
    return suite.name


async def drop_file(storage: Storage, suite: str, file: Path, again: str = "") -> Drop:
    """Puts `file` into the inbox; its name is brought into Unicode's composed form.

    Raises UserError when there is no such suite, or one that cannot be used.
    """
    path = layout.dropped(suite, unicodedata.normalize("NFC", file.name))
    split_drop(path)
    known = checked_suite(await suite_text(storage, suite), f"{suite}/suite.yaml")
    run = run_id(known, path, await asyncio.to_thread(file_digest, file), again)
    etag = await storage.upload(path, file, metadata={AGAIN: again} if again else None)
    return Drop(path, etag, run)


async def find_refusal(storage: Storage, drop: Drop) -> Refusal | None:
    """The quarantine record of a drop, or None."""
    try:
        return Refusal.model_validate_json(await storage.read(file_refusal_path(drop.path, drop.etag)))
    except BlobMissing:
        return None
