"""Checks rows one by one: the cells, the id, and whether it was there before. The readers of `tabular.py` use it."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.sources.base import MAX_CELL_CHARACTERS, MAX_DEPTH, MAX_ID_CHARACTERS

Found = tuple[int, dict[str, Any] | BadRow]
SHOWN_CHARACTERS = 200


def checked_rows(records: Iterator[Found], id_column: str | None, when_empty: str) -> Iterator[Row | BadRow]:
    """The rows of the records, good ones numbered from 1.

    Raises DatasetError with the text `when_empty` when there is not one record.
    """
    first_lines: dict[bytes, int] = {}
    number, seen = 0, False
    for line, fields in records:
        seen = True
        row = fields if isinstance(fields, BadRow) else _checked(line, number + 1, fields, id_column, first_lines)
        number += isinstance(row, Row)
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
    text = start if isinstance(start, str) else start.decode("utf-8", "surrogateescape")
    text = text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."


def _checked(
    line: int, number: int, fields: dict[str, Any], id_column: str | None, first_lines: dict[bytes, int]
) -> Row | BadRow:
    for column, value in fields.items():
        if problem := unusable(column) or _unusable_value(value, 0):
            return BadRow(line=line, reason=f"column '{shown(column)}' holds {problem}", found=shown(str(value)))
    row_id = _content_id(fields) if id_column is None else _written_id(fields, id_column)
    if problem := _bad_id(row_id):
        return BadRow(line=line, reason=f"id column '{id_column}' {problem}", found=shown(row_id or ""))
    digest = hashlib.blake2b(str(row_id).encode(), digest_size=12).digest()
    first = first_lines.setdefault(digest, line)
    if first == line:
        return Row(row_id=str(row_id), number=number, line=line, fields=fields)
    what = f"id '{row_id}'" if id_column is not None else "the same row"
    return BadRow(line=line, row_id=row_id, reason=f"{what} stands on line {first} already", found=str(row_id))


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
