"""Temporary folders for copies of blobs. Ingest and the steps use them."""

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from assay.errors import ServiceError


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that goes away with its block. Raises ServiceError when its disk is full."""
    # A thread can outlive the cancelled call that began it and write once more; that must not hide why the block ended.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        try:
            yield Path(name)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            advice = "make room there, or name a folder with more of it in TMPDIR"
            raise ServiceError(f"the disk of {tempfile.gettempdir()} is full; {advice}") from error
