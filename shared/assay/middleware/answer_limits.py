"""Adaptive `max_tokens`: a link of the middleware chain that sends the limit at which a trial charges least quota.

A standard deployment charges prompt + `max_tokens` and never corrects. It stands behind the cache, before the asking.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from assay.llm.errors import FailureKind
from assay.middleware.answer_lengths import AnswerLengths, Length
from assay.middleware.base import Ask, Question, Reply, Unanswered
from assay.middleware.superseded import Superseded
from assay.telemetry import Telemetry

CAUSED_BY_LOW_LIMITS = frozenset({FailureKind.INVALID_REQUEST, FailureKind.MAX_TOKENS_SPENT})
"""Reasoning models may reach the limit before they begin to answer; some refuse the request then."""


class AnswerLimits:
    """Learns how long answers are, by experiment and criterion, and lowers `max_tokens` where that saves quota.

    `charged` are the deployments that keep the charge of arrival (accounting standard, with a quota); questions for
    others pass unchanged. Leave the link out when `limits.adaptive_max_tokens` is false.
    """

    def __init__(self, telemetry: Telemetry, charged: Collection[str]) -> None:
        self._telemetry = telemetry
        self._charged = frozenset(charged)
        self._criteria: dict[tuple[str, str, str, int], _Criterion] = {}

    async def begin(self) -> None:
        """Nothing to prepare."""

    async def answer(self, question: Question, ask: Ask) -> Reply:
        """The reply under the limit in force. One that this limit cut is asked for again at the suite's own.

        Such a reply has one rerun, the attempts of both requests, and counts what the cut answer was billed as spent
        and as discarded. Raises what `ask` raises; after a rerun, Unanswered with the attempts and the bill of both.
        """
        if question.request.deployment not in self._charged:
            return await ask(question)
        longest = question.request.max_tokens  # of programs each call may have its own
        key = (question.run, question.experiment, question.criterion, longest)
        criterion = self._criteria.setdefault(key, _Criterion(AnswerLengths(longest)))
        return await _Asking(criterion, question, ask).reply()

    async def end(self) -> None:
        """Reports what the limits saved; a second call does nothing."""
        for (_, experiment, criterion, _), one in self._criteria.items():
            self._telemetry.event("answer_limit", experiment=experiment, criterion=criterion, **one.fields())
        self._criteria.clear()


@dataclass
class _Criterion:
    """One criterion's lengths, and what became of its questions."""

    lengths: AnswerLengths
    questions: int = 0
    reruns: int = 0
    tokens_saved: int = 0

    def fields(self) -> dict[str, int | float]:
        return {
            "max_tokens": self.lengths.longest,
            "limit": self.lengths.limit,
            "questions": self.questions,
            "reruns": self.reruns,
            "rerun_share": round(self.reruns / max(1, self.questions), 4),
            "tokens_saved": self.tokens_saved,
        }


class _Asking:
    """One question on its way."""

    def __init__(self, criterion: _Criterion, question: Question, ask: Ask) -> None:
        self._criterion = criterion
        self._question = question
        self._ask = ask
        self._limit = min(criterion.lengths.limit, question.request.max_tokens)
        self._length: Length | None = None
        self._prompt_tokens = 0

    async def reply(self) -> Reply:
        lengths = self._criterion.lengths
        cohort = lengths.asked()
        try:
            return await self._reply()
        finally:
            lengths.answered(cohort, self._length, self._prompt_tokens)

    async def _reply(self) -> Reply:
        longest = self._question.request.max_tokens
        self._criterion.questions += 1
        if self._limit >= longest:
            return await self._ask_in_full()
        self._criterion.tokens_saved += longest - self._limit
        cut = await self._ask_within_limit()
        if isinstance(cut, Reply):
            return replace(cut, limit_sent=self._limit)
        self._length = Length(self._limit, is_cut=True)
        self._criterion.reruns += 1
        self._criterion.tokens_saved -= self._prompt_tokens + longest
        try:
            joined = cut.before(await self._ask_in_full())
        except Unanswered as error:
            raise cut.before_failure(error) from error
        return replace(joined, limit_sent=self._limit, reruns=joined.reruns + 1)

    async def _ask_in_full(self) -> Reply:
        try:
            return self._seen(await self._ask(self._question))
        except Unanswered as error:
            if error.last.kind is FailureKind.MAX_TOKENS_SPENT:
                self._length = Length(self._question.request.max_tokens, is_cut=True)
                self._prompt_tokens = error.last.usage.input_tokens or self._prompt_tokens
            raise

    async def _ask_within_limit(self) -> Reply | Superseded:
        request = replace(self._question.request, max_tokens=self._limit)
        try:
            reply = await self._ask(replace(self._question, request=request, asked_again_after=CAUSED_BY_LOW_LIMITS))
        except Unanswered as error:
            if error.last.kind not in CAUSED_BY_LOW_LIMITS:
                raise
            self._prompt_tokens = error.last.usage.input_tokens
            return Superseded.of_failure(error)
        if not reply.answer.truncated:
            return self._seen(reply)
        self._prompt_tokens = reply.answer.usage.input_tokens
        return Superseded.of(reply)

    def _seen(self, reply: Reply) -> Reply:
        """Takes the answer's length in, unless it contradicts what the cut answer told: that one was longer."""
        usage = reply.answer.usage
        self._prompt_tokens = usage.input_tokens
        if self._length is None or usage.output_tokens > self._length.tokens:
            self._length = Length(usage.output_tokens, is_cut=reply.answer.truncated)
        return reply
