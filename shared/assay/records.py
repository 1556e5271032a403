"""The records of trials that rooms exchange: rows, messages, answers, scores, outcomes. Those of runs: run_records.py.

All are frozen and JSON-serialisable; blobs and queue messages hold exactly these shapes.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

NO_COST = Decimal(0)

MOST_LABEL = 100
"""Characters of a label that a score keeps."""


def _is_none(value: object) -> bool:
    return value is None


class Record(BaseModel):
    """Base of all records: frozen, and strict about unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(Record):
    """One record of the dataset. `number` counts good rows from 1; `line` is where it began in the file."""

    row_id: str
    number: int
    line: int
    fields: dict[str, Any]


class BadRow(Record):
    """A row set aside, with the reason a person needs to mend it."""

    line: int
    reason: str
    found: str = ""
    row_id: str | None = None


class ChunkMessage(Record):
    """A queue message: which rows of a run's `rows.jsonl` to put to which experiment. References only.

    `repeat` counts from 0 how often these rows have been put to the experiment before, where a suite says `repeats`.
    """

    v: Literal[1] = 1
    run: str
    experiment: str
    chunk: int
    repeat: int = 0
    first_row: int
    rows: int
    offset: int
    length: int


class TrialStatus(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    BLOCKED = "blocked"
    SKIPPED = "skipped"


class Usage(Record):
    """Tokens as the service counted them."""

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_input_tokens=self.cached_input_tokens + other.cached_input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
        )


class Attempt(Record):
    """One try at one model request. `wait_seconds` is what was waited after it before the next one."""

    number: int
    deployment: str = ""
    error: str | None = None
    status: int | None = None
    request_id: str | None = None
    wait_seconds: float = 0.0


class Response(Record):
    """A model's answer to one criterion. `deployment` is the one that answered, after fallbacks.

    `discarded` are tokens of answers that were paid for and not used: cut by a limit of ours, or invalid. They cost
    `discarded_usd`, which is in `cost_usd`. A `cached` response cost nothing now; its tokens and latency are those of
    the first time. `limit_sent` is the `max_tokens` of the first request where it was lower than the suite's.
    `first_token_seconds` is how long a streamed answer took to begin; None for one that came whole.
    """

    criterion: str
    text: str
    finish_reason: str
    model: str
    deployment: str
    request_id: str | None
    usage: Usage
    cost_usd: Decimal | None
    latency_seconds: float
    quota_wait_seconds: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    refused: bool = False
    discarded: Usage = Usage()
    discarded_usd: Decimal | None = NO_COST
    cached: bool = False
    reruns: int = 0
    limit_sent: int | None = None
    first_token_seconds: float | None = Field(None, exclude_if=_is_none)

    @property
    def tokens_per_second(self) -> float | None:
        """Output tokens per second from the first one on; None where the answer did not come piece by piece.

        Of models that reason out of sight it says too much: that took place before the first token.
        """
        if self.first_token_seconds is None or self.latency_seconds <= self.first_token_seconds:
            return None
        return self.usage.output_tokens / (self.latency_seconds - self.first_token_seconds)

    @property
    def truncated(self) -> bool:
        """Whether the answer ended at `max_tokens`."""
        return self.finish_reason == "length"

    @property
    def billed(self) -> Usage:
        """Tokens that this response was billed."""
        return self.discarded if self.cached else self.usage + self.discarded


class Failure(Record):
    """Why a trial has no answer. `kind` is one of the error taxonomy (`llm/errors.py`), or one that no request has.

    Those are `prompt`, `program`, `poisoned` and `not_judged`. `usage` and `cost_usd` are what its answers were billed,
    if there were any that could not be used.
    """

    kind: str
    message: str
    criterion: str | None = None
    status: int | None = None
    request_id: str | None = None
    attempts: tuple[Attempt, ...] = ()
    usage: Usage = Usage()
    cost_usd: Decimal | None = NO_COST


class Score(Record):
    """A scorer's verdict on one trial. No value means not scored, and `reason` says why.

    Scorers of labels say which `label` they found and which was `expected`, cut to `MOST_LABEL` characters; no label
    was found where only `expected` is there. Both are left out of JSON where they are None.
    """

    name: str
    value: float | None
    reason: str | None = None
    label: str | None = Field(None, exclude_if=_is_none)
    expected: str | None = Field(None, exclude_if=_is_none)


class Outcome(Record):
    """The final state of a trial."""

    row_id: str
    row_number: int
    experiment: str
    repeat: int = 0
    status: TrialStatus
    responses: tuple[Response, ...] = ()
    scores: tuple[Score, ...] = ()
    failure: Failure | None = None

    @property
    def cost_usd(self) -> Decimal:
        """What the trial cost; answers without a known price count as nothing."""
        of_failure = (self.failure.cost_usd if self.failure else None) or NO_COST
        return sum((r.cost_usd or NO_COST for r in self.responses), of_failure)

    @property
    def usage(self) -> Usage:
        """Tokens that the trial was billed."""
        return sum((r.billed for r in self.responses), self.failure.usage if self.failure else Usage())
