"""Programs for trials: what a test wrote as a function, run as a worker would run it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from worker_bench import Asked, trial

from assay.execution.program_threads import ProgramThreads
from assay.execution.programs import ProgramRunner
from assay.execution.trial import Trial
from assay.llm.base import ChatAnswer
from assay.middleware.base import Question, Reply, Spent
from assay.planning.programs import Program
from assay.records import Attempt, Usage
from assay.suite.models import Suite
from assay.telemetry import RecordingTelemetry
from builders import suite

MODEL = {"deployment": "gpt-4o-mini", "temperature": 0, "max_tokens": 60, "seed": 3}
PROGRAM = {"name": "agent", "baseline": True, "model": MODEL, "program": "my_programs:answer"}


def program_suite(**changes: Any) -> Suite:
    return suite([PROGRAM], scorers=[], **changes)


def program_trial(
    call: Callable[..., Any],
    ask: Any = None,
    of: Suite | None = None,
    threads: ProgramThreads | None = None,
    **changes: Any,
) -> Trial:
    """The trial of a program; the model answers `{}` at once unless there is an `ask`."""
    runner = ProgramRunner(
        Program(f"{call.__module__}:answer", call, inspect.iscoroutinefunction(call)),
        threads or ProgramThreads(RecordingTelemetry()),
        grace_seconds=0.02 if threads else 5.0,
    )
    made = trial(ask or Asked(), of or program_suite(), "agent")
    return Trial(**{**vars(made), "program": runner, **changes})


class Replies:
    """An `ask` that gives the replies in order; an exception is raised. Keeps the questions."""

    def __init__(self, replies: Iterable[Reply | BaseException]) -> None:
        self._replies = iter(replies)
        self.questions: list[Question] = []

    async def __call__(self, question: Question) -> Reply:
        self.questions.append(question)
        reply = next(self._replies)
        if isinstance(reply, BaseException):
            raise reply
        return reply


def reply(text: str = "ok", *, tokens: int = 5, cost: str = "0.5", **changes: Any) -> Reply:
    """A reply that took a second and one attempt."""
    usage = Usage(input_tokens=10, output_tokens=tokens)
    answer = ChatAnswer(text, "stop", "gpt-4o-mini-2024-07-18", "req-1", usage, 1.0)
    made: dict[str, Any] = {
        "answer": answer,
        "deployment": "gpt-4o-mini",
        "attempts": (Attempt(number=1, status=200),),
        "quota_wait_seconds": 2.0,
        "spent": Spent(usage, Decimal(cost)),
    }
    return Reply(**made | changes)
