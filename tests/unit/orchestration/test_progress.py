"""Reading progress: what comes from outside names a run or nothing."""

from __future__ import annotations

import pytest

from assay.orchestration.progress import list_progress, read_progress, write_progress
from assay.run_records import Progress, Stage
from assay.storage import layout
from assay.storage.memory import MemoryStorage


@pytest.mark.parametrize("text", ["../inbox", "a/b", "", ".", "run id", "x" * 81, "rün"])
async def test_what_cannot_be_a_run_is_never_looked_up(text: str) -> None:
    """The id comes from a URL or a command line, and would become part of a path."""
    storage = MemoryStorage()

    assert await read_progress(storage, text) is None
    assert storage.operations.total() == 0


async def test_runs_are_listed_newest_first() -> None:
    """Those that never began stand last."""
    storage = MemoryStorage()
    for name, began in (("a-0", None), ("b-1", "2026-01-01T00:00:00Z"), ("c-2", "2026-02-01T00:00:00Z")):
        await write_progress(storage, Progress(run=name, stage=Stage.ASKING, started_at=began))

    assert [one.run for one in await list_progress(storage)] == ["c-2", "b-1", "a-0"]


async def test_progress_that_cannot_be_read_counts_as_failed_and_hides_no_other_run() -> None:
    """A failed run can be resumed; the next look at it writes its progress anew."""
    storage = MemoryStorage()
    await write_progress(storage, Progress(run="a-0", stage=Stage.DONE))
    await storage.write(layout.progress("b-1"), b'{"run":')

    listed = {one.run: one for one in await list_progress(storage)}

    assert (listed["a-0"].stage, listed["b-1"].stage) == (Stage.DONE, Stage.FAILED)
    assert listed["b-1"].message == "runs/b-1/progress.json cannot be read; assay resume b-1 goes on"
