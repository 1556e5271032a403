"""Paths and metadata as every adapter treats them."""

from __future__ import annotations

import pytest

from assay.storage.rules import checked_metadata, split_path, split_prefix


def test_a_path_divides_at_its_first_slash() -> None:
    """Later slashes belong to the name."""
    assert split_path("runs/1/plan.json") == ("runs", "1/plan.json")


def test_a_prefix_may_end_after_the_container() -> None:
    """With or without the slash it means the whole container."""
    assert split_prefix("runs/") == split_prefix("runs") == ("runs", "")
    with pytest.raises(ValueError, match="container"):
        split_prefix("/a")


def test_metadata_is_copied() -> None:
    """A caller that changes its own mapping later changes no blob."""
    given = {"rows": "1"}
    kept = checked_metadata(given)
    given["rows"] = "2"
    assert kept == {"rows": "1"}
    assert checked_metadata(None) == {}
