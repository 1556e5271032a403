"""What early stop has settled, and workers that leave such experiments alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from worker_bench import EXPERIMENTS, Asked, begin_run, body_of, message_of, outcomes_of, worker

from assay.execution.control import Control, read_control, settle
from assay.execution.ledger import claimed
from assay.execution.worker import Handled
from assay.run_records import Plan, Tally
from assay.scoring.early_stop.base import Settled
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from builders import RUN
from builders import outcome as built

AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


def settled(experiment: str, rows: int = 100) -> Settled:
    return Settled(
        decision="better", reason="so", experiment=experiment, rule="sequential", rows=rows, rows_planned=1_000, at=AT
    )


async def begun_early(storage: MemoryStorage) -> Plan:
    """A run that may end early; its two experiments are the baseline `plain` and `short`."""
    plan = (await begin_run(storage)).model_copy(update={"early_stop": True})
    await storage.write(layout.plan(RUN), plan.model_dump_json().encode(), overwrite=True)
    return plan


async def test_nothing_is_settled_at_first() -> None:
    """No blob, or one that cannot be read, settles nothing."""
    storage = MemoryStorage()
    assert await read_control(storage, RUN) == Control()
    await storage.write(layout.control(RUN), b"{")
    assert await read_control(storage, RUN) == Control()


async def test_the_first_finding_of_a_variant_stays() -> None:
    """Whoever comes later adds only what is new."""
    storage = MemoryStorage()
    first = await settle(storage, RUN, [settled("short", 100)])
    both = await settle(storage, RUN, [settled("short", 900), settled("long")])
    assert first.settled == (settled("short", 100),)
    assert both.settled == (settled("short", 100), settled("long"))
    assert await read_control(storage, RUN) == both


async def test_findings_of_two_at_once_are_both_kept() -> None:
    """The blob changes by compare-and-swap."""
    storage = MemoryStorage()
    await asyncio.gather(*(settle(storage, RUN, [settled(f"variant-{at}")]) for at in range(8)))
    assert {one.experiment for one in (await read_control(storage, RUN)).settled} == {
        f"variant-{at}" for at in range(8)
    }


async def test_the_baseline_is_over_once_all_variants_are() -> None:
    """Before that it is needed for the others."""
    plan = Plan(run=RUN, rows=1, bad_rows=0, experiments=("plain", "short", "long"), ranges=())
    assert Control(settled=(settled("short"),)).over(plan) == {"short"}
    assert Control(settled=(settled("short"), settled("long"))).over(plan) == {"plain", "short", "long"}


async def test_a_worker_leaves_chunks_of_settled_experiments() -> None:
    """It asks nothing and writes nothing; the orchestrator ends such chunks."""
    storage, asked = MemoryStorage(), Asked()
    plan = await begun_early(storage)
    assert plan.experiments == EXPERIMENTS
    await settle(storage, RUN, [settled("short")])
    mine = worker(storage, asked)

    handled = [await mine.handle(body_of(plan, at)) for at in range(plan.chunks)]

    assert handled == [Handled(RUN)] * plan.chunks
    assert asked.rows == []
    assert storage.messages(layout.TRIALS_QUEUE) == []
    assert [one.path async for one in storage.list(layout.outcomes(RUN))] == []


async def test_workers_of_other_runs_do_not_look() -> None:
    """The look costs a request, so only runs that may end early pay for it."""
    storage, asked = MemoryStorage(), Asked()
    plan = await begin_run(storage)
    await settle(storage, RUN, [settled("short")])
    await worker(storage, asked).handle(body_of(plan, 1))
    assert len(asked.rows) == 4


async def test_a_chunk_that_ends_early_keeps_its_answers_and_counts_the_rest_as_skipped() -> None:
    """What was paid for is kept; the blob says how many rows were not asked."""
    storage = MemoryStorage()
    plan = await begin_run(storage)
    message = message_of(plan)
    async with claimed(storage, message, 0.0) as ledger:
        await ledger.add(built(2, message.experiment))
        await ledger.end_early()
    entry = await storage.find(layout.outcome(RUN, message.experiment, message.chunk))
    assert entry is not None
    tally = Tally.of(entry.metadata)
    assert (tally.trials, tally.succeeded, tally.skipped) == (4, 1, 3)
    assert [one.row_number for one in await outcomes_of(storage, message)] == [2]
    assert await storage.find(layout.checkpoint(RUN, message.experiment, message.chunk)) is None
