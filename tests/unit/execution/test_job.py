"""Jobs and messages: only what fits a run's plan is worked on, and each run is read once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from worker_bench import EXPERIMENTS, NOW, Asked, begin_run, body_of, message_of, trial

from assay.errors import MessageRefused, StorageError
from assay.execution.job import KEPT_JOBS, Jobs, quarantine_message, read_message
from assay.execution.trial import Trial
from assay.records import ChunkMessage
from assay.run_records import Refusal, RunHeader
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.suite.models import Suite
from builders import RUN


class Trials:
    """Makes trials and counts how often."""

    def __init__(self, error: Exception | None = None) -> None:
        self.made = 0
        self.error = error

    async def __call__(self, header: RunHeader) -> dict[str, Trial]:
        of = Suite.model_validate(header.suite)
        self.made += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return {one.name: trial(Asked(), of, one.name) for one in of.experiments}


GOOD: dict[str, Any] = {
    "v": 1,
    "run": RUN,
    "experiment": "plain",
    "chunk": 0,
    "first_row": 1,
    "rows": 4,
    "offset": 0,
    "length": 9,
}


def test_a_message_is_read_as_it_was_sent() -> None:
    """The wire format is the record's JSON."""
    assert read_message(json.dumps(GOOD)).run == RUN


@pytest.mark.parametrize(
    "body",
    [
        "",
        "hello",
        "\x00",
        "\ud800",
        "null",
        "[]",
        "{}",
        "[" * 100_000,
        json.dumps(GOOD)[:-1],
        json.dumps(GOOD | {"v": 2}),
        json.dumps({name: value for name, value in GOOD.items() if name != "rows"}),
        json.dumps(GOOD | {"extra": 1}),
        json.dumps(GOOD | {"chunk": "first"}),
        json.dumps(GOOD | {"chunk": 0.5}),
    ],
    ids=range(14),
)
def test_a_text_that_is_no_chunk_message_is_refused(body: str) -> None:
    """Garbage says what is wrong with it, in one line."""
    with pytest.raises(MessageRefused, match="not a chunk message: ") as refused:
        read_message(body)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "run", ["", ".", "..", "../secrets", "a/b", "a\\b", "-a", "a b", "ü-1", "a\n", "a" * 200], ids=range(11)
)
def test_a_run_that_could_leave_its_folder_is_refused_before_storage_sees_it(run: str) -> None:
    """A message's run becomes a part of blob paths."""
    with pytest.raises(MessageRefused, match="not a run's id"):
        read_message(json.dumps(GOOD | {"run": run}))


async def test_an_unknown_run_is_refused() -> None:
    """No plan, no work."""
    with pytest.raises(MessageRefused, match="there is no run 'support-triage-20261120-7f3ac2' with a plan"):
        await Jobs(MemoryStorage(), Trials()).of(ChunkMessage.model_validate(GOOD))


async def test_an_unknown_experiment_is_refused_with_the_known_ones() -> None:
    """The message names what the run has."""
    storage = MemoryStorage()
    stranger = message_of(await begin_run(storage)).model_copy(update={"experiment": "other"})

    with pytest.raises(MessageRefused, match=r"no experiment 'other'. It has: plain, short"):
        await Jobs(storage, Trials()).of(stranger)


@pytest.mark.parametrize(
    "change", [{"chunk": 2}, {"chunk": -1}, {"rows": 5}, {"first_row": 2}, {"offset": 1}, {"length": 1}]
)
async def test_a_range_that_is_not_the_plans_is_refused(change: dict[str, int]) -> None:
    """Only whole chunks of the plan are worked on, so that no outcome blob holds other rows than its name says."""
    storage = MemoryStorage()
    changed = message_of(await begin_run(storage, rows=8)).model_copy(update=change)

    with pytest.raises(MessageRefused, match="is not what the plan says"):
        await Jobs(storage, Trials()).of(changed)


async def test_a_run_is_read_once_however_many_messages_come_at_once() -> None:
    """Its plan, its header and its trials are made for the first message; the others wait for that."""
    storage, trials = MemoryStorage(), Trials()
    plan = await begin_run(storage, rows=8, rows_per_chunk=1)
    jobs = Jobs(storage, trials)

    found = await asyncio.gather(*(jobs.of(one) for one in plan.messages(0, plan.chunks)))

    assert len({id(job) for job in found}) == 1
    assert (trials.made, storage.operations["read"]) == (1, 2)


async def test_the_least_recently_used_run_is_forgotten() -> None:
    """A process that lives long keeps only a few runs."""
    storage, trials = MemoryStorage(), Trials()
    plans = [await begin_run(storage, run=f"run-{number}") for number in range(KEPT_JOBS + 1)]
    jobs = Jobs(storage, trials)
    for plan in plans[:-1]:
        await jobs.of(message_of(plan))

    await jobs.of(message_of(plans[0]))
    await jobs.of(message_of(plans[-1]))
    made = trials.made
    await jobs.of(message_of(plans[0]))
    assert trials.made == made

    await jobs.of(message_of(plans[1]))
    assert trials.made == made + 1


async def test_a_run_that_could_not_be_read_is_read_again() -> None:
    """A failure is not kept."""
    storage, trials = MemoryStorage(), Trials()
    message = message_of(await begin_run(storage))
    jobs = Jobs(storage, trials)
    storage.fail_next("read", StorageError("down"))

    with pytest.raises(StorageError):
        await jobs.of(message)

    assert (await jobs.of(message)).plan.run == RUN


async def test_a_plan_is_found_although_no_trial_can_be_made() -> None:
    """Burying a chunk must work when a model's settings are what is broken."""
    storage = MemoryStorage()
    message = message_of(await begin_run(storage))
    jobs = Jobs(storage, Trials(StorageError("no key vault")))

    assert (await jobs.plan_of(message)).experiments == EXPERIMENTS
    with pytest.raises(MessageRefused):
        await jobs.plan_of(message.model_copy(update={"chunk": 7}))


async def test_only_the_plans_last_message_is_last() -> None:
    """One hint a run: the engine hands the others to nobody and warns of each at every replay."""
    storage = MemoryStorage()
    plan = await begin_run(storage, rows=8, rows_per_chunk=4)
    job = await Jobs(storage, Trials()).of(message_of(plan))

    assert [job.is_last(one) for one in plan.messages(0, 99)] == [False, False, False, True]


async def test_a_refused_message_is_kept_once_with_its_beginning() -> None:
    """A person sees what came; the same message again changes nothing."""
    storage, body = MemoryStorage(), "x\x00" * 3000

    for reason in ("first", "second"):
        await quarantine_message(storage, body, reason, None, NOW)

    entries = [entry async for entry in storage.list("quarantine/messages/")]
    assert len(entries) == 1
    record = Refusal.model_validate_json(await storage.read(entries[0].path))
    assert (record.kind, record.reason, record.run, record.at) == ("message", "first", None, NOW)
    assert record.content.startswith("x\\x00x")
    assert len(record.content) == 2000


async def test_a_refused_message_of_a_run_is_kept_with_the_run() -> None:
    """Its place says which run it belongs to."""
    storage = MemoryStorage()
    plan = await begin_run(storage)

    await quarantine_message(storage, body_of(plan), "poisoned", RUN, NOW)

    entries = [entry async for entry in storage.list(layout.run_messages(RUN))]
    assert len(entries) == 1
