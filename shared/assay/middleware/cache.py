"""The response cache: an answer that was paid for once is not asked for again. A link of the middleware chain.

Off unless the suite names it: `middleware: [{plugin: cache, days: 30}]`. It stands before what spends quota or money.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict, Field

from assay.errors import BlobExists, BlobMissing, StorageError
from assay.middleware.base import Ask, Question, Reply
from assay.middleware.cached_answer import (
    CachedAnswer,
    CorruptEntry,
    cache_key,
    digest_of,
    is_worth_keeping,
    packed,
    unpacked,
)
from assay.storage import layout
from assay.storage.base import Blobs
from assay.telemetry import Telemetry

MOST_WRITES = 256
"""Writes under way at once; with storage that slow, answers are not kept rather than kept in memory."""


class CacheOptions(BaseModel):
    """Options of the plugin `cache`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: float | None = Field(30, gt=0, le=36_500, description="Age at which an answer is asked for anew; null: never")


@dataclass(slots=True)
class _Flight:
    """A question that somebody in this process is asking, and those who wait for the same answer."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    entry: CachedAnswer | None = None


class ResponseCache:
    """Answers from storage what was answered before, by anybody; keeps what was not.

    One read per question, one write per new answer. Storage that fails costs the advantage, never a trial. Whatever is
    read is verified; a corrupt entry is an event, is never served, and is replaced by the new answer.
    """

    def __init__(
        self, storage: Blobs, telemetry: Telemetry, now: Callable[[], datetime], options: CacheOptions | None = None
    ) -> None:
        self._storage = storage
        self._telemetry = telemetry
        self._now = now
        days = (options or CacheOptions()).days
        self._lifetime = None if days is None else timedelta(days=days)
        self._flights: dict[str, _Flight] = {}
        self._unwritten: dict[str, CachedAnswer] = {}
        self._writes: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()

    async def begin(self) -> None:
        """Nothing to prepare."""

    async def answer(self, question: Question, ask: Ask) -> Reply:
        """The kept reply, marked as cached, or that of `ask`, which is kept in the background when it is whole.

        The same question is asked once at a time: others in this process wait for its answer, and when the first one
        fails or is cancelled, the next one asks. Raises what `ask` raises.
        """
        key = cache_key(question)
        flight = self._flights.setdefault(key, _Flight())
        flight.waiting += 1
        try:
            async with flight.turn:
                flight.entry = flight.entry or self._unwritten.get(key)
                if flight.entry is None:
                    return await self._looked_up(key, flight, question, ask)
                self._counts["hits"] += 1
                return flight.entry.reply()
        finally:
            flight.waiting -= 1
            if not flight.waiting:
                del self._flights[key]

    async def end(self) -> None:
        """Waits for the writes under way and reports hits and misses; a second call does nothing."""
        while self._writes:
            await asyncio.wait(self._writes)
        if self._counts:
            self._telemetry.event("cache_used", **self._counts)
            self._counts.clear()

    async def _looked_up(self, key: str, flight: _Flight, question: Question, ask: Ask) -> Reply:
        entry, is_there = await self._find(key)
        if entry is not None:
            self._counts["hits"] += 1
            flight.entry = entry
            return entry.reply()
        self._counts["misses"] += 1
        reply = await ask(question)
        if is_worth_keeping(reply):
            flight.entry = CachedAnswer.of(key, reply, self._now())
            self._keep(flight.entry, overwrite=is_there)
        return reply

    async def _find(self, key: str) -> tuple[CachedAnswer | None, bool]:
        """The entry, if it is whole and young enough, and whether there is a blob that a new one has to replace."""
        try:
            entry = unpacked(await self._storage.read(layout.cached_answer(key)), key)
        except BlobMissing:
            return None, False
        except StorageError as error:
            self._counts["unread"] += 1
            self._telemetry.problem("cache_read_failed", key=key, reason=type(error).__name__)
            return None, False
        except CorruptEntry as error:
            self._counts["corrupt"] += 1
            self._telemetry.problem("cache_corrupt", key=key, reason=str(error))
            return None, True
        is_stale = self._lifetime is not None and self._now() - entry.stored_at >= self._lifetime
        return (None, True) if is_stale else (entry, True)

    def _keep(self, entry: CachedAnswer, *, overwrite: bool) -> None:
        if len(self._writes) >= MOST_WRITES:
            self._counts["unwritten"] += 1
            return
        self._unwritten[entry.key] = entry
        write = asyncio.create_task(self._write(entry, overwrite=overwrite))
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)

    async def _write(self, entry: CachedAnswer, *, overwrite: bool) -> None:
        try:
            blob = packed(entry)
            await self._storage.write(
                layout.cached_answer(entry.key), blob, metadata=digest_of(blob), overwrite=overwrite
            )
        except BlobExists:
            self._counts["written_by_others"] += 1
        except Exception as error:  # the trial has its answer; nothing here may take it away
            self._counts["unwritten"] += 1
            self._telemetry.problem("cache_write_failed", key=entry.key, reason=type(error).__name__)
        finally:
            self._unwritten.pop(entry.key, None)
