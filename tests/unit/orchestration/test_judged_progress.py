"""Progress of a run with judges: what they did is counted in, and told apart."""

from __future__ import annotations

from datetime import UTC, datetime

from assay.budget.base import BudgetUsedUp
from assay.cli.live import Pace, describe
from assay.execution.ledger import metadata_of, tally
from assay.execution.stops import Stop, write_stop
from assay.orchestration.progress import count_progress
from assay.orchestration.stopping import stopped_progress
from assay.planning.judges.catalogue import judgements_of
from assay.records import Outcome
from assay.run_records import Plan, Progress, Stage, Tally
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from builders import RUN, outcome, plan, run_header, suite

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
JUDGE = {"plugin": "llm_judge", "name": "helpful", "model": {"deployment": "gpt-4o"}, "rubric": "Kind?"}
SUITE = suite(("plain", "short"), judges=[JUDGE])


def judged_plan() -> Plan:
    return plan(SUITE, rows=4, rows_per_range=2).model_copy(update={"judgements": judgements_of(SUITE)})


async def end(storage: MemoryStorage, name: str, chunk: int) -> None:
    """Writes what a worker leaves of a chunk that is done."""
    counted = metadata_of(tally([outcome(1, name), outcome(2, name)]))
    await storage.write(layout.outcome(RUN, name, chunk), b"", metadata=counted)


async def counted(storage: MemoryStorage) -> Progress:
    return await count_progress(storage, run_header(SUITE), judged_plan(), Stage.ASKING, NOW)


async def test_judges_work_counts_as_work_and_has_its_own_lines() -> None:
    """The run is done when its answers are judged too; the cost is that of both."""
    storage = MemoryStorage()
    for name in ("plain", "short", "helpful~plain"):
        await end(storage, name, 0)

    found = await counted(storage)

    assert (found.trials_total, found.judged_total, found.chunks_total, found.chunks_done) == (16, 8, 8, 3)
    assert {name: one.trials for name, one in found.by_experiment.items()} == {"plain": 2, "short": 2}
    assert {name: one.trials for name, one in found.by_judgement.items()} == {"helpful~plain": 2, "helpful~short": 0}
    assert found.tally == sum((*found.by_experiment.values(), *found.by_judgement.values()), Tally())
    assert "6 of 16 trials" in describe(found, Pace(0.0, None)) and "2 of 8 by judges" in describe(
        found, Pace(0.0, None)
    )


async def test_a_stopped_run_counts_what_judges_had_begun() -> None:
    """Their checkpoints are as safe as those of experiments."""
    storage = MemoryStorage()
    await end(storage, "plain", 0)
    path = layout.checkpoint(RUN, "helpful~plain", 0)
    await storage.open_journal(path)
    begun: Outcome = outcome(1, "helpful~plain")
    lease = await storage.acquire(path, 15)
    await storage.append(path, begun.model_dump_json().encode() + b"\n", lease=lease)
    await write_stop(storage, RUN, BudgetUsedUp("used up"), NOW)
    stop = Stop(reason="hopeless", message="No request can succeed.", at=NOW)

    found = await stopped_progress(storage, run_header(SUITE), judged_plan(), stop, NOW)

    assert found.by_judgement["helpful~plain"].trials == 1
    assert found.tally.trials == 3
    assert "3 of 16" in found.message


async def test_progress_from_before_there_were_judges_still_reads() -> None:
    """A run may be watched by a newer version than the one that began it."""
    old = Progress(run=RUN, stage=Stage.ASKING).model_dump(mode="json")
    del old["judged_total"], old["by_judgement"]
    assert Progress.model_validate(old).by_judgement == {}
