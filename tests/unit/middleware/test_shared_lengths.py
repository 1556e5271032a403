"""Workers learn from each other how long answers are: chunks tell it in a few words, and nobody waits for it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from test_answer_limits import LONGEST, Model, question

from assay.errors import StorageError
from assay.execution.ledger import metadata_of, tally
from assay.middleware.answer_lengths import REMEMBERED, AnswerLengths
from assay.middleware.answer_limits import AnswerLimits, Others
from assay.middleware.shared_lengths import ANSWER_LENGTHS, MOST_CHARACTERS, lengths_metadata, read_lengths
from assay.records import Outcome, Response, Tally, TrialStatus, Usage
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry


def outcome(row: int, tokens: int, criteria: tuple[str, ...] = ("tone",), **fields: Any) -> Outcome:
    answers = (
        Response(
            criterion=criterion,
            text="",
            finish_reason="stop",
            model="m",
            deployment="chat",
            request_id=None,
            usage=Usage(input_tokens=50, output_tokens=tokens),
            cost_usd=None,
            latency_seconds=1.0,
            **fields,
        )
        for criterion in criteria
    )
    done = TrialStatus.SUCCEEDED
    return Outcome(row_id=str(row), row_number=row, experiment="plain", status=done, responses=tuple(answers))


async def finish(storage: MemoryStorage, chunk: int, outcomes: list[Outcome]) -> None:
    metadata = metadata_of(tally(outcomes)) | lengths_metadata(outcomes)
    await storage.write(layout.outcome("run-1", "plain", chunk), b"", metadata=metadata)


class Sleeper:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.pauses: list[float] = []
        self._turns: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await self._turns.get()

    async def awaken(self) -> None:
        self._turns.put_nowait(None)
        for _ in range(20):
            await asyncio.sleep(0)


def limits(storage: MemoryStorage, sleep: Callable[..., Any], telemetry: RecordingTelemetry) -> AnswerLimits:
    return AnswerLimits(telemetry, {"chat"}, Others(storage, "run-1", sleep))


async def test_a_worker_that_joins_sends_the_limit_that_the_finished_chunks_suggest() -> None:
    """It has not seen one answer itself; the length is rounded up by at most 4 %."""
    storage, sleep = MemoryStorage(), Sleeper()
    await finish(storage, 0, [outcome(row, 100) for row in range(20)])
    await finish(storage, 1, [outcome(row, 90) for row in range(20)])
    link, model = limits(storage, sleep, RecordingTelemetry()), Model(lambda row: 1)
    await link.begin()
    await sleep.awaken()

    await link.answer(question(), model)
    await link.end()

    assert 100 < model.sent[0] <= 108


async def test_others_are_looked_at_ever_more_rarely_and_a_failure_harms_nobody() -> None:
    """After 0, 15, 30, 60, 120 seconds; what cannot be read is told and tried again."""
    storage, sleep, telemetry = MemoryStorage(), Sleeper(), RecordingTelemetry()
    link, model = limits(storage, sleep, telemetry), Model(lambda row: 1)
    storage.fail_next("list", StorageError("away"))
    await link.begin()
    for _ in range(4):
        await sleep.awaken()
    await link.answer(question(), model)
    await link.end()

    assert sleep.pauses == [0.0, 15.0, 15.0, 30.0, 60.0]
    assert model.sent == [LONGEST]
    assert telemetry.events[0][0] == "answer_lengths_unread"


async def test_the_listing_of_a_run_still_tells_its_progress() -> None:
    """The lengths lie beside the tally, which is read without them."""
    storage = MemoryStorage()
    outcomes = [outcome(row, 100) for row in range(3)]
    await finish(storage, 0, outcomes)

    entry = await storage.find(layout.outcome("run-1", "plain", 0))

    assert entry and Tally.of(entry.metadata) == tally(outcomes)


async def test_lengths_are_counted_by_experiment_and_criterion_over_all_chunks() -> None:
    """Prompts as well, as the best limit depends on them."""
    storage = MemoryStorage()
    for chunk in range(2):
        await finish(storage, chunk, [outcome(row, 1, ("tone", "summary")) for row in range(3)])

    known = await read_lengths(storage, "run-1")

    assert set(known) == {("plain", "tone"), ("plain", "summary")}
    assert known["plain", "tone"].counts == {1: 6}
    assert known["plain", "tone"].prompt_tokens == 6 * 50


def test_the_text_stays_short_however_many_lengths_there_are() -> None:
    """Coarser steps where there are many; where even these take too much, nothing is told."""
    many = lengths_metadata(outcome(row, row) for row in range(1, 5_000))
    too_many = lengths_metadata(outcome(row, row, tuple(f"c{one}" for one in range(40))) for row in range(1, 5_000))

    assert 0 < len(many[ANSWER_LENGTHS]) <= MOST_CHARACTERS
    assert too_many == {}


def test_cached_answers_tell_nothing() -> None:
    """They were not sent, so they say nothing of those that are."""
    assert lengths_metadata([outcome(1, 100, cached=True)]) == {}


def test_what_others_saw_is_taken_over_only_where_it_is_more() -> None:
    """Else a worker would forget what it knows exactly."""
    lengths = AnswerLengths(1_000)
    known = {100: REMEMBERED * 2}
    lengths.learn(Counter(known), 50_000)
    lengths.learn(Counter({900: 100}), 5_000)

    assert lengths.limit == 104
    assert lengths.is_learned
