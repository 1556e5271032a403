"""Ends the chunks that early stop has made needless: each gets an outcome blob that counts its rows as skipped.

So an ended chunk looks done to everybody who lists outcomes. Each call can run again; the first outcome blob stays.
"""

import asyncio
from collections.abc import Collection, Mapping
from contextlib import suppress

from assay.errors import BlobExists, LeaseHeld, LeaseLost
from assay.execution.ledger import ChunkDone, claimed, metadata_of
from assay.run_records import Plan, Tally
from assay.storage import layout
from assay.storage.base import Blobs, Storage

Chunk = tuple[str, int]
"""Experiment or judgement, and the number of its chunk."""

MOST_AT_A_LOOK = 512
_AT_ONCE = 16
_NO_LINGER_SECONDS = 0.0


async def list_outcomes(blobs: Blobs, run: str) -> dict[Chunk, Tally]:
    """Every chunk that has ended, with its counts."""
    prefix = layout.outcomes(run)
    found: dict[Chunk, Tally] = {}
    async for entry in blobs.list(prefix):
        name, _, file = entry.path.removeprefix(prefix).rpartition("/")
        found[name, int(file.removesuffix(".jsonl"))] = Tally.of(entry.metadata)
    return found


def needless(plan: Plan, over: Collection[str], ended: Mapping[Chunk, Tally]) -> list[Chunk]:
    """Chunks without outcomes that nobody needs: those of experiments that are over, and judgements of such chunks."""
    if not over:
        return []
    names = [name for name in plan.experiments if name in over]
    found = [(name, chunk) for name in names for chunk in _chunks(plan, name) if (name, chunk) not in ended]
    judged = ((one.name, chunk) for one in plan.judgements for chunk in _chunks(plan, one.name))
    return [*found, *(one for one in judged if one not in ended and _lacks_answers(plan, ended, *one))]


def is_wanted(plan: Plan, over: Collection[str], ended: Mapping[Chunk, Tally], name: str, chunk: int) -> bool:
    """Whether a chunk is still to be worked on."""
    if (name, chunk) in ended or name in over:
        return False
    undecided = any(one in over and (one, chunk) not in ended for one in _judged(plan, name))
    return not undecided and not _lacks_answers(plan, ended, name, chunk)


async def waive(storage: Storage, plan: Plan, chunks: Collection[Chunk]) -> int:
    """Ends some of the needless chunks; those that a worker is busy with end by themselves. Returns how many ended."""
    if not chunks:
        return 0
    begun = await _checkpoints(storage, plan.run)
    some = list(chunks)[:MOST_AT_A_LOOK]
    ended = 0
    for first in range(0, len(some), _AT_ONCE):
        batch = some[first : first + _AT_ONCE]
        ended += sum(await asyncio.gather(*(_waive(storage, plan, one, one in begun) for one in batch)))
    return ended


async def _waive(storage: Storage, plan: Plan, chunk: Chunk, begun: bool) -> bool:
    if begun:
        return await _end_begun(storage, plan, chunk)
    message = plan.message(*chunk)
    counted = metadata_of(Tally(trials=message.rows, skipped=message.rows))
    with suppress(BlobExists):
        await storage.write(layout.outcome(plan.run, *chunk), b"", metadata=counted)
    return True


async def _end_begun(storage: Storage, plan: Plan, chunk: Chunk) -> bool:
    """Keeps what a worker that left had answered: it is paid for."""
    try:
        async with claimed(storage, plan.message(*chunk), _NO_LINGER_SECONDS) as ledger:
            await ledger.end_early()
    except ChunkDone:
        return True
    except (LeaseHeld, LeaseLost):
        return False
    return True


async def _checkpoints(blobs: Blobs, run: str) -> set[Chunk]:
    prefix = layout.checkpoints(run)
    parts = [entry.path.removeprefix(prefix).rpartition("/") async for entry in blobs.list(prefix)]
    return {(name, int(file.removesuffix(".jsonl"))) for name, _, file in parts}


def _chunks(plan: Plan, name: str) -> range:
    return range(plan.repeats_of(name) * len(plan.ranges))


def _judged(plan: Plan, name: str) -> list[str]:
    """The experiments whose answers a judgement needs; an experiment needs none."""
    judgement = plan.judgement(name)
    return [one for one in (judgement.experiment, judgement.against) if one] if judgement else []


def _lacks_answers(plan: Plan, ended: Mapping[Chunk, Tally], name: str, chunk: int) -> bool:
    """Whether answers that a judgement needs were not asked for, and so will never come."""
    judged = ((one, chunk) for one in _judged(plan, name))
    return any(one in ended and ended[one].skipped > 0 for one in judged)
