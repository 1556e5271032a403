"""Opens dataset files by their ending, once their beginning shows that they are what they are called.

Ingest and planning call `open_source`.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from assay.errors import DatasetError
from assay.registry import did_you_mean
from assay.sources.base import Reading, Source
from assay.sources.delimited import DelimitedSource
from assay.sources.json_rows import JsonArraySource, JsonLinesSource
from assay.sources.parquet import ParquetSource
from assay.sources.unpacking import GZIP_ENDING, is_packed, open_bytes, unpacked_name
from assay.sources.workbook import WorkbookSource

SIGNATURES = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x1f\x8b": "a gzip archive",
    b"%PDF": "a PDF document",
    b"PAR1": "a Parquet file",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}
"""How files begin that people rename by mistake."""

EXPECTED_SIGNATURES = {".parquet": b"PAR1", ".xlsx": b"PK\x03\x04"}
INSPECTED_BYTES = 1_024

TEXT_READERS: dict[str, Callable[[Path, str, Reading], Source]] = {
    ".csv": DelimitedSource,
    ".tsv": DelimitedSource,
    ".jsonl": JsonLinesSource,
    ".ndjson": JsonLinesSource,
    ".json": JsonArraySource,
}
TABLE_READERS: dict[str, Callable[[Path, str, Reading], Source]] = {
    ".parquet": ParquetSource,
    ".xlsx": WorkbookSource,
}
READERS = TEXT_READERS | TABLE_READERS


def open_source(path: Path, file: str, reading: Reading | str | None = None) -> Source:
    """A source for `path`, by the ending of `file` (the name as dropped).

    `reading` may be the id column alone. Raises DatasetError.
    """
    how = reading if isinstance(reading, Reading) else Reading(id_column=reading)
    ending = ending_of(file)
    with closing(open_bytes(path, file)) as stream:
        beginning = stream.read(INSPECTED_BYTES)
    if not beginning:
        raise DatasetError(f"{file}: the file is empty; expected at least one row")
    if ending in TABLE_READERS:
        _refuse_other_table(file, ending, beginning)
    else:
        _refuse_no_text(file, beginning, how.format.encoding)
    return READERS[ending](path, file, how)


def is_dataset(file: str) -> bool:
    """Whether the name ends like a dataset's."""
    ending = Path(unpacked_name(file)).suffix.lower()
    return ending in TEXT_READERS or (ending in TABLE_READERS and not is_packed(file))


def ending_of(file: str) -> str:
    """The ending that says how a file is read. Raises DatasetError for one that nobody reads."""
    ending = Path(unpacked_name(file)).suffix.lower()
    if not is_dataset(file):
        shown = f"{ending}{GZIP_ENDING}" if is_packed(file) else ending
        found = f"files ending in '{shown}'" if shown else "files without an ending"
        raise DatasetError(f"{file}: cannot read {found}{did_you_mean(ending, list(READERS))}. {expected_endings()}")
    return ending


def expected_endings() -> str:
    return f"Expected: {', '.join(READERS)}; text also with {GZIP_ENDING}"


def _refuse_other_table(file: str, ending: str, beginning: bytes) -> None:
    if beginning.startswith(EXPECTED_SIGNATURES[ending]):
        return
    called = {".parquet": "Parquet file", ".xlsx": "Excel workbook"}[ending]
    found = _told_by_signature(beginning)
    what = f"this is {found}, no {called}" if found else f"this is no {called}"
    raise DatasetError(f"{file}: {what}. Give the file the ending of its content, or save it as what it is called")


def _told_by_signature(beginning: bytes) -> str | None:
    return next((found for signature, found in SIGNATURES.items() if beginning.startswith(signature)), None)


def _refuse_no_text(file: str, beginning: bytes, encoding: str) -> None:
    found = _told_by_signature(beginning)
    if found is None and beginning.count(0) * 4 > len(beginning):
        found = "text in UTF-16, or no text"
    if encoding == "utf-16" and found and found.startswith("text in UTF-16"):
        return
    if found:
        raise DatasetError(f"{file}: this is {found}; expected text in UTF-8. Save it as CSV (UTF-8) or JSON Lines")
