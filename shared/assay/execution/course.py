"""The course of a criterion under way: for whoever cuts it off and must say what was tried and paid.

`trial.py` follows it, `asking.py` writes it; middleware in between needs to know nothing of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from assay.middleware.base import NOTHING_SPENT, Spent
from assay.records import Attempt


@dataclass(slots=True)
class Course:
    """Attempts of the criterion under way, in order, and what was billed for all of them."""

    attempts: list[Attempt] = field(default_factory=list)
    spent: Spent = NOTHING_SPENT

    def begin(self) -> None:
        """The next criterion is asked; what the last one went through is in its response."""
        self.attempts, self.spent = [], NOTHING_SPENT


_followed: ContextVar[Course | None] = ContextVar("assay_course", default=None)


@contextmanager
def followed() -> Iterator[Course]:
    """The course of what is asked inside the block."""
    course = Course()
    token = _followed.set(course)
    try:
        yield course
    finally:
        _followed.reset(token)


def course_here() -> Course:
    """The course that is followed here; one that nobody sees where none is."""
    return _followed.get() or Course()
