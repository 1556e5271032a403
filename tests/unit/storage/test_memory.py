"""What the in-memory twin offers beyond the ports: faults, counts, queue contents, a clock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from assay.errors import BlobMissing, LeaseLost, StorageError
from assay.storage.memory import MemoryStorage


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_a_fault_strikes_once_and_changes_nothing() -> None:
    """The call that fails does no work; the next one does."""
    storage = MemoryStorage()
    storage.fail_next("write", StorageError("down"))

    with pytest.raises(StorageError, match="down"):
        await storage.write("runs/a", b"x")
    assert await storage.find("runs/a") is None

    await storage.write("runs/a", b"x")
    assert await storage.read("runs/a") == b"x"


async def test_faults_are_taken_in_order() -> None:
    """Several faults of one operation queue up, and leave other operations alone."""
    storage = MemoryStorage()
    storage.fail_next("read", StorageError("first"), times=2)
    storage.fail_next("read", StorageError("second"))
    await storage.write("runs/a", b"x")

    for expected in ("first", "first", "second"):
        with pytest.raises(StorageError, match=expected):
            await storage.read("runs/a")
    assert await storage.read("runs/a") == b"x"


async def test_a_listing_fails_on_demand() -> None:
    """Listings are operations too, though they answer bit by bit."""
    storage = MemoryStorage()
    storage.fail_next("list", StorageError("down"))

    with pytest.raises(StorageError, match="down"):
        _ = [entry async for entry in storage.list("runs/")]


async def test_operations_are_counted_by_kind() -> None:
    """Failed calls count as well: a service would bill them."""
    storage = MemoryStorage()
    await storage.write("runs/a", b"")
    _ = [entry async for entry in storage.list("runs/")]
    with pytest.raises(BlobMissing):
        await storage.read("runs/b")

    assert storage.operations == {"write": 1, "list": 1, "read": 1}


async def test_a_delayed_message_is_taken_when_its_time_has_come() -> None:
    """Everything sent can be seen; only what is due can be taken, and only once."""
    clock = Clock()
    storage = MemoryStorage(clock)
    await storage.send("trials", "now")
    await storage.send("trials", "later", delay_seconds=30)

    assert storage.messages("trials") == ["now", "later"]
    assert storage.take_messages("trials") == ["now"]
    clock.seconds = 30
    assert storage.take_messages("trials") == ["later"]
    assert storage.messages("trials") == []


async def test_a_renewal_counts_from_the_clock() -> None:
    """Renewed at 10 of 15 seconds, a lease holds until 25."""
    clock = Clock()
    storage = MemoryStorage(clock)
    await storage.open_journal("runs/j")
    lease = await storage.acquire("runs/j", 15)
    clock.seconds = 10
    await storage.renew("runs/j", lease)

    clock.seconds = 24.9
    await storage.append("runs/j", b"x", lease=lease)
    clock.seconds = 25
    with pytest.raises(LeaseLost):
        await storage.append("runs/j", b"x", lease=lease)


async def test_an_expired_lease_is_not_renewed_once_the_blob_has_changed() -> None:
    """As in Azure; Azurite is laxer, so the contract suite cannot say it."""
    clock = Clock()
    storage = MemoryStorage(clock)
    await storage.write("runs/a", b"")
    lease = await storage.acquire("runs/a", 15)
    clock.seconds = 20
    await storage.write("runs/a", b"changed", overwrite=True)

    with pytest.raises(LeaseLost):
        await storage.renew("runs/a", lease)


async def test_blobs_are_dated_by_the_given_time() -> None:
    """Time is passed in."""
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    storage = MemoryStorage(now=lambda: moment)
    await storage.write("runs/a", b"")

    found = await storage.find("runs/a")

    assert found is not None
    assert found.modified == moment
