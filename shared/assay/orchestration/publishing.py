"""The last steps of a run: seal its bundle, and publish it. Each can run again at any time.

A sink that fails is told with the run and holds up no other; `assay publish` tries it again alone.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from assay.errors import AssayError, BlobMissing, CheckFailed, StorageError, UserError
from assay.middleware.redaction import default_redact
from assay.orchestration.scratch import scratch_folder
from assay.orchestration.stages import mark_stage
from assay.orchestration.statements import bundle_statement
from assay.orchestration.telling import tell_of_run
from assay.orchestration.views import WholeBundle, keep_views, refuse_other, views_of_sinks
from assay.planning.frozen import read_header, read_plan
from assay.provenance.bundle import seal_folder
from assay.provenance.files import FolderFiles
from assay.provenance.manifest import canonical_bytes, path_fault, shown
from assay.provenance.signing import HmacSigner, Signer
from assay.provenance.trust import Trust
from assay.provenance.verification import verify_files
from assay.records import Record
from assay.registry import did_you_mean
from assay.run_records import RunHeader, Stage
from assay.sinks.base import Bundle, Receipt, Sink
from assay.storage import layout
from assay.storage.base import Storage
from assay.storage.bundle_names import ALL_SEAL_NAMES, MANIFEST_NAME, REPORT_MD
from assay.suite.levels import highest, is_above
from assay.suite.models import Suite
from assay.telemetry import Redact, Telemetry


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
        """Signs the bundle, and makes and signs the suite's views, which are there before its seal is.

        The manifests are the same every time; a second signature replaces the first.
        """
        header, plan = await asyncio.gather(read_header(self.storage, run), read_plan(self.storage, run))
        suite = Suite.model_validate(header.suite)
        async with self._signing() as signer, self._copy(run, layout.bundle(run), without=ALL_SEAL_NAMES) as folder:
            statement = bundle_statement(header, suite, plan, folder, self.host, self.now())
            manifest = await seal_folder(folder, statement, signer)
            digest = hashlib.sha256(canonical_bytes(manifest)).hexdigest()
            await keep_views(self.storage, WholeBundle(folder, digest, statement, suite), signer)
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
        done = await mark_stage(self.storage, header, plan, Stage.DONE, self.now(), advice)
        tell_of_run(self.telemetry, header, done)
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
        async with self._opened(header, sink) as sinks, self._bundles(header, sinks) as bundles:
            return {one.name: await _preview(bundles[one.name], one) for one in sinks}

    async def deliveries(self, run: str) -> list[Delivery]:
        """What came of the last try at every sink that was tried."""
        prefix = layout.receipts(run)
        names = [entry.path.removeprefix(prefix).removesuffix(".json") async for entry in self.storage.list(prefix)]
        found = [await self._kept(run, name) for name in names]
        return [one for one in found if one]

    async def _deliver(self, header: RunHeader, only: str | None = None, *, anew: bool = False) -> list[Delivery]:
        async with self._opened(header, only) as sinks, self._bundles(header, sinks) as bundles:
            for bundle in {one.view: one for one in bundles.values()}.values():
                await self._check(bundle)
            return [await self._hand_over(bundles[sink.name], sink, anew=anew) for sink in sinks]

    async def _check(self, bundle: Bundle) -> None:
        async with self._signing() as signer:
            verified = await asyncio.to_thread(verify_files, FolderFiles(bundle.folder), _trust(signer))
        if not verified.ok:
            found = "; ".join(str(one) for one in verified.findings)
            raise CheckFailed(f"{bundle.title} does not verify: {found}")

    @asynccontextmanager
    async def _bundles(self, header: RunHeader, sinks: Sequence[Sink]) -> AsyncIterator[dict[str, Bundle]]:
        """What each sink is handed, by its name: the whole bundle, or the view that the suite names for it."""
        views = views_of_sinks(Suite.model_validate(header.suite))
        found: dict[str, Bundle] = {}
        async with AsyncExitStack() as copies:
            for view in sorted({views.get(one.name, "") for one in sinks}):
                prefix = layout.view(header.run, view) if view else layout.bundle(header.run)
                folder = await copies.enter_async_context(self._copy(header.run, prefix))
                found[view] = _bundle(header, folder, view)
                if view:
                    await refuse_other(self.storage, found[view])
            yield {one.name: found[views.get(one.name, "")] for one in sinks}

    async def _hand_over(self, bundle: Bundle, sink: Sink, *, anew: bool) -> Delivery:
        """Gives the bundle to one sink, unless it has it, and keeps what came of it at once: the next may fail."""
        kept = await self._kept(bundle.run, sink.name)
        has_it = kept and kept.receipt and kept.receipt.manifest_sha256 == bundle.manifest_sha256
        if kept and has_it and not anew:
            return kept
        delivery = await self._tried(bundle, sink)
        if delivery.receipt or not has_it:  # the place that has it still has it when another try fails
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
        if not any([name async for name in self.storage.list(layout.bundle(run) + MANIFEST_NAME)]):
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
    async def _copy(self, run: str, prefix: str, without: frozenset[str] = frozenset()) -> AsyncIterator[Path]:
        """A local copy of a bundle of the run as it is so far. Raises CheckFailed for a name that would leave it."""
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


def _bundle(header: RunHeader, folder: Path, view: str) -> Bundle:
    report = folder / REPORT_MD
    summary = report.read_text("utf-8") if report.exists() else ""
    return Bundle(header.run, header.suite_name, folder, summary, view)


async def _preview(bundle: Bundle, sink: Sink) -> tuple[str, ...]:
    said = [f"{bundle.title}: {highest(one.level for one in bundle.manifest.artifacts)}"] if bundle.view else []
    return (*_refusals(bundle, sink), *said, *await sink.preview(bundle))


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
