"""JSON Lines and JSON arrays, read as a stream by the standard library's parser. `tabular.py` opens them."""

import json
from collections.abc import Iterator
from contextlib import closing
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.sources.base import MAX_DEPTH, MAX_LINE_BYTES, Reading
from assay.sources.checking import Found, checked_rows, shown
from assay.sources.json_text import DECODER, json_object, no_object, not_usable
from assay.sources.lines import bounded_lines
from assay.sources.text import in_encoding, open_text
from assay.sources.unpacking import open_bytes

CHUNK_CHARACTERS = 256 * 1024
BLANK = " \t\r\n"
LOOSE_DECODER = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str)
"""Finds where a value ends that says something that cannot be used."""


class JsonLinesSource:
    """One JSON object per line; each row brings its own keys."""

    place = "line"
    when_empty = "there is not one row; expected one JSON object per line"

    def __init__(self, path: Path, file: str, reading: Reading) -> None:
        self._path, self._file, self._reading = path, file, reading

    @property
    def columns(self) -> tuple[str, ...] | None:
        return None

    def rows(self) -> Iterator[Row | BadRow]:
        encoding = self._reading.format.encoding
        if encoding == "utf-8":
            with closing(open_bytes(self._path, self._file)) as stream:
                yield from self._checked(self._records(stream))
            return
        with closing(open_text(self._path, self._file, encoding)) as text:
            for row in self._checked(self._recoded(text)):
                yield in_encoding(row, encoding)

    def _checked(self, records: Iterator[Found]) -> Iterator[Row | BadRow]:
        return checked_rows(records, self._reading, self._file, f"{self._file}: {self.when_empty}", self.place)

    def _records(self, stream: IO[bytes]) -> Iterator[Found]:
        for line, content in enumerate(bounded_lines(stream.readline, self._file), start=1):
            text = content.removeprefix(b"\xef\xbb\xbf").strip() if line == 1 else content.strip()
            if text:
                yield line, json_object(line, text)

    def _recoded(self, stream: TextIOWrapper) -> Iterator[Found]:
        for line, content in enumerate(bounded_lines(stream.readline, self._file), start=1):
            if text := content.strip():
                yield line, json_object(line, text.encode("utf-8", "surrogateescape"))


class JsonArraySource:
    """A JSON array of objects; each row brings its own keys, and its number stands for its line."""

    place = "row"

    def __init__(self, path: Path, file: str, reading: Reading) -> None:
        self._path, self._file, self._reading = path, file, reading
        with closing(self._open()) as text:
            _Elements(text, file).begin()

    @property
    def columns(self) -> tuple[str, ...] | None:
        return None

    def rows(self) -> Iterator[Row | BadRow]:
        encoding = self._reading.format.encoding
        when_empty = f"{self._file}: the array is empty; expected at least one object"
        with closing(self._open()) as text:
            elements = _Elements(text, self._file)
            elements.begin()
            for row in checked_rows(elements.found(), self._reading, self._file, when_empty, self.place):
                yield in_encoding(row, encoding)

    def _open(self) -> TextIOWrapper:
        return open_text(self._path, self._file, self._reading.format.encoding)


class _Elements:
    """The elements of an array, one after the other; at most one element and a piece of text are held."""

    def __init__(self, text: TextIOWrapper, file: str) -> None:
        self._text, self._file = text, file
        self._held, self._at, self._number = "", 0, 0
        self._passed = 0

    def begin(self) -> None:
        """Reads up to the first element. Raises DatasetError when this is no array."""
        sign = self._sign()
        if sign != "[":
            found = "an object" if sign == "{" else "something else"
            raise DatasetError(
                f"{self._file}: expected a JSON array of objects, found {found}."
                " One object per line is JSON Lines: name the file .jsonl"
            )
        self._at += 1

    def found(self) -> Iterator[Found]:
        """Number and content of each element. Raises DatasetError where the text is no JSON."""
        if self._sign() == "]":
            self._end()
            return
        while True:
            self._number += 1
            yield self._number, self._element()
            sign = self._sign()
            if sign == "]":
                self._end()
                return
            if sign != ",":
                raise self._broken("expected ',' or ']'")
            self._at += 1

    def _element(self) -> dict[str, Any] | BadRow:
        self._sign()
        while True:
            try:
                return self._decoded()
            except json.JSONDecodeError as error:
                character = self._passed + error.pos
                if not self._more():
                    raise self._broken(error.msg, character) from None

    def _decoded(self) -> dict[str, Any] | BadRow:
        begun = self._at
        try:
            value, self._at = DECODER.raw_decode(self._held, begun)
        except json.JSONDecodeError:
            raise
        except RecursionError:
            raise self._broken(f"nested more than {MAX_DEPTH} levels deep") from None
        except ValueError as error:
            self._at = LOOSE_DECODER.raw_decode(self._held, begun)[1]
            return not_usable(self._number, error, self._held[begun : self._at])
        return value if isinstance(value, dict) else no_object(self._number, shown(self._held[begun : self._at]))

    def _end(self) -> None:
        self._at += 1
        if self._sign():
            raise self._broken("expected nothing after the array")

    def _sign(self) -> str:
        """The next character that is not blank, or nothing at the end of the text."""
        while True:
            while self._at < len(self._held):
                if self._held[self._at] not in BLANK:
                    return self._held[self._at]
                self._at += 1
            if not self._more():
                return ""

    def _more(self) -> bool:
        """Reads on, twice as much each time while the same element lasts. False at the end of the text."""
        kept = self._held[self._at :]
        if len(kept) > MAX_LINE_BYTES:
            raise self._broken(f"it has more than {MAX_LINE_BYTES:,} characters, or is no valid JSON")
        fresh = self._text.read(max(CHUNK_CHARACTERS, len(kept)))
        self._passed += self._at
        self._held, self._at = kept + fresh, 0
        return bool(fresh)

    def _broken(self, problem: str, passed: int | None = None) -> DatasetError:
        character = (self._passed + self._at if passed is None else passed) + 1
        row = max(1, self._number)
        return DatasetError(f"{self._file}: row {row}: not valid JSON: {problem} (character {character:,})")
