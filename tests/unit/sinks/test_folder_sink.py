"""The folder sink: whole bundles or none, the same again, as a folder or a zip that verifies."""

import asyncio
import shutil
import threading
from pathlib import Path

import pytest

from assay.errors import ServiceError
from assay.provenance.bundle import seal_folder
from assay.provenance.verification import verify_bundle
from assay.sinks import folder as folder_sink
from assay.sinks import placing
from assay.sinks.base import Bundle
from assay.sinks.folder import FolderSink
from assay.suite.sink_options import FolderOptions
from stand_ins.sealed import SIGNER, STATEMENT, sealed_bundle


@pytest.fixture
async def bundle(tmp_path: Path) -> Bundle:
    return await sealed_bundle(tmp_path / "bundle")


def sink_at(root: Path, **options: object) -> FolderSink:
    return FolderSink(FolderOptions.model_validate(options), root)


def everything(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("as_zip", [False, True])
async def test_what_lies_there_verifies(tmp_path, bundle, as_zip) -> None:
    """And nothing else lies there."""
    receipt = await sink_at(tmp_path / "out", zip=as_zip).publish(bundle)
    assert verify_bundle(Path(receipt.location), SIGNER.public_key_pem).ok
    assert [path.name for path in (tmp_path / "out/triage").iterdir()] == [Path(receipt.location).name]


@pytest.mark.parametrize("as_zip", [False, True])
async def test_again_changes_nothing(tmp_path, bundle, as_zip) -> None:
    """Byte by byte, a zip too."""
    sink = sink_at(tmp_path / "out", zip=as_zip)
    first, before = await sink.publish(bundle), everything(tmp_path / "out")
    assert (await sink.publish(bundle), everything(tmp_path / "out")) == (first, before)


async def test_a_new_bundle_of_the_run_takes_the_old_ones_place(tmp_path, bundle) -> None:
    """No file of the old one stays."""
    sink = sink_at(tmp_path / "out")
    await sink.publish(bundle)
    (bundle.folder / "results.csv").unlink()
    await seal_folder(bundle.folder, STATEMENT, SIGNER)
    receipt = await sink.publish(Bundle(bundle.run, bundle.suite, bundle.folder))
    assert verify_bundle(Path(receipt.location), SIGNER.public_key_pem).ok


@pytest.mark.parametrize("as_zip", [False, True])
async def test_death_while_writing_leaves_no_half_bundle(tmp_path, bundle, monkeypatch, as_zip) -> None:
    """The next try completes it, and clears away."""
    sink = sink_at(tmp_path / "out", zip=as_zip)

    def dying(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(folder_sink.shutil, "copyfile", dying)
        patched.setattr("assay.sinks.archive._add", dying)
        with pytest.raises(ServiceError, match="No space left"):
            await sink.publish(bundle)
    assert list((tmp_path / "out/triage").iterdir()) == []
    receipt = await sink.publish(bundle)
    assert [path.name for path in (tmp_path / "out/triage").iterdir()] == [Path(receipt.location).name]


@pytest.mark.parametrize("as_zip", [False, True])
async def test_two_publishers_at_once_make_one_whole_bundle(tmp_path, bundle, monkeypatch, as_zip) -> None:
    """The second waits until the first has left its draft."""
    under_way, most = [0], [0]

    def slowly() -> None:
        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        threading.Event().wait(0.02)
        under_way[0] -= 1

    monkeypatch.setattr(placing, "_remove", lambda place, remove=placing._remove: (slowly(), remove(place)))
    sinks = [sink_at(tmp_path / "out", zip=as_zip) for _ in range(3)]
    receipts = await asyncio.gather(*(one.publish(bundle) for one in sinks))
    assert most == [1] and len({one.files for one in receipts}) == 1
    assert verify_bundle(Path(receipts[0].location), SIGNER.public_key_pem).ok
    assert [path.name for path in (tmp_path / "out/triage").iterdir()] == [Path(receipts[0].location).name]


async def test_an_incomplete_folder_is_mended(tmp_path, bundle) -> None:
    """Somebody took a file away."""
    receipt = await sink_at(tmp_path / "out").publish(bundle)
    (Path(receipt.location) / "results.csv").unlink()
    shutil.rmtree(Path(receipt.location) / "plots")
    await sink_at(tmp_path / "out").publish(bundle)
    assert verify_bundle(Path(receipt.location)).ok


async def test_a_preview_writes_nothing(tmp_path, bundle) -> None:
    """And says where everything would lie."""
    lines = await sink_at(tmp_path / "out").preview(bundle)
    assert lines[0] == f"folder {tmp_path / 'out/triage/triage-1'}" and "file results.csv (5 bytes)" in lines
    assert not (tmp_path / "out").exists()


async def test_a_view_lies_beside_the_whole_bundle(tmp_path, bundle) -> None:
    """Two folder sinks of a suite write below the same root."""
    sink, view = sink_at(tmp_path / "out"), Bundle(bundle.run, bundle.suite, bundle.folder, view="shared")
    places = [(await sink.publish(one)).location for one in (bundle, view)]
    assert [Path(one).name for one in places] == ["triage-1", "triage-1.shared"]
    assert all(verify_bundle(Path(one), SIGNER.public_key_pem).ok for one in places)
