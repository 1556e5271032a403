"""Temporary folders: gone afterwards, and clear about a full disk."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest

from assay.errors import ServiceError
from assay.orchestration.scratch import scratch_folder


def test_the_folder_goes_away_with_its_block() -> None:
    """Also when the block fails."""
    seen: list[Path] = []
    with pytest.raises(ValueError, match="bug"), scratch_folder() as folder:
        seen.append(folder)
        (folder / "dataset").write_bytes(b"id\n")
        raise ValueError("bug")
    assert not seen[0].exists()


def test_a_full_disk_is_told_with_its_place_and_what_to_do() -> None:
    """The system's own words name neither."""
    with pytest.raises(ServiceError, match="is full; make room") as told, scratch_folder():
        raise OSError(errno.ENOSPC, "No space left on device")
    assert tempfile.gettempdir() in str(told.value)


def test_other_errors_of_the_system_pass() -> None:
    """They say themselves what they are about."""
    with pytest.raises(PermissionError), scratch_folder():
        raise PermissionError(errno.EACCES, "Permission denied", "rows.jsonl")
