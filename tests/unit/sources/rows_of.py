"""What tests look at in the rows that a source gives."""

from __future__ import annotations

from typing import Protocol

from assay.records import BadRow, Row


class Read(Protocol):
    """The fixture `read`: the content of a file, as the rows that a run would get."""

    def __call__(self, content: bytes | str, file: str = ..., id_column: str | None = ...) -> list[Row | BadRow]: ...


def good(rows: list[Row | BadRow]) -> list[tuple[str, int, int]]:
    """Id, number and line of the good rows."""
    return [(row.row_id, row.number, row.line) for row in rows if isinstance(row, Row)]


def bad(rows: list[Row | BadRow]) -> list[tuple[int, str]]:
    """Line and reason of the bad rows."""
    return [(row.line, row.reason) for row in rows if isinstance(row, BadRow)]
