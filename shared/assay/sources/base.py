"""The source port: a dataset file read as a stream of rows, good and bad."""

from collections.abc import Iterator
from typing import Protocol

from assay.records import BadRow, Row

MAX_CELL_CHARACTERS = 1_000_000
MAX_LINE_BYTES = 16_000_000
MAX_ID_CHARACTERS = 200
MAX_DEPTH = 50


class Source(Protocol):
    """One open dataset. Reading it twice is not possible."""

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The columns every row has, or None when each row brings its own."""
        ...

    def rows(self) -> Iterator[Row | BadRow]:
        """Rows in the file's order, good ones numbered from 1. Raises DatasetError for a file bad as a whole."""
        ...
