"""Watching a run: it ends with the run, and with nothing else that could be taken for its end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from assay.cli import live
from assay.errors import CheckFailed, StorageError
from assay.orchestration.progress import write_progress
from assay.run_records import Progress, Stage, Tally
from assay.runtime import Runtime
from assay.storage.memory import MemoryStorage
from faults import Strike, struck

RUN = "colours-0123456789"
SILENCE = StorageError("reading runs failed: it does not answer")


@pytest.fixture(autouse=True)
def _look_without_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.0)


async def test_a_watch_ends_with_its_run() -> None:
    """It gives what was last seen."""
    storage = await _with(Stage.DONE)
    assert (await live.watch(_runtime(storage), RUN)).stage is Stage.DONE


async def test_a_watch_of_a_stopped_run_ends_with_the_reason() -> None:
    """As a failure: there is no result, and a person has to say how it goes on."""
    storage = await _with(Stage.STOPPED, "Budget reached: assay resume RUN")
    with pytest.raises(CheckFailed, match=r"is stopped\. Budget reached: assay resume RUN"):
        await live.watch(_runtime(storage), RUN)


async def test_a_run_without_one_answer_is_no_success() -> None:
    """It has ended and has a report, but a script must not go on as if it had results."""
    storage = MemoryStorage()
    await write_progress(storage, Progress(run=RUN, stage=Stage.DONE, tally=Tally(trials=9, failed=9)))
    with pytest.raises(CheckFailed, match="has ended, but not one of its 9 trials has an answer; see its report"):
        await live.watch(_runtime(storage), RUN)


async def test_a_run_that_does_not_appear_is_said_to_be_missing() -> None:
    """Storage answers, and knows no such run."""
    with pytest.raises(CheckFailed, match="there is no run"):
        await live.watch(_runtime(MemoryStorage()), RUN, patience_seconds=0)


async def test_silence_of_storage_does_not_end_a_watch_as_if_the_run_had_ended() -> None:
    """The run was seen at work; that storage then stays silent is an error of its own, with its own exit code."""
    storage = struck(await _with(Stage.PLANNING), Strike(at=6, error=SILENCE, for_good=True))
    with pytest.raises(StorageError, match="does not answer"):
        await live.watch(_runtime(storage), RUN, patience_seconds=0)


async def test_silence_of_storage_is_not_told_as_a_missing_run() -> None:
    """Nothing is known of the run, also not that there is none."""
    storage = struck(await _with(Stage.ASKING), Strike(at=1, error=SILENCE, for_good=True))
    with pytest.raises(StorageError, match="does not answer"):
        await live.watch(_runtime(storage), RUN, patience_seconds=0)


async def test_one_look_that_fails_is_followed_by_another() -> None:
    """A hiccup is not worth an error."""
    storage = struck(await _with(Stage.DONE), Strike(at=1, error=SILENCE))
    assert (await live.watch(_runtime(storage), RUN)).stage is Stage.DONE


async def _with(stage: Stage, message: str = "") -> MemoryStorage:
    storage = MemoryStorage()
    await write_progress(storage, Progress(run=RUN, stage=stage, message=message))
    return storage


def _runtime(storage: Any) -> Runtime:
    return cast(Runtime, SimpleNamespace(storage=storage))


def test_trials_that_were_not_asked_are_no_progress() -> None:
    """Early stop counts them as skipped; the line says how many were asked."""
    tally = Tally(trials=10_000, succeeded=1_200, skipped=8_800)
    progress = Progress(run=RUN, stage=Stage.DONE, trials_total=10_000, tally=tally)
    assert live.describe(progress, live.Pace(0.0, None)) == "1,200 of 10,000 trials  0.00 USD  8,800 skipped"
