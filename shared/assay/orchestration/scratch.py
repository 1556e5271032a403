"""Temporary folders for copies of blobs. Ingest and the steps use them."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that goes away with its block."""
    # A thread can outlive the cancelled call that began it and write once more; that must not hide why the block ended.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        yield Path(name)
