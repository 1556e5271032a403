"""The records that rooms exchange: messages, rows, trials' outcomes, a run's header, plan and progress.

All are frozen and JSON-serialisable; blobs and queue messages hold exactly these shapes.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

NO_COST = Decimal(0)

BudgetMode = Literal["enforce", "soft"]
"""Whether a budget stops a run, or only warns."""

MOST_LABEL = 100
"""Characters of a label that a score keeps."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,79}")


def is_run_id(text: str) -> bool:
    """Whether a text can be a run's id; whatever else comes from outside must not become part of a path."""
    return _RUN_ID.fullmatch(text) is not None


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


class DatasetReference(Record):
    """Which bytes a run is about. `path` is the blob, `etag` its version when the run began."""

    path: str
    file: str
    etag: str
    size: int
    sha256: str


class RunHeader(Record):
    """What a run is, frozen when it begins. `suite` is resolved, `suite_source` the text as written.

    `over_budget`: it may begin although it would likely cost more than its budget.
    """

    run: str
    suite_name: str
    suite: dict[str, Any]
    suite_source: str
    suite_sha256: str
    dataset: DatasetReference
    seed: int
    created_at: datetime
    over_budget: bool = False
    versions: dict[str, str] = Field(default_factory=dict)


class RowRange(Record):
    """Consecutive rows and the bytes of `rows.jsonl` that hold them."""

    first_row: int
    rows: int
    offset: int
    length: int


JUDGED = "~"
"""Between judge and experiment in the name of a judgement; no name of either can hold it."""


NOT_JUDGED = "not_judged"
"""The kind of failure of a row that has no answer to judge."""

JUDGING_LAG = 4
"""Row ranges between asking and judging: most answers are then there when their judge is asked, and none waits long."""


class Judgement(Record):
    """A judge's work on one experiment: of every row the answer is judged, or set against that of `against`."""

    judge: str
    experiment: str
    against: str | None = None

    @property
    def name(self) -> str:
        """What its chunks, outcomes and questions say in place of an experiment."""
        return f"{self.judge}{JUDGED}{self.experiment}"


_Rounds = tuple[tuple[str, int], ...]


class Plan(Record):
    """Every chunk of a run, in order: by row range, and within a range by repeat and experiment, the baseline first.

    `repeats` has how often each experiment is asked; empty: once each. An experiment's chunks are numbered repeat by
    repeat: the row range `at` of the repeat `r` is chunk `r * len(ranges) + at`. A judgement's chunks have the numbers
    of the chunks that it judges, and stand `JUDGING_LAG` row ranges behind them.

    With `early_stop` the run may settle experiments before all rows are asked, and rows are in a seeded random order:
    then `first_row` counts places in `rows.jsonl`.
    """

    run: str
    rows: int
    bad_rows: int
    experiments: tuple[str, ...]
    ranges: tuple[RowRange, ...]
    repeats: tuple[int, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    early_stop: bool = False

    def repeats_of(self, name: str) -> int:
        """How often every row is put to an experiment or judgement. Raises ValueError for one that is not planned."""
        judgement = self.judgement(name)
        if judgement is None:
            at = self.experiments.index(name)
            return self.repeats[at] if self.repeats else 1
        judged = (judgement.experiment, judgement.against or judgement.experiment)
        return min(self.repeats_of(one) for one in judged)

    def judgement(self, name: str) -> Judgement | None:
        """The judgement of that name, or None."""
        return next((one for one in self.judgements if one.name == name), None)

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that has chunks: the experiments, then the judgements."""
        return (*self.experiments, *(one.name for one in self.judgements))

    @property
    def rounds(self) -> tuple[tuple[str, int], ...]:
        """Experiment and repeat of every chunk of a row range, in order."""
        return self._rounds(self.experiments)

    @property
    def judging_rounds(self) -> tuple[tuple[str, int], ...]:
        """Name of the judgement and repeat of every chunk that judges a row range, in order."""
        return self._rounds(tuple(one.name for one in self.judgements))

    @property
    def chunks(self) -> int:
        return len(self.ranges) * (len(self.rounds) + len(self.judging_rounds))

    @property
    def trials(self) -> int:
        """Trials of the experiments; judging them comes on top."""
        return self.rows * len(self.rounds)

    @property
    def judged_trials(self) -> int:
        """How many outcomes the judgements have, one per judged trial."""
        return self.rows * len(self.judging_rounds)

    def chunk(self, at: int, repeat: int) -> int:
        """The number of the chunk that puts the row range `at` to an experiment for the repeat."""
        return repeat * len(self.ranges) + at

    def messages(self, first: int, last: int) -> Iterator[ChunkMessage]:
        """The messages of chunks `first` up to but not including `last`, in the plan's order."""
        rounds, judging = self.rounds, self.judging_rounds
        for index in range(first, min(last, self.chunks)):
            (name, repeat), at = self._place(index, rounds, judging)
            yield self.message(name, self.chunk(at, repeat))

    def message(self, experiment: str, chunk: int) -> ChunkMessage:
        """The message of the chunk of an experiment or judgement. Raises IndexError when the plan does not have it."""
        repeat, at = divmod(chunk, len(self.ranges))
        if not 0 <= repeat < self.repeats_of(experiment):
            raise IndexError(f"experiment '{experiment}' has no chunk {chunk}")
        return ChunkMessage(
            run=self.run, experiment=experiment, chunk=chunk, repeat=repeat, **self.ranges[at].model_dump()
        )

    def _rounds(self, names: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
        repeats = {name: self.repeats_of(name) for name in names}
        most = max(repeats.values(), default=0)
        return tuple((name, repeat) for repeat in range(most) for name in names if repeat < repeats[name])

    def _place(self, index: int, rounds: _Rounds, judging: _Rounds) -> tuple[tuple[str, int], int]:
        """Round and row range of a chunk by its place in the plan's order.

        Only asking at first, then a range is asked and the one `JUDGING_LAG` before it judged, only judging at last.
        """
        lag = min(JUDGING_LAG, len(self.ranges))
        head = lag * len(rounds)
        if index < head:
            at, place = divmod(index, len(rounds))
            return rounds[place], at
        each = len(rounds) + len(judging)
        turn, place = divmod(index - head, each)
        if turn < len(self.ranges) - lag:
            return (rounds[place], lag + turn) if place < len(rounds) else (judging[place - len(rounds)], turn)
        at, place = divmod(index - head - (len(self.ranges) - lag) * each, len(judging))
        return judging[place], len(self.ranges) - lag + at


class Stage(StrEnum):
    """Where a run stands. Done and failed are final; a stopped run waits for `assay resume`."""

    PLANNING = "planning"
    ASKING = "asking"
    EVALUATING = "evaluating"
    PUBLISHING = "publishing"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"


class Tally(Record):
    """Counts and sums over trials: one chunk's, one experiment's or a whole run's."""

    trials: int = 0
    succeeded: int = 0
    failed: int = 0
    blocked: int = 0
    skipped: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = NO_COST
    cached: int = 0
    reruns: int = 0

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> "Tally":
        """The tally in a blob's metadata, which may say more than that."""
        return cls.model_validate({name: value for name, value in metadata.items() if name in cls.model_fields})

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(**{name: getattr(self, name) + getattr(other, name) for name in Tally.model_fields})


class Progress(Record):
    """What was last seen of a run, for people and for the orchestrator.

    `trials_total` and `tally` hold what judges do as well: a judged trial is one more. `judged_total` is how many of
    the total are judges' work.
    """

    run: str
    stage: Stage
    trials_total: int = 0
    chunks_total: int = 0
    chunks_done: int = 0
    bad_rows: int = 0
    tally: Tally = Tally()
    by_experiment: dict[str, Tally] = Field(default_factory=dict)
    judged_total: int = 0
    by_judgement: dict[str, Tally] = Field(default_factory=dict)
    started_at: datetime | None = None
    updated_at: datetime | None = None
    message: str = ""


class Refusal(Record):
    """A file or message that was not processed, kept for a person: a quarantine record."""

    kind: Literal["file", "message"]
    subject: str
    reason: str
    at: datetime
    run: str | None = None
    content: str = ""
