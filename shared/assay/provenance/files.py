"""The files of an untrusted bundle, in a folder or a zip, without ever writing one of them. `verification.py` reads.

A listing is made first; only what it names is opened, and read no further than asked.
"""

import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Protocol, cast

from assay.provenance.findings import Fault, Finding, finding
from assay.provenance.manifest import path_fault
from assay.provenance.zip_bytes import foreign_bytes
from assay.storage.bundle_names import ALL_SEAL_NAMES, MANIFEST_NAME

MOST_ZIP_ENTRIES = 100_000
MOST_UNPACKED_BYTES = 64 * 1024**3
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Methods of packing that are unpacked no further than asked; bzip2 and LZMA give all that a piece of the zip holds."""
_UNPACKING = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,
    RuntimeError,
    NotImplementedError,
)


class BundleFiles(Protocol):
    """A bundle's plain files by relative path, and what else lies there."""

    names: frozenset[str]
    findings: tuple[Finding, ...]

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        """The content of a file of the listing. Raises OSError, also for content that cannot be unpacked."""
        ...

    def size(self, name: str) -> int:
        """Bytes that the file has, or claims to have. Raises OSError."""
        ...


def bundle_files(place: Path) -> BundleFiles:
    """The files of a folder, or of a zip."""
    return ZipFiles(place) if place.is_file() else FolderFiles(place)


class FolderFiles:
    """The files under a folder. Links and devices are findings and never followed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        names: set[str] = set()
        self.findings = tuple(_walked(folder, names))
        self.names = frozenset(names)

    def open(self, name: str) -> IO[bytes]:
        return _open_plain(self._folder / name)

    def size(self, name: str) -> int:
        return (self._folder / name).lstat().st_size


class ZipFiles:
    """The files of a zip. All may lie in one top folder, as in archives that Git hosts make."""

    def __init__(self, file: Path) -> None:
        self._infos: dict[str, zipfile.ZipInfo] = {}
        self.findings: tuple[Finding, ...] = ()
        try:
            self._zip: zipfile.ZipFile | None = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            self._zip = None
            self.findings = (finding(file.name, Fault.UNREADABLE, f"not a whole zip file: {error}"),)
        else:
            self.findings = (*_foreign(file, self._zip), *self._listed(file.name, self._zip.infolist()))
        self.names = frozenset(self._infos)

    def open(self, name: str) -> AbstractContextManager[IO[bytes]]:
        return _Unpacked(cast(zipfile.ZipFile, self._zip), self._infos[name])

    def size(self, name: str) -> int:
        return self._infos[name].file_size

    def _listed(self, file: str, infos: list[zipfile.ZipInfo]) -> Iterator[Finding]:
        unpacked = sum(info.file_size for info in infos)
        if len(infos) > MOST_ZIP_ENTRIES or unpacked > MOST_UNPACKED_BYTES:
            yield finding(file, Fault.UNREADABLE, f"{len(infos)} files of {unpacked} bytes; no bundle is so large")
            return
        top = _top_folder([info.filename for info in infos])
        times = Counter(info.filename.rstrip("/") for info in infos)
        for info in infos:
            name = info.filename.removeprefix(top)
            if not name:
                continue
            if times[info.filename.rstrip("/")] > 1:
                problem: tuple[Fault, str] | None = (Fault.UNEXPECTED, "the zip has more than one entry of this name")
            elif info.is_dir():
                problem = _entry_fault(name.rstrip("/"), info)
            else:
                problem = _entry_fault(name, info)
            if problem:
                yield finding(info.filename, *problem)
            elif not info.is_dir():
                self._infos[name] = info


def _foreign(file: Path, archive: zipfile.ZipFile) -> Iterator[Finding]:
    try:
        where = foreign_bytes(file, archive)
    except OSError as error:
        yield finding(file.name, Fault.UNREADABLE, f"it cannot be read: {error.strerror}")
        return
    if where:
        yield finding(file.name, Fault.UNEXPECTED, f"the zip holds bytes that belong to none of its files, {where}")


class _Unpacked(AbstractContextManager[IO[bytes]]):
    """One file of a zip; every way in which unpacking can fail becomes an OSError."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._archive, self._info = archive, info
        self._file: IO[bytes] | None = None

    def __enter__(self) -> IO[bytes]:
        try:
            self._file = self._archive.open(self._info)
        except _UNPACKING as error:
            raise OSError(0, f"cannot be unpacked: {error}") from error
        return cast("IO[bytes]", self)

    def read(self, size: int = -1) -> bytes:
        try:
            return cast("IO[bytes]", self._file).read(size)
        except _UNPACKING as error:
            raise OSError(0, f"cannot be unpacked: {error}") from error

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()


def _top_folder(names: list[str]) -> str:
    """The folder in which everything lies, with its slash; nothing when the bundle lies at the top."""
    if MANIFEST_NAME in names or not names:
        return ""
    top = names[0].partition("/")[0] + "/"
    together = all(name.startswith(top) for name in names)
    return top if together and path_fault(top.rstrip("/")) is None else ""


def _entry_fault(name: str, info: zipfile.ZipInfo) -> tuple[Fault, str] | None:
    fault = None if name in ALL_SEAL_NAMES else path_fault(name)
    if fault:
        return Fault.UNSAFE_NAME, fault
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return Fault.NOT_A_FILE, "a symbolic link or device; expected a plain file"
    if info.flag_bits & _ENCRYPTED:
        return Fault.UNREADABLE, "it is encrypted"
    if info.compress_type not in _METHODS:
        return Fault.UNREADABLE, f"it is packed by method {info.compress_type}; expected stored or deflated"
    return None


def _walked(folder: Path, names: set[str]) -> Iterator[Finding]:
    """Puts the relative paths of all plain files into `names`; everything that is neither file nor folder is found."""
    unreadable: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=unreadable.append, followlinks=False):
        folders.sort()
        for name in sorted([*folders, *files]):
            entry = Path(parent, name)
            path = entry.relative_to(folder).as_posix()
            kind = _kind_of(entry)
            if kind is Fault.NOT_A_FILE:
                yield finding(path, kind, "a symbolic link or device; expected a plain file")
            elif kind is None and name in files:
                names.add(path)
    for error in unreadable:
        yield _unreadable(folder, error)


def _kind_of(entry: Path) -> Fault | None:
    try:
        mode = entry.lstat().st_mode
    except OSError:
        return None  # gone since it was listed: it is then missing, or unreadable when opened
    return None if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else Fault.NOT_A_FILE


def _unreadable(folder: Path, error: OSError) -> Finding:
    where = Path(str(error.filename)) if error.filename else folder
    path = where.relative_to(folder).as_posix() if where.is_relative_to(folder) else "."
    return finding(path, Fault.UNREADABLE, f"the folder cannot be read: {error.strerror}")


def _open_plain(path: Path) -> IO[bytes]:
    """Opens a plain file only: a link or pipe put there after the listing is refused and never waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(0, "not a plain file")
    return file
