"""Parquet, read batch by batch with PyArrow, which is loaded when a file is opened. `tabular.py` opens it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.sources.base import MAX_ROWS, Reading
from assay.sources.checking import Found, checked_rows
from assay.sources.columns import shaped_columns
from assay.sources.unpacking import refuse_bomb
from assay.sources.values import plain

if TYPE_CHECKING:
    from pyarrow import RecordBatch
    from pyarrow.parquet import FileMetaData, ParquetFile

BUFFER_BYTES = 256 * 1024
ROWS_A_BATCH = 16
"""Few: equal texts are stored once and read as often as they are there, so that any row can be a large one."""


class ParquetSource:
    """A Parquet file; its rows are counted from 1. Nested columns are lists and objects."""

    place = "row"

    def __init__(self, path: Path, file: str, reading: Reading) -> None:
        self._path, self._file, self._reading = path, file, reading
        with self._opened() as parquet:
            self._refuse_absurd(parquet.metadata)
            self._columns = shaped_columns(parquet.schema_arrow.names, reading, file)

    @property
    def columns(self) -> tuple[str, ...] | None:
        return self._columns

    def rows(self) -> Iterator[Row | BadRow]:
        when_empty = f"{self._file}: there is not one row; expected at least one"
        yield from checked_rows(self._found(), self._reading, self._file, when_empty, self.place)

    def _found(self) -> Iterator[Found]:
        number = 0
        with self._opened() as parquet:
            for batch in parquet.iter_batches(ROWS_A_BATCH, use_threads=False):
                for fields in _rows_of(batch):
                    number += 1
                    yield number, _plain(number, fields)

    @contextmanager
    def _opened(self) -> Iterator["ParquetFile"]:
        """The file. Raises DatasetError when it, or a part that is read in the block, is no Parquet."""
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        try:
            # A buffer, so that a column of a gigabyte is read piece by piece.
            with ParquetFile(self._path, buffer_size=BUFFER_BYTES, pre_buffer=False) as parquet:
                yield parquet
        except (ArrowException, OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"{self._file}: the Parquet file cannot be read: {str(error)[:300]}") from error

    def _refuse_absurd(self, metadata: "FileMetaData") -> None:
        if metadata.num_rows > MAX_ROWS:
            raise DatasetError(f"{self._file}: there are more than {MAX_ROWS:,} rows; split the file")
        groups = (metadata.row_group(at) for at in range(metadata.num_row_groups))
        refuse_bomb(self._file, self._path.stat().st_size, sum(group.total_byte_size for group in groups))


def _rows_of(batch: "RecordBatch") -> list[dict[str, Any] | Exception]:
    """The rows of a batch; for one with a value that Python cannot hold, why."""
    try:
        return list(batch.to_pylist())
    except (ValueError, OverflowError):
        return [_row_of(batch, at) for at in range(batch.num_rows)]


def _row_of(batch: "RecordBatch", at: int) -> dict[str, Any] | Exception:
    try:
        row: dict[str, Any] = batch.slice(at, 1).to_pylist()[0]
    except (ValueError, OverflowError) as error:
        return error
    return row


def _plain(number: int, fields: dict[str, Any] | Exception) -> dict[str, Any] | BadRow:
    if isinstance(fields, Exception):
        return BadRow(line=number, reason=f"a value cannot be read: {str(fields)[:200]}")
    read = {}
    for column, value in fields.items():
        try:
            read[column] = plain(value)
        except ValueError as error:
            return BadRow(line=number, reason=f"column '{column}' holds {error}", found=str(value)[:100])
    return read
