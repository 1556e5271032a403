"""Asking with retries: permits, waits, counts and records, by the rules of the taxonomy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from assay.errors import RunStopped
from assay.execution.asking import Asker
from assay.execution.retry import decide_retry
from assay.execution.routes import Route
from assay.llm.base import ChatAnswer, ChatMessage, ChatRequest, ModelError
from assay.llm.errors import TAXONOMY, FailureKind
from assay.llm.pricing import load_prices
from assay.llm.scripted import Reply, ScriptedModel
from assay.middleware.base import Question, Unanswered
from assay.quota.base import Charge, ChargeTooLarge, PermitExpired, Throttling
from assay.records import Attempt
from assay.telemetry import RecordingTelemetry

REQUEST = ChatRequest("chat", (ChatMessage("user", "Hello?"),), max_tokens=10)
QUESTION = Question("run-1", "plain", "answer", "T-0001", REQUEST)
SPENT_AT_ONCE = 0.25


class CountingPermit:
    """Writes down what is done with it; may be expired when it is to be used."""

    def __init__(self, log: list[str], *, expired: bool) -> None:
        self._log = log
        self._expired = expired

    def sent(self) -> None:
        if self._expired:
            self._log.append("expired")
            raise PermitExpired("too late")
        self._log.append("sent")

    def refund(self) -> None:
        self._log.append("refund")

    def throttled(self, throttling: Throttling) -> None:
        self._log.append(f"throttled {throttling.retry_after_seconds}")

    def settle(self, tokens: int) -> None:
        return


class CountingLimiter:
    """Grants at once, after a quarter of a second on the bench's clock."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.expired_permits = 0
        self.too_large = False

    async def acquire(self, charge: Charge) -> CountingPermit:
        if self.too_large:
            raise ChargeTooLarge("more than the deployment's limit")
        self._bench.now += SPENT_AT_ONCE
        self.expired_permits -= 1
        return CountingPermit(self._bench.permits, expired=self.expired_permits >= 0)

    def wait_seconds(self, charge: Charge) -> float:
        return SPENT_AT_ONCE

    def announced(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        return

    async def drain(self) -> None:
        return


class Bench:
    """Everything that `ask` takes, and a record of what it did with it."""

    def __init__(self, *replies: Reply) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.permits: list[str] = []
        self.telemetry = RecordingTelemetry()
        self.limiter = CountingLimiter(self)
        self.model = ScriptedModel(replies)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    async def ask(
        self, attempts_limit: int = 10, random: Callable[[], float] = lambda: 1.0
    ) -> tuple[ChatAnswer, tuple[Attempt, ...], float]:
        asker = Asker(
            ((Route("chat", "chat", self.model, self.limiter),),),
            load_prices(),
            attempts_limit=attempts_limit,
            clock=lambda: self.now,
            sleep=self.sleep,
            random=random,
            telemetry=self.telemetry,
        )
        reply = await asker(QUESTION)
        return reply.answer, reply.attempts, reply.quota_wait_seconds


def failing(
    kind: FailureKind, *, status: int | None = None, wait: float | None = None, sent: bool = True
) -> ModelError:
    return ModelError(kind, "no", status=status, request_id="req-1", retry_after_seconds=wait, sent=sent)


async def test_an_answer_at_once_is_one_attempt_and_one_permit() -> None:
    """Nothing is waited for but the permit."""
    bench = Bench("Hello.")
    answer, attempts, quota_wait = await bench.ask()
    assert answer.text == "Hello."
    assert attempts == (Attempt(number=1, deployment="chat", status=200, request_id="scripted"),)
    assert (bench.permits, bench.waits, quota_wait) == (["sent"], [], SPENT_AT_ONCE)


async def test_every_attempt_takes_its_own_permit_and_leaves_its_own_record() -> None:
    """The records hold kind, status, request id and the wait that followed."""
    bench = Bench(failing(FailureKind.SERVER_ERROR, status=500), failing(FailureKind.TIMEOUT, status=408), "Hello.")
    _, attempts, quota_wait = await bench.ask()
    assert [attempt.error for attempt in attempts] == ["server_error", "timeout", None]
    assert attempts[0] == Attempt(
        number=1, deployment="chat", error="server_error", status=500, request_id="req-1", wait_seconds=1.0
    )
    assert (bench.permits, quota_wait) == (["sent"] * 3, 3 * SPENT_AT_ONCE)
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
    answer, attempts, _ = await bench.ask(attempts_limit=2)
    assert (answer.text, len(attempts)) == ("Hello.", 12)


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
    assert bench.permits == ["sent", "throttled 2.0", "sent", "throttled None", "sent"]


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
    _, attempts, quota_wait = await bench.ask(attempts_limit=1)
    assert bench.permits == ["expired", "expired", "sent"]
    assert (len(attempts), quota_wait) == (1, 3 * SPENT_AT_ONCE)


async def test_a_charge_above_the_limit_is_a_failed_attempt_without_a_request() -> None:
    """It ends as `too_large`, like the service's own refusal would."""
    bench = Bench()
    bench.limiter.too_large = True
    with pytest.raises(Unanswered) as caught:
        await bench.ask()
    assert caught.value.last.kind is FailureKind.TOO_LARGE
    assert (bench.model.requests, bench.permits) == ([], [])


async def test_an_error_that_is_no_model_error_passes_untouched() -> None:
    """A defect is not retried away."""
    with pytest.raises(LookupError):
        await Bench().ask()
