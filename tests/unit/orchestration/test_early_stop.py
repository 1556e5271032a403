"""Early stop over the steps of a run in memory: what is looked at, settled, left out and counted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest
from run_bench import LABELS, NOW, Now, asking, dataset, plan_of, planned, progress_of, with_suite

from assay.errors import StorageError
from assay.execution.control import Control, read_control
from assay.execution.ledger import claimed, metadata_of, tally
from assay.orchestration.early_stop import conclude, look, summary_of
from assay.orchestration.progress import done_chunks
from assay.orchestration.steps import AskingSteps
from assay.orchestration.waiving import list_outcomes
from assay.planning.frozen import read_header
from assay.records import ChunkMessage, Outcome, Row, Score, TrialStatus
from assay.run_records import Plan
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.suite.models import Suite
from builders import blocked, failed, outcome, response
from faults import Strike, as_storage, struck

ROWS, ROWS_PER_CHUNK = 200, 10
SUITE = """\
version: 1
name: triage
seed: 3
dataset: {{id: id}}
defaults: {{model: {{deployment: m}}, user: "{{{{ text }}}}"}}
experiments:
  - {{name: plain, baseline: true}}
  - {{name: short}}
  - {{name: long}}
scorers: [{{plugin: label_match, name: correct, path: label, expected: label}}]
limits: {{rows_per_message: {size}}}
early_stop: {rule}
"""
SEQUENTIAL = "{plugin: sequential, minimum_rows: 20}"

Right = Callable[[str, Row], float]
"""Whether an experiment is right on a row: 1 or 0."""


def suite(rule: str = SEQUENTIAL, size: int = ROWS_PER_CHUNK) -> str:
    return SUITE.format(rule=rule, size=size)


def short_is_better(experiment: str, row: Row) -> float:
    """`short` wins on four rows of five, `long` is as good as the baseline."""
    luck = Random(f"{experiment}:{row.number}").random()
    return float(luck < 0.9) if experiment == "short" else float(row.number % 5 == 0)


def no_difference(experiment: str, row: Row) -> float:
    return float(Random(f"{experiment}:{row.number}").random() < 0.5)


def both_differ(experiment: str, row: Row) -> float:
    return float({"plain": row.number % 5 == 0, "short": True, "long": False}[experiment])


async def begun(text: str, rows: int = ROWS) -> tuple[MemoryStorage, str]:
    storage = await with_suite(text)
    return storage, await planned(storage, dataset(rows))


async def work(storage: MemoryStorage, message: ChunkMessage, right: Right) -> None:
    """Ends a chunk as a worker does."""
    rows = await rows_of(storage, message)
    outcomes = [tried(message, row, right) for row in rows]
    content = b"".join(one.model_dump_json().encode() + b"\n" for one in outcomes)
    path = layout.outcome(message.run, message.experiment, message.chunk)
    await storage.write(path, content, metadata=metadata_of(tally(outcomes)))


async def rows_of(storage: MemoryStorage, message: ChunkMessage) -> list[Row]:
    lines = await storage.read(layout.rows(message.run), offset=message.offset, length=message.length)
    return [Row.model_validate_json(line) for line in lines.splitlines()]


def tried(message: ChunkMessage, row: Row, right: Right) -> Outcome:
    answered = response(f'{{"label": "{LABELS[0]}"}}', "answer", cost_usd="0.001")
    return Outcome(
        row_id=row.row_id,
        row_number=row.number,
        experiment=message.experiment,
        repeat=message.repeat,
        status=TrialStatus.SUCCEEDED,
        responses=(answered,),
        scores=(Score(name="correct", value=right(message.experiment, row)),),
    )


async def drive(storage: MemoryStorage, run: str, right: Right, turns: int = 500) -> list[ChunkMessage]:
    """Watches, dispatches and works until the run is over, as the orchestrator does; gives what was worked on."""
    steps, cursor, worked = asking(storage, now=_late()), 0, []
    for _ in range(turns):
        seen = await steps.watch(run)
        if seen["done"] >= seen["total"]:
            return worked
        cursor = await steps.dispatch(run, cursor, seen["done"], lost=False)
        worked += await work_on_queue(storage, run, right)
    raise AssertionError(f"not over after {turns} turns: {seen}")


async def work_on_queue(storage: MemoryStorage, run: str, right: Right) -> list[ChunkMessage]:
    there = await done_chunks(storage, run)
    messages = [ChunkMessage.model_validate_json(text) for text in storage.take_messages(layout.TRIALS_QUEUE)]
    wanted = list(dict.fromkeys(one for one in messages if (one.experiment, one.chunk) not in there))
    for message in wanted:
        await work(storage, message, right)
    return wanted


def _late() -> Now:
    now = Now()
    now.advance(10_000)  # so that the pace is slow and the queue stays as short as it is set
    return now


async def looked(storage: MemoryStorage, run: str) -> Control:
    header, plan = await read_header(storage, run), await plan_of(storage, run)
    return (await look(storage, Suite.model_validate(header.suite), plan, NOW)).control


# --- the order of rows


async def test_rows_are_asked_in_a_seeded_random_order_and_keep_their_numbers() -> None:
    """A sorted file must not decide which rows are looked at first; every row is there once."""
    storage, run = await begun(suite())
    plan = await plan_of(storage, run)
    numbers = [row.number for row in await _planned_rows(storage, plan)]
    assert plan.early_stop
    assert sorted(numbers) == list(range(1, ROWS + 1))
    assert numbers != sorted(numbers)
    other, _ = await begun(suite())
    assert await other.read(layout.rows(run)) == await storage.read(layout.rows(run))


async def test_row_ranges_of_a_shuffled_file_hold_the_rows_that_they_say() -> None:
    """Offsets follow the new order."""
    storage, run = await begun(suite())
    plan = await plan_of(storage, run)
    parts = [await rows_of(storage, plan.message("plain", at)) for at in range(len(plan.ranges))]
    assert [len(part) for part in parts] == [one.rows for one in plan.ranges]
    assert [row for part in parts for row in part] == await _planned_rows(storage, plan)


async def _planned_rows(storage: MemoryStorage, plan: Plan) -> list[Row]:
    return [Row.model_validate_json(line) for line in (await storage.read(layout.rows(plan.run))).splitlines()]


# --- settling


async def test_a_clear_difference_settles_its_variant_and_no_other() -> None:
    """`short` ends early, `long` and the baseline are asked to the end, and skipped trials are counted as such."""
    storage, run = await begun(suite())
    worked = await drive(storage, run, short_is_better)

    control, progress = await read_control(storage, run), await progress_of(storage, run)
    assert [(one.experiment, one.decision, one.rule) for one in control.settled] == [("short", "better", "sequential")]
    settled = control.settled[0]
    assert 20 <= settled.rows < ROWS == settled.rows_planned
    tallies = progress.by_experiment
    assert tallies["short"].skipped > 0 == tallies["long"].skipped == tallies["plain"].skipped
    assert tallies["short"].trials == ROWS
    assert tallies["short"].succeeded == sum(one.rows for one in worked if one.experiment == "short")
    assert progress.chunks_done == progress.chunks_total
    assert f"Stopped early: short after {settled.rows} of 200 rows (better, sequential rule)." in progress.message


async def test_once_all_variants_are_settled_the_rest_is_not_asked() -> None:
    """The baseline ends with its last variant; both directions stop."""
    storage, run = await begun(suite())
    worked = await drive(storage, run, both_differ)

    progress = await progress_of(storage, run)
    decisions = {one.experiment: one.decision for one in (await read_control(storage, run)).settled}
    assert decisions == {"short": "better", "long": "worse"}
    assert len(worked) < (await plan_of(storage, run)).chunks / 2
    assert progress.tally.skipped > progress.tally.trials / 2
    assert progress.by_experiment["plain"].skipped > 0


async def test_without_a_difference_every_row_is_asked() -> None:
    """Nothing is settled and nothing skipped."""
    storage, run = await begun(suite())
    worked = await drive(storage, run, no_difference)
    assert len(worked) == (await plan_of(storage, run)).chunks
    assert (await progress_of(storage, run)).tally.skipped == 0
    assert await read_control(storage, run) == Control()


async def test_minimising_turns_the_verdict() -> None:
    """Where less is better, the variant with more is the worse one."""
    storage, run = await begun(suite() + "comparison: {goal: minimise}\n")
    await drive(storage, run, both_differ)
    decisions = {one.experiment: one.decision for one in (await read_control(storage, run)).settled}
    assert decisions == {"short": "worse", "long": "better"}


async def test_a_margin_settles_variants_that_hardly_differ() -> None:
    """Answers that are all alike are equivalent long before the end."""
    storage, run = await begun(suite("{plugin: sequential, margin: 0.2, minimum_rows: 20}"))
    await drive(storage, run, lambda _, row: float(row.number % 2))
    decisions = {one.experiment: one.decision for one in (await read_control(storage, run)).settled}
    assert decisions == {"short": "equivalent", "long": "equivalent"}


async def test_a_threshold_ends_a_variant_that_fails_too_often() -> None:
    """The heuristic watches the variant's own trials."""
    storage, run = await begun(suite("[{plugin: threshold, failure_rate: 0.3, minimum_rows: 30}]"))
    plan = await plan_of(storage, run)
    for at in range(4):
        for name in plan.experiments:
            await _work_badly(storage, plan.message(name, at))
    control = await looked(storage, run)
    assert [(one.experiment, one.decision, one.rows) for one in control.settled] == [("long", "threshold", 30)]
    assert control.settled[0].reason == "the share of failed trials is 0.5, above 0.3"


async def _work_badly(storage: MemoryStorage, message: ChunkMessage) -> None:
    """Every other trial of `long` fails."""
    outcomes = [
        failed(row.number, message.experiment)
        if message.experiment == "long" and at % 2
        else outcome(row.number, message.experiment)
        for at, row in enumerate(await rows_of(storage, message))
    ]
    content = b"".join(one.model_dump_json().encode() + b"\n" for one in outcomes)
    path = layout.outcome(message.run, message.experiment, message.chunk)
    await storage.write(path, content, metadata=metadata_of(tally(outcomes)))


# --- what is looked at


async def test_only_complete_row_ranges_one_after_the_other_count() -> None:
    """Ranges behind a gap wait, so that slow answers cannot choose what is looked at."""
    storage, run = await begun(suite())
    header, plan = await read_header(storage, run), await plan_of(storage, run)
    for at in (0, 1, 3):
        for name in plan.experiments:
            await work(storage, plan.message(name, at), short_is_better)
    await work(storage, plan.message("plain", 2), short_is_better)
    await work(storage, plan.message("long", 2), short_is_better)

    courses = (await look(storage, Suite.model_validate(header.suite), plan, NOW)).courses

    assert {name: course.ranges for name, course in courses.items()} == {"short": 2, "long": 4}
    assert courses["long"].rows == 40


async def test_a_row_range_is_complete_with_every_repeat() -> None:
    """Repeats of a row are one piece of evidence; a range without all of them waits."""
    storage, run = await begun(suite() + "repeats: 2\n")
    header, plan = await read_header(storage, run), await plan_of(storage, run)
    for message in plan.messages(0, 2 * len(plan.rounds) - 1):  # all of two ranges but the last chunk, of `long`
        await work(storage, message, both_differ)

    courses = (await look(storage, Suite.model_validate(header.suite), plan, NOW)).courses

    assert {name: course.ranges for name, course in courses.items()} == {"short": 2, "long": 1}
    assert (courses["short"].rows, courses["short"].trials) == (20, 40)
    sequence = courses["short"].scores["correct"].sequence
    assert sequence is not None
    assert sequence.pairs == 20

    await drive(storage, run, both_differ)
    progress = await progress_of(storage, run)
    assert progress.chunks_done == progress.chunks_total == plan.chunks
    assert progress.tally.skipped > 0


async def test_a_look_reads_every_outcome_once() -> None:
    """A second look without news reads no outcome; storage operations stay few."""
    storage, run = await begun(suite())
    plan = await plan_of(storage, run)
    for at in range(3):
        for name in plan.experiments:
            await work(storage, plan.message(name, at), no_difference)
    storage.operations.clear()
    await looked(storage, run)
    first = dict(storage.operations)
    storage.operations.clear()
    await looked(storage, run)

    assert first == {"read": 13, "list": 1, "write": 1}  # header, plan, control, courses and nine outcomes
    assert dict(storage.operations) == {"read": 4, "list": 1}


async def test_lost_or_unreadable_courses_are_counted_anew() -> None:
    """The small blob only saves reading; the outcomes are the truth."""
    storage, run = await begun(suite())
    plan = await plan_of(storage, run)
    for at in range(5):
        for name in plan.experiments:
            await work(storage, plan.message(name, at), short_is_better)
    control = await looked(storage, run)
    kept = await storage.read(layout.early_stop(run))
    for spoilt in (b"{", b'{"other": {"experiment": "other", "primary": "x"}}'):
        await storage.write(layout.early_stop(run), spoilt, overwrite=True)
        await looked(storage, run)
        assert (
            await storage.read(layout.early_stop(run)) == kept or await storage.read(layout.early_stop(run)) == spoilt
        )
        await storage.delete(layout.early_stop(run))
        assert await looked(storage, run) == control
        assert await storage.read(layout.early_stop(run)) == kept


async def test_the_conclusion_takes_in_what_no_look_has_seen() -> None:
    """The evaluation may come before the last look."""
    storage, run = await begun(suite())
    header, plan = await read_header(storage, run), await plan_of(storage, run)
    for message in plan.messages(0, plan.chunks):
        await work(storage, message, no_difference)
    found = await conclude(storage, Suite.model_validate(header.suite), plan, NOW)
    assert {course.rows for course in found.courses.values()} == {ROWS}
    assert found.control == Control()


def test_a_summary_says_what_the_outcome_says() -> None:
    """The quick reader and the records agree, failed and blocked trials included."""
    for one in (outcome(3, "short", {"correct": 1.0, "missing": None}), failed(4, "short"), blocked(5)):
        summary = summary_of(one.model_dump_json().encode())
        assert (summary.row, summary.status, summary.cost_usd) == (one.row_number, one.status, one.cost_usd)
        assert summary.scores == {score.name: score.value for score in one.scores if score.value is not None}


# --- dying, doubles, workers


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_look_that_dies_at_any_call_and_then_comes_again_finds_the_same(after: bool) -> None:
    """What was settled stays, nothing is counted twice, and the same chunks end."""
    whole, run = await begun(suite())
    await _half_asked(whole, run)
    steps = asking(whole)
    for _ in range(3):
        await steps.watch(run)
    expected = await _state(whole, run)
    untouched, _ = await begun(suite())
    await _half_asked(untouched, run)
    counted = struck(untouched)
    await asking(as_storage(counted)).watch(run)
    for at in range(1, len(counted.calls) + 1, 2 if after else 3):
        storage, same = await begun(suite())
        assert same == run
        await _half_asked(storage, run)
        dying = struck(storage, Strike(at, StorageError("dead"), after=after, for_good=True))
        with suppress(StorageError):
            await asking(as_storage(dying)).watch(run)
        for _ in range(3):
            await asking(storage).watch(run)
        assert await _state(storage, run) == expected


async def _half_asked(storage: MemoryStorage, run: str) -> None:
    plan = await plan_of(storage, run)
    for at in range(8):
        for name in plan.experiments:
            await work(storage, plan.message(name, at), both_differ)


async def _state(storage: MemoryStorage, run: str) -> tuple[object, ...]:
    ended = await list_outcomes(storage, run)
    return await read_control(storage, run), await storage.read(layout.early_stop(run)), ended


async def test_every_step_taken_twice_gives_the_same_run() -> None:
    """Activities may run twice, and messages may come twice."""
    once, run = await begun(suite())
    await drive(once, run, both_differ)
    twice, _ = await begun(suite())
    steps, cursor = asking(twice, now=_late()), 0
    for _ in range(500):
        await steps.watch(run)
        seen = await steps.watch(run)
        if seen["done"] >= seen["total"]:
            break
        await steps.dispatch(run, cursor, seen["done"], lost=False)
        cursor = await steps.dispatch(run, cursor, seen["done"], lost=False)
        await work_on_queue(twice, run, both_differ) if cursor else None
    first, second = await read_control(once, run), await read_control(twice, run)
    assert [(one.experiment, one.rows) for one in first.settled] == [
        (one.experiment, one.rows) for one in second.settled
    ]
    assert (await progress_of(twice, run)).chunks_done == (await plan_of(twice, run)).chunks


async def test_a_second_finding_of_a_variant_changes_nothing() -> None:
    """What is settled is settled for good: the first one stays."""
    storage, run = await begun(suite())
    await _half_asked(storage, run)
    before = await looked(storage, run)
    await storage.delete(layout.early_stop(run))
    header, plan = await read_header(storage, run), await plan_of(storage, run)
    later = NOW.replace(hour=23)
    assert (await look(storage, Suite.model_validate(header.suite), plan, later)).control == before


async def test_chunks_that_a_worker_is_busy_with_are_finished() -> None:
    """A claimed chunk is left alone; once its worker is gone, what it had answered is kept and the rest is skipped."""
    storage, run = await begun(suite())
    await _half_asked(storage, run)
    plan = await plan_of(storage, run)
    message = plan.message("short", 9)
    rows = await rows_of(storage, message)
    steps = asking(storage)
    async with claimed(storage, message, 0.0) as ledger:
        await ledger.add(tried(message, rows[0], both_differ))
        for _ in range(3):
            await steps.watch(run)
        ended = await list_outcomes(storage, run)
        assert ("short", 9) not in ended
        assert ended["short", 10].skipped == ROWS_PER_CHUNK
        await storage.release(layout.checkpoint(run, "short", 9), ledger._claim.lease)
        await steps.watch(run)
    counted = (await list_outcomes(storage, run))["short", 9]
    assert (counted.trials, counted.succeeded, counted.skipped) == (10, 1, 9)


async def test_dispatch_sends_no_chunk_of_a_settled_experiment() -> None:
    """Its chunks take no place in the queue either."""
    storage, run = await begun(suite())
    plan = await plan_of(storage, run)
    for at in range(8):
        for name in plan.experiments:
            await work(storage, plan.message(name, at), short_is_better)
    steps = asking(storage, now=_late(), queue_depth=6)
    seen = await steps.watch(run)
    assert [one.experiment for one in (await read_control(storage, run)).settled] == ["short"]
    cursor = await steps.dispatch(run, 24, seen["done"], lost=False)

    sent = [ChunkMessage.model_validate_json(text) for text in storage.messages(layout.TRIALS_QUEUE)]
    assert [(one.experiment, one.chunk) for one in sent] == [
        (name, at) for at in (8, 9, 10) for name in ("plain", "long")
    ]
    assert await steps.dispatch(run, cursor, seen["done"], lost=False) == cursor
    assert len(storage.take_messages(layout.TRIALS_QUEUE)) == 6
    await steps.dispatch(run, cursor, seen["done"], lost=True)
    assert len(storage.messages(layout.TRIALS_QUEUE)) == 6


async def test_a_run_without_early_stop_pays_nothing_for_it() -> None:
    """No blob of it is read or written."""
    storage = await with_suite(suite().replace("early_stop:", "#"))
    run = await planned(storage, dataset(20))
    steps: AskingSteps = asking(storage)
    storage.operations.clear()
    await steps.watch(run)
    assert storage.operations["list"] == 1
    assert await storage.find(layout.early_stop(run)) is None
