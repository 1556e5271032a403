"""Answers that must fit a schema: what passes, what is asked once more, and what the two together cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from chain_bench import Asked, question, reply, unanswered

from assay.llm.base import AnswerSchema, ChatMessage
from assay.llm.errors import FailureKind
from assay.middleware.answer_schemas import AnswerSchemas
from assay.middleware.base import Question, Reply, Unanswered
from assay.records import Usage
from assay.telemetry import RecordingTelemetry

SCHEMA = {
    "type": "object",
    "properties": {"queue": {"type": "string"}},
    "required": ["queue"],
    "additionalProperties": False,
}
GOOD, BAD = '{"queue": "billing"}', '{"queue": 7}'
PROBLEM = "at $.queue: 7 is not of type 'string'"


def asking(text: str = "Which queue?") -> Question:
    asked = question(text, system="Sort tickets.")
    return replace(asked, request=replace(asked.request, schema=AnswerSchema("queue", json.dumps(SCHEMA))))


def in_order(*given: Reply | Exception) -> Callable[[Question], Reply | Exception]:
    waiting = list(given)
    return lambda _: waiting.pop(0)


def link(telemetry: RecordingTelemetry | None = None) -> AnswerSchemas:
    return AnswerSchemas(telemetry or RecordingTelemetry())


async def test_what_fits_passes_as_it_is() -> None:
    """One question, one reply."""
    fits, asked = reply(GOOD), Asked()
    asked = Asked(in_order(fits))
    assert await link().answer(asking(), asked) is fits
    assert len(asked.questions) == 1


async def test_a_question_without_a_schema_passes_whatever_is_answered() -> None:
    """Most criteria have none."""
    given = reply("Sure!")
    assert await link().answer(question(), Asked(in_order(given))) is given


@pytest.mark.parametrize("changes", [{"finish_reason": "length"}, {"refused": True}])
async def test_truncated_answers_and_refusals_are_not_repaired(changes: dict[str, object]) -> None:
    """Our limit cut the one, and the model declined the other: neither is JSON that went wrong."""
    cut = reply('{"queue": "bil')
    cut = replace(cut, answer=replace(cut.answer, **changes))  # type: ignore[arg-type]
    asked = Asked(in_order(cut))
    assert await link().answer(asking(), asked) is cut
    assert len(asked.questions) == 1


async def test_a_misfit_is_quoted_with_its_fault_and_asked_once_more() -> None:
    """The prompt stays; the schema stays; two messages more."""
    asked = Asked(in_order(reply(BAD), reply(GOOD)))
    await link().answer(asking(), asked)

    first, second = (one.request for one in asked.questions)
    assert second.messages[:2] == first.messages
    assert second.messages[2] == ChatMessage("assistant", BAD)
    assert second.messages[3].role == "user"
    assert PROBLEM in second.messages[3].content
    assert replace(second, messages=first.messages) == first


async def test_a_repaired_answer_counts_both_bills_and_all_attempts() -> None:
    """The first answer's tokens are discarded, and its attempt says why."""
    repaired = await link().answer(asking(), Asked(in_order(reply(BAD), reply(GOOD))))

    assert repaired.answer.text == GOOD
    assert repaired.discarded.usage == Usage(input_tokens=10, output_tokens=5)
    assert repaired.spent.usage == Usage(input_tokens=20, output_tokens=10)
    assert repaired.spent.cost_usd == Decimal("0.0000090")
    assert [(one.number, one.error, one.status) for one in repaired.attempts] == [
        (1, "invalid_answer", 200),
        (2, None, 200),
    ]
    assert repaired.reruns == 0


async def test_a_second_misfit_is_a_failure_that_tells_the_bill_of_both() -> None:
    """One repair, no more."""
    asked = Asked(in_order(reply("Sure!"), reply(BAD)))
    with pytest.raises(Unanswered) as caught:
        await link().answer(asking(), asked)

    assert (caught.value.last.kind, caught.value.last.status) == (FailureKind.INVALID_ANSWER, 200)
    assert PROBLEM in str(caught.value.last)
    assert caught.value.spent.usage == Usage(input_tokens=20, output_tokens=10)
    assert [(one.number, one.error) for one in caught.value.attempts] == [
        (1, "invalid_answer"),
        (2, "invalid_answer"),
    ]
    assert len(asked.questions) == 2


async def test_a_repair_that_nobody_answers_fails_with_what_the_misfit_cost() -> None:
    """Its own failure is the reason."""
    with pytest.raises(Unanswered) as caught:
        await link().answer(asking(), Asked(in_order(reply(BAD), unanswered())))

    assert caught.value.last.kind is FailureKind.SERVER_ERROR
    assert caught.value.spent.usage == Usage(input_tokens=10, output_tokens=5)
    assert [one.error for one in caught.value.attempts] == ["invalid_answer", "server_error"]


async def test_half_of_a_surrogate_pair_is_not_sent_back() -> None:
    """A model's JSON can escape what no request can carry."""
    asked = Asked(in_order(reply('{"queue": 7, "\ud800": 1}'), reply(GOOD)))
    await link().answer(asking(), asked)
    for message in asked.questions[1].request.messages:
        message.content.encode()


async def test_repairs_are_reported_at_the_end_once() -> None:
    """A deployment that needs many is known by its figures."""
    telemetry = RecordingTelemetry()
    made = link(telemetry)
    await made.answer(asking(), Asked(in_order(reply(BAD), reply(GOOD))))
    with pytest.raises(Unanswered):
        await made.answer(asking(), Asked(in_order(reply(BAD), reply(BAD))))
    await made.end()
    await made.end()
    assert telemetry.named("answers_repaired") == [{"repairs": 2, "failures": 1}]
