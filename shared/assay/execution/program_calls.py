"""The model calls of one program for one row: each a question like any other, all of them counted.

`programs.py` makes them and ends them; the program asks through one of the two models.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import CancelledError
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

from assay.execution.course import Course, followed
from assay.execution.program_requests import request_of
from assay.llm.base import ChatRequest
from assay.middleware.base import NOTHING_SPENT, Ask, Question, Reply, Spent, Unanswered
from assay.programs.model import Answer, BadCall, Messages, Options, ProgramEnded
from assay.records import Attempt

REFUSED_AGAIN_SECONDS = 1.0


class TooManyCalls(Exception):
    """The program wanted to ask more often than `limits.calls_per_trial` allows."""


@dataclass
class Calls:
    """What a program asks for one row. `question` has the request that calls change.

    `course` gets the attempts of all calls and what they cost, whatever became of them; `discarded` is the part of it
    that went into answers which the program did not get. `halted` is done once nothing more may be asked, with what
    the trial has to end with. Belongs to the event loop that it is made in.
    """

    ask: Ask
    question: Question
    most: int
    course: Course
    replies: list[Reply] = field(default_factory=list)
    discarded: Spent = NOTHING_SPENT
    quota_wait_seconds: float = 0.0
    halted: "asyncio.Future[BaseException]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    under_way: "set[asyncio.Task[Any]]" = field(default_factory=set)
    _made: int = 0
    _refused: int = 0
    _drawn: Counter[ChatRequest] = field(default_factory=Counter)

    async def call(self, messages: Messages, options: Options) -> Answer:
        """The answer. Raises Unanswered, BadCall and ProgramEnded."""
        await self._check_open()
        question = self._next(request_of(messages, options, self.question.request))
        task = asyncio.current_task()
        assert task is not None
        self.under_way.add(task)
        try:
            return _answer(await self._replied(question))
        finally:
            self.under_way.discard(task)

    def close(self) -> None:
        """Ends what is under way; whatever is asked from now on raises ProgramEnded. A second call does nothing."""
        self._halt(ProgramEnded("the trial is over"))
        for task in self.under_way:
            task.cancel()

    async def _check_open(self) -> None:
        if self.halted.done():
            self._refused += 1
            if self._refused > 1:  # a program that goes on after ProgramEnded must not keep the event loop busy
                await asyncio.sleep(REFUSED_AGAIN_SECONDS)
            raise ProgramEnded("nothing more is answered in this trial")
        if self._made >= self.most:
            raise self._halt(TooManyCalls(f"more than {self.most} model calls for one row (limits.calls_per_trial)"))

    def _next(self, request: ChatRequest) -> Question:
        """The same request once more is another draw: the cache must not answer it with the first one's answer."""
        self._made += 1
        self._drawn[request] += 1
        is_varied = replace(request, messages=()) != replace(self.question.request, messages=())
        return replace(self.question, request=request, draw=self._drawn[request] - 1, is_varied=is_varied)

    async def _replied(self, question: Question) -> Reply:
        with followed() as course:
            try:
                reply = await self.ask(question)
            except Unanswered as error:
                self.quota_wait_seconds += error.quota_wait_seconds
                self._count(error.attempts, error.spent, error.spent)
                raise
            except Exception as error:  # none of the program's: it must not be taken for its failure
                self._count(course.attempts, course.spent, course.spent)
                raise self._halt(error) from error
            except BaseException:
                self._count(course.attempts, course.spent, course.spent)
                raise
        self.quota_wait_seconds += reply.quota_wait_seconds
        self._count(reply.attempts, reply.spent, reply.discarded)
        self.replies.append(reply)
        return reply

    def _count(self, attempts: Iterable[Attempt], spent: Spent, discarded: Spent) -> None:
        self.course.attempts.extend(attempts)
        self.course.spent += spent
        self.discarded += discarded

    def _halt(self, reason: BaseException) -> ProgramEnded:
        """What the program is told; the first reason counts."""
        if not self.halted.done():
            self.halted.set_result(reason)
        return ProgramEnded(str(reason))


def _answer(reply: Reply) -> Answer:
    answer = reply.answer
    usage = answer.usage
    return Answer(
        answer.text, answer.finish_reason, answer.model, usage.input_tokens, usage.output_tokens, answer.refused
    )


class AwaitedModel:
    """The model that an `async def` asks."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    @property
    def deployment(self) -> str:
        return self._calls.question.request.deployment

    async def ask(self, messages: Messages, **options: Unpack[Options]) -> str:
        return (await self._calls.call(messages, options)).text

    async def call(self, messages: Messages, **options: Unpack[Options]) -> Answer:
        return await self._calls.call(messages, options)


class BlockingModel:
    """The model that a plain function asks, from whatever threads it has; the event loop does the asking.

    Questions are asked in the context in which this is made, so that the trial's clock counts for all of them.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._loop = asyncio.get_running_loop()
        self._context: Context = copy_context()

    @property
    def deployment(self) -> str:
        return self._calls.question.request.deployment

    def ask(self, messages: Messages, **options: Unpack[Options]) -> str:
        return self.call(messages, **options).text

    def call(self, messages: Messages, **options: Unpack[Options]) -> Answer:
        if _is_running(self._loop):
            raise BadCall(
                "a plain function's model cannot be asked in Assay's event loop; make the program 'async def'"
            )
        asking = self._calls.call(messages, options)
        try:
            # A copy each: a context can be entered only once at a time.
            return self._context.copy().run(asyncio.run_coroutine_threadsafe, asking, self._loop).result()
        except CancelledError:
            raise ProgramEnded("the trial is over") from None
        except RuntimeError as error:
            if not self._loop.is_closed():
                raise
            asking.close()
            raise ProgramEnded("the worker has ended") from error


def _is_running(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
