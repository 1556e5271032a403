"""Tables in text: CSV and TSV, read as a stream by the standard library's parser. `tabular.py` opens them."""

from collections.abc import Iterator
from contextlib import closing
from io import TextIOWrapper
from pathlib import Path

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.sources.base import Reading
from assay.sources.checking import Found, checked_rows, shown
from assay.sources.columns import numbered, shaped_columns
from assay.sources.lines import CsvRecord, csv_records
from assay.sources.text import in_encoding, open_text
from assay.sources.unpacking import unpacked_name

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


class DelimitedSource:
    """Values between separators; the first line is the header unless the suite says otherwise."""

    place = "line"

    def __init__(self, path: Path, file: str, reading: Reading) -> None:
        self._path, self._file, self._reading = path, file, reading
        self._encoding = reading.format.encoding
        self._delimiter = reading.format.delimiter or DELIMITERS[Path(unpacked_name(file)).suffix.lower()]
        with closing(self._open()) as text:
            first = next(self._records(text), None)
        self._written, line = self._names(first)
        self._columns = shaped_columns(self._written, reading, f"{file}:{line}")

    @property
    def columns(self) -> tuple[str, ...] | None:
        return self._columns

    def rows(self) -> Iterator[Row | BadRow]:
        with closing(self._open()) as text:
            records = self._records(text)
            if self._reading.format.header is True:
                next(records)
            when_empty = f"{self._file}: there is a header but not one row; expected at least one"
            for row in checked_rows(map(self._fields, records), self._reading, self._file, when_empty):
                yield in_encoding(row, self._encoding)

    def _open(self) -> TextIOWrapper:
        return open_text(self._path, self._file, self._encoding)

    def _records(self, text: TextIOWrapper) -> Iterator[CsvRecord]:
        return csv_records(text, self._file, self._delimiter, self._reading.format.skip_lines)

    def _names(self, first: CsvRecord | None) -> tuple[tuple[str, ...], int]:
        """The columns as the file or the suite names them, and the line. Raises DatasetError."""
        header = self._reading.format.header
        if isinstance(header, tuple):
            return header, 1
        separators = SEPARATORS.get(self._delimiter, f"'{self._delimiter}'")
        if first is None:
            raise DatasetError(
                f"{self._file}:1: there is no header line; expected column names separated by {separators}"
            )
        line, cells = first
        if isinstance(cells, BadRow):
            raise DatasetError(f"{self._file}:{line}: the header cannot be read: {cells.reason}")
        self._refuse_other_separators(line, cells, separators)
        return (tuple(cell.strip() for cell in cells) if header else numbered(len(cells))), line

    def _refuse_other_separators(self, line: int, cells: list[str], expected: str) -> None:
        if len(cells) > 1:
            return
        found = next((name for sign, name in SEPARATORS.items() if sign in cells[0]), None)
        if found:
            raise DatasetError(f"{self._file}:{line}: the columns are separated by {found}; expected {expected}")

    def _fields(self, record: CsvRecord) -> Found:
        line, cells = record
        if isinstance(cells, BadRow):
            return line, cells
        if len(cells) == len(self._written):
            return line, dict(zip(self._written, cells, strict=True))
        return line, _ragged(line, cells, len(self._written))


def _ragged(line: int, cells: list[str], expected: int) -> BadRow:
    fields = "1 field" if len(cells) == 1 else f"{len(cells)} fields"
    reason = f"{fields}; expected {expected}"
    lines = sum(cell.count("\n") for cell in cells)
    if lines:
        reason += f" (the row spans {lines + 1} lines: is a closing quote missing?)"
    return BadRow(line=line, reason=reason, found=shown(",".join(cells)))
