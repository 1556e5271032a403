"""Checks rows one by one: the cells, the id, and whether it was there before. All readers use it."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.sources.base import (
    MAX_BAD_ROWS,
    MAX_CELL_CHARACTERS,
    MAX_COLUMNS,
    MAX_DEPTH,
    MAX_ID_CHARACTERS,
    MAX_ROWS,
    Reading,
)
from assay.sources.first_lines import FirstLines
from assay.sources.shaping import Misshapen, Shape

Found = tuple[int, dict[str, Any] | BadRow]
SHOWN_CHARACTERS = 200


def checked_rows(
    records: Iterator[Found], reading: Reading, file: str, when_empty: str, place: str = "line"
) -> Iterator[Row | BadRow]:
    """The rows of the records, shaped as the suite says, good ones numbered from 1.

    Raises DatasetError when there are too many records, and with the text `when_empty` when there is not one.
    """
    ids = _Ids(reading.id_column, place)
    number = seen = 0
    for line, fields in records:
        seen += 1
        if seen > MAX_ROWS:
            raise DatasetError(f"{file}: there are more than {MAX_ROWS:,} rows; split the file")
        found = fields if isinstance(fields, BadRow) else _shaped(line, fields, reading.shape)
        row = found if isinstance(found, BadRow) else _checked(line, number + 1, found, ids)
        number += isinstance(row, Row)
        if seen - number > MAX_BAD_ROWS:
            raise DatasetError(f"{file}: there are more than {MAX_BAD_ROWS:,} bad rows; is this the right file?")
        yield row
    if not seen:
        raise DatasetError(when_empty)


def unusable(text: str) -> str | None:
    """What a text holds that no prompt may, or None."""
    if len(text) > MAX_CELL_CHARACTERS:
        return f"{len(text):,} characters; at most {MAX_CELL_CHARACTERS:,} are accepted"
    if "\x00" in text:
        return "a NUL byte"
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError:
        return "bytes that are not valid UTF-8, or half of a surrogate pair"
    return None


def shown(content: str | bytes) -> str:
    """The beginning of what was found, as text that can be stored."""
    start = content[: 2 * SHOWN_CHARACTERS]
    text = storable(start if isinstance(start, str) else start.decode("utf-8", "surrogateescape"))
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."


def storable(text: str) -> str:
    """The text with what cannot be stored escaped."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _shaped(line: int, fields: dict[str, Any], shape: Shape) -> dict[str, Any] | BadRow:
    if shape.is_idle:
        return fields
    try:
        return shape.fields(fields)
    except Misshapen as error:
        return BadRow(line=line, reason=storable(str(error)), found=shown(str(error.found)))


def _checked(line: int, number: int, fields: dict[str, Any], ids: "_Ids") -> Row | BadRow:
    if len(fields) > MAX_COLUMNS:
        reason = f"{len(fields):,} columns; at most {MAX_COLUMNS:,} are accepted"
        return BadRow(line=line, reason=reason, found=shown(", ".join(fields)))
    for column, value in fields.items():
        if problem := unusable(column) or _unusable_value(value, 0):
            return BadRow(line=line, reason=f"column '{shown(column)}' holds {problem}", found=shown(str(value)))
    row_id = ids.of(fields)
    if problem := _bad_id(row_id):
        return BadRow(line=line, reason=f"id column '{ids.column}' {problem}", found=shown(row_id or ""))
    if problem := ids.met_before(str(row_id), line):
        return BadRow(line=line, row_id=row_id, reason=problem, found=str(row_id))
    return Row(row_id=str(row_id), number=number, line=line, fields=fields)


class _Ids:
    """The ids of a dataset: from a column or from the content, each once."""

    def __init__(self, column: str | None, place: str) -> None:
        self.column, self._place = column, place
        self._firsts = FirstLines()

    def of(self, fields: dict[str, Any]) -> str | None:
        return _content_id(fields) if self.column is None else _written_id(fields, self.column)

    def met_before(self, row_id: str, line: int) -> str | None:
        """Where the id stood before, in a sentence, or None."""
        first = self._firsts.of(row_id, line)
        if first == line:
            return None
        what = "the same row" if self.column is None else f"id '{row_id}'"
        return f"{what} stands {'on line' if self._place == 'line' else 'in row'} {first} already"


def _unusable_value(value: Any, depth: int) -> str | None:
    if isinstance(value, str):
        return unusable(value)
    if not isinstance(value, dict | list):
        return None
    if depth == MAX_DEPTH:
        return f"lists or objects nested more than {MAX_DEPTH} levels deep"
    parts = value if isinstance(value, list) else [*value, *value.values()]
    return next((problem for part in parts if (problem := _unusable_value(part, depth + 1))), None)


def _written_id(fields: dict[str, Any], column: str) -> str | None:
    """The id in a row: text or a number, or None when it is neither."""
    value = fields.get(column, "")
    return str(value).strip() if isinstance(value, str | int | float) and not isinstance(value, bool) else None


def _bad_id(row_id: str | None) -> str | None:
    if row_id is None:
        return "holds neither text nor a number"
    if not row_id:
        return "has no value"
    if len(row_id) > MAX_ID_CHARACTERS:
        return f"has {len(row_id)} characters; at most {MAX_ID_CHARACTERS} are accepted"
    return None if row_id.isprintable() else "holds characters that cannot be shown"


def _content_id(fields: dict[str, Any]) -> str:
    content = json.dumps(fields, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()[:16]
