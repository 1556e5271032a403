"""The records of runs that rooms exchange: a run's header, plan, tallies and progress; records.py has those of trials.

All are frozen and JSON-serialisable; blobs hold exactly these shapes.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from assay.records import NO_COST, ChunkMessage, Record

BudgetMode = Literal["enforce", "soft"]
"""Whether a budget stops a run, or only warns."""

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,79}")


def is_run_id(text: str) -> bool:
    """Whether a text can be a run's id; whatever else comes from outside must not become part of a path."""
    return _RUN_ID.fullmatch(text) is not None


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
