"""The folder sink: bundles on this machine or a mounted share, as folders or as zips."""

import asyncio
import hashlib
import shutil
from pathlib import Path

from assay.errors import ServiceError
from assay.sinks.archive import write_archive
from assay.sinks.base import Bundle, Receipt
from assay.sinks.lock import alone
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
            files = await asyncio.to_thread(self._write, bundle, target)
        except OSError as error:
            raise ServiceError(f"{target} cannot be written: {error.strerror}") from error
        digest = bundle.manifest_sha256
        return Receipt(sink=self.name, location=str(target), manifest_sha256=digest, files=files)

    async def close(self) -> None:
        """There is nothing to close."""

    def _target(self, bundle: Bundle) -> Path:
        name = f"{bundle.run}.{bundle.view}" if bundle.view else bundle.run
        return self._root / bundle.suite / (f"{name}.zip" if self._options.zip else name)

    def _write(self, bundle: Bundle, target: Path) -> int:
        """How many files there are. Everything is made beside its place; what an earlier death left there goes."""
        target.parent.mkdir(parents=True, exist_ok=True)
        draft, old = (target.with_name(f".{target.name}.{kind}") for kind in ("draft", "old"))
        with alone(target.with_name(f".{target.name}.lock")):
            _remove(draft)
            _remove(old)
            if not self._options.zip and _holds(target, bundle):
                return len(list(bundle.files))
            try:
                files = write_archive(bundle, draft) if self._options.zip else _copy(bundle, draft)
            except OSError:  # a full disk must not be filled with half a bundle
                _remove(draft)
                raise
            if target.is_dir():  # no folder can be renamed onto it, and half of it must never be seen
                target.replace(old)
            draft.replace(target)
            _remove(old)
        return files


def _copy(bundle: Bundle, target: Path) -> int:
    count = 0
    for name, file in bundle.files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target / name)
        count += 1
    return count


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


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
