"""The Excel sink: the workbook of the bundle, whole or not at all, the same again."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from assay.errors import ServiceError, UserError
from assay.sinks import excel
from assay.sinks.base import Bundle
from assay.sinks.excel import ExcelSink
from assay.suite.sink_options import ExcelOptions
from stand_ins.sealed import FILES, Killed, sealed_bundle

WORKBOOK = b"PK of a workbook"


@pytest.fixture
async def bundle(tmp_path: Path) -> Bundle:
    return await sealed_bundle(tmp_path / "bundle", {**FILES, "report.xlsx": WORKBOOK})


@pytest.fixture
def sink(tmp_path: Path) -> ExcelSink:
    return ExcelSink(ExcelOptions(), tmp_path / "out")


def everything(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


async def test_the_workbook_lies_there_and_nothing_else(tmp_path, bundle, sink) -> None:
    """Under the run's name, in a folder of the suite."""
    receipt = await sink.publish(bundle)
    assert (receipt.location, receipt.files) == (str(tmp_path / "out/triage/triage-1.xlsx"), 1)
    assert receipt.manifest_sha256 == bundle.manifest_sha256
    assert everything(tmp_path / "out") == {"triage/triage-1.xlsx": WORKBOOK}


async def test_again_leaves_the_file_alone(tmp_path, bundle, sink) -> None:
    """Somebody may have it open."""
    first = await sink.publish(bundle)
    before = Path(first.location).stat()
    assert await sink.publish(bundle) == first
    assert Path(first.location).stat().st_ino == before.st_ino


async def test_a_new_workbook_takes_the_old_ones_place(tmp_path, bundle, sink) -> None:
    """The run was evaluated anew."""
    await sink.publish(bundle)
    (bundle.folder / "report.xlsx").write_bytes(b"PK of a later one")
    await sink.publish(bundle)
    assert everything(tmp_path / "out") == {"triage/triage-1.xlsx": b"PK of a later one"}


async def test_a_view_lies_beside_the_whole(tmp_path, bundle, sink) -> None:
    """Two Excel sinks of a suite write below the same root."""
    for one in (bundle, replace(bundle, view="shared")):
        await sink.publish(one)
    assert set(everything(tmp_path / "out")) == {"triage/triage-1.xlsx", "triage/triage-1.shared.xlsx"}


async def test_a_bundle_without_a_workbook_is_refused(tmp_path, sink) -> None:
    """The reason is where the report was made, and so is the cure."""
    bare = await sealed_bundle(tmp_path / "bare")
    with pytest.raises(UserError, match=r"bundle of triage-1 has no report.xlsx: openpyxl .* assay-batch\[xlsx\]"):
        await sink.publish(bare)
    (line,) = await sink.preview(bare)
    assert line.startswith("nothing: bundle of triage-1 has no report.xlsx")
    assert not (tmp_path / "out").exists()


async def test_a_preview_writes_nothing(tmp_path, bundle, sink) -> None:
    """And says where it would lie."""
    lines = await sink.preview(bundle)
    assert lines == (f"workbook {tmp_path / 'out/triage/triage-1.xlsx'} ({len(WORKBOOK)} bytes)",)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("copied", [0, 4])
async def test_death_while_writing_leaves_the_old_workbook_and_the_next_try_clears_away(
    tmp_path, bundle, sink, monkeypatch, copied
) -> None:
    """Nobody opens half a workbook."""
    await sink.publish(bundle)
    (bundle.folder / "report.xlsx").write_bytes(b"PK of a later one")

    def dying(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:copied])
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(excel.shutil, "copyfile", dying)
        with pytest.raises(Killed):
            await sink.publish(bundle)
    assert everything(tmp_path / "out")["triage/triage-1.xlsx"] == WORKBOOK
    await sink.publish(bundle)
    assert everything(tmp_path / "out") == {"triage/triage-1.xlsx": b"PK of a later one"}


async def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, bundle, sink, monkeypatch) -> None:
    """It may be tried again."""

    def full(source: Path, target: Path) -> None:
        target.write_bytes(b"PK")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(excel.shutil, "copyfile", full)
    with pytest.raises(ServiceError, match=r"triage-1\.xlsx cannot be written: No space left"):
        await sink.publish(bundle)
    assert everything(tmp_path / "out") == {}


async def test_publishers_at_once_make_one_workbook(tmp_path, bundle, sink, monkeypatch) -> None:
    """None takes the draft of another."""
    whole = shutil.copyfile
    copies: list[Path] = []
    monkeypatch.setattr(excel.shutil, "copyfile", lambda *one: (copies.append(one[1]), whole(*one)))
    await asyncio.gather(*(sink.publish(bundle) for _ in range(4)))
    assert len(copies) == 1 and everything(tmp_path / "out") == {"triage/triage-1.xlsx": WORKBOOK}
