"""The audit log's journals: lines of many requests in one append, at most one append per `linger_seconds`."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import count

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from assay.errors import BlobMissing, StorageError
from assay.storage.base import Journals

# An append blob takes 50,000 blocks, and a block of some services 4 MiB at most.
BLOCKS_PER_JOURNAL = 40_000
BLOCK_BYTES = 3 * 1024 * 1024
APPEND_ATTEMPTS = 6


class LineJournal:
    """Lines that are safe once `add` returns. One writer; a full or missing journal is followed by the next.

    After an outage a line may stand there twice: storage may have kept what it did not confirm.
    """

    def __init__(
        self,
        storage: Journals,
        path_of: Callable[[int], str],
        linger_seconds: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._storage, self._path_of, self._numbers = storage, path_of, count()
        self._linger, self._clock, self._sleep = linger_seconds, clock, sleep
        self._path: str | None = None
        self._blocks = 0
        self._not_before = 0.0
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._commit: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Creates the first journal, so that one that cannot be written is known early. Raises StorageError."""
        await self._current()

    async def add(self, line: bytes) -> None:
        """Keeps a line, which ends in a line break. Raises StorageError when it cannot be made safe."""
        await self.post(line)

    def post(self, line: bytes) -> asyncio.Future[None]:
        """Like `add`, for who cannot wait: what comes back is done once the line is safe."""
        safe: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((line, safe))
        if self._commit is None or self._commit.done():
            self._commit = asyncio.create_task(self._commit_waiting())
        return safe

    async def close(self) -> None:
        """Waits for the lines under way; a later `add` works as before."""
        if self._commit is not None:
            await asyncio.wait({self._commit})

    async def _commit_waiting(self) -> None:
        while self._waiting:
            if (wait := self._not_before - self._clock()) > 0:
                await self._sleep(wait)
            self._not_before = self._clock() + self._linger
            group = self._taken()
            try:
                await self._append(b"".join(line for line, _ in group))
            except Exception as error:
                _settle(group, error)
            else:
                _settle(group, None)

    def _taken(self) -> list[tuple[bytes, asyncio.Future[None]]]:
        """The lines that fit into one block; at least one."""
        size, taken = 0, 0
        for line, _ in self._waiting:
            size += len(line)
            if taken and size > BLOCK_BYTES:
                break
            taken += 1
        group, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return group

    async def _append(self, lines: bytes) -> None:
        async for attempt in AsyncRetrying(
            sleep=self._sleep,
            stop=stop_after_attempt(APPEND_ATTEMPTS),
            wait=wait_exponential(0.5, max=8),
            retry=retry_if_exception_type(StorageError),
            reraise=True,
        ):
            with attempt:
                await self._append_once(lines)

    async def _append_once(self, lines: bytes) -> None:
        path = await self._current()
        try:
            await self._storage.append(path, lines)
        except BlobMissing:
            self._path = None
            raise
        self._blocks += 1
        if self._blocks >= BLOCKS_PER_JOURNAL:
            self._path = None

    async def _current(self) -> str:
        """The journal to append to. A number that is taken belongs to an earlier process of the same name."""
        while self._path is None:
            path = self._path_of(next(self._numbers))
            if await self._storage.open_journal(path):
                self._path, self._blocks = path, 0
        return self._path


def _settle(group: list[tuple[bytes, asyncio.Future[None]]], error: Exception | None) -> None:
    for _, safe in group:
        with suppress(asyncio.InvalidStateError):  # whoever waited was cancelled
            safe.set_result(None) if error is None else safe.set_exception(error)
