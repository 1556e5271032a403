"""The columns of a file that names them once: each there, once, and readable. The readers of tables use it."""

from collections.abc import Sequence

from assay.errors import DatasetError
from assay.registry import did_you_mean
from assay.sources.base import MAX_COLUMNS, Reading
from assay.sources.checking import unusable

NAMED_COLUMN = "column_{number}"


def shaped_columns(found: Sequence[str], reading: Reading, where: str) -> tuple[str, ...]:
    """The columns that rows have once they are shaped. Raises DatasetError unless all is well with the names."""
    if problem := _bad_columns(found):
        raise DatasetError(f"{where}: {problem}")
    columns = reading.shape.columns(tuple(found), where)
    if reading.id_column and reading.id_column not in columns:
        hint = did_you_mean(reading.id_column, columns)
        raise DatasetError(f"{where}: no id column '{reading.id_column}'{hint}. It has: {', '.join(columns)}")
    return columns


def numbered(count: int) -> tuple[str, ...]:
    """Names for the columns of a file that names none."""
    return tuple(NAMED_COLUMN.format(number=number) for number in range(1, count + 1))


def _bad_columns(columns: Sequence[str]) -> str | None:
    if len(columns) > MAX_COLUMNS:
        return f"{len(columns):,} columns; at most {MAX_COLUMNS:,} are accepted"
    seen: set[str] = set()
    for number, column in enumerate(columns, start=1):
        if not column:
            return f"column {number} has no name; expected a name in every column"
        if problem := unusable(column):
            return f"the name of column {number} holds {problem}; expected text in UTF-8"
        if column in seen:
            return f"column '{column}' stands twice; expected every name once"
        seen.add(column)
    return None
