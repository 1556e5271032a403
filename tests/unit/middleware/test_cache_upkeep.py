"""Looking after the cache: what there is, what is spoilt, what goes first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from assay.middleware.cache_upkeep import AT_ONCE, CacheSize, check, measure, removable, remove
from assay.middleware.cached_answer import CachedAnswer, digest_of, packed
from assay.records import Usage
from assay.storage import layout
from assay.storage.base import BlobEntry
from assay.storage.memory import MemoryStorage

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


class Bench:
    """Storage whose clock moves an hour with every entry."""

    def __init__(self) -> None:
        self.now = NOON
        self.storage = MemoryStorage(now=lambda: self.now)
        self.paths: list[str] = []

    async def keep(self, count: int) -> None:
        for _ in range(count):
            key = f"{len(self.paths):064x}"
            entry = CachedAnswer(
                key=key,
                stored_at=NOON,
                deployment="chat",
                text="Yes.",
                finish_reason="stop",
                model="mini",
                request_id=None,
                usage=Usage(),
                latency_seconds=1.0,
            )
            blob = packed(entry)
            path = layout.cached_answer(key)
            await self.storage.write(path, blob, metadata=digest_of(blob))
            self.paths.append(path)
            self.now += timedelta(hours=1)

    async def faults(self) -> dict[str, str]:
        return {one.entry.path: one.fault async for one in check(self.storage) if one.fault}


@pytest.fixture(name="bench")
def _bench() -> Bench:
    return Bench()


async def test_an_empty_cache_has_a_size_too(bench: Bench) -> None:
    """Nobody has used it yet; its container is not there."""
    assert await measure(bench.storage) == CacheSize()
    assert [one async for one in check(bench.storage)] == []


async def test_the_size_is_that_of_all_entries(bench: Bench) -> None:
    """With the times of the first and the last one."""
    await bench.keep(3)
    size = len(await bench.storage.read(bench.paths[0]))
    expected = CacheSize(entries=3, size_bytes=3 * size, oldest=NOON, newest=NOON + timedelta(hours=2))
    assert await measure(bench.storage) == expected


async def test_a_large_cache_is_measured_as_it_is_listed() -> None:
    """A hundred thousand entries are seen one by one."""

    class Listing(MemoryStorage):
        alive = most = 0

        async def list(self, prefix: str) -> AsyncIterator[BlobEntry]:
            for at in range(100_000):
                yield Counted(layout.cached_answer(f"{at:064x}"), 1_000, "0x1", NOON)

    class Counted(BlobEntry):
        def __init__(self, *values: object) -> None:
            super().__init__(*values)  # type: ignore[arg-type]
            Listing.alive += 1
            Listing.most = max(Listing.most, Listing.alive)

        def __del__(self) -> None:
            Listing.alive -= 1

    assert (await measure(Listing())).size_bytes == 10**8
    assert Listing.most < 10


async def test_whole_entries_have_no_fault(bench: Bench) -> None:
    """All of them are read, over several batches."""
    await bench.keep(2 * AT_ONCE + 3)
    assert len([one async for one in check(bench.storage)]) == 2 * AT_ONCE + 3
    assert await bench.faults() == {}


async def test_every_spoilt_entry_is_found(bench: Bench) -> None:
    """Content, metadata, or a name that is none of the cache's."""
    await bench.keep(4)
    flipped, unmarked, foreign = bench.paths[0], bench.paths[2], "cache/readme.json"
    blob = await bench.storage.read(flipped)
    await bench.storage.write(flipped, blob.replace(b"Yes", b"No!"), metadata=digest_of(blob), overwrite=True)
    await bench.storage.write(unmarked, await bench.storage.read(unmarked), overwrite=True)
    await bench.storage.write(foreign, b"{}")
    assert await bench.faults() == {
        flipped: "its digest does not match",
        unmarked: "the digest in its metadata does not match",
        foreign: "its name is none that the cache gives",
    }


@pytest.mark.parametrize(
    ("older_than_hours", "most_entries", "expected"),
    [(None, None, 0), (3, None, 3), (None, 4, 1), (3, 4, 3), (6, 1, 4), (None, 0, 5), (9, 9, 0)],
)
async def test_the_oldest_go_first(
    bench: Bench, older_than_hours: int | None, most_entries: int | None, expected: int
) -> None:
    """Five entries, the oldest five hours old; by age, by size, or by whichever takes more."""
    await bench.keep(5)
    size = len(await bench.storage.read(bench.paths[0]))
    age = None if older_than_hours is None else timedelta(hours=older_than_hours)
    most = None if most_entries is None else most_entries * size
    leaving = await removable(bench.storage, bench.now, age, most)
    assert [one.path for one in leaving] == bench.paths[:expected]


async def test_removing_is_repeatable(bench: Bench) -> None:
    """What is gone already is fine."""
    await bench.keep(AT_ONCE + 2)
    for _ in range(2):
        await remove(bench.storage, bench.paths[1:])
    assert [entry.path async for entry in bench.storage.list("cache/")] == bench.paths[:1]
