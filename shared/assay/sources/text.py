"""The text of a dataset file in its encoding. The readers of CSV and JSON use it."""

import codecs
from io import TextIOWrapper
from pathlib import Path

from assay.records import BadRow, Row
from assay.sources.unpacking import open_bytes

CODECS = {"utf-8": "utf-8-sig"}
"""UTF-8 is read with or without byte order mark."""

ESCAPE = "assay_escape"


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "\udcff", error.end


codecs.register_error(ESCAPE, _escaped)


def open_text(path: Path, file: str, encoding: str) -> TextIOWrapper:
    """The text of a file, line ends as written.

    Bytes that are not valid become lone surrogates, so that one bad cell costs one row and not the file.
    """
    # The standard handler keeps the bytes to be shown, but cannot be had for encodings of two bytes a character.
    errors = ESCAPE if encoding.startswith("utf-16") else "surrogateescape"
    return TextIOWrapper(open_bytes(path, file), encoding=CODECS.get(encoding, encoding), errors=errors, newline="")


def in_encoding(row: Row | BadRow, encoding: str) -> Row | BadRow:
    """The row; the reason of a bad one names the encoding in which the file was read."""
    if encoding == "utf-8" or isinstance(row, Row):
        return row
    return row.model_copy(update={"reason": row.reason.replace("valid UTF-8", f"valid {encoding}")})
