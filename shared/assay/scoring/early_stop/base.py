"""The port of stopping rules, and what they find. Light: workers and plans read these records."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal, Protocol

from assay.records import Record

if TYPE_CHECKING:  # it brings numpy, which a worker does not need
    from assay.scoring.early_stop.course import Course

Decision = Literal["better", "worse", "equivalent", "threshold"]
"""`threshold`: a limit was passed that a person chose. The others are about the primary score."""


class Finding(Record):
    """Why a variant needs no more rows. `reason` is a sentence; `statistic` is the number that decided."""

    decision: Decision
    reason: str
    statistic: float | None = None


class Settled(Finding):
    """A variant that early stop has ended, for good: after how many of its rows, by which rule, and when."""

    experiment: str
    rule: str
    rows: int
    rows_planned: int
    at: datetime


class StoppingRule(Protocol):
    """Says when a variant needs no more rows."""

    @property
    def name(self) -> str:
        """The rule's name in suites and reports."""
        ...

    @property
    def look_every(self) -> int:
        """After how many row ranges it wants to look again."""
        ...

    def decide(self, course: Course) -> Finding | None:
        """What it finds after the last row range of a course; None: go on. The same course gives the same finding."""
        ...
