"""Dropping from the command line: what is dropped is what ingest will find, and its run is known beforehand."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import pytest
from run_bench import CSV, SUITE, admitted, ingest, progress_of, with_suite

from assay.errors import NameRefused, SuiteError, UserError
from assay.orchestration.drops import drop_file, fetch_bundle, find_refusal, open_suite, run_of, upload_suite
from assay.orchestration.progress import write_progress
from assay.planning.preflight import checked_suite
from assay.run_records import Stage
from assay.storage import layout
from assay.storage.memory import MemoryStorage


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / unicodedata.normalize("NFD", "Größe.csv")
    path.write_text(CSV, encoding="utf-8")
    return path


def suite_folder(tmp_path: Path, content: bytes = SUITE.encode()) -> Path:
    (tmp_path / "suite.yaml").write_bytes(content)
    return tmp_path


async def test_a_dropped_file_starts_the_run_that_was_foretold(file: Path) -> None:
    """Its name is in the composed form, whatever the disk made of it."""
    storage = await with_suite()

    drop = await drop_file(storage, "triage", file)

    assert drop.path == "inbox/triage/Größe.csv"
    assert drop.run == await run_of(storage, "triage", file)
    assert await ingest(storage).admit(drop.path) == drop.run
    assert await find_refusal(storage, drop) is None


async def test_asking_again_foretells_another_run(file: Path) -> None:
    """Its wish travels with the file."""
    storage = await with_suite()
    first = await drop_file(storage, "triage", file)

    again = await drop_file(storage, "triage", file, again="2")

    assert again.run != first.run
    assert await ingest(storage).admit(again.path) == again.run


async def test_the_refusal_of_a_drop_is_found(tmp_path: Path) -> None:
    """The command line can say why nothing started."""
    storage = await with_suite()
    empty = tmp_path / "tickets.csv"
    empty.touch()
    drop = await drop_file(storage, "triage", empty)

    assert await ingest(storage).admit(drop.path) is None

    refusal = await find_refusal(storage, drop)
    assert refusal is not None
    assert "the file is empty" in refusal.reason


async def test_dropping_takes_a_failed_run_up_before_anybody_looks(file: Path) -> None:
    """Whoever waits for the run must not see its old failure."""
    storage = await with_suite()
    drop = await drop_file(storage, "triage", file)
    await ingest(storage).admit(drop.path)
    failed = (await progress_of(storage, drop.run)).model_copy(update={"stage": Stage.FAILED, "message": "no disk"})
    await write_progress(storage, failed)

    await drop_file(storage, "triage", file)

    assert (await progress_of(storage, drop.run)).stage is Stage.PLANNING


async def test_a_drop_for_an_unknown_suite_uploads_nothing(file: Path) -> None:
    """Mistyped names show before anything is in the cloud."""
    storage = await with_suite()

    with pytest.raises(SuiteError, match="did you mean 'triage'"):
        await drop_file(storage, "triaje", file)
    with pytest.raises(NameRefused):
        await drop_file(storage, "..", file)

    assert [one.path async for one in storage.list("inbox/")] == []


async def test_a_file_is_dropped_without_the_code_that_its_suite_names(file: Path) -> None:
    """A scorer's module may be on the workers alone; the host looks at it."""
    storage = await with_suite()
    named = SUITE + "aggregators: [{plugin: callable, name: figures, call: 'only_on_workers:sum_up'}]\n"
    await storage.write(layout.suite_file("triage"), named.encode(), overwrite=True)

    drop = await drop_file(storage, "triage", file)

    assert (await storage.read(drop.path)).decode() == CSV


async def test_a_suite_is_uploaded_only_when_it_is_right(tmp_path: Path) -> None:
    """Under the name that it gives itself."""
    storage = MemoryStorage()

    assert await upload_suite(storage, suite_folder(tmp_path), environment={}, code_folders=tuple) == "triage"
    assert (await storage.read(layout.suite_file("triage"))).decode() == SUITE

    with pytest.raises(SuiteError):
        await upload_suite(storage, suite_folder(tmp_path, b"version: 1\n"), environment={}, code_folders=tuple)
    assert (await storage.read(layout.suite_file("triage"))).decode() == SUITE


async def test_who_uploads_a_suite_has_to_say_which_overrides_count(tmp_path: Path) -> None:
    """Forgotten ones would leave a run without its budget, and nobody would be told."""
    overridden = suite_folder(tmp_path, (SUITE + "environment: {ASSAY_SUITE_TRIES: limits.attempts}\n").encode())
    storage = MemoryStorage()

    await upload_suite(storage, overridden, environment={"ASSAY_SUITE_TRIES": "2"}, code_folders=tuple)

    assert checked_suite((await storage.read(layout.suite_file("triage"))).decode()).limits.attempts == 2
    with pytest.raises(TypeError, match="'environment' and 'code_folders'"):
        await upload_suite(storage, overridden)  # type: ignore[call-arg]


async def test_a_folder_of_prompts_is_uploaded_as_one_file_with_its_profile(tmp_path: Path) -> None:
    """Runs find a suite that needs nothing else."""
    storage = MemoryStorage()
    folder = suite_folder(tmp_path, (SUITE + "profiles: {quick: {limits: {attempts: 2}}}\n").encode())
    (folder / "experiments" / "long").mkdir(parents=True)
    (folder / "experiments" / "long" / "user.md").write_text("Sort at length: {{ text }}\n", encoding="utf-8")

    assert await upload_suite(storage, folder, "quick", environment={}, code_folders=tuple) == "triage"

    stored = checked_suite((await storage.read(layout.suite_file("triage"))).decode())
    assert stored.experiment("long").criteria[0].user == "Sort at length: {{ text }}"
    assert stored.limits.attempts == 2


@pytest.mark.parametrize("content", [None, "Größe".encode("latin-1")])
def test_a_suite_that_cannot_be_read_says_where_it_was_looked_for(tmp_path: Path, content: bytes | None) -> None:
    """Missing, or not UTF-8."""
    folder = suite_folder(tmp_path, content) if content else tmp_path

    with pytest.raises(UserError, match=r"suite\.yaml"):
        open_suite(folder, environment={}, code_folders=tuple)


async def test_a_published_bundle_is_fetched_whole(tmp_path: Path) -> None:
    """Into a folder of its own."""
    storage = await with_suite()
    run = await admitted(storage)
    files = {"manifest.json": b"{}", "manifest.json.hmac": b"0", "plots/p.svg": b"<svg/>"}
    for name, content in files.items():
        await storage.write(layout.published(run) + name, content)

    assert await fetch_bundle(storage, run, tmp_path / "bundle") == sorted(files)

    assert {name: (tmp_path / "bundle" / name).read_bytes() for name in files} == files
    with pytest.raises(UserError, match="is not empty"):
        await fetch_bundle(storage, run, tmp_path / "bundle")


@pytest.mark.parametrize("name", ["../escaped", "/absolute", "a/../../b", "a\\b"])
async def test_a_name_that_leaves_the_folder_is_not_fetched(tmp_path: Path, name: str) -> None:
    """Blob names may hold what paths must not."""
    storage = MemoryStorage()
    await storage.write(f"{layout.published('triage-1')}{name}", b"x")

    with pytest.raises(UserError, match="unsafe name"):
        await fetch_bundle(storage, "triage-1", tmp_path / "bundle")


async def test_a_run_without_a_published_bundle_says_so(tmp_path: Path) -> None:
    """And how to find out where it stands."""
    with pytest.raises(UserError, match="no published bundle"):
        await fetch_bundle(MemoryStorage(), "triage-1", tmp_path / "bundle")


def test_functions_beside_a_suite_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a laptop; the reference is checked like any other option."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "scorers_beside_a_suite.py").write_text("def polite(fields, answers):\n    return True\n")
    text = SUITE.replace("scorers: [", "scorers: [{plugin: callable, call: 'scorers_beside_a_suite:polite'}, ")
    assert (
        open_suite(suite_folder(tmp_path, text.encode()), environment={}, code_folders=tuple).suite.scorers[0].plugin
        == "callable"
    )
    with pytest.raises(SuiteError, match="scorers_beside_a_suite has no 'polit'"):
        open_suite(
            suite_folder(tmp_path, text.replace(":polite", ":polit").encode()), environment={}, code_folders=tuple
        )
