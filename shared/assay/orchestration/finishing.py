"""The steps after the last outcome: evaluate and report; `publishing.py` goes on. Each can run again at any time.

Every step works in a temporary folder on copies of the run's blobs, so that memory stays bounded.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.llm.pricing import PriceTable, load_prices
from assay.orchestration.scratch import scratch_folder
from assay.orchestration.stages import mark_stage
from assay.planning.frozen import read_header, read_plan
from assay.records import BadRow, Row
from assay.run_records import Plan, Stage
from assay.storage import layout
from assay.storage.base import Storage
from assay.storage.bundle_names import (
    BAD_ROWS,
    REPORT_HTML,
    REPORT_MD,
    REPORT_XLSX,
    RESULTS_PARQUET,
    SUITE_FILE,
    SUMMARY,
    TRIALS_PARQUET,
)
from assay.suite.models import Suite
from assay.telemetry import Telemetry

if TYPE_CHECKING:
    from assay.reporting.contents import Contents
    from assay.reporting.judge_records import JudgeFacts
    from assay.reporting.outcome_files import OutcomeFiles
    from assay.scoring.early_stop.verdicts import Followed

FETCH_AT_ONCE = 16
SMALL_RUN_TRIALS = 100_000
"""Runs of so many at most are evaluated beside each other. By the share of what 3,000,000 take that is 26 MB each."""
RESULTS_OF_REPORTS = (RESULTS_PARQUET, TRIALS_PARQUET)
ROWS = "rows.jsonl"


@dataclass(frozen=True)
class FinishingSteps:
    """Evaluate and report."""

    storage: Storage
    now: Callable[[], datetime]
    telemetry: Telemetry
    prices: PriceTable = field(default_factory=load_prices)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def evaluate(self, run: str) -> dict[str, Any]:
        """Writes `summary.json` and the result files into the bundle. Returns how many trials they hold."""
        from assay.reporting import (  # pyarrow and scipy come with it: only this step pays for them
            evaluation,
            finished_run,
        )

        header, plan = await asyncio.gather(read_header(self.storage, run), read_plan(self.storage, run))
        await mark_stage(self.storage, header, plan, Stage.EVALUATING, self.now())
        suite = Suite.model_validate(header.suite)
        followed = await self._followed(suite, plan)
        messages = len([entry async for entry in self.storage.list(layout.run_messages(run))])
        async with self._workplace(plan) as folder:
            bad_rows = await self._bad_rows(run, plan, folder)
            outcomes = await self._fetch_outcomes(plan, folder)
            judging = await self._fetch_judging(plan, folder / "judged")
            await self.storage.download(layout.rows(run), folder / ROWS)
            bundle = folder / "bundle"
            bundle.mkdir()

            def work() -> None:
                judges = _judged(suite, outcomes, judging, _rows(folder / ROWS))
                finished = finished_run.FinishedRun(
                    header, suite, outcomes, bad_rows, messages, self.prices, followed, judges
                )
                summary = evaluation.evaluate(finished, _rows(folder / ROWS), bundle)
                (bundle / SUMMARY).write_text(summary.model_dump_json(indent=1) + "\n", encoding="utf-8")
                (bundle / SUITE_FILE).write_text(header.suite_source, encoding="utf-8")

            await asyncio.to_thread(work)
            await self._upload(run, bundle)
        self.telemetry.event("run_evaluated", run=run, trials=plan.trials)
        return {"trials": plan.trials}

    async def report(self, run: str) -> dict[str, Any]:
        """Writes the report's pages and the list of bad rows into the bundle. Returns the names of the files.

        Works on the bundle and the rows alone, so that a report can be made again when the outcomes are gone. The
        workbook needs openpyxl; without it there is none, and an event says so.
        """
        from assay.reporting import contents

        plan = await read_plan(self.storage, run)
        async with self._workplace(plan) as folder:
            bundle = folder / "bundle"
            bundle.mkdir()
            for name in (SUMMARY, SUITE_FILE, *RESULTS_OF_REPORTS):
                await self.storage.download(layout.bundle(run) + name, folder / name)
            await self.storage.download(layout.rows(run), folder / ROWS)
            summary = contents.Contents.model_validate_json((folder / SUMMARY).read_bytes())
            pages = await asyncio.to_thread(_pages, folder, summary)
            for file, content in pages.items():
                (bundle / file).write_bytes(content)
            if REPORT_XLSX not in pages:
                self.telemetry.event("workbook_left_out", run=run, missing="openpyxl")
            if plan.bad_rows:
                await self.storage.download(layout.bad_rows(run), bundle / BAD_ROWS)
            await self._upload(run, bundle)
        return {"files": sorted(pages)}

    @asynccontextmanager
    async def _workplace(self, plan: Plan) -> AsyncIterator[Path]:
        """A scratch folder, for one large run at a time: a process has memory and disk for one. Small ones go past."""
        async with self._turn if plan.trials > SMALL_RUN_TRIALS else nullcontext():
            with scratch_folder() as folder:
                yield folder

    async def _followed(self, suite: Suite, plan: Plan) -> "Followed | None":
        """What early stop has seen of all that was asked; None for runs that cannot end early."""
        if not plan.early_stop:
            return None
        from assay.orchestration.early_stop import conclude
        from assay.planning.early_stop import followed

        seen = await conclude(self.storage, suite, plan, self.now())
        return followed(suite, seen.courses, seen.control.settled)

    async def _bad_rows(self, run: str, plan: Plan, folder: Path) -> list[BadRow]:
        """The first of them: no report shows more, and there may be a million."""
        from assay.reporting.evaluation import MOST_BAD_ROWS

        if not plan.bad_rows:
            return []
        await self.storage.download(layout.bad_rows(run), folder / BAD_ROWS)
        with (folder / BAD_ROWS).open("rb") as lines:
            return [BadRow.model_validate_json(line) for line in islice(lines, MOST_BAD_ROWS)]

    async def _fetch_judging(self, plan: Plan, folder: Path) -> "OutcomeFiles | None":
        """The judges' own outcomes, in a folder of their own; None when nothing was judged."""
        from assay.reporting.judges import judging_plan

        if not plan.judgements:
            return None
        folder.mkdir()
        return await self._fetch_outcomes(judging_plan(plan), folder)

    async def _fetch_outcomes(self, plan: Plan, folder: Path) -> "OutcomeFiles":
        from assay.reporting.outcome_files import OutcomeFiles

        fetched = OutcomeFiles(plan, folder)
        names = [one for at in range(len(plan.ranges)) for one in fetched.chunks(at)]
        for first in range(0, len(names), FETCH_AT_ONCE):
            batch = names[first : first + FETCH_AT_ONCE]
            blobs = [layout.outcome(plan.run, experiment, chunk) for experiment, chunk in batch]
            files = [fetched.file(experiment, chunk) for experiment, chunk in batch]
            # All end before an error is raised: the folder goes away then.
            ended = await asyncio.gather(*map(self.storage.download, blobs, files), return_exceptions=True)
            for error in ended:
                if isinstance(error, BaseException):
                    raise error
        return fetched

    async def _upload(self, run: str, folder: Path) -> None:
        for file in sorted(folder.iterdir()):
            await self.storage.upload(layout.bundle(run) + file.name, file)


def _pages(folder: Path, summary: "Contents") -> dict[str, bytes]:
    """The report in every format, by file name."""
    from assay.reporting import html, markdown, trial_page, trial_table, workbook

    table = trial_table.trial_table(folder, summary)
    trials = trial_page.pack_trials(table, _rows(folder / ROWS), summary)
    source = (folder / SUITE_FILE).read_text(encoding="utf-8")
    pages = {
        REPORT_HTML: html.render_html(summary, trials, source).encode(),
        REPORT_MD: markdown.render_markdown(summary).encode(),
    }
    with suppress(ModuleNotFoundError):
        pages[REPORT_XLSX] = workbook.render_workbook(summary, table)
    return pages


def _judged(
    suite: Suite, outcomes: "OutcomeFiles", judging: "OutcomeFiles | None", rows: Iterator[Row]
) -> "tuple[JudgeFacts, ...]":
    """What judges did; their scores then stand beside the others in the outcome files."""
    from assay.reporting.judged_files import add_judged_scores
    from assay.reporting.judges import judge_facts

    if judging is None:
        return ()
    add_judged_scores(outcomes.plan, outcomes.file, judging.file)
    return judge_facts(suite, judging, rows)


def _rows(path: Path) -> Iterator[Row]:
    with path.open("rb") as lines:
        for line in lines:
            yield Row.model_validate_json(line)
