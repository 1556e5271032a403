"""The blob sink: a whole bundle under the run's name, its manifest last."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from assay.errors import StorageError
from assay.sinks.storage import BlobSink
from assay.storage.memory import MemoryStorage
from faults import Strike, as_storage, struck

FILES = {"manifest.json": b"{}", "a.csv": b"a,b\n", "z.md": "Grüße".encode(), "plots/p.svg": b"<svg/>"}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    for name, content in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


async def published(storage: MemoryStorage) -> dict[str, bytes]:
    return {one.path: await storage.read(one.path) async for one in storage.list("bundles/")}


async def test_every_file_is_published_under_the_run(bundle: Path) -> None:
    """The receipt says where, and which bundle it was."""
    storage = MemoryStorage()

    receipt = await BlobSink(storage).publish("triage-1", bundle)

    assert await published(storage) == {f"bundles/triage-1/{name}": content for name, content in FILES.items()}
    assert (receipt.sink, receipt.location, receipt.files) == ("blob", "bundles/triage-1/", 4)
    assert receipt.manifest_sha256 == hashlib.sha256(b"{}").hexdigest()


async def test_publishing_again_changes_nothing(bundle: Path) -> None:
    """The receipt is the same, too."""
    storage = MemoryStorage()
    first = await BlobSink(storage).publish("triage-1", bundle)
    before = await published(storage)

    assert await BlobSink(storage).publish("triage-1", bundle) == first
    assert await published(storage) == before


@pytest.mark.parametrize("at", range(1, len(FILES) + 1))
async def test_the_manifest_is_there_only_when_everything_else_is(bundle: Path, at: int) -> None:
    """Whoever sees it sees a whole bundle, wherever publishing stopped."""
    storage = MemoryStorage()
    dying = struck(storage, Strike(at, StorageError("dead"), for_good=True))

    with pytest.raises(StorageError):
        await BlobSink(as_storage(dying)).publish("triage-1", bundle)

    found = await published(storage)
    assert len(found) == at - 1
    assert "bundles/triage-1/manifest.json" not in found
