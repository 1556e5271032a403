"""Answers that must fit a JSON Schema: a link that checks each, and has one that does not fit repaired once.

Strict structured outputs seldom fail; deployments that know only part of a schema, or none of it, do.
"""

from collections import Counter
from dataclasses import replace
from http import HTTPStatus

from assay.llm.base import AnswerSchema, ChatMessage, ModelError
from assay.llm.errors import FailureKind
from assay.llm.schemas import answer_problem
from assay.middleware.base import Ask, Question, Reply, Unanswered
from assay.middleware.superseded import Superseded
from assay.telemetry import Telemetry

REPAIR = "Your answer does not fit its JSON schema: {problem}\nAnswer again: only the whole JSON object, corrected."


class AnswerSchemas:
    """Lets pass what fits; questions without a schema pass unchanged."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._counts: Counter[str] = Counter()

    async def begin(self) -> None:
        """Nothing to prepare."""

    async def answer(self, question: Question, ask: Ask) -> Reply:
        """The reply of `ask`, or that to a second question which quotes the answer and says what is wrong with it.

        A reply after a repair has the attempts of both questions, and counts what the first was billed as spent and as
        discarded. Truncated answers and refusals are no answers in JSON, and pass. Raises what `ask` raises, and
        Unanswered (`invalid_answer`) with the attempts and the bill of both when the second does not fit either.
        """
        schema = question.request.schema
        reply = await ask(question)
        problem = _problem(schema, reply)
        if problem is None:
            return reply
        self._counts["repairs"] += 1
        first = Superseded.of(reply).marked(FailureKind.INVALID_ANSWER)
        try:
            repaired = first.before(await ask(_repairing(question, reply, problem)))
        except Unanswered as error:
            raise first.before_failure(error) from error
        if (problem := _problem(schema, repaired)) is None:
            return repaired
        self._counts["failures"] += 1
        raise _misfit(repaired, problem)

    async def end(self) -> None:
        """Reports how many answers were repaired and how many stayed misfits; a second call does nothing."""
        if self._counts:
            self._telemetry.event(
                "answers_repaired", repairs=self._counts["repairs"], failures=self._counts["failures"]
            )
            self._counts.clear()


def _problem(schema: AnswerSchema | None, reply: Reply) -> str | None:
    answer = reply.answer
    is_judged = schema is not None and not answer.refused and not answer.truncated
    return answer_problem(schema.text, answer.text) if schema and is_judged else None


def _repairing(question: Question, reply: Reply, problem: str) -> Question:
    request = question.request
    asked_again = (
        *request.messages,
        ChatMessage("assistant", _sendable(reply.answer.text)),
        ChatMessage("user", _sendable(REPAIR.format(problem=problem))),
    )
    return replace(question, request=replace(request, messages=asked_again))


def _misfit(reply: Reply, problem: str) -> Unanswered:
    error = ModelError(
        FailureKind.INVALID_ANSWER,
        f"The answer does not fit the criterion's schema, nor did the one before it: {problem}",
        status=HTTPStatus.OK,
        request_id=reply.answer.request_id,
        usage=reply.answer.usage,
        model=reply.answer.model,
    )
    made = Superseded.of(reply).marked(FailureKind.INVALID_ANSWER)
    return Unanswered(error, made.attempts, reply.quota_wait_seconds, reply.spent)


def _sendable(text: str) -> str:
    """The text without lone surrogates, which a model's JSON can escape and no request can carry."""
    return text.encode("utf-8", "replace").decode()
