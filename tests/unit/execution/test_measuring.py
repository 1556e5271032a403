"""What telemetry is told of trials, chunks and requests to models: every one once, without a word of its content."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from asking_bench import SPENT_AT_ONCE, Bench, failing
from worker_bench import Asked, begin_run, body_of, worker

from assay.llm.errors import FailureKind
from assay.middleware.base import Unanswered
from assay.quota.base import QuotaElsewhere
from assay.records import Usage
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry
from assay.telemetry_names import (
    CALL_SPAN,
    CHUNK_DURATION,
    CHUNK_SPAN,
    COST_USD,
    DEPLOYMENT,
    ERROR_TYPE,
    KIND,
    OUTCOME,
    POISON,
    QUEUE,
    REQUEST_ID,
    REQUESTS,
    STATUS,
    SUITE,
    THROTTLED,
    TOKEN_COUNT,
    TOKEN_KIND,
    TOKEN_USAGE,
    TRIAL_SPAN,
    TRIALS,
    WAIT_FOR_QUOTA,
)


async def test_every_trial_of_a_chunk_is_counted_and_has_a_span() -> None:
    """By suite and outcome; the second delivery of a finished chunk counts nothing."""
    storage, telemetry = MemoryStorage(), RecordingTelemetry()
    plan = await begin_run(storage)
    for _ in range(2):
        await worker(storage, Asked(), telemetry=telemetry).handle(body_of(plan))

    counted = {SUITE: "support-triage", OUTCOME: "succeeded", KIND: "none"}
    assert telemetry.values(TRIALS) == [(1, counted)] * 4
    assert [name for name, _ in telemetry.spans] == [CHUNK_SPAN, *[TRIAL_SPAN] * 4]
    assert [attributes for _, attributes in telemetry.values(CHUNK_DURATION)] == [{SUITE: "support-triage"}]


async def test_trials_that_come_again_are_not_counted() -> None:
    """Others have the quota: the chunk is put back, and whoever finishes it counts."""
    storage, telemetry = MemoryStorage(), RecordingTelemetry()
    plan = await begin_run(storage)

    async def elsewhere(_: object) -> str:
        raise QuotaElsewhere("others have it", 0.0)

    mine = replace(worker(storage, Asked(elsewhere), telemetry=telemetry), sleep=lambda seconds: asyncio.sleep(0))
    await mine.handle(body_of(plan))

    assert (telemetry.values(TRIALS), telemetry.values(CHUNK_DURATION)) == ([], [])


async def test_poison_is_counted_by_what_became_of_it() -> None:
    """Refused at the first delivery, quarantined unread, or ended as failed outcomes."""
    storage, telemetry = MemoryStorage(), RecordingTelemetry()
    plan = await begin_run(storage)
    mine = worker(storage, Asked(), telemetry=telemetry)
    await mine.handle("garbage")
    await mine.bury("garbage")
    await mine.bury(body_of(plan))

    kinds = [(attributes[QUEUE], attributes[KIND]) for _, attributes in telemetry.values(POISON)]
    assert kinds == [("trials", "refused"), ("trials", "unreadable"), ("trials", "poisoned")]


async def test_every_request_is_counted_by_its_answer() -> None:
    """429s apart, failed ones by the taxonomy's kind; each has a span with the request's id at the service."""
    bench = Bench(failing(FailureKind.RATE_LIMITED, status=429), failing(FailureKind.CONNECTION_LOST), "Hello.")
    await bench.ask(suite="triage")

    told = [(one[STATUS], one[ERROR_TYPE]) for _, one in bench.telemetry.values(REQUESTS)]
    assert told == [(429, "rate_limited"), (0, "connection_lost"), (200, None)]
    assert bench.telemetry.values(THROTTLED) == [(1, {DEPLOYMENT: "chat", ERROR_TYPE: "rate_limited"})]
    spans = [attributes for name, attributes in bench.telemetry.spans if name is CALL_SPAN]
    assert [one[REQUEST_ID] for one in spans] == ["req-1", "req-1", "scripted"]
    assert [one.get(ERROR_TYPE) for one in spans] == ["rate_limited", "connection_lost", None]
    assert {seconds for seconds, _ in bench.telemetry.values(WAIT_FOR_QUOTA)} == {SPENT_AT_ONCE}


async def test_tokens_and_money_are_counted_once_per_answer() -> None:
    """As the service counted them, at the price of the model that answered."""
    bench = Bench("Hello.")
    reply = await bench.ask(suite="triage")

    usage = reply.answer.usage
    tokens = {one[TOKEN_KIND]: amount for amount, one in bench.telemetry.values(TOKEN_COUNT)}
    assert (tokens["input"], tokens["output"]) == (usage.input_tokens, usage.output_tokens)
    assert [amount for amount, _ in bench.telemetry.values(TOKEN_USAGE)] == [usage.input_tokens, usage.output_tokens]
    assert bench.telemetry.values(COST_USD) == [
        (float(reply.spent.cost_usd or 0), {DEPLOYMENT: "chat", SUITE: "triage"})
    ]


async def test_an_answer_that_cannot_be_used_is_billed_all_the_same() -> None:
    """The service counted it."""
    usage = Usage(input_tokens=100, output_tokens=7)
    used = failing(FailureKind.INVALID_ANSWER, usage=usage, model="gpt-4o-mini-2024-07-18")
    bench = Bench(*[used] * 3)
    with pytest.raises(Unanswered):
        await bench.ask(suite="triage")
    assert sum(amount for amount, one in bench.telemetry.values(TOKEN_COUNT) if one[TOKEN_KIND] == "input") == 300
    assert len(bench.telemetry.values(COST_USD)) == 3


async def test_no_span_and_no_metric_has_a_field_for_content() -> None:
    """What was asked and answered is nowhere in what telemetry is given."""
    bench = Bench("The-answer-marker.")
    await bench.ask()
    given = repr((bench.telemetry.spans, bench.telemetry.measured, bench.telemetry.events))
    assert ("The-answer-marker" in given, "Hello?" in given, "T-0001" in given) == (False, False, False)
