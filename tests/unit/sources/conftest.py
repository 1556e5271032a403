"""Datasets made of bytes, read as a run would."""

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.records import BadRow, Row
from assay.sources.tabular import open_source

Read = Callable[..., list[Row | BadRow]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads `content` as the file `file` and gives all its rows, good and bad."""

    def of(content: bytes | str, file: str = "data.csv", id_column: str | None = "id") -> list[Row | BadRow]:
        path = tmp_path / "dropped"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(open_source(path, file, id_column).rows())

    return of
