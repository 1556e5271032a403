"""Rows of a database: a query is run once, and its result is kept as JSON Lines, from which the run is planned.

The planning step and the command line call `freeze_result`; SQLAlchemy is loaded by it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import DatasetError, ServiceError
from assay.sources.base import MAX_CELL_CHARACTERS, MAX_ROWS
from assay.sources.databases import opened, said
from assay.sources.json_rows import JsonLinesSource
from assay.sources.unpacking import MAX_UNPACKED_BYTES
from assay.sources.values import plain

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Query:
    """A query as dropped: `file` for messages, the name of the connection that it wants, and what it asks."""

    file: str
    connection: str
    text: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


class QueryResult(JsonLinesSource):
    """The kept result of a query; its rows are counted from 1."""

    place = "row"
    when_empty = "the query gives not one row; expected at least one"


def freeze_result(query: Query, url: str, target: Path) -> tuple[str, ...]:
    """Runs the query once and writes its rows to `target`; gives the columns, in order.

    The transaction is read-only where the database knows that, and rolled back. What a row cannot be kept for is left
    to the reader, which sets the row aside. Raises UserError for a connection that cannot be used, DatasetError for a
    query or result that cannot, ServiceError when the database does not answer.
    """
    with (
        opened(url, query.connection, f"{query.file}: queries need") as engine,
        _connected(query, engine) as connection,
        target.open("wb") as out,
    ):
        columns, rows = _asked(query, connection)
        written = 0
        for number, row in enumerate(rows, start=1):
            written += out.write(_line(columns, row))
            if number > MAX_ROWS or written > MAX_UNPACKED_BYTES:
                bound = f"{MAX_ROWS:,} rows" if number > MAX_ROWS else f"{MAX_UNPACKED_BYTES:,} bytes"
                raise DatasetError(f"{query.file}: the query gives more than {bound}; narrow it")
    return columns


@contextmanager
def _connected(query: Query, engine: "Engine") -> Iterator["Connection"]:
    """A connection; what the driver says becomes our own errors, also while the block reads."""
    from sqlalchemy.exc import DBAPIError, SQLAlchemyError

    try:
        connection = engine.connect()
    except SQLAlchemyError as error:
        raise ServiceError(f"connection '{query.connection}' cannot be opened: {said(error)}") from error
    with connection:
        try:
            yield connection
        except DBAPIError as error:
            if error.connection_invalidated:
                raise ServiceError(f"connection '{query.connection}' broke off: {said(error)}") from error
            raise DatasetError(f"{query.file}: the database refuses the query: {said(error)}") from error
        except SQLAlchemyError as error:
            raise DatasetError(f"{query.file}: the query cannot be run: {said(error)}") from error


def _asked(query: Query, connection: "Connection") -> tuple[tuple[str, ...], Iterator[tuple[Any, ...]]]:
    """The columns and rows that the query gives. Raises DatasetError for a statement that gives none."""
    from sqlalchemy import text

    ready = _reading_only(connection).execution_options(stream_results=True, yield_per=ROWS_AT_ONCE)
    result = ready.execute(text(query.text), dict(query.parameters))
    if not result.returns_rows:
        raise DatasetError(f"{query.file}: the statement gives no rows; expected one query, such as SELECT ...")
    columns = tuple(result.keys())
    if double := next((column for column in columns if columns.count(column) > 1), None):
        raise DatasetError(f"{query.file}: the query gives column '{double}' twice; name one of them with AS")
    return columns, (tuple(row) for row in result)


def _reading_only(connection: "Connection") -> "Connection":
    if connection.dialect.name == "postgresql":
        return connection.execution_options(postgresql_readonly=True)
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
    return connection


def _line(columns: tuple[str, ...], row: tuple[Any, ...]) -> bytes:
    fields = {column: _cell(value) for column, value in zip(columns, row, strict=True)}
    return json.dumps(fields).encode("ascii") + b"\n"


def _cell(value: Any) -> Any:
    """The value as JSON has it; what JSON has not, as text, and no number as NaN, which no reader takes."""
    try:
        read = plain(value)
    except ValueError:
        return float("nan") if isinstance(value, float | Decimal) else str(value)
    # One character more than is accepted is enough to have the row set aside.
    return read[: MAX_CELL_CHARACTERS + 1] if isinstance(read, str) else read
