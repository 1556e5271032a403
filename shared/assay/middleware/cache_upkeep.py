"""Looks after the response cache: how much there is, what of it is spoilt, what may go. Called by `assay cache`.

Listings are read as they come, so that a large cache needs no more memory than a small one.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import PurePosixPath

from assay.errors import BlobMissing
from assay.middleware.cached_answer import CorruptEntry, unpacked
from assay.records import Record
from assay.storage import layout
from assay.storage.base import BlobEntry, Blobs

AT_ONCE = 32
_PREFIX = f"{layout.CACHE}/"


class CacheSize(Record):
    """What the cache holds. The times are those of writing."""

    entries: int = 0
    size_bytes: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None


@dataclass(frozen=True, slots=True)
class Checked:
    """One blob of the cache; `fault` says why it is no entry, None that it is."""

    entry: BlobEntry
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Removable:
    """What a purge removes."""

    path: str
    size: int
    modified: datetime


async def measure(storage: Blobs) -> CacheSize:
    """How much there is, from one listing."""
    entries = size = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    async for entry in storage.list(_PREFIX):
        entries += 1
        size += entry.size
        oldest = min(oldest or entry.modified, entry.modified)
        newest = max(newest or entry.modified, entry.modified)
    return CacheSize(entries=entries, size_bytes=size, oldest=oldest, newest=newest)


async def check(storage: Blobs) -> AsyncIterator[Checked]:
    """Reads every blob of the cache and says what is wrong with it, in the order of their names."""
    batch: list[BlobEntry] = []
    async for entry in storage.list(_PREFIX):
        batch.append(entry)
        if len(batch) == AT_ONCE:
            for checked in await _checked(storage, batch):
                yield checked
            batch = []
    for checked in await _checked(storage, batch):
        yield checked


async def removable(
    storage: Blobs, now: datetime, older_than: timedelta | None, most_bytes: int | None
) -> list[Removable]:
    """What has to go, oldest first: everything of that age or older, then the oldest until the rest is small enough.

    Keeps a short record of every entry in memory, about 300 bytes each. Age is the time since writing, not since use.
    """
    found = [Removable(one.path, one.size, one.modified) async for one in storage.list(_PREFIX)]
    found.sort(key=lambda one: (one.modified, one.path))
    return list(_leaving(found, now, older_than, most_bytes))


async def remove(storage: Blobs, paths: list[str]) -> None:
    """Deletes blobs, several at once; what is gone already is fine."""
    for at in range(0, len(paths), AT_ONCE):
        await asyncio.gather(*(storage.delete(path) for path in paths[at : at + AT_ONCE]))


def _leaving(
    found: list[Removable], now: datetime, older_than: timedelta | None, most_bytes: int | None
) -> Iterator[Removable]:
    left = sum(one.size for one in found)
    for one in found:
        is_old = older_than is not None and now - one.modified >= older_than
        is_too_much = most_bytes is not None and left > most_bytes
        if not (is_old or is_too_much):
            return
        left -= one.size
        yield one


async def _checked(storage: Blobs, batch: list[BlobEntry]) -> list[Checked]:
    return [one for one in await asyncio.gather(*(_check(storage, entry) for entry in batch)) if one is not None]


async def _check(storage: Blobs, entry: BlobEntry) -> Checked | None:
    """None: the blob went away since it was listed."""
    try:
        blob = await storage.read(entry.path)
    except BlobMissing:
        return None
    return Checked(entry, _fault(entry, blob))


def _fault(entry: BlobEntry, blob: bytes) -> str | None:
    key = PurePosixPath(entry.path).stem
    if layout.cached_answer(key) != entry.path:
        return "its name is none that the cache gives"
    try:
        unpacked(blob, key)
    except CorruptEntry as error:
        return str(error)
    if entry.metadata.get("sha256", "") != sha256(blob).hexdigest():
        return "the digest in its metadata does not match"
    return None
