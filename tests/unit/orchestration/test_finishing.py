"""Evaluate, report, seal, publish: the same bytes every time, and nothing that does not verify is published."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from run_bench import (
    CSV,
    NOW,
    SUITE,
    Now,
    answered,
    blobs_of,
    dataset,
    header_of,
    plan_of,
    planned,
    progress_of,
    with_suite,
)

from assay.errors import BlobMissing, CheckFailed, StorageError, UserError
from assay.orchestration.finishing import FinishingSteps
from assay.orchestration.publishing import Delivery, PublishingSteps
from assay.orchestration.scratch import scratch_folder
from assay.provenance.manifest import read_manifest
from assay.provenance.signing import LocalKeySigner
from assay.provenance.verification import verify_bundle
from assay.reporting.evaluation import MOST_BAD_ROWS
from assay.run_records import Stage
from assay.sinks.base import Bundle, Receipt
from assay.sinks.storage import BlobSink
from assay.storage import layout
from assay.storage.base import Storage
from assay.storage.bundle_names import SEAL_NAMES
from assay.storage.memory import MemoryStorage
from assay.suite.levels import Level
from assay.suite.sink_options import BlobOptions
from assay.telemetry import RecordingTelemetry
from faults import Strike, as_storage, struck

STEPS = ("evaluate", "report", "seal", "publish")
RESULTS = {"results.csv", "results.jsonl", "results.parquet", "trials.parquet"}
ARTIFACTS = {"summary.json", "suite.yaml", "report.html", "report.md", "report.xlsx", *RESULTS}
BAD_CSV = CSV.replace("T-3,Grüße 3,delivery\n", "T-3\n")


class RecordingSink:
    """Notes what it is given; fails while `error` is set."""

    def __init__(
        self, name: str = "recording", error: Exception | None = None, clearance: Level = "restricted"
    ) -> None:
        self.name, self.error, self.clearance = name, error, clearance
        self.published: list[dict[str, bytes]] = []

    async def preview(self, bundle: Bundle) -> tuple[str, ...]:
        return tuple(f"file {name}" for name, _ in bundle.files)

    async def publish(self, bundle: Bundle) -> Receipt:
        if self.error:
            raise self.error
        self.published.append({name: file.read_bytes() for name, file in bundle.files})
        digest = bundle.manifest_sha256
        return Receipt(sink=self.name, location=f"{self.name}:{bundle.run}", manifest_sha256=digest, files=1)

    async def close(self) -> None:
        pass


@dataclass
class Steps:
    """All four steps of a run's end, by name."""

    finishing: FinishingSteps
    publishing: PublishingSteps

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finishing if name in ("evaluate", "report") else self.publishing, name)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> LocalKeySigner:
    return LocalKeySigner.load_or_create(tmp_path_factory.mktemp("keys") / "signing.pem")


def steps(storage: Storage, signer: LocalKeySigner, *sinks: Any, telemetry: Any = None) -> Steps:
    async def chosen() -> LocalKeySigner:
        return signer

    told, opened = telemetry or RecordingTelemetry(), sinks or (BlobSink(BlobOptions(), storage),)
    return Steps(FinishingSteps(storage, Now(), told), PublishingSteps(storage, chosen, lambda _: opened, Now(), told))


async def take(finishing: Steps, run: str, *names: str) -> None:
    for name in names:
        await getattr(finishing, name)(run)


async def bundle_of(storage: Storage, run: str) -> dict[str, bytes]:
    prefix = layout.bundle(run)
    return {path.removeprefix(prefix): content for path, content in (await blobs_of(storage, prefix)).items()}


async def published_by(storage: Storage, run: str) -> dict[str, bytes]:
    prefix = layout.published(run)
    return {path.removeprefix(prefix): content for path, content in (await blobs_of(storage, prefix)).items()}


async def sealed_run(signer: LocalKeySigner) -> tuple[MemoryStorage, str]:
    storage = await with_suite()
    run = await answered(storage)
    await take(steps(storage, signer), run, "evaluate", "report", "seal")
    return storage, run


def written_to(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


async def test_a_finished_run_has_a_bundle_that_verifies(signer: LocalKeySigner, tmp_path: Path) -> None:
    """What is published is the whole bundle, sealed, and the run is done."""
    storage, telemetry = await with_suite(), RecordingTelemetry()
    run = await answered(storage)

    await take(steps(storage, signer, telemetry=telemetry), run, *STEPS)

    published = await published_by(storage, run)
    assert set(published) == ARTIFACTS | SEAL_NAMES
    assert published == await bundle_of(storage, run)
    assert verify_bundle(written_to(tmp_path / "bundle", published), signer.public_key_pem).ok
    progress = await progress_of(storage, run)
    assert (progress.stage, progress.chunks_done, progress.tally.trials) == (Stage.DONE, 6, 14)
    names = [name for name, _ in telemetry.events]
    assert names == ["run_evaluated", "run_sealed", "run_published"]


@pytest.mark.parametrize(("small", "together"), [(0, 1), (100, 4)])
async def test_large_runs_are_worked_on_one_after_the_other(
    signer: LocalKeySigner, monkeypatch: pytest.MonkeyPatch, small: int, together: int
) -> None:
    """A process has memory and disk for one; small ones wait for nobody."""
    storage, opened, most = await with_suite(), set[Path](), 0
    runs = [await answered(storage), await answered(storage, BAD_CSV)]
    finishing = steps(storage, signer)
    for run in runs:
        await finishing.evaluate(run)

    @contextmanager
    def counted() -> Iterator[Path]:
        nonlocal most
        with scratch_folder() as folder:
            opened.add(folder)
            most = max(most, len(opened))
            yield folder
            opened.remove(folder)

    monkeypatch.setattr("assay.orchestration.finishing.scratch_folder", counted)
    monkeypatch.setattr("assay.orchestration.finishing.SMALL_RUN_TRIALS", small)
    await asyncio.gather(*(step(run) for run in runs for step in (finishing.evaluate, finishing.report)))

    assert (most, opened) == (together, set())


async def test_the_manifest_says_where_the_results_come_from(signer: LocalKeySigner) -> None:
    """Suite, dataset, seed and versions, as the header froze them."""
    storage, run = await sealed_run(signer)

    manifest = read_manifest((await bundle_of(storage, run))["manifest.json"])

    header = await header_of(storage, run)
    assert (manifest.run, manifest.created) == (run, NOW.isoformat())
    provenance = manifest.provenance
    assert provenance["suite"] == {"name": "triage", "sha256": header.suite_sha256}
    assert provenance["dataset"] == {
        "file": "tickets.csv",
        "sha256": header.dataset.sha256,
        "size": len(CSV.encode()),
        "etag": header.dataset.etag,
    }
    assert (provenance["rows"], provenance["trials"], provenance["experiments"]) == (7, 14, ["plain", "short"])
    assert provenance["versions"] == {"assay": "0.1.0"}


async def test_every_step_twice_gives_the_same_bytes(signer: LocalKeySigner) -> None:
    """Only the signature is another one; what it signs is not."""
    storage = await with_suite()
    run = await answered(storage, BAD_CSV)
    finishing = steps(storage, signer)
    await take(finishing, run, *STEPS)
    first, first_published = await bundle_of(storage, run), await published_by(storage, run)

    for name in STEPS:
        await take(finishing, run, name, name)

    assert without_signature(await bundle_of(storage, run)) == without_signature(first)
    assert without_signature(await published_by(storage, run)) == without_signature(first_published)
    assert "bad_rows.jsonl" in first


def without_signature(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if not name.endswith((".sig", ".sigstore.json"))}


async def test_two_runs_of_the_same_outcomes_have_the_same_artifacts(signer: LocalKeySigner) -> None:
    """Nothing of the machine, the moment or the order of downloads is in them."""
    bundles = []
    for _ in range(2):
        storage, run = await sealed_run(signer)
        bundles.append(without_signature(await bundle_of(storage, run)))

    assert bundles[0] == bundles[1]


async def test_results_hold_every_trial_once(signer: LocalKeySigner) -> None:
    """By row and then by experiment, over all ranges."""
    storage, run = await sealed_run(signer)
    bundle = await bundle_of(storage, run)

    lines = [json.loads(line) for line in bundle["results.jsonl"].splitlines()]
    table = list(csv.DictReader(io.StringIO(bundle["results.csv"].decode())))

    expected = [(f"T-{number}", name) for number in range(1, 8) for name in ("plain", "short")]
    assert [(one["row_id"], one["experiment"]) for one in lines] == expected
    assert [(one["row_id"], one["experiment"]) for one in table] == expected
    assert bundle["suite.yaml"].decode() == SUITE


async def test_results_hold_every_repeat_once(signer: LocalKeySigner) -> None:
    """By row, experiment and repeat, over all ranges; the summary knows how many rows there are."""
    storage = await with_suite(SUITE.replace("{name: plain,", "{name: plain, repeats: 3,"))
    run = await answered(storage)
    await take(steps(storage, signer), run, *STEPS)
    bundle = await bundle_of(storage, run)

    lines = [json.loads(line) for line in bundle["results.jsonl"].splitlines()]
    wanted = [("plain", 0), ("plain", 1), ("plain", 2), ("short", 0)]
    expected = [(f"T-{number}", name, repeat) for number in range(1, 8) for name, repeat in wanted]
    assert [(one["row_id"], one["experiment"], one["repeat"]) for one in lines] == expected
    facts = json.loads(bundle["summary.json"])["run"]
    assert (facts["rows"], facts["trials"]) == (7, 28)


async def test_evaluating_before_all_outcomes_are_there_fails(signer: LocalKeySigner) -> None:
    """A report over half a run would be wrong without looking so."""
    storage = await with_suite()
    run = await answered(storage)
    await storage.delete(layout.outcome(run, "short", 1))

    with pytest.raises(BlobMissing):
        await steps(storage, signer).evaluate(run)

    assert await bundle_of(storage, run) == {}


@pytest.mark.parametrize("name", sorted(ARTIFACTS | SEAL_NAMES))
async def test_a_flipped_byte_keeps_the_bundle_from_being_published(signer: LocalKeySigner, name: str) -> None:
    """Whichever file it is in: no sink sees anything, and the run is not done."""
    storage, run = await sealed_run(signer)
    path = layout.bundle(run) + name
    content = bytearray(await storage.read(path))
    content[len(content) // 2] ^= 1
    await storage.write(path, bytes(content), overwrite=True)
    sink = RecordingSink()

    with pytest.raises(CheckFailed, match="does not verify"):
        await steps(storage, signer, BlobSink(BlobOptions(), storage), sink).publish(run)

    assert (sink.published, await published_by(storage, run)) == ([], {})
    assert (await progress_of(storage, run)).stage is not Stage.DONE
    assert await storage.find(layout.receipt(run, "blob")) is None


@pytest.mark.parametrize("name", ["results.csv", "manifest.json", "manifest.json.sig", "signer.pub"])
async def test_a_missing_file_keeps_the_bundle_from_being_published(signer: LocalKeySigner, name: str) -> None:
    """A bundle is published whole or not at all."""
    storage, run = await sealed_run(signer)
    await storage.delete(layout.bundle(run) + name)

    with pytest.raises(CheckFailed):
        await steps(storage, signer).publish(run)

    assert await published_by(storage, run) == {}


@pytest.mark.parametrize("name", ["extra.txt", "plots/extra.svg"])
async def test_a_file_that_is_not_in_the_manifest_keeps_the_bundle_from_being_published(
    signer: LocalKeySigner, name: str
) -> None:
    """Nothing travels under a signature that does not cover it."""
    storage, run = await sealed_run(signer)
    await storage.write(layout.bundle(run) + name, b"x")

    with pytest.raises(CheckFailed, match="does not verify"):
        await steps(storage, signer).publish(run)


async def test_a_name_that_leaves_the_bundle_is_never_written_to_disk(signer: LocalKeySigner, tmp_path: Path) -> None:
    """Blob names may hold what paths must not."""
    storage, run = await sealed_run(signer)
    await storage.write(f"{layout.bundle(run)}../{tmp_path.name}-escaped", b"x")

    for name in ("seal", "publish"):
        with pytest.raises(CheckFailed, match="is no artifact's name"):
            await take(steps(storage, signer), run, name)


async def test_a_bundle_of_another_signer_is_not_published(signer: LocalKeySigner, tmp_path: Path) -> None:
    """It verifies under its own key, but that key is not ours."""
    storage, run = await sealed_run(LocalKeySigner.load_or_create(tmp_path / "other.pem"))

    with pytest.raises(CheckFailed):
        await steps(storage, signer).publish(run)


async def test_receipts_are_kept_with_the_run(signer: LocalKeySigner) -> None:
    """One per sink, with what the place answered."""
    storage, run = await sealed_run(signer)
    sinks = RecordingSink("one"), RecordingSink("two")

    assert await steps(storage, signer, *sinks).publish(run) == {"receipts": [f"one:{run}", f"two:{run}"]}

    for sink in sinks:
        kept = Delivery.model_validate_json(await storage.read(layout.receipt(run, sink.name)))
        assert kept.receipt is not None and kept.receipt.location == f"{sink.name}:{run}"


async def test_a_sink_that_fails_holds_up_no_other(signer: LocalKeySigner) -> None:
    """The run is done and says what is missing; the next try goes to the failed one alone."""
    storage, run = await sealed_run(signer)
    broken, fine = RecordingSink("broken", UserError("no key-confidential")), RecordingSink("fine")
    publishing = steps(storage, signer, broken, fine).publishing

    assert await publishing.publish(run) == {"receipts": [f"fine:{run}"]}
    progress = await progress_of(storage, run)
    assert progress.stage is Stage.DONE
    assert f"broken did not take it: no key-confidential. Mend that, then: assay publish {run}" in progress.message

    broken.error = None
    assert [one.problem for one in await publishing.publish_again(run)] == ["", ""]
    assert (len(broken.published), len(fine.published)) == (1, 1)
    assert (await progress_of(storage, run)).message == ""
    assert broken.published == fine.published


async def test_one_sink_can_be_tried_alone_and_anew(signer: LocalKeySigner) -> None:
    """`assay publish RUN --sink NAME --again`."""
    storage, run = await sealed_run(signer)
    one, two = RecordingSink("one"), RecordingSink("two")
    publishing = steps(storage, signer, one, two).publishing

    await publishing.publish_again(run, "two")
    await publishing.publish_again(run, "two")
    assert (len(one.published), len(two.published)) == (0, 1)
    await publishing.publish_again(run, "two", anew=True)
    assert len(two.published) == 2
    with pytest.raises(UserError, match=r"no sink 'tow' \(did you mean 'two'\?\). It has: one, two"):
        await publishing.publish_again(run, "tow")


async def test_a_place_that_has_the_bundle_keeps_its_receipt_when_another_try_fails(signer: LocalKeySigner) -> None:
    """The try is told; the bundle still lies there."""
    storage, run = await sealed_run(signer)
    sink = RecordingSink("one")
    publishing = steps(storage, signer, sink).publishing
    (first,) = await publishing.publish_again(run)
    sink.error = UserError("down")
    (failed,) = await publishing.publish_again(run, "one", anew=True)
    assert failed.problem == "down"
    assert await publishing.deliveries(run) == [first]


async def test_what_is_above_a_clearance_is_refused_before_anything_is_sent(signer: LocalKeySigner) -> None:
    """The dataset's level counts for all that is made of it; a preview says the same."""
    storage, run = await sealed_run(signer)
    public, inside = RecordingSink("public", clearance="public"), RecordingSink("inside", clearance="internal")
    publishing = steps(storage, signer, public, inside).publishing

    await publishing.publish(run)

    assert (len(public.published), len(inside.published)) == (0, 1)
    (refused, _) = await publishing.publish_again(run)
    assert "is internal, and sink 'public' is cleared for public only" in refused.problem
    assert (await publishing.preview(run, "public"))["public"][0] == refused.problem


async def test_a_preview_sends_nothing(signer: LocalKeySigner) -> None:
    """It says what each sink would be sent."""
    storage, run = await sealed_run(signer)
    sink = RecordingSink("one")
    lines = await steps(storage, signer, sink).publishing.preview(run)
    assert (sink.published, "file results.csv" in lines["one"]) == ([], True)
    assert await storage.find(layout.receipt(run, "one")) is None


@pytest.mark.parametrize("step", ["publish_again", "preview"])
async def test_a_run_that_is_not_sealed_cannot_be_published(signer: LocalKeySigner, step: str) -> None:
    """Nor can one that is not there."""
    storage = await with_suite()
    run = await answered(storage)
    publishing = steps(storage, signer).publishing
    with pytest.raises(UserError, match="no sealed bundle yet"):
        await getattr(publishing, step)(run)
    with pytest.raises(UserError, match="there is no run"):
        await getattr(publishing, step)("no-such-run")


async def test_the_seal_says_which_models_answered_and_where(signer: LocalKeySigner) -> None:
    """The manifest's provenance has them from the summary."""
    storage, run = await sealed_run(signer)
    said = read_manifest(await storage.read(layout.bundle(run) + "manifest.json")).provenance
    assert said["host"] == "local" and sum(said["models"].values()) > 0 and said["prices"]
    assert said["dataset"]["etag"]


async def test_the_attestation_says_when_the_run_was_sealed(signer: LocalKeySigner) -> None:
    """By the clock of the step, in ISO 8601 with its zone."""
    storage, run = await sealed_run(signer)
    envelope = json.loads(await storage.read(layout.bundle(run) + "provenance.sigstore.json"))["dsseEnvelope"]
    said = json.loads(base64.b64decode(envelope["payload"]))["predicate"]["runDetails"]["metadata"]
    assert datetime.fromisoformat(said["finishedOn"]) == NOW and NOW.tzinfo


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_step_stopped_at_any_call_and_then_again_ends_the_same(
    signer: LocalKeySigner, step: str, after: bool
) -> None:
    """The bundle is the same as if nothing had happened, and it verifies when it is published."""
    storage = await with_suite()
    run = await answered(storage, BAD_CSV)
    finishing = steps(storage, signer)
    await take(finishing, run, *STEPS)
    expected = without_signature(await published_by(storage, run))
    counted = struck(storage)
    await take(steps(as_storage(counted), signer, BlobSink(BlobOptions(), as_storage(counted))), run, step)

    for at in range(1, len(counted.calls) + 1):
        dying = as_storage(struck(storage, Strike(at, StorageError("dead"), after=after, for_good=True)))
        with pytest.raises(StorageError):
            await take(steps(dying, signer, BlobSink(BlobOptions(), dying)), run, step)
        await take(finishing, run, *STEPS[STEPS.index(step) :])
        assert without_signature(await published_by(storage, run)) == expected


async def test_bad_rows_are_part_of_the_bundle(signer: LocalKeySigner) -> None:
    """Whoever reads the report sees what it is not about."""
    storage = await with_suite()
    run = await answered(storage, BAD_CSV)

    await take(steps(storage, signer), run, "evaluate", "report")

    assert (await bundle_of(storage, run))["bad_rows.jsonl"] == await storage.read(layout.bad_rows(run))


async def test_no_more_bad_rows_are_read_than_reports_show(signer: LocalKeySigner) -> None:
    """A million of them would take a worker's memory; what stands after the first is never parsed."""
    storage = await with_suite()
    run = await answered(storage, BAD_CSV)
    (bad,) = (await storage.read(layout.bad_rows(run))).splitlines(keepends=True)
    await storage.write(layout.bad_rows(run), bad * MOST_BAD_ROWS + b"not read\n", overwrite=True)

    await take(steps(storage, signer), run, "evaluate")

    assert len(json.loads((await bundle_of(storage, run))["summary.json"])["bad_rows"]) == MOST_BAD_ROWS


async def test_nothing_stays_on_disk(signer: LocalKeySigner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outcomes and bundles may be large and private."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    storage, run = await sealed_run(signer)
    await steps(storage, signer).publish(run)

    assert list(tmp_path.iterdir()) == []


async def test_more_chunks_than_are_fetched_at_once_are_all_there(signer: LocalKeySigner) -> None:
    """Downloads go in groups."""
    storage = await with_suite(SUITE.replace("rows_per_message: 3", "rows_per_message: 1"))
    run = await answered(storage, dataset(20))

    await steps(storage, signer).evaluate(run)

    assert len((await bundle_of(storage, run))["results.jsonl"].splitlines()) == 40


async def test_a_report_can_be_made_again_from_the_bundle_alone(signer: LocalKeySigner) -> None:
    """The outcomes may be gone by then."""
    storage = await with_suite()
    run = await answered(storage)
    finishing = steps(storage, signer)
    await take(finishing, run, "evaluate", "report")
    first = await bundle_of(storage, run)
    for path in await blobs_of(storage, layout.outcomes(run)):
        await storage.delete(path)

    await finishing.report(run)

    assert await bundle_of(storage, run) == first


async def test_without_openpyxl_there_is_no_workbook_and_an_event_says_so(
    signer: LocalKeySigner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the report is complete."""
    storage, telemetry = await with_suite(), RecordingTelemetry()
    run = await answered(storage)
    monkeypatch.setitem(sys.modules, "openpyxl", None)

    await take(steps(storage, signer, telemetry=telemetry), run, "evaluate", "report")

    assert {"report.html", "report.md"} <= set(await bundle_of(storage, run))
    assert "report.xlsx" not in await bundle_of(storage, run)
    assert [one["missing"] for one in telemetry.named("workbook_left_out")] == ["openpyxl"]


async def test_a_run_that_is_not_planned_cannot_be_finished(signer: LocalKeySigner) -> None:
    """The orchestrator retries and then fails the run."""
    storage = await with_suite()
    run = await planned(storage)
    await storage.delete(layout.plan(run))

    for name in STEPS:
        with pytest.raises(BlobMissing):
            await take(steps(storage, signer), run, name)


async def test_progress_follows_the_stages(signer: LocalKeySigner) -> None:
    """People see what is being done; counts are complete at every stage."""
    storage = await with_suite()
    run = await answered(storage)
    finishing = steps(storage, signer)

    stages = []
    for name in STEPS:
        await take(finishing, run, name)
        stages.append((await progress_of(storage, run)).stage)

    assert stages == [Stage.EVALUATING, Stage.EVALUATING, Stage.EVALUATING, Stage.DONE]
    assert (await progress_of(storage, run)).tally.trials == (await plan_of(storage, run)).trials
