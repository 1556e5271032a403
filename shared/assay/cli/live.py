"""Watches a run: a live display on a terminal, plain lines elsewhere, until the run has ended or was refused."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar

from assay.amounts import usd
from assay.cli.shown import progress_console
from assay.errors import BlobMissing, CheckFailed, StorageError
from assay.orchestration.progress import count_progress, read_progress
from assay.planning.frozen import read_header, read_plan
from assay.run_records import Plan, Progress, RunHeader, Stage
from assay.runtime import Runtime, now

LOOK_SECONDS = 0.5
LINE_SECONDS = 3.0
PATIENCE_SECONDS = 20.0
RATE_WINDOW_SECONDS = 15.0
ENDED = (Stage.DONE, Stage.FAILED, Stage.STOPPED)


@dataclass(frozen=True)
class Pace:
    """How quickly trials come in. `eta_seconds` is None while nothing can be said."""

    per_second: float
    eta_seconds: float | None


class Pacer:
    """The pace over the last seconds."""

    def __init__(self) -> None:
        self._seen: list[tuple[float, int]] = []

    def pace(self, progress: Progress, at: float) -> Pace:
        """Call it with every look; `at` is monotonic, in seconds."""
        self._seen = [(then, done) for then, done in self._seen if at - then <= RATE_WINDOW_SECONDS]
        self._seen.append((at, progress.tally.trials))
        (first_at, first), (last_at, last) = self._seen[0], self._seen[-1]
        rate = (last - first) / (last_at - first_at) if last_at > first_at else 0.0
        left = progress.trials_total - progress.tally.trials
        return Pace(rate, left / rate if rate else None)


async def watch(runtime: Runtime, run: str, patience_seconds: float = PATIENCE_SECONDS) -> Progress:
    """Shows the run until it has ended.

    Raises CheckFailed when it failed or was stopped, when not one trial has an answer, or no such run appears in time.

    Raises StorageError when storage does not answer for longer than `patience_seconds`.
    """
    screen = progress_console()
    show = _LiveDisplay() if screen.is_terminal else _LineDisplay()
    last: Progress | None = None
    with show:
        async for progress in _looks(runtime, run, patience_seconds):
            last = progress
            show.update(progress)
    if last is None:
        raise CheckFailed(f"there is no run '{run}'; 'assay ls' shows what there is")
    if last.stage is Stage.FAILED:
        raise CheckFailed(f"run {run} failed: {last.message}")
    if last.stage is Stage.STOPPED:
        raise CheckFailed(f"run {run} is stopped. {last.message}")
    if last.tally.trials and not last.tally.succeeded:
        raise CheckFailed(
            f"run {run} has ended, but not one of its {last.tally.trials:,} trials has an answer; see its report"
        )
    return last


async def _looks(runtime: Runtime, run: str, patience_seconds: float) -> AsyncIterator[Progress]:
    """Progress as often as it is worth looking; a storage account that does not answer is asked again for a while."""
    frozen: tuple[RunHeader, Plan] | None = None
    seen_at = time.monotonic()
    while True:
        try:
            frozen = frozen or await _frozen(runtime, run)
            progress = await _look(runtime, run, frozen)
        except StorageError:
            # Silence is no news of the run: it neither ends the run nor means that there is none.
            if time.monotonic() - seen_at > patience_seconds:
                raise
        else:
            if progress:
                yield progress
                seen_at = time.monotonic()
            if progress.stage in ENDED if progress else time.monotonic() - seen_at > patience_seconds:
                return
        await asyncio.sleep(LOOK_SECONDS)


async def _look(runtime: Runtime, run: str, frozen: tuple[RunHeader, Plan] | None) -> Progress | None:
    """What is known of the run now; while models are asked, counted anew."""
    progress = await read_progress(runtime.storage, run)
    if progress and frozen and progress.stage is Stage.ASKING:
        return await count_progress(runtime.storage, *frozen, Stage.ASKING, now())
    return progress


async def _frozen(runtime: Runtime, run: str) -> tuple[RunHeader, Plan] | None:
    """Header and plan, which never change once they are there."""
    try:
        return await read_header(runtime.storage, run), await read_plan(runtime.storage, run)
    except BlobMissing:
        return None


class _LiveDisplay:
    def __init__(self) -> None:
        self._pacer = Pacer()
        self._bar = Bar(
            TextColumn("{task.description:<11}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            console=progress_console(),
        )
        self._task = self._bar.add_task("starting", total=None, text="")

    def __enter__(self) -> "_LiveDisplay":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self, progress: Progress) -> None:
        pace = self._pacer.pace(progress, time.monotonic())
        self._bar.update(
            self._task,
            description=progress.stage.value,
            total=progress.trials_total or None,
            completed=progress.tally.trials,
            text=describe(progress, pace),
        )


class _LineDisplay:
    def __init__(self) -> None:
        self._pacer = Pacer()
        self._shown_at, self._shown = float("-inf"), ""

    def __enter__(self) -> "_LineDisplay":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, progress: Progress) -> None:
        at = time.monotonic()
        pace = self._pacer.pace(progress, at)
        key = f"{progress.stage.value} {progress.tally.trials if progress.stage is Stage.ASKING else ''}"
        is_new_stage = key.split()[0] != self._shown.split(" ")[0]
        if key != self._shown and (is_new_stage or at - self._shown_at >= LINE_SECONDS):
            self._shown_at, self._shown = at, key
            progress_console().print(f"{progress.stage.value}: {describe(progress, pace)}")


def describe(progress: Progress, pace: Pace) -> str:
    """One line: trials, rate, time left, cost, failures."""
    tally = progress.tally
    parts = [f"{tally.trials - tally.skipped:,} of {progress.trials_total:,} trials"]
    if progress.judged_total:
        judged = sum(one.trials - one.skipped for one in progress.by_judgement.values())
        parts.append(f"of these {judged:,} of {progress.judged_total:,} by judges")
    if progress.stage is Stage.ASKING and pace.per_second:
        parts += [f"{pace.per_second:,.1f}/s", f"{_duration(pace.eta_seconds)} left"]
    parts.append(f"{usd(tally.cost_usd)} USD")
    counts = (tally.failed, "failed"), (tally.blocked, "blocked"), (tally.skipped, "skipped")
    for count, noun in (*counts, (progress.bad_rows, "rows quarantined")):
        if count:
            parts.append(f"{count:,} {noun}")
    if progress.message:
        parts.append(progress.message)
    return "  ".join(parts)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
