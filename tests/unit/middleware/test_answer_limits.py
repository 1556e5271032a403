"""Adaptive max_tokens: what limit is sent, what happens to answers that it cuts, and what it saves."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.llm.base import ChatAnswer, ChatMessage, ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.middleware.answer_lengths import (
    COHORT,
    HIGHEST_RERUN_SHARE,
    AnswerLengths,
    Length,
    best_limit,
    candidates,
)
from assay.middleware.answer_limits import AnswerLimits
from assay.middleware.base import Question, Reply, Spent, Unanswered
from assay.records import Attempt, Usage
from assay.telemetry import RecordingTelemetry

PROMPT_TOKENS = 500
LONGEST = 1_000
PRICE = Decimal("0.001")


class Model:
    """Answers every question with the length that `length_of` gives its row, cut at what was asked for."""

    def __init__(self, length_of: Callable[[str], int]) -> None:
        self.length_of = length_of
        self.sent: list[int] = []
        self.fails: FailureKind | None = None

    async def __call__(self, question: Question) -> Reply:
        limit = question.request.max_tokens
        self.sent.append(limit)
        await asyncio.sleep(0)
        attempts = (Attempt(number=1, error="timeout"), Attempt(number=2, status=200))
        if self.fails is not None and limit < LONGEST:
            raise Unanswered(ModelError(self.fails, "no"), attempts, 0.5, Spent(Usage(input_tokens=3), PRICE))
        length = self.length_of(question.row_id)
        tokens = min(length, limit)
        usage = Usage(input_tokens=PROMPT_TOKENS, output_tokens=tokens)
        finish = "length" if length > limit else "stop"
        answer = ChatAnswer("w " * tokens, finish, "mini", f"r-{len(self.sent)}", usage, 1.0)
        return Reply(answer, "chat", attempts, 0.25, Spent(usage, PRICE * tokens))


def question(
    row: str = "T-1", criterion: str = "tone", max_tokens: int = LONGEST, deployment: str = "chat"
) -> Question:
    request = ChatRequest(deployment, (ChatMessage("user", row),), max_tokens)
    return Question("run-1", "plain", criterion, row, request)


async def taught(link: AnswerLimits, lengths: list[int]) -> None:
    """Lets the link see answers of these lengths, one after the other."""
    model = Model(lambda row: lengths[int(row)])
    for row in range(len(lengths)):
        await link.answer(question(str(row)), model)


def limits(telemetry: RecordingTelemetry | None = None) -> AnswerLimits:
    return AnswerLimits(telemetry or RecordingTelemetry(), {"chat"})


async def sent_by(link: AnswerLimits, asked: Question) -> int:
    model = Model(lambda row: 1)
    await link.answer(asked, model)
    return model.sent[0]


async def test_the_suite_s_limit_is_sent_until_enough_answers_are_known() -> None:
    """Twenty: with fewer, nothing is known of the one answer in twenty that a limit may cut."""
    link = limits()
    await taught(link, [100] * (COHORT - 1))
    assert await sent_by(link, question()) == LONGEST
    assert await sent_by(link, question()) == 104


async def test_criteria_learn_apart() -> None:
    """One asks for a word, another for a page."""
    link = limits()
    await taught(link, [100] * COHORT)
    assert await sent_by(link, question(criterion="summary")) == LONGEST


async def test_a_deployment_that_does_not_keep_its_charge_is_left_alone() -> None:
    """Nothing is won where the service settles by usage, or has no quota at all."""
    link = AnswerLimits(RecordingTelemetry(), {"other"})
    await taught(link, [100] * COHORT)
    assert await sent_by(link, question()) == LONGEST


async def test_a_limit_is_never_above_the_suite_s() -> None:
    """Answers as long as allowed leave it where it is."""
    link = limits()
    await taught(link, [LONGEST + 50] * COHORT)
    assert await sent_by(link, question()) == LONGEST
    assert await sent_by(link, question(max_tokens=30)) == 30


async def test_a_cut_answer_is_asked_for_again_at_the_suite_s_limit() -> None:
    """The reply is the whole answer; attempts, waiting and bill are those of both requests."""
    link = limits()
    await taught(link, [100] * COHORT)
    model = Model(lambda row: 300)
    reply = await link.answer(question(), model)
    assert model.sent == [104, LONGEST]
    assert (reply.answer.finish_reason, reply.answer.usage.output_tokens) == ("stop", 300)
    assert (reply.reruns, reply.limit_sent) == (1, 104)
    assert [attempt.number for attempt in reply.attempts] == [1, 2, 3, 4]
    assert reply.quota_wait_seconds == 0.5
    cut = Spent(Usage(input_tokens=PROMPT_TOKENS, output_tokens=104), 104 * PRICE)
    assert reply.discarded == cut
    assert reply.spent == cut + Spent(Usage(input_tokens=PROMPT_TOKENS, output_tokens=300), 300 * PRICE)


async def test_an_answer_cut_at_the_suite_s_own_limit_is_not_asked_for_again() -> None:
    """It is what it would have been."""
    link = limits()
    model = Model(lambda row: 5_000)
    reply = await link.answer(question(), model)
    assert (model.sent, reply.answer.finish_reason, reply.reruns) == ([LONGEST], "length", 0)
    assert reply.limit_sent is None


@pytest.mark.parametrize("kind", [FailureKind.INVALID_REQUEST, FailureKind.MAX_TOKENS_SPENT])
async def test_a_failure_that_a_low_limit_can_cause_is_asked_for_again(kind: FailureKind) -> None:
    """Models that reason may reach the limit before they begin to answer; some refuse the request then."""
    link = limits()
    await taught(link, [100] * COHORT)
    model = Model(lambda row: 50)
    model.fails = kind
    reply = await link.answer(question(), model)
    assert (model.sent, reply.reruns, reply.discarded.usage.input_tokens) == ([104, LONGEST], 1, 3)
    assert [attempt.number for attempt in reply.attempts] == [1, 2, 3, 4]


async def test_other_failures_pass() -> None:
    """A higher limit would not help them."""
    link = limits()
    await taught(link, [100] * COHORT)
    model = Model(lambda row: 50)
    model.fails = FailureKind.CONTENT_FILTER
    with pytest.raises(Unanswered) as failure:
        await link.answer(question(), model)
    assert (model.sent, len(failure.value.attempts)) == ([104], 2)


async def test_a_rerun_that_fails_tells_of_both_requests() -> None:
    """The cut answer was billed all the same."""
    link = limits()
    await taught(link, [100] * COHORT)
    model = Model(lambda row: 300)

    async def failing(asked: Question) -> Reply:
        if asked.request.max_tokens < LONGEST:
            return await model(asked)
        late = (Attempt(number=1, error="read_timeout"),)
        raise Unanswered(ModelError(FailureKind.READ_TIMEOUT, "late"), late, 2.0, Spent(Usage(input_tokens=7), None))

    with pytest.raises(Unanswered) as failure:
        await link.answer(question(), failing)
    error = failure.value
    assert [attempt.error for attempt in error.attempts] == ["timeout", None, "read_timeout"]
    assert [attempt.number for attempt in error.attempts] == [1, 2, 3]
    assert error.quota_wait_seconds == 2.25
    assert error.spent == Spent(Usage(input_tokens=PROMPT_TOKENS + 7, output_tokens=104), None)


async def test_a_rerun_that_comes_out_shorter_does_not_hide_that_the_first_was_longer() -> None:
    """At a temperature each answer is a new draw; the limit cut all of the first ones, so it goes."""
    link = limits()
    await taught(link, [100] * COHORT)
    drawn = Model(lambda row: 300 if drawn.sent[-1] < LONGEST else 50)
    for row in range(COHORT):
        await link.answer(question(str(row)), drawn)
    assert drawn.sent == [104, LONGEST] * COHORT
    assert await sent_by(link, question()) == LONGEST


@pytest.mark.parametrize("usage", [Usage(input_tokens=PROMPT_TOKENS, output_tokens=LONGEST), Usage()])
async def test_a_failure_that_spent_the_suite_s_own_limit_counts_as_longer(usage: Usage) -> None:
    """One in ten thinks that long, and a limit may cut one in twenty. Refusals come without usage."""
    spent = ModelError(FailureKind.MAX_TOKENS_SPENT, "no", usage=usage)
    short = Model(lambda row: 100)

    async def model(asked: Question) -> Reply:
        if int(asked.row_id) % 10 == 0:
            raise Unanswered(spent)
        return await short(asked)

    link = limits()
    for row in range(2 * COHORT):
        with suppress(Unanswered):
            await link.answer(question(str(row)), model)
    assert await sent_by(link, question()) == LONGEST


async def test_results_are_those_without_the_link() -> None:
    """Where the answer is a function of the prompt, every text is the same to the byte."""
    random = Random(3)
    lengths = [max(1, round(random.lognormvariate(math.log(140), 0.7))) for _ in range(400)]
    link, model = limits(), Model(lambda row: lengths[int(row)])
    asked = [question(str(row)) for row in range(len(lengths))]
    plain = [(await model(one)).answer for one in asked]
    limited = [await link.answer(one, model) for one in asked]
    assert [reply.answer.text for reply in limited] == [answer.text for answer in plain]
    assert [reply.answer.finish_reason for reply in limited] == [answer.finish_reason for answer in plain]
    assert 0 < sum(reply.reruns for reply in limited) <= 2 * HIGHEST_RERUN_SHARE * len(lengths)


async def test_what_the_limits_saved_is_reported_once() -> None:
    """Per criterion, at the end: tokens not charged, less those that reruns were."""
    telemetry = RecordingTelemetry()
    link = limits(telemetry)
    await taught(link, [100] * COHORT + [100] * 9 + [300])
    await link.end()
    await link.end()
    assert telemetry.named("answer_limit") == [
        {
            "experiment": "plain",
            "criterion": "tone",
            "max_tokens": LONGEST,
            "limit": 104,
            "questions": 30,
            "reruns": 1,
            "rerun_share": 0.0333,
            "tokens_saved": 10 * (LONGEST - 104) - (PROMPT_TOKENS + LONGEST),
        }
    ]


async def test_short_answers_that_come_back_first_do_not_set_the_limit() -> None:
    """A cohort counts when all of its questions are answered, in the order they were asked."""
    link, gate = limits(), asyncio.Event()
    quick = Model(lambda row: 50)

    async def slow(asked: Question) -> Reply:
        await gate.wait()
        return await Model(lambda row: 400)(asked)

    waiting = [asyncio.create_task(link.answer(question(str(at)), slow)) for at in range(COHORT // 2)]
    await asyncio.sleep(0)
    for at in range(COHORT // 2):
        await link.answer(question(str(at)), quick)
    assert await sent_by(link, question()) == LONGEST
    gate.set()
    await asyncio.gather(*waiting)
    assert await sent_by(link, question()) == 404


async def test_a_cancelled_question_does_not_hold_its_cohort() -> None:
    """It is done, without a length."""
    link = limits()

    async def never(asked: Question) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.create_task(link.answer(question(), never))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await taught(link, [100] * (COHORT - 1))
    assert await sent_by(link, question()) == 104


def test_cut_answers_count_as_longer() -> None:
    """Four lengths and one that was cut at 3: Kaplan and Meier's estimate, by hand."""
    found = candidates([Length(1), Length(2), Length(3, is_cut=True), Length(4), Length(5)])
    survival = [4 / 5, 4 / 5 * 3 / 4, 4 / 5 * 3 / 4 * 1 / 2, 0]
    assert [one.limit for one in found] == [5, 6, 8, 9]
    assert [one.rerun_share for one in found] == pytest.approx([(share * 5 + 1) / 6 for share in survival])


@given(st.lists(st.integers(1, 1_200), min_size=20, max_size=300), st.integers(1, 4_000))
def test_the_best_limit_charges_least_of_all_that_are_allowed(lengths: list[int], prompt: int) -> None:
    """Against trying every limit one by one on the same lengths, margins aside."""
    seen = [Length(min(one, LONGEST), is_cut=one > LONGEST) for one in lengths]
    limit = best_limit(seen, prompt, LONGEST)
    longer = sum(one.tokens > limit for one in seen) / len(seen)
    assert limit == LONGEST or longer <= HIGHEST_RERUN_SHARE
    assert prompt + limit + longer * (prompt + LONGEST) * (limit < LONGEST) <= prompt + LONGEST


def test_the_limit_does_not_drift_where_every_answer_is_drawn_anew() -> None:
    """Reruns at a temperature may be shorter than the cut answer was; what was cut still counts as longer."""
    random = Random(5)
    lengths = AnswerLengths(LONGEST)
    reruns = questions = charged = 0
    for _ in range(10_000):
        first, second = (max(1, round(random.lognormvariate(math.log(140), 0.7))) for _ in range(2))
        limit, cohort = lengths.limit, lengths.asked()
        charged += PROMPT_TOKENS + limit
        seen = Length(min(first, LONGEST), is_cut=first > LONGEST)
        if first > limit and limit < LONGEST:
            seen = Length(min(second, LONGEST), second > LONGEST) if second > limit else Length(limit, is_cut=True)
            reruns += 1
            charged += PROMPT_TOKENS + LONGEST
        lengths.answered(cohort, seen, PROMPT_TOKENS)
        questions += 1
    assert 0.02 < reruns / questions < 0.05
    assert 1.35 < questions * (PROMPT_TOKENS + LONGEST) / charged < 1.5
