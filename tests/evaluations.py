"""Evaluations of outcomes that a test has in hand: they are stored as a run stores them, and read from there."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from assay.llm.pricing import PriceTable, load_prices
from assay.planning.preflight import scores_given
from assay.records import BadRow, Outcome, Row
from assay.reporting import evaluation
from assay.reporting.columns import BatchFigures
from assay.reporting.contents import Contents
from assay.reporting.finished_run import FinishedRun
from assay.reporting.gathering import Writing, gather
from assay.reporting.outcome_files import OutcomeFiles
from assay.reporting.tables import Renderer, ResultFiles
from assay.reporting.trials import TrialBatch
from assay.run_records import Plan, RunHeader
from assay.suite.models import Suite
from builders import plan


def evaluate(
    header: RunHeader,
    suite: Suite,
    plan: Plan,
    outcomes: Iterable[Outcome],
    bad_rows: Sequence[BadRow],
    quarantined_messages: int,
    rows: Iterable[Row] = (),
    prices: PriceTable | None = None,
) -> Contents:
    """The contents of a report over these outcomes, in whatever order."""
    with TemporaryDirectory() as folder:
        stored = store(outcomes, plan, Path(folder))
        run = FinishedRun(header, suite, stored, bad_rows, quarantined_messages, prices or load_prices())
        return evaluation.evaluate(run, rows)


def store(outcomes: Iterable[Outcome], plan: Plan, folder: Path) -> OutcomeFiles:
    """The outcomes in files, by row range, experiment and repeat; what is not planned lies in the nearest file."""
    files = OutcomeFiles(plan, folder)
    lines: dict[Path, list[str]] = {
        files.file(name, chunk): [] for at in range(len(plan.ranges)) for name, chunk in files.chunks(at)
    }
    for one in outcomes:
        lines[_place(one, files)].append(one.model_dump_json() + "\n")
    for path, content in lines.items():
        path.write_text("".join(content), encoding="utf-8")
    return files


def write_results(
    outcomes: Iterable[Outcome], suite: Suite, folder: Path, planned: Plan | None = None, rows: int = 60
) -> None:
    """The result files of these outcomes, in the folder."""
    plan_of_run, scores = planned or plan(suite, rows), [one.name for one in scores_given(suite)]
    renderer = Renderer.of(suite)
    with TemporaryDirectory() as stored, ResultFiles(folder, renderer.layout) as files:
        gather(store(outcomes, plan_of_run, Path(stored)), scores, Writing(renderer, files))


def batch_of(*outcomes: Outcome, suite: Suite | None = None, rows: int = 60) -> TrialBatch:
    """The outcomes as one batch, each trial once."""
    with TemporaryDirectory() as folder:
        stored = store(outcomes, plan(suite, rows, rows_per_range=rows), Path(folder))
        (raw,) = stored.batches()
        return raw.parsed()


def figures_of(batch: TrialBatch, *scores: str) -> BatchFigures:
    return BatchFigures.of(batch, scores)


def _place(one: Outcome, files: OutcomeFiles) -> Path:
    plan = files.plan
    name = one.experiment if one.experiment in plan.experiments else plan.experiments[0]
    ends = [at.first_row + at.rows for at in plan.ranges]
    at = next((at for at, end in enumerate(ends) if one.row_number < end), len(ends) - 1)
    return files.file(name, plan.chunk(at, min(one.repeat, plan.repeats_of(name) - 1)))
