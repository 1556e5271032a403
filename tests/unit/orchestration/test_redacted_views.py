"""Views: a bundle of its own for those who may not see the whole one, sealed, repeatable, and without what it hides."""

from __future__ import annotations

import asyncio
import base64
import csv
import gzip
import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_bench import HEADER, LABELS, SUITE, Now, blobs_of, plan_of, planned, with_suite
from test_finishing import RecordingSink, steps

from assay.errors import CheckFailed, StorageError
from assay.execution.ledger import metadata_of, tally
from assay.orchestration.finishing import FinishingSteps
from assay.provenance.manifest import read_manifest
from assay.provenance.signing import LocalKeySigner
from assay.provenance.verification import verify_bundle
from assay.records import ChunkMessage, Failure, Outcome, Score, TrialStatus
from assay.reporting.contents import Contents
from assay.reporting.redacted_bundle import write_view
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.suite.models import Suite
from assay.suite.redacted_views import Treatment, View, treatments
from assay.telemetry import RecordingTelemetry
from builders import response
from faults import Strike, as_storage, struck

COLUMNS = '{row_id: hash, "answer.*": drop, model: mask}'
VIEWED = SUITE.replace("dataset: {", "dataset: {level: confidential, ").replace(
    "limits:",
    f"""\
aggregators: [{{plugin: classification_report}}]
comparers: [{{plugin: label_changes}}]
views:
  - {{name: shared, level: internal, columns: {COLUMNS}}}
sinks:
  - {{plugin: folder, name: partners, view: shared}}
  - {{plugin: folder, name: all}}
limits:""",
)
ROWS = 6
MARKS = {
    "answer.answer": "zqanswer",
    "reason.correct": "zqreason",
    "label.correct": "zqlabel",
    "expected.correct": "zqexpected",
    "row_id": "zqrow",
    "model": "zqmodel",
    "deployment": "zqdeployment",
}
NEVER = ("zqfield", "zqmessage", "zqrequest", "zqbad", "zqgroup")
RESULTS = {"results.csv", "results.parquet"}
REPORTS = {"summary.json", "report.html", "report.md", "report.xlsx"}


async def marked_run(suite: str = VIEWED) -> tuple[MemoryStorage, str]:
    """A run with outcomes; whatever rows, answers and failures say has a mark."""
    storage = await with_suite(suite)
    rows = "".join(f"zqrow{n},zqfield {n},{LABELS[n % 2]}\n" for n in range(1, ROWS + 1))
    run = await planned(storage, f"{HEADER}{rows}zqrow1,zqbad twice,{LABELS[0]}\nzqbad\n")
    plan = await plan_of(storage, run)
    for message in plan.messages(0, plan.chunks):
        numbers = range(message.first_row, message.first_row + message.rows)
        outcomes = [_outcome(message, number) for number in numbers]
        content = b"".join(one.model_dump_json().encode() + b"\n" for one in outcomes)
        path = layout.outcome(run, message.experiment, message.chunk)
        await storage.write(path, content, metadata=metadata_of(tally(outcomes)))
    return storage, run


def _outcome(message: ChunkMessage, number: int) -> Outcome:
    failed = number == ROWS
    value = None if number == 2 else float(number % 3 > 0 or message.experiment == "short")
    label, expected = f"zqlabel{number % 2}", f"zqexpected{number % 2}"
    answered = response(f"zqanswer {number}", "answer", model="zqmodel", deployment="zqdeployment")
    score = Score(name="correct", value=value, reason=f"zqreason {number}", label=label, expected=expected)
    trouble = Failure(kind="server_error", message="zqmessage", criterion="answer", request_id="zqrequest")
    return Outcome(
        row_id=f"zqrow{number}",
        row_number=number,
        experiment=message.experiment,
        repeat=message.repeat,
        status=TrialStatus.FAILED if failed else TrialStatus.SUCCEEDED,
        responses=() if failed else (answered,),
        scores=() if failed else (score,),
        failure=trouble if failed else None,
    )


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> LocalKeySigner:
    return LocalKeySigner.load_or_create(tmp_path_factory.mktemp("keys") / "signing.pem")


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, Mapping[str, bytes]]:
    """The bundle of such a run before it is sealed, in a folder; the run, and all that its storage holds."""
    folder = tmp_path_factory.mktemp("reported")

    async def make() -> tuple[str, dict[str, bytes]]:
        storage, run = await marked_run()
        finishing = FinishingSteps(storage, Now(), RecordingTelemetry())
        await finishing.evaluate(run)
        await finishing.report(run)
        return run, await blobs_of(storage, "runs/")

    run, blobs = asyncio.run(make())
    for path, content in blobs.items():
        if path.startswith(layout.bundle(run)):
            (folder / path.removeprefix(layout.bundle(run))).write_bytes(content)
    return folder, run, blobs


async def stored(reported: tuple[Path, str, Mapping[str, bytes]]) -> tuple[MemoryStorage, str]:
    """A storage of its own that holds the reported run."""
    _, run, blobs = reported
    storage = MemoryStorage()
    for path, content in blobs.items():
        await storage.write(path, content)
    return storage, run


def texts_of(folder: Path) -> Iterator[bytes]:
    """Every byte of every file, and of what is packed into one, as far down as it goes."""
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        yield file.name.encode()
        yield content
        if file.suffix == ".parquet":
            table = pyarrow.parquet.read_table(file)
            yield repr((table.schema, table.to_pydict(), pyarrow.parquet.read_metadata(file).to_dict())).encode()
        if file.suffix == ".xlsx":
            with zipfile.ZipFile(file) as book:
                yield from map(book.read, book.namelist())
        if file.suffix == ".html":
            packed = re.findall(rb'<script type="application/gzip"[^>]*>([^<]*)<', content)
            yield from (gzip.decompress(base64.b64decode(one)) for one in packed)


def holds(folder: Path, mark: str) -> bool:
    return any(mark.encode() in text for text in texts_of(folder))


async def view_in(storage: MemoryStorage, run: str, folder: Path) -> Path:
    """The view `shared` as it is stored, in a folder."""
    folder.mkdir()
    prefix = layout.view(run, "shared")
    for path, content in (await blobs_of(storage, prefix)).items():
        (folder / path.removeprefix(prefix)).write_bytes(content)
    return folder


def unsigned(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if not name.endswith((".sig", ".sigstore.json"))}


def test_the_whole_bundle_holds_every_mark(reported: tuple[Path, str, Mapping[str, bytes]]) -> None:
    """Else the search for marks would prove nothing."""
    assert [mark for mark in (*MARKS.values(), *NEVER[:4]) if not holds(reported[0], mark)] == []


@settings(max_examples=20, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([*MARKS, "answer.*", "*.correct", "re*", "*"]),
        st.sampled_from(["keep", "hash", "mask", "drop"]),
        min_size=1,
    )
)
def test_a_view_holds_what_it_keeps_and_nothing_that_it_hides(
    reported: tuple[Path, str, Mapping[str, bytes]], columns: dict[str, Treatment]
) -> None:
    """Whatever rows, answers, reasons, labels and failures say: byte by byte in every file, packed or not."""
    view = View(name="shared", level="public", columns=columns)
    with TemporaryDirectory() as made:
        redaction = write_view(reported[0], view, "internal", b"k" * 32, Path(made))
        found = {column: holds(Path(made), mark) for column, mark in MARKS.items()}
        never = [mark for mark in NEVER if holds(Path(made), mark)]
    assert found == {column: redaction.columns[column] == "keep" for column in MARKS}
    assert never == []


class TestTreatments:
    NAMES = ("row_id", "experiment", "answer.a", "answer.b", "score.s", "reason.s", "label.s", "expected.s", "model")

    def test_what_is_not_named_stays(self) -> None:
        """A view of row ids alone changes these alone."""
        found = treatments({"row_id": "hash"}, self.NAMES)
        assert found == {name: "hash" if name == "row_id" else "keep" for name in self.NAMES}

    def test_a_name_counts_before_patterns_and_the_strictest_pattern_before_others(self) -> None:
        """In whatever order they are written."""
        found = treatments({"answer.*": "mask", "answer.b": "keep", "*.a": "hash"}, self.NAMES)
        assert (found["answer.a"], found["answer.b"]) == ("mask", "keep")

    @pytest.mark.parametrize("column", ["answer.a", "label.s", "expected.s"])
    def test_what_quotes_an_answer_goes_with_it(self, column: str) -> None:
        """A scorer's reason would say again what the answer said."""
        found = treatments({column: "hash"}, self.NAMES)
        quoting = {"reason.s", "label.s", "expected.s"} - {column}
        assert {found[name] for name in quoting} == {"drop"}
        assert found["score.s"] == "keep"
        assert treatments({column: "drop", "reason.*": "keep"}, self.NAMES)["reason.s"] == "keep"

    def test_no_pattern_means_the_experiment(self) -> None:
        """Results without it would say nothing."""
        assert treatments({"*": "drop"}, self.NAMES)["experiment"] == "keep"


async def test_a_view_is_a_sealed_bundle_of_its_level(
    signer: LocalKeySigner, reported: tuple[Path, str, Mapping[str, bytes]], tmp_path: Path
) -> None:
    """It verifies alone, and says which view of which bundle it is."""
    storage, run = await stored(reported)
    await steps(storage, signer).seal(run)

    folder = await view_in(storage, run, tmp_path / "view")

    assert verify_bundle(folder, signer.public_key_pem).ok
    manifest = read_manifest((folder / "manifest.json").read_bytes())
    assert {one.path for one in manifest.artifacts} == RESULTS | REPORTS
    assert {one.level for one in manifest.artifacts} == {"internal"}
    said = manifest.provenance["view"]
    whole = await storage.read(layout.bundle(run) + "manifest.json")
    assert (said["name"], said["of"]) == ("shared", sha256(whole))
    assert said["columns"]["row_id"] == "hash" and said["columns"]["reason.correct"] == "drop"
    assert manifest.provenance["models"] == {"***": 10}


async def test_both_files_of_the_results_have_the_same_columns_changed(
    signer: LocalKeySigner, reported: tuple[Path, str, Mapping[str, bytes]], tmp_path: Path
) -> None:
    """Equal values stay equal within a run, so that its rows can still be paired."""
    storage, run = await stored(reported)
    await steps(storage, signer).seal(run)
    folder = await view_in(storage, run, tmp_path / "view")

    cells = list(csv.DictReader(io.StringIO((folder / "results.csv").read_text("utf-8"))))
    typed = pyarrow.parquet.read_table(folder / "results.parquet").to_pylist()
    whole = list(csv.DictReader(io.StringIO((reported[0] / "results.csv").read_text("utf-8"))))

    assert [one["row_id"] for one in cells] == [one["row_id"] for one in typed]
    assert all(re.fullmatch("[0-9a-f]{32}", one["row_id"]) for one in cells)
    assert len({one["row_id"] for one in cells}) == ROWS
    assert [cells[at]["row_id"] for at in (0, 2)] == [cells[at]["row_id"] for at in (1, 3)]
    assert {one["model"] for one in cells} == {one["model"] for one in typed} == {"***"}
    assert "answer.answer" not in cells[0] and "answer.answer" not in typed[0]
    same = ("row", "experiment", "status", "score.correct", "cost_usd", "failure", "input_tokens")
    assert [{name: one[name] for name in same} for one in cells] == [
        {name: one[name] for name in same} for one in whole
    ]


async def test_hashes_of_two_runs_have_nothing_in_common(
    signer: LocalKeySigner, reported: tuple[Path, str, Mapping[str, bytes]]
) -> None:
    """The key is drawn once per run, and stays with it."""
    tables, keys = [], []
    for _ in range(2):
        storage, run = await stored(reported)
        await steps(storage, signer).seal(run)
        tables.append(await storage.read(layout.view(run, "shared") + "results.csv"))
        keys.append(await storage.read(layout.view_key(run)))
    assert tables[0] != tables[1] and len(set(keys)) == 2 and {len(one) for one in keys} == {32}


async def test_a_view_twice_has_the_same_bytes(
    signer: LocalKeySigner, reported: tuple[Path, str, Mapping[str, bytes]]
) -> None:
    """Only signatures differ; what is no part of it any more is gone."""
    storage, run = await stored(reported)
    await steps(storage, signer).seal(run)
    first = await blobs_of(storage, layout.view(run, "shared"))
    await storage.write(layout.view(run, "shared") + "results.jsonl", b"left over")

    await steps(storage, signer).seal(run)

    assert unsigned(await blobs_of(storage, layout.view(run, "shared"))) == unsigned(first)


async def test_a_sink_gets_the_view_that_it_asks_for(
    signer: LocalKeySigner, reported: tuple[Path, str, Mapping[str, bytes]]
) -> None:
    """The clearance that refuses the whole bundle takes the view; a preview says so."""
    storage, run = await stored(reported)
    partners, everything = RecordingSink("partners", clearance="internal"), RecordingSink("all", clearance="internal")
    publishing = steps(storage, signer, partners, everything).publishing
    await publishing.seal(run)

    await publishing.publish(run)

    (got,) = partners.published
    view = await blobs_of(storage, layout.view(run, "shared"))
    assert got == {path.removeprefix(layout.view(run, "shared")): content for path, content in view.items()}
    assert everything.published == []
    (refused,) = [one for one in await publishing.deliveries(run) if one.sink == "all"]
    assert "is confidential, and sink 'all' is cleared for internal only" in refused.problem
    assert (await publishing.preview(run))["partners"][0] == f"view 'shared' of the bundle of {run}: internal"


@pytest.mark.parametrize("harm", ["a byte", "all of it", "its bundle"])
async def test_a_view_that_is_not_whole_is_not_published(
    signer: LocalKeySigner, reported: tuple[Path, str, Mapping[str, bytes]], harm: str
) -> None:
    """Nor is one of a bundle that is another by now."""
    storage, run = await stored(reported)
    sink = RecordingSink("partners")
    publishing = steps(storage, signer, sink).publishing
    await publishing.seal(run)
    prefix = layout.view(run, "shared")
    if harm == "a byte":
        await storage.write(prefix + "results.csv", b"x", overwrite=True)
    elif harm == "all of it":
        for path in await blobs_of(storage, prefix):
            await storage.delete(path)
    else:
        await storage.write(layout.bundle(run) + "manifest.json", b"{}", overwrite=True)

    with pytest.raises(CheckFailed, match=r"view 'shared'.* (does not verify|not sealed to the end)"):
        await publishing.publish(run)
    assert sink.published == []


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_seal_stopped_at_any_call_and_then_again_ends_the_same(
    signer: LocalKeySigner, reported: tuple[Path, str, Mapping[str, bytes]], after: bool
) -> None:
    """Hashes too: the key that the first try has drawn is the run's. Views are there before the bundle's own seal."""
    storage, run = await stored(reported)
    await steps(storage, signer).seal(run)
    key, expected = await storage.read(layout.view_key(run)), unsigned(await blobs_of(storage, f"runs/{run}/"))
    counted = struck((await stored(reported))[0])
    await steps(as_storage(counted), signer).seal(run)

    for at in range(2 if after else 1, len(counted.calls) + 1, 2):
        storage, _ = await stored(reported)
        await storage.write(layout.view_key(run), key)
        dying = as_storage(struck(storage, Strike(at, StorageError("dead"), after=after, for_good=True)))
        with pytest.raises(StorageError):
            await steps(dying, signer).seal(run)
        left = await blobs_of(storage, f"runs/{run}/")
        if layout.bundle(run) + "manifest.json" in left:
            assert layout.view(run, "shared") + "manifest.json" in left
        await steps(storage, signer).seal(run)
        assert unsigned(await blobs_of(storage, f"runs/{run}/")) == expected


class TestSuites:
    def test_the_suite_file_goes_where_its_level_may(
        self, reported: tuple[Path, str, Mapping[str, bytes]], tmp_path: Path
    ) -> None:
        """With its descriptions; and never where it would name what the view hides."""
        for at, (level, columns, shown) in enumerate(
            [
                ("internal", {"row_id": "drop"}, True),
                ("restricted", {"row_id": "drop"}, False),
                ("internal", {"model": "mask"}, False),
            ]
        ):
            target = tmp_path / str(at)
            target.mkdir()
            write_view(reported[0], View(name="v", level="internal", columns=columns), level, b"k", target)
            assert (target / "suite.yaml").exists() is shown
            assert ("The suite as it was written" in (target / "report.html").read_text("utf-8")) is shown

    def test_an_older_header_has_no_views(self) -> None:
        """Runs that were frozen before there were any."""
        frozen = Suite.model_validate(
            {"name": "triage", "experiments": [{"name": "a", "baseline": True, "model": {"deployment": "m"},
             "criteria": [{"name": "answer", "user": "x"}]}]}
        )  # fmt: skip
        assert frozen.views == ()


def test_a_view_of_many_row_groups_is_that_of_one(
    reported: tuple[Path, str, Mapping[str, bytes]], tmp_path: Path
) -> None:
    """Each group is changed by itself, and the key is the same."""
    whole = pyarrow.parquet.read_table(reported[0] / "results.parquet")
    contents = {}
    for rows in (3, 100):
        bundle, target = tmp_path / f"bundle{rows}", tmp_path / f"view{rows}"
        bundle.mkdir(), target.mkdir()
        for file in reported[0].iterdir():
            (bundle / file.name).write_bytes(file.read_bytes())
        pyarrow.parquet.write_table(whole, bundle / "results.parquet", row_group_size=rows)
        write_view(bundle, View(name="v", level="public", columns={"row_id": "hash"}), "internal", b"k", target)
        contents[rows] = (target / "results.csv").read_bytes()
    assert contents[3] == contents[100] and contents[3].count(b"\n") == 1 + 2 * ROWS


async def test_a_view_of_some_experiments_holds_their_rows_alone(
    signer: LocalKeySigner, reported: tuple[Path, str, Mapping[str, bytes]], tmp_path: Path
) -> None:
    """In both files of the results, also where whole row groups are of others; and it names no other."""
    whole = pyarrow.parquet.read_table(reported[0] / "results.parquet").sort_by("experiment")
    bundle, target = tmp_path / "bundle", tmp_path / "view"
    bundle.mkdir(), target.mkdir()
    for file in reported[0].iterdir():
        (bundle / file.name).write_bytes(file.read_bytes())
    pyarrow.parquet.write_table(whole, bundle / "results.parquet", row_group_size=ROWS // 2)
    write_view(bundle, View(name="one", level="internal", experiments=("short",)), "internal", b"k", target)
    rows = pyarrow.parquet.read_table(target / "results.parquet").to_pylist()
    cells = list(csv.DictReader(io.StringIO((target / "results.csv").read_text("utf-8"))))
    assert rows == [one for one in whole.to_pylist() if one["experiment"] == "short"]
    assert len(rows) == ROWS and [one["row_id"] for one in cells] == [one["row_id"] for one in rows]
    assert {one["experiment"] for one in cells} == {"short"}
    assert {file.name for file in target.iterdir()} == RESULTS | REPORTS


async def test_the_seal_of_a_view_of_some_experiments_names_no_other(signer: LocalKeySigner) -> None:
    """It counts their trials, and the models that answered them."""
    storage, run = await marked_run(VIEWED.replace(f"columns: {COLUMNS}", "experiments: [short]"))
    finishing = FinishingSteps(storage, Now(), RecordingTelemetry())
    await finishing.evaluate(run)
    await finishing.report(run)
    await steps(storage, signer).seal(run)
    said = read_manifest(await storage.read(layout.view(run, "shared") + "manifest.json")).provenance
    assert (said["experiments"], said["trials"], said["models"]) == (["short"], ROWS, {"zqmodel": ROWS - 1})


def test_a_report_of_a_view_says_that_it_is_one(
    reported: tuple[Path, str, Mapping[str, bytes]], tmp_path: Path
) -> None:
    """Readers must not take its gaps for results."""
    columns: dict[str, Treatment] = {"row_id": "hash", "answer.*": "drop"}
    write_view(reported[0], View(name="shared", level="internal", columns=columns), "internal", b"k", tmp_path)
    page, text = ((tmp_path / name).read_text("utf-8") for name in ("report.html", "report.md"))
    assert "This is the view" in page and "No row on which both answered and differ" not in page
    assert "`row_id` is hashed" in text and "set aside" in text and "First:" not in text
    contents = Contents.model_validate_json((tmp_path / "summary.json").read_bytes())
    assert contents.run.bad_rows == 2 and contents.bad_rows == () and contents.failures[0].count == 2


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
