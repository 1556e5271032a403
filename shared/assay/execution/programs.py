"""Runs a program for one row: calls it, ends it, and makes a response of what it returns, or says why there is none.

Called by `trial.py`; the model calls are in `program_calls.py`.
"""

import asyncio
import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from traceback import FrameSummary, StackSummary, walk_tb
from typing import Any

from assay.execution.program_answers import ProgramFailed, answer_text
from assay.execution.program_calls import AwaitedModel, BlockingModel, Calls, TooManyCalls
from assay.execution.program_threads import Ended, ProgramThreads
from assay.llm.base import ChatAnswer
from assay.middleware.base import Unanswered
from assay.planning.programs import Program
from assay.records import Response, Usage
from assay.suite.models import PROGRAM_CRITERION

PROGRAM = "program"
"""The kind of failure of a program that raised or returned what is no answer."""

GRACE_SECONDS = 1.0
NO_MODEL = "none"
_LONGEST_MESSAGE = 1_000
_NO_ANSWER = ChatAnswer("", "stop", NO_MODEL, request_id=None, usage=Usage(), latency_seconds=0.0)


@dataclass(frozen=True)
class ProgramRunner:
    """A program and the threads it may run in; one that is cut off has `grace_seconds` to end by itself."""

    program: Program
    threads: ProgramThreads
    grace_seconds: float = GRACE_SECONDS

    async def answer(self, fields: Mapping[str, Any], calls: Calls) -> str:
        """What the program returns, as text: a mapping as canonical JSON.

        Raises ProgramFailed, Unanswered when that is what the program raised, and what its calls met that ends more
        than the program: RunStopped, QuotaElsewhere. When it returns or raises, the program is over or left behind, and
        `calls` are closed.
        """
        running = asyncio.create_task(self._run(copy.deepcopy(dict(fields)), calls))
        running.add_done_callback(_seen)
        try:
            awaited: tuple[asyncio.Future[Any], ...] = (running, calls.halted)
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if calls.halted.done():
                raise _reason(calls.halted.result())
            if running.cancelled():  # nobody else would while it is awaited here
                raise ProgramFailed("the program cancelled its own task")
            ended = running.result()
        finally:
            await self._end(running, calls)
        if ended.error is not None:
            raise _failed(ended.error, self.program) from ended.error
        try:
            return answer_text(ended.value)
        except ProgramFailed:
            raise
        except Exception as error:  # what a program returns may do anything when it is looked at
            raise ProgramFailed(f"the program's answer cannot be read: {_said(error)}") from error

    async def _end(self, running: "asyncio.Task[Ended]", calls: Calls) -> None:
        """A thread that waits for a call ends as soon as that is cancelled; one that does not is left behind."""
        calls.close()
        if self.program.is_async:
            running.cancel()
        try:
            await self._done((running, *calls.under_way))
        finally:
            running.cancel()
        await self._done((running,))

    async def _done(self, tasks: Iterable["asyncio.Task[Any]"]) -> None:
        pending = {one for one in tasks if not one.done()}
        if pending:
            await asyncio.wait(pending, timeout=self.grace_seconds)

    async def _run(self, fields: dict[str, Any], calls: Calls) -> Ended:
        call = self.program.call
        if self.program.is_async:
            return await _awaited(call(fields, AwaitedModel(calls)))
        model = BlockingModel(calls)
        return await self.threads.run(lambda: call(fields, model))


async def _awaited(answer: Any) -> Ended:
    try:
        return Ended(await answer)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return Ended(error=error)  # of something that the program itself had cancelled
    except BaseException as error:  # `sys.exit` must not end the worker; Ctrl-C arrives as a cancellation
        return Ended(error=error)


def _seen(running: "asyncio.Task[Ended]") -> None:
    """What a program raised after it was left behind is of no interest."""
    if not running.cancelled():
        running.exception()


def _reason(halted: BaseException) -> BaseException:
    return ProgramFailed(f"the program asked {halted}") if isinstance(halted, TooManyCalls) else halted


def _failed(error: BaseException, program: Program) -> Exception:
    """A model without an answer is the model's failure, unless the program made another error of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Unanswered):
            return cause
        cause = cause.__cause__
    where = _last_line(error, program)
    return ProgramFailed(f"{_said(error)} ({where})" if where else _said(error))


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:_LONGEST_MESSAGE]
    except Exception:  # of an error that cannot say what it is
        return type(error).__name__


def _last_line(error: BaseException, program: Program) -> str:
    """The innermost line of the traceback that is the program's own."""
    frames = list(walk_tb(error.__traceback__))
    own = [one for one in frames if _package(one[0].f_globals) == program.package]
    found: list[FrameSummary] = StackSummary.extract(iter(own[-1:]))
    return "".join(f"{Path(one.filename).name}:{one.lineno}: {one.line}" for one in found)


def _package(module: Mapping[str, Any]) -> str:
    return str(module.get("__name__", "")).partition(".")[0]


def response_of(text: str, calls: Calls) -> Response:
    """The response of a program: its own text, and the sums over its calls.

    Where some calls were answered from the cache, `usage` counts the others only, which were paid for; the response is
    `cached` when all were.
    """
    replies = calls.replies
    paid = [one for one in replies if not one.cached]
    answer = replies[-1].answer if replies else _NO_ANSWER
    discarded = calls.discarded
    return Response(
        criterion=PROGRAM_CRITERION,
        text=text,
        finish_reason=answer.finish_reason,
        model=answer.model,
        deployment=replies[-1].deployment if replies else calls.question.request.deployment,
        request_id=answer.request_id,
        usage=sum((one.answer.usage for one in paid or replies), Usage()),
        cost_usd=calls.course.spent.cost_usd,
        latency_seconds=sum(one.answer.latency_seconds for one in replies),
        quota_wait_seconds=calls.quota_wait_seconds,
        attempts=tuple(calls.course.attempts),
        refused=answer.refused,
        discarded=discarded.usage,
        discarded_usd=discarded.cost_usd,
        cached=bool(replies) and not paid,
        reruns=sum(one.reruns for one in replies),
    )
