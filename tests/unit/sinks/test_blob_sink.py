"""The blob sink: a whole bundle under the run's name, its manifest last."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.errors import StorageError
from assay.provenance.bundle import seal_folder
from assay.provenance.verification import verify_bundle
from assay.sinks.base import Bundle
from assay.sinks.storage import BlobSink
from assay.storage.memory import MemoryStorage
from assay.suite.sink_options import BlobOptions
from faults import Strike, as_storage, struck
from stand_ins.sealed import SIGNER, STATEMENT, sealed_bundle

FILES = 8  # three artifacts and five of the seal


@pytest.fixture
async def bundle(tmp_path: Path) -> Bundle:
    return await sealed_bundle(tmp_path / "bundle")


def sink_on(storage: MemoryStorage, **options: object) -> BlobSink:
    return BlobSink(BlobOptions.model_validate(options), storage)


async def published(storage: MemoryStorage) -> dict[str, bytes]:
    return {one.path: await storage.read(one.path) async for one in storage.list("bundles/")}


async def test_every_file_is_published_under_the_run(bundle: Bundle) -> None:
    """The receipt says where, and which bundle it was."""
    storage = MemoryStorage()
    receipt = await sink_on(storage).publish(bundle)
    assert await published(storage) == {f"bundles/triage-1/{name}": file.read_bytes() for name, file in bundle.files}
    assert (receipt.sink, receipt.location, receipt.files) == ("blob", "bundles/triage-1/", FILES)
    assert receipt.manifest_sha256 == bundle.manifest_sha256


async def test_publishing_again_changes_nothing(bundle: Bundle) -> None:
    """The receipt is the same, too."""
    storage = MemoryStorage()
    first = await sink_on(storage).publish(bundle)
    before = await published(storage)
    assert await sink_on(storage).publish(bundle) == first
    assert await published(storage) == before


@pytest.mark.parametrize("at", range(1, FILES + 1))
async def test_the_manifest_is_there_only_when_everything_else_is(bundle: Bundle, at: int) -> None:
    """Whoever sees it sees a whole bundle, wherever publishing stopped."""
    storage = MemoryStorage()
    dying = struck(storage, Strike(at, StorageError("dead"), for_good=True))
    with pytest.raises(StorageError):
        await BlobSink(BlobOptions(), as_storage(dying)).publish(bundle)
    found = await published(storage)
    assert len(found) == at - 1
    assert "bundles/triage-1/manifest.json" not in found


async def test_a_new_bundle_of_the_run_leaves_no_old_file(bundle: Bundle) -> None:
    """Or else it would not verify."""
    storage = MemoryStorage()
    await sink_on(storage).publish(bundle)
    (bundle.folder / "plots/box.png").unlink()
    await seal_folder(bundle.folder, STATEMENT, SIGNER)
    await sink_on(storage).publish(Bundle(bundle.run, bundle.suite, bundle.folder))
    assert "bundles/triage-1/plots/box.png" not in await published(storage)


async def test_an_archive_lies_beside_the_folder(bundle: Bundle, tmp_path: Path) -> None:
    """One file that can be handed on, and verifies as it is."""
    storage = MemoryStorage()
    await sink_on(storage, archive=True).publish(bundle)
    (tmp_path / "bundle.zip").write_bytes(await storage.read("bundles/triage-1.zip"))
    assert verify_bundle(tmp_path / "bundle.zip", SIGNER.public_key_pem).ok
    assert "zip bundles/triage-1.zip" in await sink_on(storage, archive=True).preview(bundle)
