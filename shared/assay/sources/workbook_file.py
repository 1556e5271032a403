"""Opens a workbook so that its texts, which openpyxl would hold in memory, stay on disk. `workbook.py` calls it."""

import tempfile
import warnings
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, overload
from zipfile import ZipFile

from openpyxl import Workbook
from openpyxl.cell.text import Text
from openpyxl.reader.excel import ExcelReader
from openpyxl.xml.constants import SHARED_STRINGS, SHEET_MAIN_NS
from openpyxl.xml.functions import iterparse

from assay.sources.base import MAX_LINE_BYTES

TEXT_TAG, PLAIN_TAG = f"{{{SHEET_MAIN_NS}}}si", f"{{{SHEET_MAIN_NS}}}t"
REMEMBERED_TEXTS = 1_024
ROW_MARKS, TEXT_MARKS = (b"<row", b":row"), (b"<si", b":si")
READ_BYTES = 64 * 1024


@contextmanager
def opened_workbook(path: Path) -> Iterator[Workbook]:
    """A workbook to be read row by row, with the values that were saved for formulas. Raises what openpyxl raises."""
    # It warns of styles and extensions that do not matter here, also while rows are read.
    warnings.filterwarnings("ignore", category=UserWarning, module="openpyxl")
    with path.open("rb") as stream, tempfile.TemporaryFile() as texts:
        reader = _Reader(stream, texts)
        reader.read()
        try:
            yield reader.wb
        finally:
            reader.wb.close()


class _Reader(ExcelReader):
    """Reads a workbook's parts; the table of shared texts goes to a file."""

    def __init__(self, stream: IO[bytes], texts: IO[bytes]) -> None:
        super().__init__(stream, read_only=True, data_only=True, keep_links=False)
        self._texts = texts

    def read_strings(self) -> None:
        part: Any = self.package.find(SHARED_STRINGS)  # type: ignore[no-untyped-call]
        if part is None:
            return
        with self.archive.open(part.PartName[1:]) as source:
            self.shared_strings: Any = _Texts(self._texts, _Bounded(source, TEXT_MARKS))

    def read_workbook(self) -> None:
        super().read_workbook()
        workbook: Any = self.wb
        workbook._archive = _Sheets(self.archive)  # sheets are read from here, row by row


class _Sheets:
    """The archive, as far as sheets need it."""

    def __init__(self, archive: ZipFile) -> None:
        self._archive = archive
        self.close = archive.close

    def open(self, name: str) -> "_Bounded":
        return _Bounded(self._archive.open(name), ROW_MARKS)


class _Bounded:
    """XML whose parts each begin with a mark; openpyxl holds a part as a tree of many times its size.

    Reading raises ValueError for a part that no sheet has.
    """

    def __init__(self, source: IO[bytes], marks: tuple[bytes, ...]) -> None:
        self._source, self._marks, self._passed_bytes = source, marks, 0
        self.close = source.close

    def read(self, size: int = READ_BYTES) -> bytes:
        content = self._source.read(min(size, READ_BYTES) if size > 0 else READ_BYTES)
        last = max(content.rfind(mark) for mark in self._marks)
        self._passed_bytes = len(content) - last if last >= 0 else self._passed_bytes + len(content)
        if self._passed_bytes > MAX_LINE_BYTES:
            raise ValueError(f"a row or text of more than {MAX_LINE_BYTES:,} bytes")
        return content

    def __enter__(self) -> "_Bounded":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Texts(Sequence[str]):
    """The shared texts of a workbook by number, kept in a file."""

    def __init__(self, file: IO[bytes], source: _Bounded) -> None:
        self._file = file
        self._ends = array("Q", [0])
        for text in _shared_texts(source):
            content = text.encode("utf-8", "surrogatepass")
            file.write(content)
            self._ends.append(self._ends[-1] + len(content))
        self._recent = lru_cache(REMEMBERED_TEXTS)(self._read)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "Sequence[str]": ...
    def __getitem__(self, index: Any) -> Any:
        return self._recent(index)

    def _read(self, index: int) -> str:
        if not 0 <= index < len(self):
            raise IndexError(f"shared text {index} of {len(self)}")
        begin = self._ends[index]
        self._file.seek(begin)
        return self._file.read(self._ends[index + 1] - begin).decode("utf-8", "surrogatepass")


def _shared_texts(source: _Bounded) -> Iterator[str]:
    root = None
    for event, node in iterparse(source, events=("start", "end")):
        if root is None:
            root = node
        if event == "end" and node.tag == TEXT_TAG:
            yield _text_of(node)
            root.clear()


def _text_of(node: Any) -> str:
    only = node[0] if len(node) == 1 else None
    if only is not None and only.tag == PLAIN_TAG:
        return str(only.text or "").replace("x005F_", "")
    rich: Any = Text.from_tree(node)
    return str(rich.content).replace("x005F_", "")
