"""A few telling trials out of many: where variants disagree with the baseline, and what went wrong. The records.

`sampling.py` chooses them.
"""

from assay.records import Record

MOST_DISAGREEMENTS = 10
MOST_SAMPLES = 3
MOST_CHARACTERS = 2_000


class Answer(Record):
    """What an experiment answered to one criterion, cut when long."""

    criterion: str
    text: str


class Side(Record):
    """One experiment's answers to a row, and the score they got."""

    score: float | None
    reason: str | None
    answers: tuple[Answer, ...]


class Disagreement(Record):
    """A row on which a variant and the baseline differ. `expected` is None when no column says what is right."""

    row_id: str
    row_number: int
    expected: str | None
    baseline: Side
    variant: Side


class TroubleSample(Record):
    """One trial that went wrong."""

    row_id: str
    row_number: int
    experiment: str
    repeat: int = 0
    message: str
    request_id: str | None = None


class Trouble(Record):
    """Trials that went wrong in the same way, with the first few of them."""

    kind: str
    count: int
    by_experiment: dict[str, int]
    samples: tuple[TroubleSample, ...]


def cut(text: str, limit: int = MOST_CHARACTERS) -> str:
    """The text, or its beginning and how much was left out."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit:,} more characters)"
