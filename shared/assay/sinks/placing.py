"""Puts files and folders where people look: whole or not at all. The sinks that write below a folder call it."""

import shutil
from collections.abc import Callable
from pathlib import Path

from assay.sinks.lock import alone


def put_in_place(target: Path, make: Callable[[Path], None], *, unless: Callable[[], bool]) -> None:
    """Has `make` write the new content beside its place and renames it there, so that nobody sees half of it.

    Does nothing when `unless` says that the content is there; it is asked when no other publisher is at work on the
    target. What an earlier death left goes. Raises OSError, and leaves nothing then.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    draft, old, lock = (target.with_name(f".{target.name}.{kind}") for kind in ("draft", "old", "lock"))
    with alone(lock):
        _remove(draft)
        _remove(old)
        if unless():
            return
        try:
            make(draft)
            if draft.is_dir() and target.is_dir():  # no folder can be renamed onto it, and half of it must not be seen
                target.replace(old)
            draft.replace(target)
        except OSError:  # a full disk must not be filled with what nobody sees
            _remove(draft)
            raise
        _remove(old)


def _remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
