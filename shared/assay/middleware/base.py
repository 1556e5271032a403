"""The middleware port: a question comes in, it may be passed on, a reply comes back.

Trials ask, `chain.py` puts the links together, `execution/asking.py` is the end that sends.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from assay.errors import ModelUnavailable
from assay.llm.base import ChatAnswer, ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.records import NO_COST, Attempt, Usage

_NO_USAGE = Usage()


@dataclass(frozen=True, slots=True)
class Question:
    """One criterion of one trial. `repeat` tells apart questions that are put more than once on purpose.

    `draw` does so within a trial: how often its program has put the same request before. `is_varied`: its program said
    something differently from the suite. `asked_again_after`: kinds of failure after which whoever asks will do so
    again, in another way.
    """

    run: str
    experiment: str
    criterion: str
    row_id: str
    request: ChatRequest
    repeat: int = 0
    draw: int = 0
    is_varied: bool = False
    asked_again_after: frozenset[FailureKind] = frozenset()


@dataclass(frozen=True, slots=True)
class Spent:
    """What the service bills for answers, the thrown-away ones included. No cost: a model's price is unknown."""

    usage: Usage = _NO_USAGE
    cost_usd: Decimal | None = NO_COST

    def __add__(self, other: "Spent") -> "Spent":
        known = self.cost_usd is not None and other.cost_usd is not None
        cost = (self.cost_usd or NO_COST) + (other.cost_usd or NO_COST) if known else None
        return Spent(self.usage + other.usage, cost)


NOTHING_SPENT = Spent()


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer and how it came about.

    `deployment` is the one that answered, `attempts` end with the one that succeeded. `spent` is everything that this
    reply cost; `discarded` the part of it that went into answers nobody uses. A `cached` reply cost nothing now.
    `limit_sent` is the `max_tokens` of the first request where it was lower than the suite's.
    """

    answer: ChatAnswer
    deployment: str
    attempts: tuple[Attempt, ...] = ()
    quota_wait_seconds: float = 0.0
    spent: Spent = NOTHING_SPENT
    discarded: Spent = NOTHING_SPENT
    cached: bool = False
    reruns: int = 0
    limit_sent: int | None = None


class Unanswered(ModelUnavailable):
    """No usable answer after everything that was allowed. `last` is the last error, `attempts` are all of them.

    `spent` was billed all the same.
    """

    def __init__(
        self,
        last: ModelError,
        attempts: tuple[Attempt, ...] = (),
        quota_wait_seconds: float = 0.0,
        spent: Spent = NOTHING_SPENT,
    ) -> None:
        super().__init__(f"No answer after {len(attempts)} attempts; the last one failed as {last.kind}: {last}")
        self.last = last
        self.attempts = attempts
        self.quota_wait_seconds = quota_wait_seconds
        self.spent = spent


Ask = Callable[[Question], Awaitable[Reply]]
"""Gets a reply. Raises Unanswered; RunStopped when no more may be asked in this run, QuotaElsewhere when not here."""


class Middleware(Protocol):
    """One link of the chain."""

    async def begin(self) -> None:
        """Called once per run and worker, before the first question. Raises when the link cannot do its work."""
        ...

    async def answer(self, question: Question, ask: Ask) -> Reply:
        """The reply of `ask`, of a changed question, or its own. Raises what `ask` raises."""
        ...

    async def end(self) -> None:
        """Called once, after the last reply; a second call does nothing."""
        ...
