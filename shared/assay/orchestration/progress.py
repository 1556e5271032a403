"""Progress of a run, counted from one listing of its outcome blobs; no row is read."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from pydantic import ValidationError

from assay.errors import BlobMissing
from assay.execution.control import Control
from assay.run_records import Plan, Progress, RunHeader, Stage, Tally, is_run_id
from assay.storage import layout
from assay.storage.base import Blobs

READ_AT_ONCE = 16
LONG_AGO = datetime.min.replace(tzinfo=UTC)


async def count_progress(blobs: Blobs, header: RunHeader, plan: Plan, stage: Stage, now: datetime) -> Progress:
    """What a listing says right now."""
    tallies = {name: Tally() for name in plan.names}
    chunks_done = 0
    async for experiment, tally in _listed(blobs, header.run):
        tallies[experiment] += tally
        chunks_done += 1
    return Progress(
        run=header.run,
        stage=stage,
        trials_total=plan.trials + plan.judged_trials,
        chunks_total=plan.chunks,
        chunks_done=chunks_done,
        bad_rows=plan.bad_rows,
        tally=sum(tallies.values(), Tally()),
        by_experiment={name: tallies[name] for name in plan.experiments},
        judged_total=plan.judged_trials,
        by_judgement={one.name: tallies[one.name] for one in plan.judgements},
        started_at=header.created_at,
        updated_at=now,
    )


async def read_progress(blobs: Blobs, run: str) -> Progress | None:
    """What was last written of a run, or None when there is no such run.

    What cannot be read counts as failed, so that it can be resumed, and harms no other run's place in a list.
    """
    if not is_run_id(run):
        return None
    path = layout.progress(run)
    try:
        return Progress.model_validate_json(await blobs.read(path))
    except BlobMissing:
        return None
    except ValidationError:
        return Progress(run=run, stage=Stage.FAILED, message=f"{path} cannot be read; assay resume {run} goes on")


async def list_progress(blobs: Blobs) -> list[Progress]:
    """What was last written of every run, newest first."""
    runs = await blobs.folders(f"{layout.RUNS}/")
    found: list[Progress] = []
    for first in range(0, len(runs), READ_AT_ONCE):
        batch = await asyncio.gather(*(read_progress(blobs, run) for run in runs[first : first + READ_AT_ONCE]))
        found += [progress for progress in batch if progress]
    return sorted(found, key=lambda progress: progress.started_at or LONG_AGO, reverse=True)


def early_stop_notice(control: Control) -> str:
    """A sentence for people about the variants that early stop has settled; without any, nothing."""
    ended = [
        f"{one.experiment} after {one.rows:,} of {one.rows_planned:,} rows ({one.decision}, {one.rule} rule)"
        for one in control.settled
    ]
    return f"Stopped early: {'; '.join(ended)}." if ended else ""


def with_message(progress: Progress, message: str) -> Progress:
    """The same with one more sentence for people."""
    return progress.model_copy(update={"message": " ".join(filter(None, (progress.message, message)))})


async def take_up(blobs: Blobs, run: str) -> Stage | None:
    """Lets a failed run go on where it stopped: it counts as being planned again. Gives the stage it is in now.

    A stopped run stays stopped: only a person lets it go on (`stopping.resume`).
    """
    progress = await read_progress(blobs, run)
    if progress and progress.stage is Stage.FAILED:
        progress = progress.model_copy(update={"stage": Stage.PLANNING, "message": ""})
        await write_progress(blobs, progress)
    return progress.stage if progress else None


async def write_progress(blobs: Blobs, progress: Progress) -> None:
    """Replaces what was written before."""
    await blobs.write(layout.progress(progress.run), progress.model_dump_json().encode(), overwrite=True)


async def done_chunks(blobs: Blobs, run: str) -> set[tuple[str, int]]:
    """Experiment and number of every chunk that has its outcomes."""
    prefix = layout.outcomes(run)
    parts = [entry.path.removeprefix(prefix).removesuffix(".jsonl").split("/") async for entry in blobs.list(prefix)]
    return {(experiment, int(chunk)) for experiment, chunk in parts}


async def _listed(blobs: Blobs, run: str) -> AsyncIterator[tuple[str, Tally]]:
    prefix = layout.outcomes(run)
    async for entry in blobs.list(prefix):
        experiment = entry.path.removeprefix(prefix).split("/")[0]
        yield experiment, Tally.of(entry.metadata)
