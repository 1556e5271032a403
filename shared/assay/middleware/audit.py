"""The audit log: who asked what when, and what came of it, on records that are only ever appended.

Two lines a request: `asked` is safe before the request goes out, its end is safe before the reply is used. Without
them there is no request and no reply: the question fails as `audit_failed`.
"""

import asyncio
import hashlib
import re
from datetime import datetime
from decimal import Decimal
from itertools import count
from secrets import token_hex
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from assay.errors import RunStopped, StorageError
from assay.llm.base import ChatMessage, ModelError
from assay.llm.errors import FailureKind
from assay.middleware.audit_journal import LineJournal
from assay.middleware.base import NOTHING_SPENT, Ask, Question, Reply, Spent, Unanswered
from assay.middleware.context import Context
from assay.quota.base import QuotaElsewhere
from assay.records import Attempt, Record
from assay.storage import layout


class AuditOptions(BaseModel):
    """Options of the plugin `audit`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    content: Literal["none", "redacted"] = Field(
        "none", description="'redacted' records prompts and answers too, with secrets and personal data taken out"
    )


class AuditRecord(Record):
    """One line of the audit log. Lines of one request have the same `id`; an `asked` without an end is a crash.

    `cut_off`: the trial ran out of time, or the worker was told to stop, while the request was under way.

    `prompt_sha256` and `answer_sha256` are over the run's id, a zero byte and the text, so that equal texts of two runs
    do not look alike; who has the text can check it, and who can guess it can check the guess.
    """

    id: str
    event: Literal["asked", "answered", "failed", "stopped", "cut_off"]
    time: datetime
    run: str
    experiment: str
    criterion: str
    row_id: str
    repeat: int
    worker: str
    prompt_sha256: str
    prompt: str | None = None
    deployment: str | None = None
    model: str | None = None
    request_id: str | None = None
    status: int | None = None
    kind: str | None = None
    message: str | None = None
    finish_reason: str | None = None
    cached: bool | None = None
    attempts: tuple[Attempt, ...] | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: Decimal | None = None
    answer_sha256: str | None = None
    answer: str | None = None


class AuditLog:
    """Records every question and its end; fails closed."""

    def __init__(self, options: AuditOptions, context: Context) -> None:
        self._context, self._redact = context, context.redactor.redact
        self._with_content = options.content == "redacted"
        self._process, self._numbers = token_hex(4), count(1)
        self._journal = LineJournal(context.storage, self._path, context.linger_seconds, context.clock, context.sleep)

    async def begin(self) -> None:
        """Opens this worker's journal. Raises StorageError."""
        await self._journal.open()

    async def answer(self, question: Question, ask: Ask) -> Reply:
        """The reply of `ask`, recorded. Raises what `ask` raises, and Unanswered (`audit_failed`)."""
        asked = self._asked(question)
        await self._keep(asked)
        try:
            reply = await ask(question)
        except Unanswered as error:
            await self._keep(self._failed(asked, error), error.attempts, error.spent)
            raise
        except (RunStopped, QuotaElsewhere) as error:
            await self._keep(self._ended(asked, event="stopped", message=self._redact(str(error))))
            raise
        except asyncio.CancelledError:
            self._journal.post(_line(self._ended(asked, event="cut_off"))).add_done_callback(_looked_at)
            raise
        await self._keep(self._answered(asked, reply), reply.attempts, reply.spent)
        return reply

    async def end(self) -> None:
        """Waits until what was recorded is safe."""
        await self._journal.close()

    def _path(self, number: int) -> str:
        worker = re.sub(r"[^\w.-]", "_", self._context.worker)
        return layout.audit_journal(self._context.run, worker, number)

    async def _keep(
        self, record: AuditRecord, attempts: tuple[Attempt, ...] = (), spent: Spent = NOTHING_SPENT
    ) -> None:
        try:
            await self._journal.add(_line(record))
        except StorageError as error:
            self._context.telemetry.problem("audit_failed", record=record.event, reason=str(error))
            said = (
                f"The audit record '{record.event}' cannot be written, so the question counts as not answered: {error}"
            )
            failure = ModelError(FailureKind.AUDIT_FAILED, said, sent=record.event != "asked")
            raise Unanswered(failure, attempts, spent=spent) from error

    def _asked(self, question: Question) -> AuditRecord:
        prompt = _written(question.request.messages)
        return AuditRecord(
            id=f"{self._process}-{next(self._numbers)}",
            event="asked",
            time=self._context.now(),
            run=question.run,
            experiment=question.experiment,
            criterion=question.criterion,
            row_id=self._redact(question.row_id),
            repeat=question.repeat,
            worker=self._context.worker,
            prompt_sha256=digest(question.run, prompt),
            prompt=self._content(prompt),
        )

    def _answered(self, asked: AuditRecord, reply: Reply) -> AuditRecord:
        answer, usage = reply.answer, reply.spent.usage
        return self._ended(
            asked,
            event="answered",
            deployment=reply.deployment,
            model=answer.model,
            request_id=answer.request_id,
            finish_reason=answer.finish_reason,
            cached=reply.cached,
            attempts=reply.attempts,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=reply.spent.cost_usd,
            answer_sha256=digest(asked.run, answer.text),
            answer=self._content(answer.text),
        )

    def _failed(self, asked: AuditRecord, error: Unanswered) -> AuditRecord:
        usage = error.spent.usage
        return self._ended(
            asked,
            event="failed",
            deployment=error.attempts[-1].deployment if error.attempts else None,
            request_id=error.last.request_id,
            status=error.last.status,
            kind=error.last.kind.value,
            message=self._redact(str(error.last)),
            attempts=error.attempts,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cost_usd=error.spent.cost_usd,
        )

    def _ended(self, asked: AuditRecord, **fields: object) -> AuditRecord:
        return asked.model_copy(update={"time": self._context.now(), "prompt": None, **fields})

    def _content(self, text: str) -> str | None:
        return self._redact(text) if self._with_content else None


def digest(run: str, text: str) -> str:
    """The digest of a text in the audit records of a run.

    A prompt's text is one line `role: content` per message, and one line `image: address` per image after it.
    """
    return hashlib.sha256(f"{run}\x00{text}".encode("utf-8", "surrogatepass")).hexdigest()


def _line(record: AuditRecord) -> bytes:
    content = record.model_dump(exclude_none=True)
    # Services quote, and models give, lone surrogates, which no UTF-8 can hold: `to_json` refuses them all.
    return to_json({name: _encodable(value) for name, value in content.items()}) + b"\n"


def _encodable(value: object) -> object:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _looked_at(done: asyncio.Future[None]) -> None:
    """A failure of a line that nobody waits for is no news: the next question meets it."""
    if not done.cancelled():
        done.exception()


def _written(messages: tuple[ChatMessage, ...]) -> str:
    return "\n".join(line for one in messages for line in _lines_of(one))


def _lines_of(message: ChatMessage) -> list[str]:
    return [f"{message.role}: {message.content}", *(f"image: {one.url}" for one in message.images)]
