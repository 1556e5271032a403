"""The last steps of a run: seal its bundle, and publish it. Each can run again at any time.

A sink that fails is told with the run and holds up no other; `assay publish` tries it again alone.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from assay.errors import AssayError, BlobMissing, CheckFailed, StorageError, UserError
from assay.middleware.redaction import default_redact
from assay.orchestration.scratch import scratch_folder
from assay.orchestration.stages import mark_stage
from assay.planning.frozen import read_header, read_plan
from assay.provenance.bundle import Statement, seal_folder
from assay.provenance.files import FolderFiles
from assay.provenance.manifest import ALL_SEAL_NAMES, path_fault, shown
from assay.provenance.signing import HmacSigner, Signer
from assay.provenance.trust import Trust
from assay.provenance.verification import verify_files
from assay.records import Plan, Record, RunHeader, Stage
from assay.registry import did_you_mean
from assay.sinks.base import Bundle, Receipt, Sink
from assay.storage import layout
from assay.storage.base import Storage
from assay.suite.levels import Level, highest, is_above
from assay.suite.models import Suite
from assay.telemetry import Redact, Telemetry

SUMMARY, SUITE_FILE, REPORT_MD = "summary.json", "suite.yaml", "report.md"


class Delivery(Record):
    """What became of a bundle at one sink: its receipt, or why there is none."""

    sink: str
    receipt: Receipt | None = None
    problem: str = ""


@dataclass(frozen=True)
class PublishingSteps:
    """Seal and publish. `signer` and `sinks` open what the settings name, and may raise UserError."""

    storage: Storage
    signer: Callable[[], Awaitable[Signer | HmacSigner]]
    sinks: Callable[[Suite], tuple[Sink, ...]]
    now: Callable[[], datetime]
    telemetry: Telemetry
    redact: Redact = field(default_factory=default_redact)
    host: str = ""

    async def seal(self, run: str) -> dict[str, Any]:
        """Signs the bundle. The manifest is the same every time; a second signature replaces the first."""
        header, plan = await asyncio.gather(read_header(self.storage, run), read_plan(self.storage, run))
        async with self._signing() as signer, self._copy(run, without=ALL_SEAL_NAMES) as folder:
            manifest = await seal_folder(folder, self._statement(header, plan, folder), signer)
            there = {name for name in ALL_SEAL_NAMES if (folder / name).exists()}
            for name in sorted(there):
                await self.storage.upload(layout.bundle(run) + name, folder / name)
            for name in sorted(ALL_SEAL_NAMES - there):
                await self.storage.delete(layout.bundle(run) + name)
        self.telemetry.event("run_sealed", run=run, artifacts=len(manifest.artifacts), key=signer.key_id)
        return {"artifacts": len(manifest.artifacts)}

    async def publish(self, run: str) -> dict[str, Any]:
        """Verifies the bundle and hands it to every sink that has not got it yet. Raises CheckFailed for a bad bundle.

        Receipts are kept with the run, and so are problems, of which the run's progress tells as well. Raises
        StorageError when the run's own storage does not take it; then it may be called again.
        """
        header, plan = await asyncio.gather(read_header(self.storage, run), read_plan(self.storage, run))
        await mark_stage(self.storage, header, plan, Stage.PUBLISHING, self.now())
        deliveries = await self._deliver(header)
        notice = "; ".join(f"{one.sink} did not take it: {one.problem}" for one in deliveries if one.problem)
        advice = f"{notice}. Mend that, then: assay publish {run}" if notice else ""
        await mark_stage(self.storage, header, plan, Stage.DONE, self.now(), advice)
        return {"receipts": [one.receipt.location for one in deliveries if one.receipt]}

    async def publish_again(self, run: str, sink: str | None = None, *, anew: bool = False) -> list[Delivery]:
        """What `assay publish` does: the sinks that have no receipt for this bundle, or the one that is named.

        `anew` hands it to those too that have it. Raises UserError for a run that is not sealed or a sink that the
        suite does not name.
        """
        header = await self._ended(run)
        deliveries = await self._deliver(header, sink, anew=anew)
        if all(not one.problem for one in await self.deliveries(run)):
            await mark_stage(self.storage, header, await read_plan(self.storage, run), Stage.DONE, self.now())
        return deliveries

    async def preview(self, run: str, sink: str | None = None) -> dict[str, tuple[str, ...]]:
        """What publishing would send, line by line and sink by sink; nothing is sent. Raises as `publish_again`."""
        header = await self._ended(run)
        async with self._copy(run) as folder, self._opened(header, sink) as sinks:
            bundle = _bundle(header, folder)
            return {one.name: (*_refusals(bundle, one), *await one.preview(bundle)) for one in sinks}

    async def deliveries(self, run: str) -> list[Delivery]:
        """What came of the last try at every sink that was tried."""
        prefix = layout.receipts(run)
        names = [entry.path.removeprefix(prefix).removesuffix(".json") async for entry in self.storage.list(prefix)]
        found = [await self._kept(run, name) for name in names]
        return [one for one in found if one]

    async def _deliver(self, header: RunHeader, only: str | None = None, *, anew: bool = False) -> list[Delivery]:
        async with self._copy(header.run) as folder, self._opened(header, only) as sinks:
            await self._check(header.run, folder)
            bundle = _bundle(header, folder)
            return [await self._hand_over(bundle, sink, anew=anew) for sink in sinks]

    async def _check(self, run: str, folder: Path) -> None:
        async with self._signing() as signer:
            verified = await asyncio.to_thread(verify_files, FolderFiles(folder), _trust(signer))
        if not verified.ok:
            raise CheckFailed(f"bundle of {run} does not verify: {'; '.join(str(one) for one in verified.findings)}")

    async def _hand_over(self, bundle: Bundle, sink: Sink, *, anew: bool) -> Delivery:
        """Gives the bundle to one sink, unless it has it, and keeps what came of it at once: the next may fail."""
        kept = await self._kept(bundle.run, sink.name)
        has_it = kept and kept.receipt and kept.receipt.manifest_sha256 == bundle.manifest_sha256
        if kept and has_it and not anew:
            return kept
        delivery = await self._tried(bundle, sink)
        path = layout.receipt(bundle.run, sink.name)
        await self.storage.write(path, delivery.model_dump_json(indent=1).encode(), overwrite=True)
        if delivery.receipt:
            self.telemetry.event("run_published", run=bundle.run, sink=sink.name, location=delivery.receipt.location)
        else:
            self.telemetry.problem("publishing_failed", run=bundle.run, sink=sink.name, reason=delivery.problem)
        return delivery

    async def _tried(self, bundle: Bundle, sink: Sink) -> Delivery:
        try:
            if refusals := _refusals(bundle, sink):
                raise UserError("; ".join(refusals))
            return Delivery(sink=sink.name, receipt=await sink.publish(bundle))
        except StorageError:  # the run's own storage: nothing else would fare better
            raise
        except AssayError as error:
            reason = str(error)
        except Exception as error:  # somebody else's service must not hold up the other sinks
            reason = f"{type(error).__name__}: {error}"
        return Delivery(sink=sink.name, problem=self.redact(reason)[:1_000])

    async def _kept(self, run: str, sink: str) -> Delivery | None:
        """What came of the last try, or None."""
        try:
            return Delivery.model_validate_json(await self.storage.read(layout.receipt(run, sink)))
        except (BlobMissing, ValueError):
            return None

    async def _ended(self, run: str) -> RunHeader:
        try:
            header = await read_header(self.storage, run)
        except BlobMissing:
            raise UserError(f"there is no run '{run}'; 'assay ls' lists them") from None
        if not any([name async for name in self.storage.list(layout.bundle(run) + "manifest.json")]):
            raise UserError(f"run '{run}' has no sealed bundle yet; 'assay show {run}' says where it stands")
        return header

    @asynccontextmanager
    async def _signing(self) -> AsyncIterator[Signer | HmacSigner]:
        signer = await self.signer()
        try:
            yield signer
        finally:
            if close := getattr(signer, "close", None):
                await close()

    @asynccontextmanager
    async def _opened(self, header: RunHeader, only: str | None) -> AsyncIterator[tuple[Sink, ...]]:
        """The suite's sinks, or the one that is named."""
        sinks = self.sinks(Suite.model_validate(header.suite))
        async with AsyncExitStack() as ends:
            for one in sinks:
                ends.push_async_callback(one.close)
            names = [one.name for one in sinks]
            if only is not None and only not in names:
                hint = did_you_mean(only, names)
                raise UserError(f"suite '{header.suite_name}' has no sink '{only}'{hint}. It has: {', '.join(names)}")
            yield tuple(one for one in sinks if only in (None, one.name))

    @asynccontextmanager
    async def _copy(self, run: str, without: frozenset[str] = frozenset()) -> AsyncIterator[Path]:
        """A local copy of the run's bundle as it is so far. Raises CheckFailed for a name that would leave it."""
        prefix = layout.bundle(run)
        with scratch_folder() as folder:
            async for entry in self.storage.list(prefix):
                file = entry.path.removeprefix(prefix)
                if file in without:
                    continue
                if file not in ALL_SEAL_NAMES and (fault := path_fault(file)):
                    raise CheckFailed(f"bundle of {run}: {shown(file)} is no artifact's name: {fault}")
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                await self.storage.download(entry.path, folder / file)
            yield folder

    def _statement(self, header: RunHeader, plan: Plan, folder: Path) -> Statement:
        suite = Suite.model_validate(header.suite)
        level: Level = highest((suite.level, suite.dataset.level))
        return Statement(
            run=header.run,
            created=header.created_at.isoformat(),
            provenance={**_provenance(header, plan), **_answered(folder), "host": self.host or "local"},
            level=level,
            levels={SUITE_FILE: suite.level},
        )


def _bundle(header: RunHeader, folder: Path) -> Bundle:
    report = folder / REPORT_MD
    return Bundle(header.run, header.suite_name, folder, report.read_text("utf-8") if report.exists() else "")


def _refusals(bundle: Bundle, sink: Sink) -> list[str]:
    """Why a bundle must not go to a sink, before anything is sent."""
    above = [one for one in bundle.manifest.artifacts if is_above(one.level, sink.clearance)]
    if not above:
        return []
    level = highest(one.level for one in above)
    return [
        f"refused: {above[0].path} is {level}, and sink '{sink.name}' is cleared for {sink.clearance} only "
        f"({len(above)} of {len(bundle.manifest.artifacts)} artifacts); raise its clearance if that place may hold it"
    ]


def _trust(signer: Signer | HmacSigner) -> Trust:
    return Trust(secret=signer) if isinstance(signer, HmacSigner) else Trust.of([signer.public_key_pem])


def _provenance(header: RunHeader, plan: Plan) -> dict[str, Any]:
    """What the manifest says of where the results come from."""
    dataset = header.dataset
    return {
        "suite": {"name": header.suite_name, "sha256": header.suite_sha256},
        "dataset": {"file": dataset.file, "sha256": dataset.sha256, "size": dataset.size, "etag": dataset.etag},
        "seed": header.seed,
        "rows": plan.rows,
        "bad_rows": plan.bad_rows,
        "trials": plan.trials,
        "experiments": list(plan.experiments),
        "versions": dict(header.versions),
    }


def _answered(folder: Path) -> dict[str, Any]:
    """Which models answered, how often, and of which day the prices are: as the summary has it."""
    try:
        summary: Mapping[str, Any] = json.loads((folder / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return {}
    models: dict[str, int] = {}
    for experiment in summary.get("experiments", []):
        for name, answers in experiment.get("models", {}).items():
            models[name] = models.get(name, 0) + int(answers)
    return {"models": dict(sorted(models.items())), "prices": summary.get("prices", {}).get("as_of")}
