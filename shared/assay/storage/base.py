"""The storage ports. A path is `container/name`, for example `runs/<run>/plan.json`.

Every room asks for the narrowest port it needs; `azure_blob.py`, `queue.py` and `memory.py` implement them,
and one contract suite (`tests/contract/test_storage.py`) runs over all.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

Tier = Literal["hot", "cool", "cold"]
"""Where the service keeps a blob: the colder, the cheaper to keep and the dearer to read."""

LeaseState = Literal["available", "leased", "breaking", "broken", "expired"]


@dataclass(frozen=True, slots=True)
class BlobEntry:
    """What a listing knows of a blob. `path` includes the container; `etag` carries no quotes.

    `lease`: `leased` and `breaking` are held by somebody, the others are free to take. `tier` None: the account's.
    """

    path: str
    size: int
    etag: str
    modified: datetime
    metadata: Mapping[str, str] = field(default_factory=dict)
    lease: LeaseState = "available"
    tier: Tier | None = None


class Blobs(Protocol):
    """Whole blobs, small enough for memory."""

    async def read(self, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        """The blob's bytes, or `length` of them from `offset` (fewer at the end). Raises BlobMissing."""
        ...

    async def write(
        self, path: str, content: bytes, *, metadata: Mapping[str, str] | None = None, overwrite: bool = False
    ) -> str:
        """Writes atomically and returns the etag; creates the container when it is missing.

        Raises BlobExists if the blob is there and `overwrite` is not set. The content type follows the name's ending.
        """
        ...

    async def read_version(self, path: str) -> tuple[BlobEntry, bytes]:
        """The whole blob and the entry that belongs to exactly these bytes. Raises BlobMissing."""
        ...

    async def replace(self, path: str, content: bytes, *, etag: str) -> str:
        """Writes over the version with this etag only, and returns the new one; metadata is not kept.

        Raises BlobChanged when another version is there, BlobMissing.
        """
        ...

    async def find(self, path: str) -> BlobEntry | None:
        """The blob's entry with its metadata, or None when blob or container is missing."""
        ...

    async def folders(self, prefix: str) -> list[str]:
        """Names of the folders right below `prefix` (which ends in `/`), in order, without slashes."""
        ...

    def list(self, prefix: str) -> AsyncIterator[BlobEntry]:
        """Entries with metadata in the order of their names. `prefix` starts with a container; missing: no entries."""
        ...

    async def delete(self, path: str, *, lease: str | None = None) -> None:
        """Removes the blob; one that is missing is fine. Raises LeaseLost when a lease stands in the way."""
        ...


class Files(Protocol):
    """Large blobs, moved between storage and a local file in bounded memory."""

    async def download(self, path: str, target: Path, *, etag: str | None = None) -> BlobEntry:
        """Writes the blob to `target` and returns its entry. Raises BlobMissing, also when `etag` does not match."""
        ...

    async def upload(
        self, path: str, source: Path, *, metadata: Mapping[str, str] | None = None, tier: Tier | None = None
    ) -> str:
        """Writes or replaces the blob from `source`; readers see the old or the new one, never a part.

        `tier` None: as the account has it.
        """
        ...


class Leases(Protocol):
    """Exclusive, expiring ownership of a blob (15-60 seconds, counted by the service)."""

    async def acquire(self, path: str, seconds: int) -> str:
        """A new lease id. Raises LeaseHeld when somebody has it, BlobMissing when there is no blob."""
        ...

    async def renew(self, path: str, lease: str) -> None:
        """Starts the same period anew. Raises LeaseBroken when somebody broke the lease, else LeaseLost."""
        ...

    async def break_lease(self, path: str) -> float:
        """Lets whoever holds the lease keep it to its end, but not renew it; returns about the seconds until then.

        Anybody may, without the lease's id. 0 when there is nothing to wait for; a second call changes nothing.
        """
        ...

    async def release(self, path: str, lease: str) -> None:
        """Gives the lease up at once; one that is lost already, or a missing blob, is fine."""
        ...


class Journals(Protocol):
    """Blobs that grow by appending."""

    async def open_journal(self, path: str) -> bool:
        """Creates an empty journal if absent; True when it was created, False when it was there."""
        ...

    async def append(self, path: str, content: bytes, *, lease: str | None = None) -> None:
        """Appends in one block; a journal of one writer needs no lease.

        Raises LeaseLost when the lease is not ours any more, or somebody has one and we named none; BlobMissing.
        """
        ...


class Queues(Protocol):
    """Sending to queues; receiving is the host's work."""

    async def send(self, queue: str, text: str, *, delay_seconds: int = 0) -> None:
        """Puts one message, Base64 on the wire, that never expires; creates the queue when it is missing."""
        ...


class Links(Protocol):
    """Addresses that give a blob to whoever has them."""

    async def link(self, path: str, begins_at: datetime, ends_at: datetime) -> str:
        """An address by which anybody may read this blob, and nothing else, from one time to the other.

        It works without an account, cannot be taken back, and is not checked against what is there. At most seven days.
        """
        ...


class Storage(Blobs, Files, Leases, Journals, Queues, Links, Protocol):
    """All ports of one storage account."""

    async def close(self) -> None:
        """Closes connections; a second call does nothing."""
        ...
