"""Asking one deployment with retries: permits, waits, counts and records, by the rules of the taxonomy."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from asking_bench import QUESTION, SPENT_AT_ONCE, Bench, failing
from worker_bench import turns

from assay.errors import RunStopped
from assay.execution.retry import decide_retry
from assay.llm.base import AnswerSchema, ChatAnswer, ChatImage, ChatMessage, ChatRequest, ModelError, RateLimitHeaders
from assay.llm.errors import TAXONOMY, FailureKind
from assay.llm.scripted import scripted_answer
from assay.middleware.base import Question, Unanswered
from assay.records import Attempt, Usage


async def test_an_answer_at_once_is_one_attempt_and_one_permit() -> None:
    """Nothing is waited for but the permit."""
    bench = Bench("Hello.")
    reply = await bench.ask()
    assert reply.answer.text == "Hello."
    assert reply.attempts == (Attempt(number=1, deployment="chat", status=200, request_id="scripted"),)
    assert (bench.permits, bench.waits, reply.quota_wait_seconds) == (["sent"], [], SPENT_AT_ONCE)


async def test_every_attempt_takes_its_own_permit_and_leaves_its_own_record() -> None:
    """The records hold kind, status, request id and the wait that followed."""
    bench = Bench(failing(FailureKind.SERVER_ERROR, status=500), failing(FailureKind.TIMEOUT, status=408), "Hello.")
    reply = await bench.ask()
    attempts = reply.attempts
    assert [attempt.error for attempt in attempts] == ["server_error", "timeout", None]
    assert attempts[0] == Attempt(
        number=1, deployment="chat", error="server_error", status=500, request_id="req-1", wait_seconds=1.0
    )
    assert (bench.permits, reply.quota_wait_seconds) == (["sent"] * 3, 3 * SPENT_AT_ONCE)
    assert bench.waits == [attempt.wait_seconds for attempt in attempts[:2]]


async def test_one_event_per_failed_attempt_and_one_at_the_end() -> None:
    """What happened can be read from the log alone."""
    bench = Bench(*[failing(FailureKind.INVALID_ANSWER)] * 3)
    with pytest.raises(Unanswered):
        await bench.ask()
    failed = bench.telemetry.named("model_attempt_failed")
    assert [event["number"] for event in failed] == [1, 2, 3]
    assert bench.telemetry.named("attempts_exhausted") == [
        {"deployment": "chat", "attempts": 3, "kind": "invalid_answer"}
    ]


@pytest.mark.parametrize("kind", [kind for kind, rule in TAXONOMY.items() if rule.counts and rule.stops_after != 1])
async def test_every_kind_has_its_own_number_of_retries(kind: FailureKind) -> None:
    """No more attempts than the table allows, whatever the caller's limit."""
    allowed = TAXONOMY[kind].retries + 1
    bench = Bench(*[failing(kind)] * (allowed + 1))
    with pytest.raises(Unanswered) as caught:
        await bench.ask(attempts_limit=100)
    assert len(bench.model.requests) == len(caught.value.attempts) == allowed
    assert caught.value.last.kind is kind
    assert caught.value.attempts[-1].wait_seconds == 0.0


async def test_the_limit_of_attempts_holds_over_all_kinds() -> None:
    """Different failures do not add up to more than was allowed."""
    bench = Bench(failing(FailureKind.SERVER_ERROR), failing(FailureKind.TIMEOUT), failing(FailureKind.CONFLICT))
    with pytest.raises(Unanswered, match="after 2 attempts; the last one failed as timeout"):
        await bench.ask(attempts_limit=2)


async def test_rate_limits_do_not_use_up_attempts() -> None:
    """Waiting helps against them for certain; they have a bound of their own."""
    throttled = [failing(FailureKind.RATE_LIMITED, status=429, wait=1.0)] * 5
    bench = Bench(*throttled, failing(FailureKind.SERVER_ERROR), *throttled, "Hello.")
    reply = await bench.ask(attempts_limit=2)
    assert (reply.answer.text, len(reply.attempts)) == ("Hello.", 12)


@pytest.mark.parametrize("random", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("asked", [0.02, 1.5, 7.0, 600.0])
async def test_a_wait_asked_for_is_kept_to_within_a_tenth(asked: float, random: float) -> None:
    """Between the value and 1.1 times the value plus 0.2 seconds."""
    bench = Bench(failing(FailureKind.RATE_LIMITED, status=429, wait=asked), "Hello.")
    await bench.ask(random=lambda: random)
    assert asked <= bench.waits[0] <= 1.1 * asked + 0.2


async def test_a_wait_of_more_than_ten_minutes_is_not_waited_for() -> None:
    """The trial fails now, with a reason, rather than in an hour."""
    bench = Bench(failing(FailureKind.SERVICE_BUSY, status=503, wait=3600.0))
    with pytest.raises(Unanswered):
        await bench.ask()
    assert bench.waits == []


async def test_a_wait_is_not_kept_where_the_rule_does_not_honour_it() -> None:
    """A read timeout's headers, if there are any, are somebody else's."""
    bench = Bench(failing(FailureKind.READ_TIMEOUT, wait=500.0), "Hello.")
    await bench.ask()
    assert bench.waits == [1.0]


def test_the_back_off_doubles_per_kind_up_to_its_cap_and_is_fully_jittered() -> None:
    """1, 2, 4, 8, 16, 30, 30 seconds at most for a service that cannot be reached, and anything down to none."""
    longest = [
        decide_retry(failing(kind), Counter({kind: number, FailureKind.TIMEOUT: 1}), 100, lambda: 1.0).wait_seconds
        for kind, number in [(FailureKind.SERVICE_BUSY, number) for number in range(1, 7)]
    ]
    assert longest == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
    error = failing(FailureKind.SERVICE_BUSY)
    assert decide_retry(error, Counter({error.kind: 6}), 100, lambda: 0.0).wait_seconds == 0.0


async def test_a_refusal_slows_the_limiter_down() -> None:
    """With the wait that the service asked for; the charge stays spent, as the service counted the request."""
    bench = Bench(
        failing(FailureKind.RATE_LIMITED, status=429, wait=2.0), failing(FailureKind.AT_CAPACITY, status=429), "Hello."
    )
    await bench.ask()
    assert bench.permits == ["sent", "throttled 2.0", "sent", "throttled None busy", "sent"]


async def test_an_overloaded_service_is_not_our_pace() -> None:
    """A 503 says nothing about the quota."""
    bench = Bench(failing(FailureKind.SERVICE_BUSY, status=503, wait=2.0), "Hello.")
    await bench.ask()
    assert bench.permits == ["sent", "sent"]


async def test_what_was_not_sent_is_refunded() -> None:
    """The service cannot have counted it."""
    bench = Bench(failing(FailureKind.UNREACHABLE, sent=False), "Hello.")
    await bench.ask()
    assert bench.permits == ["sent", "refund", "sent"]


async def test_what_the_service_does_not_count_is_refunded() -> None:
    """A refused key is answered before any counter."""
    bench = Bench(failing(FailureKind.FORBIDDEN, status=403))
    with pytest.raises(RunStopped):
        await bench.ask()
    assert bench.permits == ["sent", "refund"]


async def test_an_expired_permit_is_replaced_and_is_no_attempt() -> None:
    """The fence costs a wait for the next permit, nothing else."""
    bench = Bench("Hello.")
    bench.limiter.expired_permits = 2
    reply = await bench.ask(attempts_limit=1)
    assert bench.permits == ["expired", "expired", "sent"]
    assert (len(reply.attempts), reply.quota_wait_seconds) == (1, 3 * SPENT_AT_ONCE)


async def test_a_charge_above_the_limit_is_a_failed_attempt_without_a_request() -> None:
    """It ends as `too_large`, like the service's own refusal would."""
    bench = Bench()
    bench.limiter.largest = 5
    with pytest.raises(Unanswered) as caught:
        await bench.ask()
    assert caught.value.last.kind is FailureKind.TOO_LARGE
    assert (bench.model.requests, bench.permits) == ([], [])


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": AnswerSchema("a", " " * 40)},
        {"messages": (ChatMessage("user", "Hello?", (ChatImage("https://x.org/1", tokens=10),)),)},
    ],
)
async def test_schemas_and_images_are_charged_as_prompt(changes: dict[str, Any]) -> None:
    """The model reads them too, and what is not charged ends in refusals."""
    larger = replace(QUESTION, request=replace(QUESTION.request, **changes))
    bench = Bench("Hello.", "{}")
    bench.limiter.largest = 16
    await bench.asker()(QUESTION)
    with pytest.raises(Unanswered, match="too_large"):
        await bench.asker()(larger)
    bench.limiter.largest = 30
    await bench.asker()(larger)


async def test_an_error_that_is_no_model_error_passes_untouched() -> None:
    """A defect is not retried away."""
    with pytest.raises(LookupError):
        await Bench().ask()


async def test_what_the_deployment_grants_is_told_with_every_answer_and_error() -> None:
    """Limits that nobody announces are not made up."""
    said = RateLimitHeaders(limit_requests=60, limit_tokens=None)
    answer = replace(scripted_answer("Hello."), rate_limit=RateLimitHeaders(limit_tokens=900))
    bench = Bench(failing(FailureKind.SERVER_ERROR), failing(FailureKind.RATE_LIMITED, rate_limit=said), answer)
    await bench.ask()
    assert bench.limiter.told == [(60, None), (None, 900)]


async def test_units_that_are_busy_are_no_pace_of_ours() -> None:
    """A provisioned deployment says 429 when its units are full: that is no reason to send more slowly for long."""
    bench = Bench(failing(FailureKind.RATE_LIMITED, status=429, wait=0.5), "Hello.")
    bench.ladder[0][0].is_provisioned = True
    reply = await bench.ask()
    assert (reply.attempts[0].error, bench.permits) == ("units_busy", ["sent", "throttled 0.5 busy", "sent"])


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (failing(FailureKind.SERVER_ERROR), "released"),
        (failing(FailureKind.UNREACHABLE, sent=False), "released"),
        (failing(FailureKind.CONTENT_FILTER), "released"),
        (failing(FailureKind.READ_TIMEOUT), ("settled", None)),
        (failing(FailureKind.CONNECTION_LOST), ("settled", None)),
        (failing(FailureKind.CONNECTION_LOST, sent=False), "released"),
        (failing(FailureKind.MAX_TOKENS_SPENT, status=400), ("settled", None)),
        (
            failing(FailureKind.MAX_TOKENS_SPENT, model="gpt-4o-mini", usage=Usage(output_tokens=1_000_000)),
            ("settled", Decimal("0.60")),
        ),
        (
            failing(FailureKind.INVALID_ANSWER, model="gpt-4o-mini", usage=Usage(input_tokens=1_000_000)),
            ("settled", Decimal("0.15")),
        ),
    ],
)
async def test_money_is_reserved_for_every_attempt_and_ends_as_what_was_billed(error: ModelError, ends: Any) -> None:
    """Nothing for what was refused, everything for what nobody knows, else what the model counted."""
    bench = Bench(error, failing(FailureKind.CONTENT_FILTER))
    with pytest.raises(Unanswered):
        await bench.ask(attempts_limit=1, random=lambda: 0.0)
    assert bench.budget.log[1] == ends


async def test_the_most_that_a_request_may_cost_is_its_prompt_and_its_limit() -> None:
    """By the deployment's name as long as nobody knows better, then by the model that answered."""
    bench = Bench(scripts={"gpt-4o-mini": ["a", "b"], "other": ["a", "b"]}, rungs=(("gpt-4o-mini",),))
    unknown = Bench(scripts={"other": ["a", "b"]}, rungs=(("other",),))
    for one in (bench, unknown, unknown):
        await one.ask()
    most = Decimal(14) * Decimal("0.15e-6") + Decimal(10) * Decimal("0.60e-6")
    billed = ("settled", Decimal("0.0000045"))
    assert bench.budget.log == [("reserved", most), billed]
    assert unknown.budget.log == [("reserved", Decimal(0)), billed, ("reserved", most), billed]


async def test_an_answer_whose_tokens_nobody_counted_costs_what_nobody_knows() -> None:
    """It is not free: the money set aside for it stays spent, and the quota gets nothing back."""
    uncounted = replace(scripted_answer("Hello."), usage=Usage())
    bench = Bench(uncounted)
    reply = await bench.ask()
    assert (reply.spent.cost_usd, bench.budget.log[1]) == (None, ("settled", None))
    assert bench.limiter.settled == bench.limiter.charged


async def test_a_model_without_a_price_costs_what_the_suite_says_that_its_deployment_does() -> None:
    """A server at home may call its model what it likes; without a word of the suite its cost is unknown."""
    answer = replace(scripted_answer("Hello."), model="qwen.gguf")
    said, unsaid = Bench(answer), Bench(answer)
    priced = await said.ask(priced_as=lambda _: "gpt-4o-mini")
    assert (priced.spent.cost_usd, (await unsaid.ask()).spent.cost_usd) == (Decimal("0.0000045"), None)


async def test_a_budget_that_is_used_up_stops_before_a_permit_is_taken() -> None:
    """What stops a run passes through."""
    bench = Bench("Hello.")
    bench.budget.error = RunStopped("Budget reached")
    with pytest.raises(RunStopped, match="Budget reached"):
        await bench.ask()
    assert (bench.permits, bench.asked("chat")) == ([], 0)


async def test_an_answer_that_cannot_be_used_is_paid_for() -> None:
    """What was thrown away is in the reply's cost, and apart from it."""
    usage = Usage(input_tokens=100, output_tokens=10)
    bench = Bench(failing(FailureKind.INVALID_ANSWER, model="gpt-4o-mini", usage=usage), "Hello.")
    reply = await bench.ask()
    assert (reply.discarded.usage, reply.discarded.cost_usd) == (usage, Decimal("0.000021"))
    assert reply.spent.cost_usd == Decimal("0.000021") + Decimal("0.0000045")


async def test_answers_that_stay_unusable_are_paid_for_without_an_answer() -> None:
    """The failed trial knows what it cost."""
    usage = Usage(input_tokens=100, output_tokens=10)
    bench = Bench(*[failing(FailureKind.INVALID_ANSWER, model="gpt-4o-mini", usage=usage)] * 3)
    with pytest.raises(Unanswered) as caught:
        await bench.ask()
    assert (caught.value.spent.usage, caught.value.spent.cost_usd) == (usage + usage + usage, Decimal("0.000063"))


async def test_an_answer_that_no_filter_has_seen_is_kept_and_told() -> None:
    """Somebody may want to look at it."""
    bench = Bench(replace(scripted_answer("Hello."), unfiltered=True))
    assert (await bench.ask()).answer.text == "Hello."
    assert bench.telemetry.named("answer_unfiltered") == [{"deployment": "chat", "request_id": "scripted"}]


@pytest.mark.parametrize("error", [None, RuntimeError("a hook with a bug")])
async def test_a_hook_hears_of_questions_that_stay_without_an_answer(error: Exception | None) -> None:
    """Once per question; its own failure harms nothing."""
    heard: list[Any] = []

    def hook(question: Question, unanswered: Unanswered) -> None:
        heard.append((question, unanswered))
        if error:
            raise error

    bench = Bench(failing(FailureKind.CONTENT_FILTER))
    with pytest.raises(Unanswered) as caught:
        await bench.ask(on_exhausted=hook)
    assert heard == [(QUESTION, caught.value)]
    assert len(bench.telemetry.named("exhausted_hook_failed")) == (error is not None)


@pytest.mark.parametrize(
    ("kind", "in_a_row"), [(kind, rule.stops_after) for kind, rule in TAXONOMY.items() if rule.stops_after]
)
async def test_failures_that_every_question_would_share_stop_the_run(kind: FailureKind, in_a_row: int) -> None:
    """After as many in a row as the taxonomy says; the message says what was found, what to do and how to go on."""
    bench = Bench(*[failing(kind, status=400)] * 2 * in_a_row)
    for _ in range(in_a_row - 1):
        with pytest.raises(Unanswered):
            await bench.ask()
    with pytest.raises(RunStopped) as caught:
        await bench.ask()
    assert f"'chat' ended with {kind.value} (400): no" in str(caught.value)
    assert "assay resume run-1" in str(caught.value)


async def test_an_answer_in_between_keeps_bad_requests_from_stopping_the_run() -> None:
    """Then it is the rows."""
    bad = failing(FailureKind.INVALID_REQUEST, status=400)
    bench = Bench(bad, bad, "Hello.", bad, bad)
    for _ in range(2):
        with pytest.raises(Unanswered):
            await bench.ask()
    await bench.ask()
    for _ in range(2):
        with pytest.raises(Unanswered):
            await bench.ask()


async def test_questions_that_wait_when_the_run_is_stopped_wait_no_longer() -> None:
    """Neither for their next attempt nor for a permit, which goes back; questions that begin later are asked."""
    bench = Bench(failing(FailureKind.SERVER_ERROR), failing(FailureKind.FORBIDDEN), "Hello.")
    resting = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await resting.wait()

    bench.sleep = sleep  # type: ignore[method-assign]
    in_a_back_off = asyncio.create_task(bench.ask())
    await turns(3)
    bench.limiter.gate = asyncio.Event()
    at_the_gate = asyncio.create_task(bench.ask())
    await turns(3)
    gate, bench.limiter.gate = bench.limiter.gate, None
    refused = asyncio.create_task(bench.ask())
    with pytest.raises(RunStopped):
        await refused
    gate.set()
    for waiting in (in_a_back_off, at_the_gate):
        with pytest.raises(RunStopped, match="forbidden"):
            await waiting
    assert bench.permits.count("sent") == bench.asked("chat")
    assert bench.permits[-1] == "refund"
    assert (await bench.ask()).answer.text == "Hello."


def held(bench: Bench) -> None:
    """Lets the model hold its answer back for ever."""

    async def complete(request: ChatRequest) -> ChatAnswer:
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    bench.model.complete = complete


async def test_a_cancellation_gives_back_what_was_not_used_wherever_it_strikes() -> None:
    """Before the money: nothing; before the permit: the money; after sending: nothing, as it may be billed."""
    by_budget, by_limiter, by_model = Bench("a"), Bench("a"), Bench("a")
    by_budget.budget.gate = by_limiter.limiter.gate = asyncio.Event()
    held(by_model)
    for bench in (by_budget, by_limiter, by_model):
        task = asyncio.create_task(bench.ask())
        await turns(3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (by_budget.budget.log, by_budget.permits) == ([], [])
    assert (by_limiter.budget.log[1:], by_limiter.permits) == (["released"], [])
    assert (by_model.budget.log[1:], by_model.permits) == ([("settled", None)], ["sent"])


async def test_a_cancellation_in_a_back_off_holds_nothing() -> None:
    """Between attempts there is neither permit nor money."""
    bench = Bench(failing(FailureKind.SERVER_ERROR), "a")

    async def sleep(seconds: float) -> None:
        await asyncio.Event().wait()

    bench.sleep = sleep  # type: ignore[method-assign]
    task = asyncio.create_task(bench.ask())
    await turns(3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (bench.budget.log[1:], bench.permits) == (["released"], ["sent"])


async def test_a_probe_that_is_cancelled_lets_the_next_one_in() -> None:
    """Else an open breaker would never be probed again."""
    bench = Bench("a")
    breaker = bench.ladder[0][0].breaker
    for _ in range(5):
        breaker.failed(-60.0)
    held(bench)
    task = asyncio.create_task(bench.ask())
    await turns(3)
    assert breaker.wait_seconds(bench.now) > 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert breaker.wait_seconds(bench.now) == 0
