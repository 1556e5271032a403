"""Ingest: a dropped file starts one run, or leaves a quarantine record that says why not."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from run_bench import (
    CSV,
    DROP,
    HEADER,
    NOW,
    SUITE,
    Now,
    admitted,
    blobs_of,
    dataset,
    drop,
    header_of,
    ingest,
    progress_of,
    refused_files,
    with_suite,
)

from assay.errors import NameRefused, StorageError
from assay.middleware.redaction import default_redact
from assay.orchestration.ingest import AGAIN, file_refusal_path, quarantine_file, split_drop
from assay.orchestration.progress import write_progress
from assay.run_records import Stage
from assay.storage import layout
from assay.storage.base import BlobEntry
from assay.storage.memory import MemoryStorage
from assay.suite.models import Suite
from assay.telemetry import RecordingTelemetry
from faults import Strike, as_storage, struck


async def refused_with(storage: MemoryStorage, path: str, **settings: Any) -> str:
    """The reason of the only quarantine record after the drop was refused."""
    telemetry = RecordingTelemetry()

    assert await ingest(storage, telemetry=telemetry, **settings).admit(path) is None

    (record,) = await refused_files(storage)
    assert (record.kind, record.run, record.at) == ("file", None, NOW)
    assert [fields["reason"] for fields in telemetry.named("file_quarantined")] == [record.reason]
    assert await blobs_of(storage, "runs/") == {}
    return record.reason


async def test_a_dropped_file_begins_a_run() -> None:
    """The header freezes what the run is; progress says that it has begun."""
    storage, telemetry = await with_suite(), RecordingTelemetry()

    run = await ingest(storage, telemetry=telemetry).admit(await drop(storage))

    assert run is not None
    assert run.startswith("triage-")
    header = await header_of(storage, run)
    assert (header.run, header.suite_name, header.suite_source) == (run, "triage", SUITE)
    assert Suite.model_validate(header.suite).limits.rows_per_message == 3
    assert (header.dataset.path, header.dataset.file, header.dataset.size) == (DROP, "tickets.csv", len(CSV.encode()))
    assert (header.created_at, header.versions) == (NOW, {"assay": "0.1.0"})
    progress = await progress_of(storage, run)
    assert (progress.stage, progress.started_at) == (Stage.PLANNING, NOW)
    assert await refused_files(storage) == []
    assert [one["run"] for one in telemetry.named("run_admitted")] == [run]


async def test_a_file_that_is_gone_starts_nothing() -> None:
    """Its event was late; there is nothing to refuse."""
    storage = await with_suite()

    assert await ingest(storage).admit(DROP) is None

    assert await refused_files(storage) == []


# --- refusals


async def test_an_unknown_suite_is_refused_with_the_closest_one() -> None:
    """A folder's name is easily mistyped."""
    storage = await with_suite()

    reason = await refused_with(storage, await drop(storage, path="inbox/triaje/tickets.csv"))

    assert reason == "there is no suite 'triaje' (did you mean 'triage'?). Suites: triage"


async def test_without_any_suite_the_refusal_says_so() -> None:
    """The first thing to do is to deploy one."""
    storage = MemoryStorage()

    assert await refused_with(storage, await drop(storage)) == "there is no suite 'triage'. Suites: none yet"


async def test_a_mistake_in_the_suite_is_refused_with_its_line() -> None:
    """All complaints at once, each with file and line."""
    storage = await with_suite(SUITE.replace("max_bad_rows", "max_bad_row").replace("limits", "limit"))

    reason = await refused_with(storage, await drop(storage))

    assert "triage/suite.yaml:3: unknown key 'max_bad_row' (did you mean 'max_bad_rows'?)" in reason
    assert "triage/suite.yaml:9: unknown key 'limit' (did you mean 'limits'?)" in reason


async def test_a_suite_that_is_not_utf8_is_refused_with_the_byte() -> None:
    """Editors on Windows still write other encodings."""
    storage = MemoryStorage()
    await storage.write(layout.suite_file("triage"), SUITE.replace("Sort", "Größe").encode("latin-1"))

    reason = await refused_with(storage, await drop(storage))

    assert reason.startswith("triage/suite.yaml: not valid UTF-8 at byte ")


async def test_a_suite_with_a_byte_order_mark_works() -> None:
    """Some editors write one."""
    storage = MemoryStorage()
    await storage.write(layout.suite_file("triage"), SUITE.encode("utf-8-sig"))

    run = await admitted(storage)

    assert (await header_of(storage, run)).suite_source == SUITE


async def test_a_suite_named_unlike_its_folder_is_refused() -> None:
    """A run must be found under the name of its folder."""
    storage = await with_suite(SUITE.replace("name: triage", "name: sorting"))

    reason = await refused_with(storage, await drop(storage))

    assert reason == "triage/suite.yaml: the suite is named 'sorting'; expected 'triage'"


@pytest.mark.parametrize(
    ("content", "file", "expected"),
    [
        ("", "tickets.csv", "tickets.csv: the file is empty"),
        (HEADER, "tickets.csv", "not one row"),
        ("\n\n", "tickets.jsonl", "not one row"),
        ("id,body,label\nT-1,x,y\n", "tickets.csv", "uses column 'text'"),
        ("text,text\nT-1,x\n", "tickets.csv", "column 'text' stands twice"),
        ("key,text\nT-1,x\n", "tickets.csv", "no id column 'id'"),
        (CSV, "tickets.xls", "cannot read files ending in '.xls'"),
        (CSV, "tickets.xlsx", "tickets.xlsx: this is no Excel workbook"),
        (CSV, "tickets", "cannot read files"),
    ],
)
async def test_a_file_that_cannot_be_a_dataset_is_refused(content: str, file: str, expected: str) -> None:
    """The record names the file, what was found and what was expected."""
    storage = await with_suite()

    assert expected in await refused_with(storage, await drop(storage, content, f"inbox/triage/{file}"))


async def test_a_file_above_the_limit_is_refused_without_reading_it() -> None:
    """Large files cost time and disk."""
    storage = await with_suite()
    path = await drop(storage)

    reason = await refused_with(storage, path, max_file_bytes=100)

    found = f"tickets.csv: {len(CSV.encode())} bytes; at most 100 are accepted"
    assert reason == f"{found}. Split the file, or raise ASSAY_MAX_FILE_BYTES"
    assert storage.operations["download"] == 0


async def test_a_file_of_the_limit_is_accepted() -> None:
    """The limit is the largest size that works."""
    storage = await with_suite()

    assert await ingest(storage, max_file_bytes=len(CSV.encode())).admit(await drop(storage))


NESTED = "is not of the form inbox/<suite>/<file>"
LEAVES = "could leave its folder"
UNSHOWN = "cannot be shown"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("inbox/triage/../tickets.csv", NESTED),
        ("inbox/../suites/suite.yaml", NESTED),
        ("inbox/triage/..", LEAVES),
        ("inbox/../tickets.csv", LEAVES),
        ("inbox/./tickets.csv", LEAVES),
        ("inbox/triage/2026/tickets.csv", NESTED),
        ("inbox/tickets.csv", NESTED),
        ("inbox//tickets.csv", NESTED),
        ("inbox/triage/", NESTED),
        ("inbox/", NESTED),
        ("inbox", NESTED),
        ("", NESTED),
        ("runs/triage/tickets.csv", NESTED),
        ("inbox/triage/..\\tickets.csv", LEAVES),
        ("inbox/tri\\age/tickets.csv", LEAVES),
        ("inbox/triage/tick\nets.csv", UNSHOWN),
        ("inbox/triage/tick\x00ets.csv", UNSHOWN),
        ("inbox/triage/tick\x1bets.csv", UNSHOWN),
        ("inbox/triage/\u202evsc.tickets", UNSHOWN),
        ("inbox/triage/\u200btickets.csv", UNSHOWN),
        ("inbox/triage/\ud800.csv", UNSHOWN),
        (f"inbox/triage/{'x' * 201}", "has 201 characters; at most 200 are accepted"),
        ("inbox/triage/" + unicodedata.normalize("NFD", "Größe.csv"), "composed form (NFC)"),
    ],
    ids=range(23),
)
async def test_an_unsafe_name_is_refused_before_storage_sees_it(path: str, expected: str) -> None:
    """The record's own place is safe, short and printable, whatever the name was."""
    storage = await with_suite()
    storage.operations.clear()

    reason = await refused_with(storage, path)

    assert expected in reason
    assert reason.isprintable()
    assert storage.operations["find"] == storage.operations["download"] == 0
    kept = file_refusal_path(path, "")
    assert await storage.find(kept)
    assert kept.isprintable()
    assert len(kept) < 250
    assert not {"", ".", ".."} & set(kept.split("/"))
    assert not any(part.endswith(".") for part in kept.split("/"))


@pytest.mark.parametrize(
    "file", ["Größe.csv", "日本語.csv", "50%25 of it.csv", "a b (1).csv", "😀.csv", "x" * 196 + ".csv"]
)
async def test_a_safe_name_in_any_language_works(file: str) -> None:
    """Names are shown and compared as written."""
    storage = await with_suite()

    run = await ingest(storage).admit(await drop(storage, path=f"inbox/triage/{file}"))

    assert run is not None
    assert (await header_of(storage, run)).dataset.file == file


@pytest.mark.parametrize("file", ["Größe.csv", "日" * 196 + ".csv", ".csv"], ids=range(3))
async def test_the_record_of_any_accepted_name_has_a_place_that_storage_accepts(file: str) -> None:
    """Storage takes at most 1,024 characters; content that is refused must not fail for its name."""
    storage = await with_suite()

    await refused_with(storage, await drop(storage, "", f"inbox/triage/{file}"))


def test_two_names_never_share_a_record() -> None:
    """What makes names safe may make them alike; the digest keeps them apart."""
    paths = {file_refusal_path(f"inbox/triage/a{character}b.csv", "1") for character in "\\\n\x00/:?*"}

    assert len(paths) == 7


def test_a_drop_is_split_into_suite_and_file() -> None:
    """Nothing else is a drop."""
    assert split_drop("inbox/triage/Größe.csv") == ("triage", "Größe.csv")
    with pytest.raises(NameRefused):
        split_drop("inbox/triage/a/b.csv")


async def test_the_same_refused_version_has_one_record_another_version_its_own() -> None:
    """Events come more than once; a mended file that is still wrong shows anew."""
    storage = await with_suite()
    path = await drop(storage, "")
    for _ in range(2):
        await ingest(storage).admit(path)
    assert len(await refused_files(storage)) == 1

    await ingest(storage).admit(await drop(storage, ""))

    assert len(await refused_files(storage)) == 2


async def test_a_reason_with_half_a_character_can_be_kept() -> None:
    """Complaints quote what they found, and JSON can escape what UTF-8 cannot hold."""
    storage = MemoryStorage()

    await quarantine_file(storage, DROP, "1", "found '\ud800'", None, NOW, default_redact())

    (record,) = await refused_files(storage)
    assert record.reason == "found '\\ud800'"


async def test_a_mended_file_starts_its_run_and_leaves_the_record() -> None:
    """The quarantine is for people; nothing reads it back."""
    storage = await with_suite()
    await ingest(storage).admit(await drop(storage, HEADER))

    assert await ingest(storage).admit(await drop(storage))
    assert len(await refused_files(storage)) == 1


# --- one run per content


async def test_the_same_content_again_is_the_same_run() -> None:
    """Two triggers, repeated events and a second upload start one run; its header stays as it was."""
    storage, now = await with_suite(), Now()
    first = await ingest(storage, now=now).admit(await drop(storage))
    header = await header_of(storage, str(first))
    now.advance(60)

    again = await ingest(storage, now=now).admit(DROP)
    uploaded_again = await ingest(storage, now=now).admit(await drop(storage))

    assert first == again == uploaded_again
    assert await header_of(storage, str(first)) == header


async def test_the_same_content_after_the_end_starts_nothing() -> None:
    """A published run is not repeated."""
    storage = await with_suite()
    run = await admitted(storage)
    done = (await progress_of(storage, run)).model_copy(update={"stage": Stage.DONE})
    await write_progress(storage, done)

    assert await ingest(storage).admit(await drop(storage)) is None

    assert await progress_of(storage, run) == done
    assert await refused_files(storage) == []


async def test_a_failed_run_is_taken_up_by_dropping_its_file_again() -> None:
    """And shows as under way at once, so that nobody takes the old failure for the new outcome."""
    storage = await with_suite()
    run = await admitted(storage)
    failed = (await progress_of(storage, run)).model_copy(update={"stage": Stage.FAILED, "message": "no disk"})
    await write_progress(storage, failed)

    assert await ingest(storage).admit(await drop(storage)) == run

    progress = await progress_of(storage, run)
    assert (progress.stage, progress.message) == (Stage.PLANNING, "")


async def test_other_content_is_another_run() -> None:
    """A run is about bytes, not about a name."""
    storage = await with_suite()

    assert await admitted(storage) != await admitted(storage, dataset(8))


async def test_the_same_content_under_another_name_is_another_run() -> None:
    """The name is part of the report."""
    storage = await with_suite()

    other = await ingest(storage).admit(await drop(storage, path="inbox/triage/other.csv"))

    assert other != await admitted(storage)


async def test_a_changed_suite_is_another_run_and_a_changed_comment_is_not() -> None:
    """What counts is what the suite means."""
    storage = await with_suite()
    run = await admitted(storage)

    await storage.write(layout.suite_file("triage"), f"# comment\n{SUITE}".encode(), overwrite=True)
    assert await admitted(storage) == run
    await storage.write(layout.suite_file("triage"), SUITE.replace("Sort:", "Sort!").encode(), overwrite=True)
    assert await admitted(storage) != run


async def test_metadata_asks_for_another_run_of_the_same_content() -> None:
    """Each value has its own run; the same value does not."""
    storage = await with_suite()
    runs = []
    for value in ("", "1", "2", "1"):
        metadata = {AGAIN: value} if value else {}
        runs.append(await ingest(storage).admit(await drop(storage, **metadata)))

    assert None not in runs
    assert len(set(runs)) == 3
    assert runs[1] == runs[3]


# --- attacks


async def calls_of_one_admission() -> int:
    storage = await with_suite()
    await drop(storage)
    counted = struck(storage)
    await ingest(as_storage(counted)).admit(DROP)
    return len(counted.calls)


async def test_the_attack_below_reaches_every_call() -> None:
    """The numbers of the attacked calls are those of one admission."""
    assert await calls_of_one_admission() == 5


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, 6))
async def test_a_storage_error_at_any_call_and_then_again_gives_the_same_run(at: int, after: bool) -> None:
    """The event comes again; run, header and progress are there once, and nothing is quarantined."""
    storage = await with_suite()
    await drop(storage)
    expected = await ingest(await copy_of(storage)).admit(DROP)
    flaky = struck(storage, Strike(at, StorageError("down"), after=after))
    mine = ingest(as_storage(flaky))

    with pytest.raises(StorageError):
        await mine.admit(DROP)
    run = await mine.admit(DROP)

    assert run == expected
    assert set(await blobs_of(storage, "runs/")) == {layout.header(str(run)), layout.progress(str(run))}
    assert await refused_files(storage) == []


async def copy_of(storage: MemoryStorage) -> MemoryStorage:
    copy = MemoryStorage()
    for container in ("inbox", "suites"):
        for path, content in (await blobs_of(storage, f"{container}/")).items():
            await copy.write(path, content)
    return copy


class ReplacedMeanwhile(MemoryStorage):
    """The drop is replaced right after it was looked up."""

    async def find(self, path: str) -> BlobEntry | None:
        entry = await super().find(path)
        if path == DROP:
            await self.write(DROP, dataset(8).encode(), overwrite=True)
        return entry


async def test_a_file_replaced_while_it_is_read_starts_nothing_of_the_old_one() -> None:
    """The new content has an event of its own; the run's digest is always that of one version."""
    storage = ReplacedMeanwhile()
    await storage.write(layout.suite_file("triage"), SUITE.encode())
    await drop(storage)

    assert await ingest(storage).admit(DROP) is None

    assert await blobs_of(storage, "runs/") == {}
    assert await refused_files(storage) == []


async def test_nothing_is_left_in_the_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Datasets may be large and private."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    storage = await with_suite()

    await ingest(storage).admit(await drop(storage))
    await ingest(storage).admit(await drop(storage, ""))

    assert list(tmp_path.iterdir()) == []
