"""CSV and JSON Lines, read as a stream by the standard library's parsers. Ingest and planning call `open_source`."""

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.registry import did_you_mean
from assay.sources.base import MAX_CELL_CHARACTERS, MAX_ID_CHARACTERS, MAX_LINE_BYTES, Source

Line = TypeVar("Line", str, bytes)
Found = tuple[int, dict[str, Any] | BadRow]


def open_source(path: Path, file: str, id_column: str | None) -> Source:
    """A source for `path`, by the ending of `file` (the name as dropped). Raises DatasetError."""
    if not path.stat().st_size:
        raise DatasetError(f"{file}: the file is empty; expected a header line and at least one row")
    ending = Path(file).suffix.lower()
    if ending not in READERS:
        hint = did_you_mean(ending, list(READERS))
        raise DatasetError(f"{file}: cannot read files ending in '{ending}'{hint}. Expected: {', '.join(READERS)}")
    return READERS[ending](path, file, id_column)


class CsvSource:
    """Comma-separated values, UTF-8 with or without byte order mark, first line is the header."""

    def __init__(self, path: Path, file: str, id_column: str | None) -> None:
        self._path, self._file, self._id_column = path, file, id_column
        with self._open() as text:
            header = next(_csv_records(text, file), None)
        if header is None or isinstance(header[1], BadRow):
            raise DatasetError(f"{file}:1: no readable header line; expected column names separated by commas")
        self._columns = _header(file, header[1], id_column)

    @property
    def columns(self) -> tuple[str, ...] | None:
        return self._columns

    def rows(self) -> Iterator[Row | BadRow]:
        with self._open() as text:
            records = _csv_records(text, self._file)
            next(records)
            yield from _numbered(self._file, map(self._fields, records), self._id_column)

    def _open(self) -> IO[str]:
        # Bytes that are not UTF-8 become lone surrogates, so that one bad cell costs one row and not the file.
        return self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")

    def _fields(self, record: tuple[int, list[str] | BadRow]) -> Found:
        line, cells = record
        if isinstance(cells, BadRow):
            return line, cells
        if len(cells) == len(self._columns):
            return line, dict(zip(self._columns, cells, strict=True))
        reason = f"{len(cells)} fields; expected {len(self._columns)}"
        lines = sum(cell.count("\n") for cell in cells)
        if lines:
            reason += f" (the row spans {lines + 1} lines: is a closing quote missing?)"
        return line, BadRow(line=line, reason=reason, found=_shown(",".join(cells)))


class JsonLinesSource:
    """One JSON object per line, UTF-8; each row brings its own keys."""

    def __init__(self, path: Path, file: str, id_column: str | None) -> None:
        self._path, self._file, self._id_column = path, file, id_column

    @property
    def columns(self) -> tuple[str, ...] | None:
        return None

    def rows(self) -> Iterator[Row | BadRow]:
        with self._path.open("rb") as stream:
            yield from _numbered(self._file, self._records(stream), self._id_column)

    def _records(self, stream: IO[bytes]) -> Iterator[Found]:
        for line, content in enumerate(_bounded_lines(stream.readline, self._file), start=1):
            text = content.removeprefix(b"\xef\xbb\xbf").strip() if line == 1 else content.strip()
            if text:
                yield line, _json_object(line, text)


READERS: dict[str, Callable[[Path, str, str | None], Source]] = {
    ".csv": CsvSource,
    ".jsonl": JsonLinesSource,
    ".ndjson": JsonLinesSource,
}


def _header(file: str, cells: list[str], id_column: str | None) -> tuple[str, ...]:
    columns = tuple(cell.strip() for cell in cells)
    for index, column in enumerate(columns):
        if not column or _unreadable(column):
            raise DatasetError(f"{file}:1: column {index + 1} has no readable name; expected a name in every column")
        if column in columns[:index]:
            raise DatasetError(f"{file}:1: column '{column}' stands twice; expected every name once")
    if id_column and id_column not in columns:
        hint = did_you_mean(id_column, columns)
        raise DatasetError(f"{file}:1: no id column '{id_column}'{hint}. It has: {', '.join(columns)}")
    return columns


def _csv_records(text: IO[str], file: str) -> Iterator[tuple[int, list[str] | BadRow]]:
    """Line number and cells of every record; one that the parser refuses is a BadRow and the next line goes on."""
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    reader = csv.reader(_bounded_lines(text.readline, file), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield line, BadRow(line=line, reason=_csv_problem(str(error)))
            continue
        if cells:
            yield line, cells


def _csv_problem(problem: str) -> str:
    if "field limit" in problem:
        return f"a cell has more than {MAX_CELL_CHARACTERS:,} characters"
    if "unexpected end of data" in problem:
        return "a quoted cell never ends: is a closing quote missing?"
    return f"not valid CSV: {problem}"


def _bounded_lines(readline: Callable[[int], Line], file: str) -> Iterator[Line]:
    number = 0
    while line := readline(MAX_LINE_BYTES):
        number += 1
        if len(line) == MAX_LINE_BYTES:
            raise DatasetError(
                f"{file}:{number}: a line has more than {MAX_LINE_BYTES:,} characters; is this a text file?"
            )
        yield line


def _json_object(line: int, text: bytes) -> dict[str, Any] | BadRow:
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        return BadRow(line=line, reason=f"not valid UTF-8 at byte {error.start + 1} of the line", found=_shown(text))
    except (ValueError, RecursionError) as error:
        return BadRow(line=line, reason=f"not valid JSON: {error}", found=_shown(text))
    if not isinstance(value, dict):
        return BadRow(line=line, reason="expected a JSON object", found=_shown(text))
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _numbered(file: str, records: Iterator[Found], id_column: str | None) -> Iterator[Row | BadRow]:
    """Checks cells and ids, and numbers the good rows. Raises DatasetError when there is not one record."""
    first_lines: dict[bytes, int] = {}
    number, seen = 0, False
    for line, fields in records:
        seen = True
        row = fields if isinstance(fields, BadRow) else _checked(line, number + 1, fields, id_column, first_lines)
        number += isinstance(row, Row)
        yield row
    if not seen:
        raise DatasetError(f"{file}: there is a header but not one row; expected at least one")


def _checked(
    line: int, number: int, fields: dict[str, Any], id_column: str | None, first_lines: dict[bytes, int]
) -> Row | BadRow:
    for column, value in fields.items():
        problem = _unreadable(column) or _unreadable_value(value)
        if problem:
            return BadRow(line=line, reason=f"column '{_printable(column)}' holds {problem}", found=_shown(str(value)))
    row_id = _content_id(fields) if id_column is None else str(fields.get(id_column, "")).strip()
    if problem := _bad_id(row_id):
        return BadRow(line=line, reason=f"id column '{id_column}' {problem}", found=_shown(row_id))
    digest = hashlib.blake2b(row_id.encode(), digest_size=12).digest()
    first = first_lines.setdefault(digest, line)
    if first != line and id_column is not None:
        return BadRow(line=line, row_id=row_id, reason=f"id '{row_id}' stands on line {first} already", found=row_id)
    if first != line:
        return BadRow(line=line, row_id=row_id, reason=f"the same row stands on line {first} already")
    return Row(row_id=row_id, number=number, line=line, fields=fields)


def _unreadable_value(value: Any) -> str | None:
    if isinstance(value, dict):
        return next((p for part in value.items() for p in map(_unreadable_value, part) if p), None)
    if isinstance(value, list):
        return next((p for part in value if (p := _unreadable_value(part))), None)
    return _unreadable(value) if isinstance(value, str) else None


def _unreadable(text: str) -> str | None:
    """What makes a text unusable in a prompt, or None."""
    if len(text) > MAX_CELL_CHARACTERS:
        return f"{len(text):,} characters; at most {MAX_CELL_CHARACTERS:,} are accepted"
    if "\x00" in text:
        return "a NUL byte"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "bytes that are not valid UTF-8"
    return None


def _bad_id(row_id: str) -> str | None:
    if not row_id:
        return "is empty"
    if len(row_id) > MAX_ID_CHARACTERS:
        return f"has {len(row_id)} characters; at most {MAX_ID_CHARACTERS} are accepted"
    return None if row_id.isprintable() else "holds characters that cannot be shown"


def _content_id(fields: dict[str, Any]) -> str:
    content = json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()[:80]


def _shown(content: str | bytes) -> str:
    text = content.decode("utf-8", "backslashreplace") if isinstance(content, bytes) else _printable_text(content)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _printable_text(text: str) -> str:
    return text[:400].encode("utf-8", "backslashreplace").decode()
