"""Locks of files that several publishers may write at once. `placing.py` takes them."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One publisher of a target at a time: two in one draft would make half of it. A death ends a lock.

    Where the file system knows no locks, nothing is locked.
    """
    while True:
        with lock.open("ab") as file:
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_at(file, lock):  # who had it has just taken it away
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


def _is_at(file: IO[bytes], place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), place.stat())
    except FileNotFoundError:
        return False
