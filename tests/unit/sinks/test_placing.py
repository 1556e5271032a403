"""What is put in place is there whole, and nothing else is left beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.sinks.placing import put_in_place


def _make(draft: Path) -> None:
    draft.write_bytes(b"workbook")


def test_what_cannot_be_put_in_place_leaves_no_draft(tmp_path: Path) -> None:
    """A folder where the file should go stays as it was; a large draft beside it would only fill the disk."""
    target = tmp_path / "report.xlsx"
    target.mkdir()
    (target / "mine").write_text("keep", encoding="utf-8")

    with pytest.raises(OSError, match="directory"):
        put_in_place(target, _make, unless=lambda: False)

    assert (target / "mine").read_text(encoding="utf-8") == "keep"
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith((".draft", ".old"))] == []
