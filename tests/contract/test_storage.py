"""The rules of the storage ports, run over every adapter."""

from __future__ import annotations

import asyncio
import base64
import os
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from azure.storage.queue import QueueServiceClient

from assay.errors import BlobChanged, BlobExists, BlobMissing, LeaseBroken, LeaseHeld, LeaseLost, StorageError
from assay.local.azurite import Azurite
from assay.runtime import Runtime
from assay.settings import Settings
from assay.storage.azure import AzureStorage
from assay.storage.base import BlobEntry, Storage
from assay.storage.memory import MemoryStorage
from keyless import keyless_settings
from stand_ins.managed_identity import ManagedIdentity

SHORTEST_LEASE_SECONDS = 15
TEN_MEGABYTES = 10 * 1024 * 1024
ODD_NAMES = [
    "Größe.json",
    "a b.json",
    "100%.json",
    "50%25.json",
    "#1.json",
    "why?.json",
    "a+b&c=d.json",
    "深/日本.json",
]
IN_MEMORY_AND_WITH_KEY = ["in_memory", pytest.param("with_key", marks=pytest.mark.azurite)]
ADAPTERS = [*IN_MEMORY_AND_WITH_KEY, pytest.param("with_identity", marks=pytest.mark.azurite)]
STRANGER = "11111111-1111-1111-1111-111111111111"


class Account(Protocol):
    """An adapter under test, with what the ports themselves do not offer."""

    storage: Storage

    async def let_leases_end(self) -> None: ...

    def messages(self, queue: str) -> list[str]: ...


class MemoryAccount:
    def __init__(self) -> None:
        self.seconds = 0.0
        self.twin = MemoryStorage(clock=lambda: self.seconds)
        self.storage: Storage = self.twin

    async def let_leases_end(self) -> None:
        self.seconds += SHORTEST_LEASE_SECONDS + 1

    def messages(self, queue: str) -> list[str]:
        return self.twin.messages(queue)


class AzuriteAccount:
    def __init__(self, azurite: Azurite, storage: Storage) -> None:
        self.connection_string = azurite.connection_string
        self.storage = storage

    async def let_leases_end(self) -> None:
        await asyncio.sleep(SHORTEST_LEASE_SECONDS + 1)

    def messages(self, queue: str) -> list[str]:
        with QueueServiceClient.from_connection_string(self.connection_string) as service:
            peeked = service.get_queue_client(queue).peek_messages(32)
        return [base64.b64decode(message.content).decode() for message in peeked]


@pytest.fixture
async def in_memory() -> AsyncIterator[Account]:
    account = MemoryAccount()
    yield account
    await account.storage.close()


@pytest.fixture
async def with_key(azurite: Azurite) -> AsyncIterator[Account]:
    account = AzuriteAccount(azurite, AzureStorage.from_connection_string(azurite.connection_string))
    yield account
    await account.storage.close()


@pytest.fixture
async def with_identity(
    keyless_azurite: Azurite, trusting: None, managed_identity: ManagedIdentity, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Account]:
    """As the app in Azure: addresses and the client id of its identity, HTTPS, and a token from the platform."""
    for name, value in managed_identity.environment.items():
        monkeypatch.setenv(name, value)
    sockets_before = open_sockets()
    runtime = Runtime(Settings.load(keyless_settings(keyless_azurite)))
    yield AzuriteAccount(keyless_azurite, runtime.storage)
    await runtime.close()
    async with asyncio.timeout(60):
        await sockets_are_closed(sockets_before)


async def sockets_are_closed(but: int) -> None:
    """TLS says goodbye to the other side before it closes, for which the loop has to run on."""
    while True:
        if open_sockets() <= but:
            return
        await asyncio.sleep(0.005)


def open_sockets() -> int:
    return sum(os.path.realpath(link).find("socket:") >= 0 for link in Path("/proc/self/fd").iterdir())


@pytest.fixture(params=ADAPTERS)
def account(request: pytest.FixtureRequest) -> Account:
    account: Account = request.getfixturevalue(request.param)
    return account


@pytest.fixture
def storage(account: Account) -> Storage:
    return account.storage


@pytest.fixture
def box() -> str:
    """The name of a container or queue that nobody else uses and that does not exist yet."""
    return f"test-{uuid.uuid4().hex}"


async def entries(storage: Storage, prefix: str) -> list[BlobEntry]:
    return [entry async for entry in storage.list(prefix)]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


class TestReplacing:
    async def test_the_version_that_was_read_is_replaced(self, storage: Storage, box: str) -> None:
        """A read gives the etag that belongs to its bytes, and a write under it comes through."""
        written = await storage.write(f"{box}/a.json", b"1")
        entry, content = await storage.read_version(f"{box}/a.json")

        replaced = await storage.replace(f"{box}/a.json", b"2", etag=entry.etag)

        assert (entry.etag, content) == (written, b"1")
        later, content = await storage.read_version(f"{box}/a.json")
        assert (later.etag, content) == (replaced, b"2")
        assert replaced != written

    async def test_a_version_that_is_gone_is_not_replaced(self, storage: Storage, box: str) -> None:
        """Of two who read the same version only the first one writes."""
        first = await storage.write(f"{box}/a", b"1")
        await storage.replace(f"{box}/a", b"2", etag=first)

        with pytest.raises(BlobChanged):
            await storage.replace(f"{box}/a", b"3", etag=first)
        assert await storage.read(f"{box}/a") == b"2"

    async def test_of_many_at_once_one_replaces(self, storage: Storage, box: str) -> None:
        """Concurrent writes over one version let exactly one through."""
        first = await storage.write(f"{box}/a", b"0")

        writes = [storage.replace(f"{box}/a", str(number).encode(), etag=first) for number in range(8)]
        ended = await asyncio.gather(*writes, return_exceptions=True)

        assert sum(isinstance(end, str) for end in ended) == 1
        assert sum(isinstance(end, BlobChanged) for end in ended) == 7

    async def test_what_is_missing_is_neither_read_nor_replaced(self, storage: Storage, box: str) -> None:
        """Without a blob, or without a container, there is nothing to replace."""
        for _ in ("no container", "no blob"):
            with pytest.raises(BlobMissing):
                await storage.read_version(f"{box}/a")
            with pytest.raises(BlobMissing):
                await storage.replace(f"{box}/a", b"1", etag="0x1")
            await storage.write(f"{box}/other", b"", overwrite=True)


class TestBlobs:
    async def test_what_was_written_is_read(self, storage: Storage, box: str) -> None:
        """The first write creates the container; reads return the same bytes."""
        await storage.write(f"{box}/a.json", b'{"a": 1}')

        assert await storage.read(f"{box}/a.json") == b'{"a": 1}'

    async def test_an_empty_blob_is_a_blob(self, storage: Storage, box: str) -> None:
        """No bytes is content too."""
        await storage.write(f"{box}/a", b"")

        assert await storage.read(f"{box}/a") == b""
        assert await storage.read(f"{box}/a", offset=0, length=4) == b""

    @pytest.mark.parametrize("name", ODD_NAMES)
    async def test_names_may_hold_any_character(self, storage: Storage, box: str, name: str) -> None:
        """A name comes back from find and list as it was written, and addresses the blob."""
        await storage.write(f"{box}/{name}", b"x")

        found = await storage.find(f"{box}/{name}")

        assert found is not None
        assert found.path == f"{box}/{name}"
        assert await entries(storage, f"{box}/{name}") == [found]
        assert await storage.read(f"{box}/{name}") == b"x"

    @pytest.mark.parametrize(
        ("part", "expected"),
        [
            ({"offset": 0, "length": 3}, b"012"),
            ({"offset": 4}, b"456789"),
            ({"offset": 4, "length": 2}, b"45"),
            ({"offset": 8, "length": 20}, b"89"),
            ({"offset": 10}, b""),
            ({"offset": 10, "length": 1}, b""),
            ({"offset": 99, "length": 5}, b""),
            ({"offset": 4, "length": 0}, b""),
        ],
    )
    async def test_a_part_is_read(self, storage: Storage, box: str, part: dict[str, int], expected: bytes) -> None:
        """`length` bytes from `offset`, fewer at the end, none behind it."""
        await storage.write(f"{box}/a", b"0123456789")

        assert await storage.read(f"{box}/a", **part) == expected

    @pytest.mark.parametrize("part", [{}, {"offset": 3}, {"length": 0}])
    async def test_reading_what_is_missing_is_refused(self, storage: Storage, box: str, part: dict[str, int]) -> None:
        """BlobMissing, whether the container or only the blob is missing; the message names the path."""
        with pytest.raises(BlobMissing, match=f"{box}/a"):
            await storage.read(f"{box}/a", **part)

        await storage.write(f"{box}/b", b"")
        with pytest.raises(BlobMissing, match=f"{box}/a"):
            await storage.read(f"{box}/a", **part)

    async def test_a_blob_is_not_overwritten_by_accident(self, storage: Storage, box: str) -> None:
        """Without `overwrite` the second write is refused and changes nothing."""
        await storage.write(f"{box}/a", b"first")

        with pytest.raises(BlobExists, match=f"{box}/a"):
            await storage.write(f"{box}/a", b"second")
        assert await storage.read(f"{box}/a") == b"first"

    async def test_overwriting_replaces_content_and_metadata(self, storage: Storage, box: str) -> None:
        """With `overwrite` the blob is new in every respect."""
        first = await storage.write(f"{box}/a", b"first", metadata={"rows": "1"})

        second = await storage.write(f"{box}/a", b"second!", metadata={"cost": "2"}, overwrite=True)

        found = await storage.find(f"{box}/a")
        assert found is not None
        assert first != second
        assert (found.etag, found.size, found.metadata) == (second, 7, {"cost": "2"})

    async def test_of_concurrent_creators_one_wins(self, storage: Storage, box: str) -> None:
        """Create-if-absent has exactly one winner, and its content stays."""
        contents = [str(writer).encode() for writer in range(8)]

        answers = await asyncio.gather(
            *(storage.write(f"{box}/a", content) for content in contents), return_exceptions=True
        )

        losers = [answer for answer in answers if isinstance(answer, BaseException)]
        winner = next(at for at, answer in enumerate(answers) if isinstance(answer, str))
        assert [type(loser) for loser in losers] == [BlobExists] * 7
        assert await storage.read(f"{box}/a") == contents[winner]

    async def test_an_entry_tells_what_a_listing_knows(self, storage: Storage, box: str) -> None:
        """Path with container, size, etag without quotes, time of change, metadata; find and list agree."""
        etag = await storage.write(f"{box}/x/a", b"12345", metadata={"rows": "5", "cost_usd": "0.25 USD"})

        found = await storage.find(f"{box}/x/a")

        assert found is not None
        assert (found.path, found.size, found.etag) == (f"{box}/x/a", 5, etag)
        assert '"' not in etag
        assert found.metadata == {"rows": "5", "cost_usd": "0.25 USD"}
        assert abs(datetime.now(UTC) - found.modified) < timedelta(hours=1)
        assert await entries(storage, f"{box}/x/") == [found]

    async def test_finding_what_is_missing_gives_nothing(self, storage: Storage, box: str) -> None:
        """None, whether the container or only the blob is missing."""
        assert await storage.find(f"{box}/a") is None

        await storage.write(f"{box}/b", b"")
        assert await storage.find(f"{box}/a") is None

    async def test_entries_are_listed_in_the_order_of_their_names(self, storage: Storage, box: str) -> None:
        """By code point: a caller may merge two listings."""
        names = ["b/1", "a/10", "a/2", "a/b/c", "a-b", "Z", "ä", "z", "a b"]
        for name in names:
            await storage.write(f"{box}/{name}", b"")

        listed = [entry.path.removeprefix(f"{box}/") for entry in await entries(storage, f"{box}/")]

        assert listed == sorted(names)

    async def test_a_prefix_limits_the_listing(self, storage: Storage, box: str) -> None:
        """A prefix is a beginning of names, folders or not; it never reaches into another container."""
        for name in ["runs/1/a", "runs/12/a", "other"]:
            await storage.write(f"{box}/{name}", b"")
        await storage.write(f"{box}more/runs/1/a", b"")

        assert [entry.path for entry in await entries(storage, f"{box}/runs/1/")] == [f"{box}/runs/1/a"]
        assert len(await entries(storage, f"{box}/runs/1")) == 2
        assert len(await entries(storage, f"{box}/")) == 3
        assert len(await entries(storage, box)) == 3

    async def test_a_missing_container_lists_nothing(self, storage: Storage, box: str) -> None:
        """Nothing written yet is no error."""
        assert await entries(storage, f"{box}/a/") == []
        assert await storage.folders(f"{box}/") == []

    async def test_folders_are_the_names_right_below(self, storage: Storage, box: str) -> None:
        """In order, without slashes, without blobs and without deeper folders."""
        for name in ["runs/b/x", "runs/b/y", "runs/a/deep/x", "runs/a-1/x", "runs/ä/x", "runs/file", "else/c/x"]:
            await storage.write(f"{box}/{name}", b"")

        assert await storage.folders(f"{box}/runs/") == ["a", "a-1", "b", "ä"]
        assert await storage.folders(f"{box}/") == ["else", "runs"]
        assert await storage.folders(f"{box}/none/") == []

    async def test_deleting_twice_is_fine(self, storage: Storage, box: str) -> None:
        """What is gone or was never there, container included, needs no deleting."""
        await storage.delete(f"{box}/a")
        await storage.write(f"{box}/a", b"")
        await storage.delete(f"{box}/a")
        await storage.delete(f"{box}/a")

        assert await storage.find(f"{box}/a") is None

    @pytest.mark.parametrize("metadata", [{"Rows": "1"}, {"a-b": "1"}, {"file": "Größe"}, {"a": ""}, {"a": " 1"}])
    async def test_metadata_that_would_not_come_back_is_refused(
        self, storage: Storage, box: str, metadata: dict[str, str]
    ) -> None:
        """Storage refuses or changes such metadata, so no adapter sends it."""
        with pytest.raises(ValueError, match="cannot be stored"):
            await storage.write(f"{box}/a", b"", metadata=metadata)

    @pytest.mark.parametrize("path", ["runs", "runs/", "/name", ""])
    async def test_a_path_needs_container_and_name(self, storage: Storage, path: str) -> None:
        """Anything else is a mistake of the caller."""
        with pytest.raises(ValueError, match="container/name"):
            await storage.read(path)
        with pytest.raises(ValueError, match="container/name"):
            await storage.write(path, b"")


class TestFiles:
    async def test_a_large_file_comes_back_as_it_went(self, storage: Storage, box: str, tmp_path: Path) -> None:
        """20 MB goes up as blocks and comes down in parts, byte for byte."""
        content = bytes(range(256)) * (2 * TEN_MEGABYTES // 256)
        (tmp_path / "there.csv").write_bytes(content)

        etag = await storage.upload(f"{box}/a.csv", tmp_path / "there.csv", metadata={"rows": "9"})
        entry = await storage.download(f"{box}/a.csv", tmp_path / "back.csv")

        assert (tmp_path / "back.csv").read_bytes() == content
        assert entry == await storage.find(f"{box}/a.csv")
        assert (entry.size, entry.etag, entry.metadata) == (len(content), etag, {"rows": "9"})

    @pytest.mark.parametrize("size", [0, 1, TEN_MEGABYTES])
    async def test_a_file_of_any_size_comes_back(self, storage: Storage, box: str, tmp_path: Path, size: int) -> None:
        """Empty, tiny, and 10 MB."""
        (tmp_path / "there").write_bytes(b"x" * size)

        await storage.upload(f"{box}/a", tmp_path / "there")
        entry = await storage.download(f"{box}/a", tmp_path / "back")

        assert entry.size == size
        assert (tmp_path / "back").stat().st_size == size

    async def test_an_upload_may_choose_its_tier(self, storage: Storage, box: str, tmp_path: Path) -> None:
        """Without one it lies as the account has it."""
        (tmp_path / "there").write_bytes(b"x")
        for name, tier in (("plain", None), ("cool", "cool"), ("cold", "cold")):
            await storage.upload(f"{box}/{name}", tmp_path / "there", tier=tier)
            entry = await storage.find(f"{box}/{name}")
            assert entry is not None and entry.tier == tier

    async def test_an_upload_replaces_the_blob(self, storage: Storage, box: str, tmp_path: Path) -> None:
        """The blob that was there is gone, metadata included."""
        await storage.write(f"{box}/a", b"old and long", metadata={"a": "1"})
        (tmp_path / "new").write_bytes(b"new")

        etag = await storage.upload(f"{box}/a", tmp_path / "new")

        found = await storage.find(f"{box}/a")
        assert found is not None
        assert (found.etag, found.size, found.metadata) == (etag, 3, {})

    async def test_a_download_may_name_the_version(self, storage: Storage, box: str, tmp_path: Path) -> None:
        """The etag that write returned is the blob's as long as nobody changes it."""
        etag = await storage.write(f"{box}/a", b"x")

        entry = await storage.download(f"{box}/a", tmp_path / "a", etag=etag)

        assert entry.etag == etag

    async def test_a_version_that_is_gone_is_missing(self, storage: Storage, box: str, tmp_path: Path) -> None:
        """An overwritten version is not replaced by the new one, and a file that was there stays."""
        etag = await storage.write(f"{box}/a", b"old")
        await storage.write(f"{box}/a", b"new", overwrite=True)
        (tmp_path / "a").write_bytes(b"before")

        with pytest.raises(BlobMissing, match=f"{box}/a"):
            await storage.download(f"{box}/a", tmp_path / "a", etag=etag)
        assert contents(tmp_path) == {"a": b"before"}

    async def test_downloading_what_is_missing_leaves_no_file(self, storage: Storage, box: str, tmp_path: Path) -> None:
        """BlobMissing, and nothing half written."""
        with pytest.raises(BlobMissing):
            await storage.download(f"{box}/a", tmp_path / "a")
        assert contents(tmp_path) == {}

    async def test_a_file_that_is_not_there_is_the_callers_error(
        self, storage: Storage, box: str, tmp_path: Path
    ) -> None:
        """Local errors are not dressed up as storage errors."""
        with pytest.raises(FileNotFoundError):
            await storage.upload(f"{box}/a", tmp_path / "none")


class TestLeases:
    async def test_a_lease_is_exclusive(self, storage: Storage, box: str) -> None:
        """While it runs nobody else gets one; after a release the next one does."""
        await storage.write(f"{box}/a", b"")
        first = await storage.acquire(f"{box}/a", 15)

        with pytest.raises(LeaseHeld, match=f"{box}/a"):
            await storage.acquire(f"{box}/a", 60)
        await storage.release(f"{box}/a", first)
        second = await storage.acquire(f"{box}/a", 60)

        assert first != second

    async def test_of_concurrent_takers_one_wins(self, storage: Storage, box: str) -> None:
        """Eight ask at once: one lease, seven refusals."""
        await storage.write(f"{box}/a", b"")

        answers = await asyncio.gather(*(storage.acquire(f"{box}/a", 15) for _ in range(8)), return_exceptions=True)

        assert sorted(type(answer).__name__ for answer in answers) == ["LeaseHeld"] * 7 + ["str"]

    async def test_only_a_blob_can_be_leased(self, storage: Storage, box: str) -> None:
        """BlobMissing, whether the container or only the blob is missing."""
        with pytest.raises(BlobMissing):
            await storage.acquire(f"{box}/a", 15)

        await storage.write(f"{box}/b", b"")
        with pytest.raises(BlobMissing):
            await storage.acquire(f"{box}/a", 15)

    @pytest.mark.parametrize("seconds", [-1, 0, 14, 61])
    async def test_a_lease_lasts_15_to_60_seconds(self, storage: Storage, box: str, seconds: int) -> None:
        """Endless and other periods are refused."""
        await storage.write(f"{box}/a", b"")

        with pytest.raises(StorageError, match="15 to 60 seconds"):
            await storage.acquire(f"{box}/a", seconds)

    async def test_a_held_lease_is_renewed(self, storage: Storage, box: str) -> None:
        """Renewing keeps it ours, and others out."""
        await storage.write(f"{box}/a", b"")
        lease = await storage.acquire(f"{box}/a", 15)

        await storage.renew(f"{box}/a", lease)

        with pytest.raises(LeaseHeld):
            await storage.acquire(f"{box}/a", 15)

    async def test_a_lease_that_is_not_ours_is_not_renewed(self, storage: Storage, box: str) -> None:
        """LeaseLost when another has it, nobody has it, or blob or container are gone."""
        with pytest.raises(LeaseLost):
            await storage.renew(f"{box}/a", STRANGER)
        await storage.write(f"{box}/a", b"")
        with pytest.raises(LeaseLost):
            await storage.renew(f"{box}/a", STRANGER)
        lease = await storage.acquire(f"{box}/a", 15)
        with pytest.raises(LeaseLost):
            await storage.renew(f"{box}/a", STRANGER)
        await storage.release(f"{box}/a", lease)
        with pytest.raises(LeaseLost):
            await storage.renew(f"{box}/a", lease)
        await storage.delete(f"{box}/a")
        with pytest.raises(LeaseLost):
            await storage.renew(f"{box}/a", lease)

    async def test_releasing_what_is_lost_is_fine(self, storage: Storage, box: str) -> None:
        """Twice, with another's id, without blob or container: no error, and no harm to the holder."""
        await storage.release(f"{box}/a", STRANGER)
        await storage.write(f"{box}/a", b"")
        lease = await storage.acquire(f"{box}/a", 15)
        await storage.release(f"{box}/a", STRANGER)
        with pytest.raises(LeaseHeld):
            await storage.acquire(f"{box}/a", 15)

        await storage.release(f"{box}/a", lease)
        await storage.release(f"{box}/a", lease)
        await storage.delete(f"{box}/a")
        await storage.release(f"{box}/a", lease)

    async def test_a_broken_lease_runs_on_but_is_not_renewed(self, storage: Storage, box: str) -> None:
        """Breaking without a period: nobody else gets it before its end, its holder hears of it when it renews."""
        await storage.write(f"{box}/a", b"")
        lease = await storage.acquire(f"{box}/a", 60)

        left = await storage.break_lease(f"{box}/a")
        assert 50 <= left <= 60
        assert 50 <= await storage.break_lease(f"{box}/a") <= 60
        with pytest.raises(LeaseBroken):
            await storage.renew(f"{box}/a", lease)
        with pytest.raises(LeaseHeld):
            await storage.acquire(f"{box}/a", 15)
        with pytest.raises(LeaseLost):
            await storage.write(f"{box}/a", b"new", overwrite=True)

    async def test_releasing_a_broken_lease_frees_the_blob_at_once(self, storage: Storage, box: str) -> None:
        """The holder need not wait for the end; a stranger's release changes nothing."""
        await storage.write(f"{box}/a", b"")
        lease = await storage.acquire(f"{box}/a", 60)
        await storage.break_lease(f"{box}/a")

        await storage.release(f"{box}/a", STRANGER)
        with pytest.raises(LeaseHeld):
            await storage.acquire(f"{box}/a", 15)
        await storage.release(f"{box}/a", lease)
        again = await storage.acquire(f"{box}/a", 15)

        await storage.renew(f"{box}/a", again)

    async def test_breaking_what_nobody_holds_is_fine(self, storage: Storage, box: str) -> None:
        """Nothing to wait for: without a lease, a blob or a container."""
        assert await storage.break_lease(f"{box}/a") == 0
        await storage.write(f"{box}/a", b"")
        assert await storage.break_lease(f"{box}/a") == 0
        assert await storage.break_lease(f"{box}/b") == 0

        lease = await storage.acquire(f"{box}/a", 15)
        await storage.renew(f"{box}/a", lease)

    async def test_a_listing_shows_the_states_of_leases(self, storage: Storage, box: str) -> None:
        """Also `find` does."""
        leases = {}
        for name in ("broken", "free", "held", "released"):
            await storage.write(f"{box}/{name}", b"")
            leases[name] = await storage.acquire(f"{box}/{name}", 60) if name != "free" else ""
        await storage.break_lease(f"{box}/broken")
        await storage.release(f"{box}/released", leases["released"])

        states = {entry.path.rpartition("/")[2]: entry.lease for entry in await entries(storage, f"{box}/")}
        assert states == {"broken": "breaking", "free": "available", "held": "leased", "released": "available"}
        found = await storage.find(f"{box}/held")
        assert found is not None
        assert found.lease == "leased"

    async def test_a_leased_blob_is_not_changed_without_the_lease(
        self, storage: Storage, box: str, tmp_path: Path
    ) -> None:
        """Write, upload and delete are refused; reading is free."""
        await storage.write(f"{box}/a", b"kept")
        (tmp_path / "new").write_bytes(b"new")
        await storage.acquire(f"{box}/a", 15)

        with pytest.raises(LeaseLost, match=f"{box}/a"):
            await storage.write(f"{box}/a", b"new", overwrite=True)
        with pytest.raises(LeaseLost):
            await storage.upload(f"{box}/a", tmp_path / "new")
        with pytest.raises(LeaseLost):
            await storage.delete(f"{box}/a")
        with pytest.raises(LeaseLost):
            await storage.delete(f"{box}/a", lease=STRANGER)
        assert await storage.read(f"{box}/a") == b"kept"

    async def test_a_leased_blob_exists(self, storage: Storage, box: str) -> None:
        """Create-if-absent says BlobExists of it, not LeaseLost."""
        await storage.write(f"{box}/a", b"")
        await storage.acquire(f"{box}/a", 15)

        with pytest.raises(BlobExists):
            await storage.write(f"{box}/a", b"")
        assert not await storage.open_journal(f"{box}/a")

    async def test_the_holder_deletes_under_its_lease(self, storage: Storage, box: str) -> None:
        """With the lease's id the blob goes; with the id of a released one it stays."""
        await storage.write(f"{box}/a", b"")
        released = await storage.acquire(f"{box}/a", 15)
        await storage.release(f"{box}/a", released)
        with pytest.raises(LeaseLost):
            await storage.delete(f"{box}/a", lease=released)
        lease = await storage.acquire(f"{box}/a", 15)

        await storage.delete(f"{box}/a", lease=lease)

        assert await storage.find(f"{box}/a") is None

    @pytest.mark.slow
    @pytest.mark.parametrize("account", IN_MEMORY_AND_WITH_KEY, indirect=True)
    async def test_a_lease_ends_by_itself(self, account: Account, box: str) -> None:
        """After its period others may write and lease, the holder may not append, and only one renewal still works."""
        storage = account.storage
        names = ("free", "renewed", "taken", "journal", "broken")
        for name in names:
            await storage.open_journal(f"{box}/{name}")
        leases = {name: await storage.acquire(f"{box}/{name}", 15) for name in names}
        await storage.break_lease(f"{box}/broken")

        await account.let_leases_end()

        states = {entry.path.rpartition("/")[2]: entry.lease for entry in await entries(storage, f"{box}/")}
        assert (states["free"], states["broken"]) == ("expired", "broken")
        with pytest.raises(LeaseBroken):
            await storage.renew(f"{box}/broken", leases["broken"])
        await storage.release(f"{box}/broken", leases["broken"])
        await storage.acquire(f"{box}/broken", 15)
        await storage.write(f"{box}/free", b"new", overwrite=True)
        await storage.renew(f"{box}/renewed", leases["renewed"])
        await storage.append(f"{box}/renewed", b"x", lease=leases["renewed"])
        await storage.acquire(f"{box}/taken", 15)
        with pytest.raises(LeaseLost):
            await storage.renew(f"{box}/taken", leases["taken"])
        with pytest.raises(LeaseLost):
            await storage.append(f"{box}/taken", b"x", lease=leases["taken"])
        with pytest.raises(LeaseLost):
            await storage.append(f"{box}/journal", b"x", lease=leases["journal"])
        with pytest.raises(LeaseLost):
            await storage.delete(f"{box}/journal", lease=leases["journal"])


class TestJournals:
    async def test_a_journal_is_opened_once(self, storage: Storage, box: str) -> None:
        """The first opener creates it (and its container) empty; the next one finds it and changes nothing."""
        assert await storage.open_journal(f"{box}/j.jsonl")
        lease = await storage.acquire(f"{box}/j.jsonl", 15)
        await storage.append(f"{box}/j.jsonl", b"1\n", lease=lease)

        assert not await storage.open_journal(f"{box}/j.jsonl")
        assert await storage.read(f"{box}/j.jsonl") == b"1\n"

    async def test_of_concurrent_openers_one_creates(self, storage: Storage, box: str) -> None:
        """Exactly one hears True."""
        answers = await asyncio.gather(*(storage.open_journal(f"{box}/j") for _ in range(8)))

        assert sorted(answers) == [False] * 7 + [True]

    async def test_appends_follow_each_other(self, storage: Storage, box: str) -> None:
        """The content is every append in order; size and etag move with it."""
        await storage.open_journal(f"{box}/j")
        opened = await storage.find(f"{box}/j")
        lease = await storage.acquire(f"{box}/j", 15)

        for line in (b"1\n", b"22\n", b"", b"333\n"):
            await storage.append(f"{box}/j", line, lease=lease)

        found = await storage.find(f"{box}/j")
        assert await storage.read(f"{box}/j") == b"1\n22\n333\n"
        assert opened is not None
        assert found is not None
        assert (opened.size, found.size) == (0, 9)
        assert opened.etag != found.etag

    async def test_an_append_needs_a_lease_that_is_ours(self, storage: Storage, box: str) -> None:
        """LeaseLost when nobody holds one, it was released, or another holds it; nothing is appended."""
        await storage.open_journal(f"{box}/j")
        with pytest.raises(LeaseLost):
            await storage.append(f"{box}/j", b"x", lease=STRANGER)
        lost = await storage.acquire(f"{box}/j", 15)
        await storage.release(f"{box}/j", lost)
        with pytest.raises(LeaseLost):
            await storage.append(f"{box}/j", b"x", lease=lost)
        await storage.acquire(f"{box}/j", 15)
        with pytest.raises(LeaseLost, match=f"{box}/j"):
            await storage.append(f"{box}/j", b"x", lease=lost)

        assert await storage.read(f"{box}/j") == b""

    async def test_a_journal_that_nobody_leases_grows_without_a_lease(self, storage: Storage, box: str) -> None:
        """For a journal of one writer; as soon as somebody leases it, only the holder appends."""
        await storage.open_journal(f"{box}/j")
        await storage.append(f"{box}/j", b"1\n")
        await storage.acquire(f"{box}/j", 15)

        with pytest.raises(LeaseLost):
            await storage.append(f"{box}/j", b"2\n")
        assert await storage.read(f"{box}/j") == b"1\n"

    async def test_appending_to_what_is_missing_is_refused(self, storage: Storage, box: str) -> None:
        """BlobMissing, whether the container or only the journal is missing."""
        with pytest.raises(BlobMissing):
            await storage.append(f"{box}/j", b"x", lease=STRANGER)
        await storage.write(f"{box}/other", b"", overwrite=True)
        with pytest.raises(BlobMissing):
            await storage.append(f"{box}/j", b"x", lease=STRANGER)

    async def test_only_journals_grow(self, storage: Storage, box: str) -> None:
        """A blob that was written whole is not appended to."""
        await storage.write(f"{box}/a", b"whole")
        lease = await storage.acquire(f"{box}/a", 15)

        with pytest.raises(StorageError) as caught:
            await storage.append(f"{box}/a", b"x", lease=lease)
        assert type(caught.value) is StorageError
        assert await storage.read(f"{box}/a") == b"whole"


class TestQueues:
    async def test_messages_arrive_in_order(self, account: Account, box: str) -> None:
        """The first message creates the queue; texts arrive as they were sent, whatever their characters."""
        for text in ('{"v": 1}', "Größe 深 <&>"):
            await account.storage.send(box, text)

        assert account.messages(box) == ['{"v": 1}', "Größe 深 <&>"]

    async def test_concurrent_first_messages_all_arrive(self, account: Account, box: str) -> None:
        """Several senders may meet a missing queue at once."""
        await asyncio.gather(*(account.storage.send(box, str(number)) for number in range(8)))

        assert sorted(account.messages(box)) == sorted(str(number) for number in range(8))

    async def test_a_message_has_a_largest_size(self, account: Account, box: str) -> None:
        """48 KiB of text fill a message, as Base64 makes 64 KiB of it; more is refused."""
        await account.storage.send(box, "x" * 48 * 1024)

        with pytest.raises(StorageError, match=box):
            await account.storage.send(box, "x" * (48 * 1024 + 1))
        assert len(account.messages(box)) == 1


async def test_closing_twice_is_fine(storage: Storage) -> None:
    """A second close does nothing."""
    await storage.close()
    await storage.close()
