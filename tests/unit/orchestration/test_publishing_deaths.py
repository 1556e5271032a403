"""Sealing and publishing die at any request to storage or within a sink: the next try leaves what one try would."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from assay.orchestration.publishing import PublishingSteps
from assay.provenance.signing import LocalKeySigner
from assay.provenance.verification import verify_bundle
from assay.sinks.base import Bundle, Receipt
from assay.sinks.storage import BlobSink
from assay.storage import layout
from assay.storage.base import Storage
from assay.suite.levels import Level
from assay.suite.sink_options import BlobOptions
from assay.telemetry import RecordingTelemetry
from faults import Strike, as_storage, struck
from stand_ins.ended_run import ID, blobs, ended_run
from stand_ins.sealed import Killed

SIGNER = LocalKeySigner(ec.generate_private_key(ec.SECP256R1()))


@dataclass
class Place:
    """A sink that counts how often it was handed a bundle, and has it then. `dies` before it takes it, or after."""

    name: str
    clearance: Level = "restricted"
    dies: str = ""
    calls: int = 0
    has: set[str] = field(default_factory=set)

    async def preview(self, bundle: Bundle) -> tuple[str, ...]:
        return ()

    async def publish(self, bundle: Bundle) -> Receipt:
        dies, self.dies = self.dies, ""
        self.calls += 1
        if dies == "before":
            raise Killed
        self.has.add(bundle.manifest_sha256)
        if dies == "after":
            raise Killed
        return Receipt(sink=self.name, location=self.name, manifest_sha256=bundle.manifest_sha256, files=1)

    async def close(self) -> None:
        pass


def steps(storage: Storage, *places: Place) -> PublishingSteps:
    async def signer() -> LocalKeySigner:
        return SIGNER

    sinks = (BlobSink(BlobOptions(), storage), *places)
    now = datetime(2026, 11, 20, tzinfo=UTC)
    return PublishingSteps(storage, signer, lambda _: sinks, lambda: now, RecordingTelemetry())


async def to_the_end(storage: Storage, *places: Place) -> None:
    """As the orchestrator does: a step that failed begins again."""
    await steps(storage, *places).seal(ID)
    await steps(storage, *places).publish(ID)


async def receipts(storage: Storage) -> set[str]:
    return {path.rpartition("/")[2].removesuffix(".json") for path in await blobs(storage, layout.receipts(ID))}


async def check(storage: Storage, folder: Path, *places: Place) -> None:
    """Every place has one bundle and a receipt, and the published one verifies."""
    digests = {one.receipt and one.receipt.manifest_sha256 for one in await steps(storage).deliveries(ID)}
    assert await receipts(storage) == {"blob", *(place.name for place in places)}
    assert len(digests) == 1 and all(place.has == digests for place in places)
    for path, content in (await blobs(storage, layout.published(ID))).items():
        file = folder / path.removeprefix(layout.published(ID))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    assert verify_bundle(folder, SIGNER.public_key_pem).ok


async def test_at_any_request_to_storage(tmp_path: Path) -> None:
    """A place whose receipt was kept is not asked again, every other at most twice."""
    for at in itertools.count(1):
        storage, places = await ended_run(), (Place("one"), Place("two"))
        dying = struck(storage, Strike(at, Killed()))  # type: ignore[arg-type]
        with suppress(Killed):
            await to_the_end(as_storage(dying), *places)
        had, asked = await receipts(storage), {place.name: place.calls for place in places}
        await to_the_end(storage, *places)
        assert all(place.calls == asked[place.name] for place in places if place.name in had), at
        assert all(1 <= place.calls <= 2 for place in places)
        await check(storage, tmp_path / str(at), *places)
        if at > len(dying.calls):
            break
    assert at > 20


async def test_within_a_sink(tmp_path: Path) -> None:
    """The sink is asked again; those before it are not."""
    for dies in ("before", "after"):
        storage, first, second = await ended_run(), Place("one"), Place("two", dies=dies)
        try:
            await to_the_end(storage, first, second)
        except Killed:
            assert await receipts(storage) == {"blob", "one"}
        await to_the_end(storage, first, second)
        assert (first.calls, second.calls) == (1, 2)
        await check(storage, tmp_path / dies, first, second)
