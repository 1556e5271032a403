"""What files are called on the way out, by the endings of their names."""

import pytest

from assay.storage.media_types import content_type, media_type


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.json", "application/json"),
        ("a.jsonl", "application/jsonl"),
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


def test_a_media_type_says_no_encoding() -> None:
    """What a manifest names is the kind of file; the encoding of text is said where it is served."""
    assert [media_type(name) for name in ("a/REPORT.HTML", "a.csv", "a.unknown")] == [
        "text/html",
        "text/csv",
        "application/octet-stream",
    ]
