"""Dropping a file from here, and finding out what became of it. The command line calls this; no trigger does."""

import asyncio
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from assay.errors import BlobMissing, UserError
from assay.orchestration.ingest import (
    AGAIN,
    OVER_BUDGET,
    again_of,
    file_digest,
    file_refusal_path,
    run_id,
    split_drop,
    suite_text,
)
from assay.orchestration.progress import read_progress, take_up
from assay.planning.preflight import check_suite
from assay.planning.programs import check_programs, has_code, needs_code, open_code
from assay.provenance.manifest import path_fault
from assay.run_records import Refusal, Stage
from assay.storage import layout
from assay.storage.base import Storage
from assay.storage.bundle_names import ALL_SEAL_NAMES, SUITE_FILE
from assay.suite.folders import read_suite_folder
from assay.suite.loading import load_suite
from assay.suite.resolution import ResolvedSuite


@dataclass(frozen=True)
class Drop:
    """A file in the inbox, and the run that it starts; `is_known` when that run has ended well before."""

    path: str
    etag: str
    run: str
    is_known: bool = False


def open_suite(
    folder: Path,
    profile: str = "",
    *,
    environment: Mapping[str, str],
    code_folders: Callable[[], Iterable[Path]],
) -> ResolvedSuite:
    """The suite of a local folder with a profile and an environment, checked. Raises UserError.

    Its programs and functions are imported, from the folder itself too; only then it is asked where else code lies.
    """
    resolved = read_suite_folder(folder).resolve(profile, environment)
    if needs_code(resolved.suite):
        open_code((*code_folders(), *([folder] if has_code(folder) else [])))
    check_suite(resolved.suite, resolved.source)
    check_programs(resolved.suite, resolved.source)
    return resolved


async def upload_suite(
    storage: Storage,
    folder: Path,
    profile: str = "",
    *,
    environment: Mapping[str, str],
    code_folders: Callable[[], Iterable[Path]],
) -> str:
    """Checks a suite as `open_suite` does and puts one file of all of it where runs find it; gives its name."""
    resolved = open_suite(folder, profile, environment=environment, code_folders=code_folders)
    await storage.write(layout.suite_file(resolved.suite.name), resolved.text.encode(), overwrite=True)
    return resolved.suite.name


async def drop_file(storage: Storage, suite: str, file: Path, again: str = "", *, over_budget: bool = False) -> Drop:
    """Puts `file` into the inbox; its name is brought into Unicode's composed form.

    Raises UserError when there is no such suite, or one that cannot be used, or when the content's run is stopped.
    """
    path = layout.dropped(suite, unicodedata.normalize("NFC", file.name))
    metadata = _metadata(again, over_budget=over_budget)
    run = await run_of(storage, suite, file, again_of(metadata))
    stage = await take_up(storage, run)
    if stage is Stage.STOPPED:
        stopped = await read_progress(storage, run)
        raise UserError(f"run '{run}' of this content is stopped. {stopped.message if stopped else ''}".rstrip())
    etag = await storage.upload(path, file, metadata=metadata)
    return Drop(path, etag, run, is_known=stage is Stage.DONE)


def _metadata(again: str, *, over_budget: bool) -> dict[str, str]:
    return ({AGAIN: again} if again else {}) | ({OVER_BUDGET: "yes"} if over_budget else {})


async def run_of(storage: Storage, suite: str, file: Path, again: str = "") -> str:
    """The id of the run that dropping `file` would start. Raises UserError as `drop_file` does.

    Plugins and programs are for the host to look at: who drops a file need not have their code.
    """
    path = layout.dropped(suite, unicodedata.normalize("NFC", file.name))
    split_drop(path)
    known = load_suite(await suite_text(storage, suite), f"{suite}/{SUITE_FILE}")
    return run_id(known, path, await asyncio.to_thread(file_digest, file), again)


async def find_refusal(storage: Storage, drop: Drop) -> Refusal | None:
    """The quarantine record of a drop, or None."""
    try:
        return Refusal.model_validate_json(await storage.read(file_refusal_path(drop.path, drop.etag)))
    except BlobMissing:
        return None


async def fetch_bundle(storage: Storage, run: str, folder: Path) -> list[str]:
    """Downloads a published bundle; gives the names of its files.

    Raises UserError when the run has no published bundle, or when `folder` is there and not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty; expected a new folder")
    prefix = layout.published(run)
    names = [entry.path.removeprefix(prefix) async for entry in storage.list(prefix)]
    if not names:
        raise UserError(f"run '{run}' has no published bundle; 'assay show {run}' says where it stands")
    for name in names:
        if name not in ALL_SEAL_NAMES and (fault := path_fault(name)):
            raise UserError(f"the bundle of '{run}' holds an unsafe name: {fault}")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        await storage.download(f"{prefix}{name}", folder / name)
    return names
