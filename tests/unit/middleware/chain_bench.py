"""A context over memory, a clock that the test moves, and asks that answer from a script."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from assay.llm.base import ChatMessage, ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.llm.scripted import scripted_answer
from assay.middleware.base import Question, Reply, Spent, Unanswered
from assay.middleware.context import Context
from assay.middleware.redaction import PatternRedactor
from assay.records import Attempt, Usage
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry
from builders import RUN

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


class Time:
    """Seconds that pass only while somebody sleeps."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds
        await asyncio.sleep(0)


def context(storage: Any = None, time: Time | None = None, **changes: Any) -> Context:
    at = time or Time()
    content: dict[str, Any] = {
        "run": RUN,
        "worker": "host-7",
        "storage": storage or MemoryStorage(),
        "telemetry": RecordingTelemetry(),
        "redactor": PatternRedactor(),
        "clock": at.clock,
        "now": at.now,
        "sleep": at.sleep,
    }
    return Context(**(content | changes))


def question(text: str = "Sort this ticket.", *, system: str | None = None, row_id: str = "T-0001") -> Question:
    messages = (ChatMessage("user", text),)
    if system is not None:
        messages = (ChatMessage("system", system), *messages)
    return Question(RUN, "plain", "queue", row_id, ChatRequest("gpt-4o-mini", messages, 60))


def reply(text: str = "billing") -> Reply:
    spent = Spent(Usage(input_tokens=10, output_tokens=5), Decimal("0.0000045"))
    return Reply(scripted_answer(text), "gpt-4o-mini", (Attempt(number=1, status=200),), spent=spent)


def unanswered(message: str = "The server had an error.", kind: FailureKind = FailureKind.SERVER_ERROR) -> Unanswered:
    return Unanswered(ModelError(kind, message, status=500), (Attempt(number=1, error=kind.value, status=500),))


class Asked:
    """An `ask` that gives what `give` says; an exception is raised. `questions` are all it got."""

    def __init__(self, give: Callable[[Question], Reply | Exception] = lambda _: reply()) -> None:
        self._give = give
        self.questions: list[Question] = []

    async def __call__(self, question: Question) -> Reply:
        self.questions.append(question)
        await asyncio.sleep(0)
        given = self._give(question)
        if isinstance(given, Exception):
            raise given
        return given
