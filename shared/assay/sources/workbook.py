"""Excel workbooks, read row by row with openpyxl, which is loaded when a file is opened. `tabular.py` opens them."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.registry import did_you_mean
from assay.sources.base import MAX_COLUMNS, Reading
from assay.sources.checking import Found, checked_rows, shown
from assay.sources.columns import numbered, shaped_columns
from assay.sources.unpacking import refuse_bomb
from assay.sources.values import plain

if TYPE_CHECKING:
    from openpyxl import Workbook

MAX_SHEET_ROWS = 1_048_576
"""More than Excel can keep."""

Record = tuple[int, list[Any]]


class WorkbookSource:
    """One sheet of a workbook. A row's line is its number in the sheet; of a formula the saved value is read."""

    place = "row"

    def __init__(self, path: Path, file: str, reading: Reading) -> None:
        self._path, self._file, self._reading = path, file, reading
        self._refuse_bomb()
        with self._sheet() as sheet:
            first = next(self._records(sheet, MAX_COLUMNS + 1), None)
        self._written, row = self._names(first)
        self._columns = shaped_columns(self._written, reading, f"{file}: row {row}")

    @property
    def columns(self) -> tuple[str, ...] | None:
        return self._columns

    def rows(self) -> Iterator[Row | BadRow]:
        when_empty = f"{self._file}: there is a header but not one row; expected at least one"
        yield from checked_rows(self._found(), self._reading, self._file, when_empty, self.place)

    def _found(self) -> Iterator[Found]:
        with self._sheet() as sheet:
            records = self._records(sheet, len(self._written) + 1)
            if self._reading.format.header is True:
                next(records)
            for number, values in records:
                yield number, self._fields(number, values)

    def _fields(self, number: int, values: list[Any]) -> dict[str, Any] | BadRow:
        if len(values) > len(self._written):
            reason = f"more than {len(self._written)} cells; expected {len(self._written)}"
            return BadRow(line=number, reason=reason, found=shown(str(values[-1])))
        read = {}
        missing = [None] * (len(self._written) - len(values))
        for column, value in zip(self._written, [*values, *missing], strict=True):
            if isinstance(value, _CellError):
                return BadRow(line=number, reason=f"column '{column}' holds the error {value}", found=str(value))
            read[column] = _text_or_value(value)
        return read

    def _names(self, first: Record | None) -> tuple[tuple[str, ...], int]:
        header = self._reading.format.header
        if isinstance(header, tuple):
            return header, 1
        if first is None:
            raise DatasetError(f"{self._file}: the sheet is empty; expected column names in its first row")
        number, values = first
        return (tuple(str(_text_or_value(one)).strip() for one in values) if header else numbered(len(values))), number

    def _records(self, sheet: Any, most_columns: int) -> Iterator[Record]:
        """Number and values of every row that is not empty, without the empty cells at its end."""
        sheet.reset_dimensions()  # what the file says of its size can be wrong
        skipped = self._reading.format.skip_lines
        for number, cells in enumerate(sheet.iter_rows(max_col=most_columns), start=1):
            if number > MAX_SHEET_ROWS:
                raise DatasetError(f"{self._file}: more rows than Excel can keep; the workbook is damaged")
            values = [_value(cell) for cell in cells]
            while values and values[-1] in (None, ""):
                values.pop()
            if values and number > skipped:
                yield number, values

    @contextmanager
    def _sheet(self) -> Iterator[Any]:
        """The sheet. Raises DatasetError when it, or a part that is read in the block, cannot be read."""
        try:
            from assay.sources.workbook_file import opened_workbook

            with opened_workbook(self._path) as workbook:
                yield self._chosen(workbook)
        except (DatasetError, GeneratorExit):
            raise
        except ModuleNotFoundError as error:
            raise DatasetError(
                f"{self._file}: Excel workbooks need the package '{error.name}': install assay-batch[xlsx],"
                " or save the sheet as CSV (UTF-8)"
            ) from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise self._damaged(error) from error
        except Exception as error:  # openpyxl trusts the file, so a damaged one can raise anything
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> DatasetError:
        cause = error
        while cause.__cause__ is not None and isinstance(cause.__cause__, Exception):
            cause = cause.__cause__  # openpyxl's own words are longer, and name our copy of the file
        said = f"{type(cause).__name__}: {cause}"[:300]
        return DatasetError(
            f"{self._file}: the workbook cannot be read ({said}); open and save it again, or save it as CSV"
        )

    def _chosen(self, workbook: "Workbook") -> Any:
        """The sheet that the suite names, or the only visible one with something in it."""
        sheets: dict[str, Any] = {one.title: one for one in workbook.worksheets if one.sheet_state == "visible"}
        named = self._reading.format.sheet
        if named is not None:
            if named not in sheets:
                hint = did_you_mean(named, list(sheets))
                raise DatasetError(f"{self._file}: no sheet '{named}'{hint}. It has: {', '.join(sheets) or 'none'}")
            return sheets[named]
        filled = [sheet for sheet in sheets.values() if next(self._records(sheet, MAX_COLUMNS + 1), None)]
        if len(filled) > 1:
            names = ", ".join(sheet.title for sheet in filled)
            raise DatasetError(
                f"{self._file}: {len(filled)} sheets hold something: {names}. Name one in dataset.format.sheet"
            )
        if not filled:
            raise DatasetError(f"{self._file}: no sheet holds anything; expected column names and rows")
        return filled[0]

    def _refuse_bomb(self) -> None:
        try:
            with zipfile.ZipFile(self._path) as archive:
                # The archive's reader gives no more bytes than a part's entry says.
                unpacked_bytes = sum(part.file_size for part in archive.infolist())
        except (zipfile.BadZipFile, ValueError, EOFError) as error:
            raise self._damaged(error) from error
        refuse_bomb(self._file, self._path.stat().st_size, unpacked_bytes)


class _CellError(str):
    """What Excel shows in place of a value, such as #N/A."""


def _value(cell: Any) -> Any:
    value = cell.value
    return _CellError(value) if cell.data_type == "e" and isinstance(value, str) else value


def _text_or_value(value: Any) -> Any:
    """The value as JSON has it; an empty cell is empty text, a day has no time."""
    if value is None:
        return ""
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    return plain(value)
