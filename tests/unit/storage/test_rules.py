"""Paths, content types and metadata as every adapter treats them."""

from __future__ import annotations

import pytest

from assay.storage.rules import checked_metadata, content_type, split_path, split_prefix


def test_a_path_divides_at_its_first_slash() -> None:
    """Later slashes belong to the name."""
    assert split_path("runs/1/plan.json") == ("runs", "1/plan.json")


def test_a_prefix_may_end_after_the_container() -> None:
    """With or without the slash it means the whole container."""
    assert split_prefix("runs/") == split_prefix("runs") == ("runs", "")
    with pytest.raises(ValueError, match="container"):
        split_prefix("/a")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.json", "application/json"),
        ("a.jsonl", "application/x-ndjson"),
        ("a.html", "text/html; charset=utf-8"),
        ("a.md", "text/markdown; charset=utf-8"),
        ("a.csv", "text/csv; charset=utf-8"),
        ("a.pem", "application/x-pem-file"),
        ("a.pub", "application/x-pem-file"),
        ("a.parquet", "application/vnd.apache.parquet"),
        ("a.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ("a.zip", "application/zip"),
        ("manifest.json.sig", "application/octet-stream"),
        ("a.xyz", "application/octet-stream"),
        ("v1.2/name", "application/octet-stream"),
        ("A.JSON", "application/json"),
    ],
)
def test_the_ending_gives_the_content_type(name: str, expected: str) -> None:
    """Only the last ending of the last part counts, in either case."""
    assert content_type(f"runs/{name}") == expected


def test_metadata_is_copied() -> None:
    """A caller that changes its own mapping later changes no blob."""
    given = {"rows": "1"}
    kept = checked_metadata(given)
    given["rows"] = "2"
    assert kept == {"rows": "1"}
    assert checked_metadata(None) == {}
