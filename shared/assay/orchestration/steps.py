"""The steps of a run, in the order in which the orchestrator takes them. Each can run again at any time.

A step reads blobs and writes blobs; what it returns is a few counts, for the orchestrator's history.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any

from assay.errors import BlobExists, BlobMissing, DatasetError, UserError
from assay.execution.control import Control, read_control
from assay.execution.stops import is_stopped, read_stop
from assay.llm.pricing import PriceTable, load_prices
from assay.middleware.redaction import default_redact
from assay.orchestration.budgets import Terms, budget_advice, budget_fault, price_fault, terms_now
from assay.orchestration.ingest import file_digest, quarantine_file
from assay.orchestration.progress import (
    count_progress,
    done_chunks,
    early_stop_notice,
    read_progress,
    with_message,
    write_progress,
)
from assay.orchestration.queries import AddressOf, kept_result, no_connections
from assay.orchestration.scratch import scratch_folder
from assay.orchestration.stopping import chunks_at_work, stopped_progress
from assay.orchestration.telling import tell_of_progress, tell_of_run
from assay.orchestration.waiving import is_wanted, list_outcomes
from assay.planning.datasets import dropped_query, open_dataset
from assay.planning.estimate import estimate_run
from assay.planning.frozen import read_header, read_plan
from assay.planning.plan import Planned, build_plan
from assay.planning.queries import is_query
from assay.records import NO_COST, BadRow, ChunkMessage
from assay.run_records import Plan, Progress, RunHeader, Stage
from assay.storage import layout
from assay.storage.base import Storage
from assay.suite.models import Suite
from assay.telemetry import Redact, Telemetry, bound

SEND_AT_ONCE = 16
QUEUE_SECONDS = 60
DEEPEST_QUEUE = 1_000


@dataclass(frozen=True)
class AskingSteps:
    """The steps up to the last outcome: plan, watch, dispatch; and `stop` and `fail`, when a run does not go on."""

    storage: Storage
    queue_depth: int
    now: Callable[[], datetime]
    telemetry: Telemetry
    redact: Redact = field(default_factory=default_redact)
    prices: PriceTable = field(default_factory=load_prices)
    address_of: AddressOf = no_connections

    async def plan(self, run: str) -> dict[str, Any]:
        """Writes `rows.jsonl`, quarantined rows and, last, `plan.json`; does nothing when that is there.

        Returns `{"refused": bool}`; a refused dataset is quarantined and the run marked as failed.
        """
        with bound(run=run):
            if await self.storage.find(layout.plan(run)):
                return {"refused": False}
            header = await read_header(self.storage, run)
            try:
                with scratch_folder() as folder:
                    await self._plan(header, folder)
            except UserError as error:
                await self._refuse(header, str(error))
                return {"refused": True}
            return {"refused": False}

    async def watch(self, run: str) -> dict[str, Any]:
        """Counts the outcomes and writes `progress.json`.

        Returns chunks done and in total, and the seconds it took; whether the run's workers have stopped it, and then
        how many chunks they still hold.
        """
        started = monotonic()
        header, plan = await asyncio.gather(read_header(self.storage, run), read_plan(self.storage, run))
        control = await self._look(header, plan) if plan.early_stop else Control()
        progress = await count_progress(self.storage, header, plan, Stage.ASKING, self.now())
        stopped = await is_stopped(self.storage, run)
        terms = await terms_now(self.storage, header)
        progress = with_message(await self._warned(header, progress, terms), early_stop_notice(control))
        await write_progress(self.storage, progress)
        tell_of_progress(self.telemetry, header, progress, terms)
        return {
            "done": progress.chunks_done,
            "total": progress.chunks_total,
            "stopped": stopped,
            "at_work": await chunks_at_work(self.storage, run) if stopped else 0,
            "seconds": round(monotonic() - started, 3),
        }

    async def _look(self, header: RunHeader, plan: Plan) -> Control:
        """Settles what early stop says, and gives everything that is settled."""
        from assay.orchestration.early_stop import look  # numpy comes with it: only such runs pay for that

        known = await read_control(self.storage, header.run)
        seen = await look(self.storage, Suite.model_validate(header.suite), plan, self.now())
        for one in seen.control.settled[len(known.settled) :]:
            self.telemetry.event("experiment_settled", run=header.run, experiment=one.experiment, rows=one.rows)
        return seen.control

    async def stop(self, run: str) -> bool:
        """Marks a run as stopped, and says how to go on. False, and nothing done, when it was let go on meanwhile."""
        stop = await read_stop(self.storage, run)
        if stop is None:
            return False
        header, plan = await asyncio.gather(read_header(self.storage, run), read_plan(self.storage, run))
        progress = await stopped_progress(self.storage, header, plan, stop, self.now())
        await write_progress(self.storage, progress)
        self.telemetry.problem("run_stopped", run=run, reason=stop.reason, done=progress.tally.trials)
        tell_of_run(self.telemetry, header, progress)
        return True

    async def dispatch(self, run: str, cursor: int, done: int, lost: bool) -> int:
        """Tops the queue up from chunk `cursor` of the plan on. Returns the next cursor.

        With `lost`, chunks that were sent long ago and are not done are sent once more; workers sort doubles out.
        A run that is taken up again (fewer sent than done) skips what it did before.
        """
        with bound(run=run):
            plan = await read_plan(self.storage, run)
            over = (await read_control(self.storage, run)).over(plan) if plan.early_stop else frozenset()
            if over:
                return await self._dispatch_wanted(plan, over, cursor, lost)
            until = max(cursor, min(plan.chunks, done + await self._depth(run, done)))
            messages = list(plan.messages(0 if lost else cursor, until))
            if lost or cursor < done:
                there = await done_chunks(self.storage, run)
                messages = [one for one in messages if (one.experiment, one.chunk) not in there]
            if lost:
                self.telemetry.problem("chunks_sent_again", chunks=len(messages))
            await self._send(messages)
            return until

    async def _dispatch_wanted(self, plan: Plan, over: frozenset[str], cursor: int, lost: bool) -> int:
        """The same once early stop has settled experiments: their chunks are left out, and fill no queue."""
        ended = await list_outcomes(self.storage, plan.run)
        room = await self._depth(plan.run, sum(name not in over for name, _ in ended))
        wanted = (
            (index, one)
            for index, one in enumerate(plan.messages(0, plan.chunks))
            if is_wanted(plan, over, ended, one.experiment, one.chunk)
        )
        waiting = [(index, one) for place, (index, one) in enumerate(wanted) if index < cursor or place < room]
        await self._send([one for index, one in waiting if lost or index >= cursor])
        return max([cursor, *(index + 1 for index, _ in waiting)])

    async def fail(self, run: str, reason: str) -> None:
        """Marks a run as failed, for people; dropping its file again takes it up where it stopped."""
        seen = await read_progress(self.storage, run) or Progress(run=run, stage=Stage.FAILED)
        failed = seen.model_copy(
            update={"stage": Stage.FAILED, "message": self.redact(reason), "updated_at": self.now()}
        )
        await write_progress(self.storage, failed)
        self.telemetry.problem("run_failed", run=run, reason=reason)
        if await self.storage.find(layout.header(run)):
            tell_of_run(self.telemetry, await read_header(self.storage, run), failed)

    async def _warned(self, header: RunHeader, progress: Progress, terms: Terms | None) -> Progress:
        """With a notice for a soft budget, and an event for each of its marks that was passed since the last look."""
        if terms is None or terms.is_enforced:
            return progress
        spent, before = progress.tally.cost_usd, await read_progress(self.storage, header.run)
        for percent in terms.crossed(before.tally.cost_usd if before else NO_COST, spent):
            self.telemetry.problem("budget_exceeded", run=header.run, percent=percent, spent_usd=str(spent))
        return progress.model_copy(update={"message": terms.notice(spent)})

    async def _plan(self, header: RunHeader, folder: Path) -> None:
        suite = Suite.model_validate(header.suite)
        dataset = await self._dataset(header, suite, folder)
        source = open_dataset(dataset, header.dataset.file, suite.dataset)
        planned = await asyncio.to_thread(
            build_plan, header.run, suite, header.suite_source, source, header.dataset.file, folder
        )
        await self._check_budget(header, suite, planned)
        await self.storage.upload(layout.rows(header.run), planned.rows)
        if planned.plan.bad_rows:
            await asyncio.to_thread(_redact_bad_rows, planned.bad_rows, self.redact)
            await self.storage.upload(layout.bad_rows(header.run), planned.bad_rows)
        try:
            await self.storage.write(layout.plan(header.run), planned.plan.model_dump_json().encode())
        except BlobExists:
            return
        self.telemetry.event(
            "run_planned", rows=planned.plan.rows, bad=planned.plan.bad_rows, chunks=planned.plan.chunks
        )

    async def _check_budget(self, header: RunHeader, suite: Suite, planned: Planned) -> None:
        """Raises UserError when an enforced budget cannot be kept, or will hardly do and nobody said to begin."""
        terms = await terms_now(self.storage, header)
        if terms is None or not terms.is_enforced:
            return
        if fault := price_fault(suite, self.prices, terms):
            raise UserError(fault)
        if header.over_budget:
            return
        estimate = await asyncio.to_thread(estimate_run, suite, planned, header.dataset.file, self.prices)
        if fault := budget_fault(estimate, terms):
            needed = estimate.total.highest_cost_usd or estimate.total.likely_cost_usd or terms.limit_usd
            raise UserError(f"{fault}. {budget_advice(header.run, needed)}")

    async def _dataset(self, header: RunHeader, suite: Suite, folder: Path) -> Path:
        """The file with the rows: the dropped one, or what the dropped query gave."""
        dropped = folder / "dataset"
        await self._fetch(header, dropped)
        if not is_query(header.dataset.file):
            return dropped
        query = dropped_query(dropped, header.dataset.file, suite.dataset)
        return await kept_result(
            self.storage, header, suite, query, self.address_of, self.now(), folder / "query_result"
        )

    async def _fetch(self, header: RunHeader, target: Path) -> None:
        """The dataset as it was when the run began. Raises DatasetError when other bytes lie there now."""
        try:
            await self.storage.download(header.dataset.path, target)
        except BlobMissing:
            raise DatasetError(f"{header.dataset.path} is gone; drop it again to run it") from None
        if await asyncio.to_thread(file_digest, target) != header.dataset.sha256:
            raise DatasetError(
                f"{header.dataset.path} was replaced before it was read; its new content has its own run"
            )

    async def _refuse(self, header: RunHeader, reason: str) -> None:
        dataset = header.dataset
        await quarantine_file(self.storage, dataset.path, dataset.etag, reason, header.run, self.now(), self.redact)
        await self.fail(header.run, reason)

    async def _depth(self, run: str, done: int) -> int:
        """How many chunks may wait or be worked on: about a minute's work, so that stopping a run is quick."""
        progress = await read_progress(self.storage, run)
        if not progress or not progress.started_at or not done:
            return self.queue_depth
        seconds = max(1.0, (self.now() - progress.started_at).total_seconds())
        return min(DEEPEST_QUEUE, max(self.queue_depth, int(done / seconds * QUEUE_SECONDS)))

    async def _send(self, messages: list[ChunkMessage]) -> None:
        for first in range(0, len(messages), SEND_AT_ONCE):
            batch = messages[first : first + SEND_AT_ONCE]
            await asyncio.gather(*(self.storage.send(layout.TRIALS_QUEUE, one.model_dump_json()) for one in batch))
        if messages:
            self.telemetry.event("chunks_dispatched", chunks=len(messages))


def _redact_bad_rows(file: Path, redact: Redact) -> None:
    """Takes secrets and personal data out of what the rows that are set aside say; their line tells them."""
    clean = file.with_suffix(".redacted")
    with file.open("rb") as found, clean.open("wb") as kept:
        for line in found:
            row = BadRow.model_validate_json(line)
            said = {name: redact(text) for name in ("reason", "found", "row_id") if (text := getattr(row, name))}
            kept.write(row.model_copy(update=said).model_dump_json().encode() + b"\n")
    clean.replace(file)
