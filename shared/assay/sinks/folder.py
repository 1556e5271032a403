"""The folder sink: bundles on this machine or a mounted share, as folders or as zips."""

import asyncio
import hashlib
import shutil
from pathlib import Path

from assay.errors import ServiceError
from assay.sinks.archive import write_archive
from assay.sinks.base import Bundle, Receipt
from assay.sinks.placing import put_in_place
from assay.storage.bundle_names import MANIFEST_NAME
from assay.suite.levels import Level
from assay.suite.sink_options import FolderOptions


class FolderSink:
    """Puts bundles under `root`, which the settings name: a suite says only what happens below it."""

    def __init__(self, options: FolderOptions, root: Path) -> None:
        self._options, self._root = options, root

    @property
    def name(self) -> str:
        return self._options.name or "folder"

    @property
    def clearance(self) -> Level:
        return self._options.clearance

    async def preview(self, bundle: Bundle) -> tuple[str, ...]:
        files = [f"file {name} ({file.stat().st_size} bytes)" for name, file in bundle.files]
        return (f"{'zip' if self._options.zip else 'folder'} {self._target(bundle)}", *files)

    async def publish(self, bundle: Bundle) -> Receipt:
        target = self._target(bundle)
        try:
            await asyncio.to_thread(self._write, bundle, target)
        except OSError as error:
            raise ServiceError(f"{target} cannot be written: {error.strerror}") from error
        return Receipt(
            sink=self.name,
            location=str(target),
            manifest_sha256=bundle.manifest_sha256,
            files=len(list(bundle.files)),
        )

    async def close(self) -> None:
        """There is nothing to close."""

    def _target(self, bundle: Bundle) -> Path:
        return self._root / bundle.suite / (f"{bundle.file_name}.zip" if self._options.zip else bundle.file_name)

    def _write(self, bundle: Bundle, target: Path) -> None:
        make = write_archive if self._options.zip else _copy
        put_in_place(
            target, lambda draft: make(bundle, draft), unless=lambda: not self._options.zip and _holds(target, bundle)
        )


def _copy(bundle: Bundle, target: Path) -> None:
    for name, file in bundle.files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / name)


def _holds(target: Path, bundle: Bundle) -> bool:
    """Whether a folder is this very bundle, file by file."""
    names = {name for name, _ in bundle.files}
    if not (target / MANIFEST_NAME).exists():
        return False
    found = {path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()}
    return found == names and all(_digest(target / name) == _digest(file) for name, file in bundle.files)


def _digest(file: Path) -> bytes:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").digest()
