"""Bad input of every kind gets a clear error and a quarantine record, and nothing else is affected."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from assay.orchestration.drops import Drop, drop_file, find_refusal
from assay.run_records import Refusal, Stage
from assay.runtime import Runtime
from assay.storage import layout

from .conftest import ROWS
from .site import Site, finished, published
from .small_suite import SUITE, rows

pytestmark = pytest.mark.timeout(120)

HEADER = b"id,text,label\n"
GOOD = rows(ROWS).encode()


@dataclass(frozen=True)
class BadFile:
    """A file that cannot be used, and words of the reason that its record must give."""

    name: str
    content: bytes
    says: tuple[str, ...]


REFUSED = [
    BadFile("empty.csv", b"", ("empty.csv", "empty", "expected")),
    BadFile("header-only.csv", HEADER, ("header-only.csv", "not one row")),
    BadFile("broken-header.csv", b"\xff\xfe,text,label\n1,2,3\n", ("broken-header.csv", "UTF-16")),
    BadFile("other-columns.csv", b"id,text\n1,hello\n", ("suite.yaml:", "'label'", "other-columns.csv has: id, text")),
    BadFile("picture.png", b"\x89PNG\r\n", ("picture.png", "'.png'", ".csv")),
    BadFile(
        "all-ragged.csv",
        HEADER + b"1,2\n3,4\n",
        ("all-ragged.csv", "not one of 2 rows", "line 2: 2 fields; expected 3"),
    ),
]


@pytest.mark.parametrize("bad", REFUSED, ids=lambda bad: bad.name)
def test_a_file_that_cannot_be_used_is_quarantined_with_its_reason(site: Site, tmp_path: Path, bad: BadFile) -> None:
    """The record names the file, what was found and what was expected; the file starts no model call."""
    path = tmp_path / bad.name
    path.write_bytes(bad.content)

    async def drop(runtime: Runtime) -> Refusal:
        return await _refusal(runtime, await drop_file(runtime.storage, "colours", path))

    reason = site.ask(drop).reason
    assert [word for word in bad.says if word not in reason] == []


BAD_ROWS = [
    BadFile("ragged", b"I-00061,too,many,fields\n", ("4 fields; expected 3",)),
    BadFile("duplicate", b"I-00001,thing,red\n", ("id 'I-00001' stands on line 2 already",)),
    BadFile("utf8", b"I-00061,\xff\xfe,red\n", ("column 'text' holds bytes that are not valid UTF-8",)),
    BadFile("nul", b"I-00061,a\x00b,red\n", ("column 'text' holds a NUL byte",)),
    BadFile("ten-megabytes", b"I-00061," + b"x" * 10_000_000 + b",red\n", ("more than 1,000,000 characters",)),
    BadFile("no-id", b",text,red\n", ("id column 'id' has no value",)),
]


@pytest.mark.parametrize("bad", BAD_ROWS, ids=lambda bad: bad.name)
def test_a_bad_row_is_set_aside_and_the_others_run(site: Site, tmp_path: Path, bad: BadFile) -> None:
    """The bundle lists the row with its line and reason; every good row has its trials."""
    path = tmp_path / f"row-{bad.name}.csv"
    path.write_bytes(GOOD + bad.content)

    async def run(runtime: Runtime) -> tuple[str, int]:
        drop = await drop_file(runtime.storage, "colours", path)
        progress = await finished(runtime, drop.run)
        return (await published(runtime, drop.run, "bad_rows.jsonl")).decode(), progress.tally.trials

    listed, trials = site.ask(run)
    assert trials == ROWS * 3
    assert f'"line":{ROWS + 2}' in listed
    assert all(word in listed for word in bad.says)


BAD_SUITES = {
    "typo": (lambda text: text.replace("defaults:", "defalts:"), "unknown key 'defalts' (did you mean 'defaults'?)"),
    "missing-column": (
        lambda text: text.replace("{{ text }}. Which", "{{ txet }}. Which"),
        "uses column 'txet' (did you mean 'text'?)",
    ),
    "no-baseline": (
        lambda text: text.replace("baseline: true, ", ""),
        "exactly one experiment must have 'baseline: true'",
    ),
    "two-baselines": (lambda text: text.replace("name: kind,", "name: kind, baseline: true,"), "found 2: plain, kind"),
}


@pytest.mark.parametrize("name", BAD_SUITES)
def test_a_suite_that_cannot_work_refuses_the_file_before_a_model_is_asked(
    site: Site, tmp_path: Path, name: str
) -> None:
    """The reason has the suite's line and, for a typo, what was probably meant."""
    spoil, expected = BAD_SUITES[name]
    path = tmp_path / "items.csv"
    path.write_bytes(GOOD)

    async def drop(runtime: Runtime) -> str:
        text = spoil(SUITE.replace("name: colours", f"name: bad-{name}"))
        await runtime.storage.write(layout.suite_file(f"bad-{name}"), text.encode(), overwrite=True)
        etag = await runtime.storage.upload(layout.dropped(f"bad-{name}", "items.csv"), path)
        return (await _refusal(runtime, Drop(layout.dropped(f"bad-{name}", "items.csv"), etag, ""))).reason

    reason = site.ask(drop)
    assert expected in reason
    assert f"bad-{name}/suite.yaml:" in reason


def test_an_unknown_suite_is_named_with_the_nearest_one(site: Site) -> None:
    """A slip in the folder's name is the likeliest mistake of all."""

    async def drop(runtime: Runtime) -> str:
        etag = await runtime.storage.write("inbox/colour/items.csv", GOOD, overwrite=True)
        return (await _refusal(runtime, Drop("inbox/colour/items.csv", etag, ""))).reason

    assert "there is no suite 'colour' (did you mean 'colours'?)" in site.ask(drop)


@pytest.mark.parametrize(
    "name", ["../evil.csv", "nested/file.csv", "tab\there.csv", "de\u0301compose\u0301.csv", "\u202etxt.csv"]
)
def test_a_name_that_could_mislead_is_refused(site: Site, name: str) -> None:
    """Event Grid may announce any name; one that leaves its folder or hides what it is never becomes a run."""
    subject = f"/blobServices/default/containers/inbox/blobs/colours/{name}"
    event = {"eventType": "Microsoft.Storage.BlobCreated", "subject": subject, "data": {}}

    async def announce(runtime: Runtime) -> list[Refusal]:
        await runtime.storage.send(layout.INGEST_QUEUE, json.dumps(event))
        return await _refused(runtime, lambda refusal: refusal.subject.endswith(name[-7:]))

    assert {refusal.kind for refusal in site.ask(announce)} == {"file"}


def test_after_all_that_a_good_file_still_runs(site: Site, tmp_path: Path) -> None:
    """Nothing that was refused has harmed the site."""
    path = tmp_path / "good.csv"
    path.write_bytes(GOOD)

    async def run(runtime: Runtime) -> Stage:
        return (await finished(runtime, (await drop_file(runtime.storage, "colours", path)).run)).stage

    assert site.ask(run) is Stage.DONE


async def _refused(runtime: Runtime, wanted: Callable[[Refusal], bool]) -> list[Refusal]:
    """The quarantine records of files that are wanted, once there is one."""
    async with asyncio.timeout(30):
        while True:
            paths = [entry.path async for entry in runtime.storage.list(f"{layout.QUARANTINE}/files/")]
            records = [Refusal.model_validate_json(await runtime.storage.read(path)) for path in paths]
            if found := [refusal for refusal in records if wanted(refusal)]:
                return found
            await asyncio.sleep(0.1)


async def _refusal(runtime: Runtime, drop: Drop) -> Refusal:
    async with asyncio.timeout(30):
        while True:
            if found := await find_refusal(runtime.storage, drop):
                return found
            await asyncio.sleep(0.1)
