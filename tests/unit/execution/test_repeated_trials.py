"""Repeats: every row is asked so often, outcomes tell them apart, and a crash repeats none of them."""

from __future__ import annotations

import asyncio

from worker_bench import Asked, begin_run, body_of, message_of, outcomes_of, worker

from assay.middleware.base import Question, Reply
from assay.storage.memory import MemoryStorage


class Noting(Asked):
    """Keeps the questions themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[Question] = []

    async def __call__(self, question: Question) -> Reply:
        self.questions.append(question)
        return await super().__call__(question)


async def test_outcomes_and_questions_tell_repeats_apart() -> None:
    """The cache takes each repeat for a question of its own, and results name it."""
    storage, asked = MemoryStorage(), Noting()
    plan = await begin_run(storage, rows=4, rows_per_chunk=2, repeats=(3, 1))
    mine = worker(storage, asked)

    await asyncio.gather(*(mine.handle(body_of(plan, index)) for index in range(plan.chunks)))

    found = [
        (one.experiment, one.row_number, one.repeat)
        for index in range(plan.chunks)
        for one in await outcomes_of(storage, message_of(plan, index))
    ]
    expected = [("plain", row, repeat) for row in range(1, 5) for repeat in range(3)]
    assert sorted(found) == sorted([*expected, *(("short", row, 0) for row in range(1, 5))])
    put = sorted((one.experiment, one.row_id, one.repeat) for one in asked.questions)
    assert len(set(put)) == len(put) == plan.trials


async def test_a_second_delivery_of_a_repeat_asks_nothing_again() -> None:
    """What is safe is safe by repeat."""
    storage, asked = MemoryStorage(), Noting()
    plan = await begin_run(storage, rows=2, rows_per_chunk=2, repeats=(2, 1))
    mine = worker(storage, asked)
    for _ in range(2):
        for index in range(plan.chunks):
            await mine.handle(body_of(plan, index))

    assert len(asked.questions) == plan.trials == 6
