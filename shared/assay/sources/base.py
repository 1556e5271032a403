"""The source port: a dataset read as a stream of rows, good and bad; and what a suite says of how to read it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from assay.records import BadRow, Row
from assay.sources.shaping import Shape

MAX_CELL_CHARACTERS = 1_000_000
MAX_LINE_BYTES = 16_000_000
MAX_ID_CHARACTERS = 200
MAX_DEPTH = 50
MAX_COLUMNS = 5_000
MAX_ROWS = 10_000_000
MAX_BAD_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Format:
    """How a file is written. `header`: whether there is a header line, or the names that stand for it."""

    delimiter: str | None = None
    encoding: str = "utf-8"
    header: bool | tuple[str, ...] = True
    skip_lines: int = 0
    sheet: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """How a dataset is read: the column with the ids, how its file is written, what becomes of its columns."""

    id_column: str | None = None
    format: Format = Format()
    shape: Shape = field(default_factory=Shape)


class Source(Protocol):
    """One open dataset. Reading it twice is not possible. `place` is what `line` of a row counts: lines, or rows."""

    place: str

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns every row has, or None when each row brings its own."""
        ...

    def rows(self) -> Iterator[Row | BadRow]:
        """Rows in the file's order, good ones numbered from 1. Raises DatasetError for a file bad as a whole."""
        ...
