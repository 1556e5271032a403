"""CSV and JSON Lines, read as a stream by the standard library's parsers. Ingest and planning call `open_source`."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.registry import did_you_mean
from assay.sources.base import MAX_DEPTH, Source
from assay.sources.checking import Found, checked_rows, shown, unusable
from assay.sources.lines import CsvRecord, bounded_lines, csv_records

SIGNATURES = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF document",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
"""How files begin that people rename to .csv by mistake."""

INSPECTED_BYTES = 1_024
OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def open_source(path: Path, file: str, id_column: str | None) -> Source:
    """A source for `path`, by the ending of `file` (the name as dropped). Raises DatasetError."""
    ending = Path(file).suffix.lower()
    if ending not in READERS:
        hint = did_you_mean(ending, list(READERS))
        found = f"files ending in '{ending}'" if ending else "files without an ending"
        raise DatasetError(f"{file}: cannot read {found}{hint}. Expected: {', '.join(READERS)}")
    with path.open("rb") as stream:
        _refuse_no_text(file, stream.read(INSPECTED_BYTES))
    return READERS[ending](path, file, id_column)


def _refuse_no_text(file: str, beginning: bytes) -> None:
    if not beginning:
        raise DatasetError(f"{file}: the file is empty; expected at least one row")
    found = next((found for signature, found in SIGNATURES.items() if beginning.startswith(signature)), None)
    if found is None and beginning.count(0) * 4 > len(beginning):
        found = "text in UTF-16, or no text"
    if found:
        raise DatasetError(f"{file}: this is {found}; expected text in UTF-8. Save it as CSV (UTF-8) or JSON Lines")


class CsvSource:
    """Comma-separated values, UTF-8 with or without byte order mark, first line is the header."""

    def __init__(self, path: Path, file: str, id_column: str | None) -> None:
        self._path, self._file, self._id_column = path, file, id_column
        with self._open() as text:
            header = next(csv_records(text, file), None)
        self._columns = _header(file, header, id_column)

    @property
    def columns(self) -> tuple[str, ...] | None:
        return self._columns

    def rows(self) -> Iterator[Row | BadRow]:
        with self._open() as text:
            records = csv_records(text, self._file)
            next(records)
            when_empty = f"{self._file}: there is a header but not one row; expected at least one"
            yield from checked_rows(map(self._fields, records), self._id_column, when_empty)

    def _open(self) -> IO[str]:
        # Bytes that are not UTF-8 become lone surrogates, so that one bad cell costs one row and not the file.
        return self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")

    def _fields(self, record: CsvRecord) -> Found:
        line, cells = record
        if isinstance(cells, BadRow):
            return line, cells
        if len(cells) == len(self._columns):
            return line, dict(zip(self._columns, cells, strict=True))
        fields = "1 field" if len(cells) == 1 else f"{len(cells)} fields"
        reason = f"{fields}; expected {len(self._columns)}"
        lines = sum(cell.count("\n") for cell in cells)
        if lines:
            reason += f" (the row spans {lines + 1} lines: is a closing quote missing?)"
        return line, BadRow(line=line, reason=reason, found=shown(",".join(cells)))


class JsonLinesSource:
    """One JSON object per line, UTF-8; each row brings its own keys."""

    def __init__(self, path: Path, file: str, id_column: str | None) -> None:
        self._path, self._file, self._id_column = path, file, id_column

    @property
    def columns(self) -> tuple[str, ...] | None:
        return None

    def rows(self) -> Iterator[Row | BadRow]:
        with self._path.open("rb") as stream:
            when_empty = f"{self._file}: there is not one row; expected one JSON object per line"
            yield from checked_rows(self._records(stream), self._id_column, when_empty)

    def _records(self, stream: IO[bytes]) -> Iterator[Found]:
        for line, content in enumerate(bounded_lines(stream.readline, self._file), start=1):
            text = content.removeprefix(b"\xef\xbb\xbf").strip() if line == 1 else content.strip()
            if text:
                yield line, _json_object(line, text)


READERS: dict[str, Callable[[Path, str, str | None], Source]] = {
    ".csv": CsvSource,
    ".jsonl": JsonLinesSource,
    ".ndjson": JsonLinesSource,
}


def _header(file: str, record: CsvRecord | None, id_column: str | None) -> tuple[str, ...]:
    """The column names. Raises DatasetError unless each is there once and can be read."""
    if record is None:
        raise DatasetError(f"{file}:1: there is no header line; expected column names separated by commas")
    line, cells = record
    if isinstance(cells, BadRow):
        raise DatasetError(f"{file}:{line}: the header cannot be read: {cells.reason}")
    columns = tuple(cell.strip() for cell in cells)
    if problem := _bad_columns(columns):
        raise DatasetError(f"{file}:{line}: {problem}")
    if id_column and id_column not in columns:
        hint = did_you_mean(id_column, columns)
        raise DatasetError(f"{file}:{line}: no id column '{id_column}'{hint}. It has: {', '.join(columns)}")
    return columns


def _bad_columns(columns: tuple[str, ...]) -> str | None:
    for number, column in enumerate(columns, start=1):
        if not column:
            return f"column {number} has no name; expected a name in every column"
        if problem := unusable(column):
            return f"the name of column {number} holds {problem}; expected text in UTF-8"
        if column in columns[: number - 1]:
            return f"column '{column}' stands twice; expected every name once"
    separator = next(
        (name for sign, name in OTHER_SEPARATORS.items() if len(columns) == 1 and sign in columns[0]), None
    )
    return f"the columns are separated by {separator}; expected commas" if separator else None


def _json_object(line: int, text: bytes) -> dict[str, Any] | BadRow:
    try:
        value = json.loads(text.decode("utf-8"), object_pairs_hook=_once, parse_float=_finite, parse_constant=_finite)
    except UnicodeDecodeError as error:
        return BadRow(line=line, reason=f"not valid UTF-8 at byte {error.start + 1} of the line", found=shown(text))
    except json.JSONDecodeError as error:
        return BadRow(line=line, reason=f"not valid JSON: {error.msg} at character {error.pos + 1}", found=shown(text))
    except RecursionError:
        return BadRow(line=line, reason=f"nested more than {MAX_DEPTH} levels deep", found=shown(text))
    except ValueError as error:
        return BadRow(line=line, reason=f"not usable JSON: {str(error).partition(': value has')[0]}", found=shown(text))
    if not isinstance(value, dict):
        return BadRow(line=line, reason="expected a JSON object", found=shown(text))
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, unless it says two things under one key."""
    read: dict[str, Any] = {}
    for key, value in pairs:
        if key in read:
            raise ValueError(f"key '{shown(key)}' stands twice")
        read[key] = value
    return read


def _finite(written: str) -> float:
    number = float(written)
    if number - number != 0:
        raise ValueError(f"{written[:40]} is no number that can be stored")
    return number
