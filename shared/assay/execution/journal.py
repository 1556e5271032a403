"""What a criterion under way has been through: for whoever cuts it off and must say what was tried and paid.

`trial.py` opens a journal, `asking.py` writes into it; middleware in between needs to know nothing of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from assay.middleware.base import NOTHING_SPENT, Spent
from assay.records import Attempt


@dataclass(slots=True)
class Journal:
    """Attempts of the criterion under way, in order, and what was billed for all of them."""

    attempts: list[Attempt] = field(default_factory=list)
    spent: Spent = NOTHING_SPENT

    def begin(self) -> None:
        """The next criterion is asked; what the last one went through is in its response."""
        self.attempts, self.spent = [], NOTHING_SPENT


_open: ContextVar[Journal | None] = ContextVar("assay_journal", default=None)


@contextmanager
def journal() -> Iterator[Journal]:
    """The journal of what is asked inside the block."""
    kept = Journal()
    token = _open.set(kept)
    try:
        yield kept
    finally:
        _open.reset(token)


def open_journal() -> Journal:
    """The journal in force here; a loose one where nobody keeps any."""
    return _open.get() or Journal()
