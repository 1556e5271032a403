"""Lines of a dataset file, bounded in length; CSV records can give lines back. The text readers use it."""

import csv
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import IO, TypeVar

from assay.errors import DatasetError
from assay.records import BadRow
from assay.sources.base import MAX_CELL_CHARACTERS, MAX_LINE_BYTES
from assay.sources.checking import shown

Line = TypeVar("Line", str, bytes)
CsvRecord = tuple[int, list[str] | BadRow]

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


def bounded_lines(readline: Callable[[int], Line], file: str, skipped: int = 0) -> Iterator[Line]:
    """The lines of a file, after some were skipped.

    Raises DatasetError for one that no text file has, before it fills the memory.
    """
    number = skipped
    while line := readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise DatasetError(
                f"{file}:{number}: the line has more than {MAX_LINE_BYTES:,} characters;"
                " expected text with one row per line"
            )
        yield line


def csv_records(text: IO[str], file: str, delimiter: str = ",", skip_lines: int = 0) -> Iterator[CsvRecord]:
    """Line number and cells of every record, the first lines skipped; blank lines are left out.

    A record that cannot be parsed costs its first line: that is a BadRow, and reading goes on with the next line.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    skipped = len(list(islice(bounded_lines(text.readline, file), skip_lines)))
    lines = _Lines(bounded_lines(text.readline, file, skipped), file, skipped + 1)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        line = lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = _problem(str(error), len(lines.taken), SEPARATORS.get(delimiter, f"'{delimiter}'"))
            yield line, BadRow(line=line, reason=reason, found=shown(lines.taken[0].rstrip("\r\n")))
            lines.give_back()
            continue
        if len(cells) > 1 or any(cell.strip() for cell in cells):
            yield line, cells


class _Lines:
    """Lines for the CSV parser, which takes as many as a record needs. All but the first can be given back."""

    def __init__(self, fresh: Iterator[str], file: str, first_line: int) -> None:
        self._fresh, self._file = fresh, file
        self._again: deque[str] = deque()
        self._next_line, self._characters = first_line, 0
        self.taken: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._fresh)
        self._next_line += 1
        self._characters += len(line)
        self.taken.append(line)
        if self._characters > MAX_LINE_BYTES:
            first = self._next_line - len(self.taken)
            raise DatasetError(
                f"{self._file}:{first}: the row has more than {MAX_LINE_BYTES:,} characters;"
                " is a closing quote missing?"
            )
        return line

    def begin(self) -> int:
        """Starts a record; gives the number of its first line."""
        self.taken.clear()
        self._characters = 0
        return self._next_line

    def give_back(self) -> None:
        self._again.extendleft(reversed(self.taken[1:]))
        self._next_line -= len(self.taken) - 1


def _problem(problem: str, lines: int, separator: str) -> str:
    if "unexpected end of data" in problem:
        return "a quoted cell begins here and never ends: is a closing quote missing?"
    if "field limit" in problem and lines == 1:
        return f"a cell has more than {MAX_CELL_CHARACTERS:,} characters"
    if "field limit" in problem:
        return f"a quoted cell begins here and goes on for {lines:,} lines: is a closing quote missing?"
    if "expected after" in problem and lines == 1:
        return f"a closing quote is not followed by {separator}; inside of a quoted cell, write each quote twice"
    if "expected after" in problem:
        return f"a quoted cell begins here and ends amid line {lines} of the row: is a closing quote missing?"
    return f"not valid CSV: {problem}"
