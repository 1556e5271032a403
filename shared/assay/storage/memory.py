"""All storage ports in memory, for tests: the same rules as Azure's, a clock that can be set, faults on demand."""

import asyncio
import base64
import itertools
import time
import uuid
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from assay.errors import BlobChanged, BlobExists, BlobMissing, LeaseBroken, LeaseHeld, LeaseLost, StorageError
from assay.storage.base import BlobEntry, LeaseState, Tier
from assay.storage.rules import MESSAGE_BYTES, check_lease_seconds, checked_metadata, split_path, split_prefix


@dataclass(slots=True)
class _Lease:
    id: str
    seconds: int
    ends_at: float
    is_broken: bool = False

    def state(self, now: float) -> LeaseState:
        if self.is_broken:
            return "breaking" if now < self.ends_at else "broken"
        return "leased" if now < self.ends_at else "expired"


@dataclass(slots=True)
class _Blob:
    content: bytes
    etag: str
    modified: datetime
    metadata: dict[str, str] = field(default_factory=dict)
    is_journal: bool = False
    lease: _Lease | None = None
    tier: Tier | None = None


@dataclass(frozen=True, slots=True)
class _Message:
    text: str
    visible_at: float


class MemoryStorage:
    """The twin of `AzureStorage`. `clock` (seconds) ends leases and delays, `now` dates blobs.

    `operations` counts calls by method name. Every call gives other tasks a turn first, as a request would.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.operations: Counter[str] = Counter()
        self._clock = clock
        self._now = now
        self._versions = itertools.count(1)
        self._blobs: dict[str, _Blob] = {}
        self._queues: defaultdict[str, list[_Message]] = defaultdict(list)
        self._faults: defaultdict[str, deque[Exception]] = defaultdict(deque)

    def fail_next(self, operation: str, error: Exception, *, times: int = 1) -> None:
        """Lets the next calls of the method `operation` raise `error` and do nothing; a second call queues more."""
        self._faults[operation].extend([error] * times)

    def messages(self, queue: str) -> list[str]:
        """All texts in the queue in the order they were sent, delayed ones included."""
        return [message.text for message in self._queues[queue]]

    def take_messages(self, queue: str) -> list[str]:
        """Removes the messages whose delay is over and returns their texts."""
        now = self._clock()
        due = [message for message in self._queues[queue] if message.visible_at <= now]
        self._queues[queue] = [message for message in self._queues[queue] if message.visible_at > now]
        return [message.text for message in due]

    async def read(self, path: str, *, offset: int = 0, length: int | None = None) -> bytes:
        await self._begin("read")
        end = None if length is None else offset + length
        return self._get(path).content[offset:end]

    async def write(
        self, path: str, content: bytes, *, metadata: Mapping[str, str] | None = None, overwrite: bool = False
    ) -> str:
        await self._begin("write")
        if path in self._blobs and not overwrite:
            raise BlobExists(f"writing {path} failed: the blob exists")
        return self._put(path, content, metadata)

    async def read_version(self, path: str) -> tuple[BlobEntry, bytes]:
        await self._begin("read_version")
        content = self._get(path).content
        return self._entry(path), content

    async def replace(self, path: str, content: bytes, *, etag: str) -> str:
        await self._begin("replace")
        if self._get(path).etag != etag:
            raise BlobChanged(f"replacing {path} failed: its version is not {etag} any more")
        return self._put(path, content, None)

    async def find(self, path: str) -> BlobEntry | None:
        await self._begin("find")
        return self._entry(path) if path in self._blobs else None

    async def folders(self, prefix: str) -> list[str]:
        split_prefix(prefix)
        await self._begin("folders")
        names = (path.removeprefix(prefix).partition("/") for path in self._below(prefix))
        return sorted({folder for folder, slash, _ in names if slash})

    async def list(self, prefix: str) -> AsyncIterator[BlobEntry]:
        split_prefix(prefix)
        await self._begin("list")
        for entry in [self._entry(path) for path in self._below(prefix)]:
            yield entry

    async def delete(self, path: str, *, lease: str | None = None) -> None:
        await self._begin("delete")
        if path in self._blobs:
            self._check_lease(path, lease)
            del self._blobs[path]

    async def download(self, path: str, target: Path, *, etag: str | None = None) -> BlobEntry:
        await self._begin("download")
        blob = self._get(path)
        if etag not in (None, blob.etag):
            raise BlobMissing(f"downloading {path} failed: its version is {blob.etag}, not {etag}")
        await asyncio.to_thread(target.write_bytes, blob.content)
        return self._entry(path)

    async def upload(
        self, path: str, source: Path, *, metadata: Mapping[str, str] | None = None, tier: Tier | None = None
    ) -> str:
        await self._begin("upload")
        etag = self._put(path, await asyncio.to_thread(source.read_bytes), metadata)
        self._blobs[path].tier = tier
        return etag

    async def link(self, path: str, begins_at: datetime, ends_at: datetime) -> str:
        await self._begin("link")
        return f"memory://{path}?st={begins_at.isoformat()}&se={ends_at.isoformat()}"

    async def acquire(self, path: str, seconds: int) -> str:
        await self._begin("acquire")
        check_lease_seconds(path, seconds)
        blob = self._get(path)
        if self._is_leased(blob):
            raise LeaseHeld(f"leasing {path} failed: somebody holds the lease")
        blob.lease = _Lease(str(uuid.uuid4()), seconds, self._clock() + seconds)
        return blob.lease.id

    async def renew(self, path: str, lease: str) -> None:
        await self._begin("renew")
        held = self._lease_of(path)
        # As in Azure, an expired lease can be renewed as long as nobody took or changed the blob meanwhile.
        if held is None or held.id != lease:
            raise LeaseLost(f"renewing the lease of {path} failed: it is not ours")
        if held.is_broken:
            raise LeaseBroken(f"renewing the lease of {path} failed: somebody broke it")
        held.ends_at = self._clock() + held.seconds

    async def break_lease(self, path: str) -> float:
        await self._begin("break_lease")
        held = self._lease_of(path)
        if held is None:
            return 0.0
        held.is_broken = True
        return max(0.0, held.ends_at - self._clock())

    async def release(self, path: str, lease: str) -> None:
        await self._begin("release")
        held = self._lease_of(path)
        if held is not None and held.id == lease:
            self._blobs[path].lease = None

    async def open_journal(self, path: str) -> bool:
        await self._begin("open_journal")
        if path in self._blobs:
            return False
        self._put(path, b"", None)
        self._blobs[path].is_journal = True
        return True

    async def append(self, path: str, content: bytes, *, lease: str | None = None) -> None:
        await self._begin("append")
        if not content:
            return
        blob = self._get(path)
        if not blob.is_journal:
            raise StorageError(f"appending to {path} failed: the blob is no journal")
        self._check_lease(path, lease)
        blob.content += content
        blob.etag, blob.modified = self._next_etag(), self._now()

    async def send(self, queue: str, text: str, *, delay_seconds: int = 0) -> None:
        await self._begin("send")
        size = len(base64.b64encode(text.encode()))
        if size > MESSAGE_BYTES:
            raise StorageError(f"sending to the queue {queue} failed: {size} bytes, at most {MESSAGE_BYTES} are taken")
        self._queues[queue].append(_Message(text, self._clock() + delay_seconds))

    async def close(self) -> None:
        await self._begin("close")

    async def _begin(self, operation: str) -> None:
        self.operations[operation] += 1
        await asyncio.sleep(0)
        if self._faults[operation]:
            raise self._faults[operation].popleft()

    def _get(self, path: str) -> _Blob:
        split_path(path)
        if path not in self._blobs:
            raise BlobMissing(f"{path} is not there")
        return self._blobs[path]

    def _put(self, path: str, content: bytes, metadata: Mapping[str, str] | None) -> str:
        split_path(path)
        kept = checked_metadata(metadata)
        if path in self._blobs:
            self._check_lease(path, None)
        self._blobs[path] = _Blob(bytes(content), self._next_etag(), self._now(), kept)
        return self._blobs[path].etag

    def _next_etag(self) -> str:
        return f"0x{next(self._versions):X}"

    def _entry(self, path: str) -> BlobEntry:
        blob = self._blobs[path]
        lease = blob.lease.state(self._clock()) if blob.lease is not None else "available"
        return BlobEntry(path, len(blob.content), blob.etag, blob.modified, dict(blob.metadata), lease, blob.tier)

    def _below(self, prefix: str) -> Sequence[str]:
        container, start = split_prefix(prefix)
        return sorted(path for path in self._blobs if path.startswith(f"{container}/{start}"))

    def _lease_of(self, path: str) -> _Lease | None:
        return self._blobs[path].lease if path in self._blobs else None

    def _is_leased(self, blob: _Blob) -> bool:
        return blob.lease is not None and self._clock() < blob.lease.ends_at

    def _check_lease(self, path: str, lease: str | None) -> None:
        blob = self._blobs[path]
        held = blob.lease.id if blob.lease is not None and self._is_leased(blob) else None
        if held != lease:
            raise LeaseLost(f"changing {path} failed: its lease is {'held by another' if held else 'not held'}")
