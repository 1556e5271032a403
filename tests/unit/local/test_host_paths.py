"""Blob paths and message bodies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import MessageRefused
from assay.local.blob_listener import parse_blob_path
from assay.local.queue_text import decode_body, encode_body


@pytest.mark.parametrize(
    ("path", "name", "expected"),
    [
        ("inbox/{suite}/{name}", "a/b.csv", {"suite": "a", "name": "b.csv"}),
        ("inbox/{suite}/{name}", "a/b/c — ü.csv", {"suite": "a", "name": "b/c — ü.csv"}),
        ("inbox/{suite}/{name}", "a", None),
        ("inbox/{suite}/{name}.csv", "a/b.csv", {"suite": "a", "name": "b"}),
        ("inbox/{suite}/{name}.csv", "a/b.txt", None),
        ("inbox/in/{name}", "in/x\ny", {"name": "x\ny"}),
        ("inbox/in/{name}", "other/x", None),
        ("inbox/a.b/{name}", "aXb/c", None),
        ("inbox", "any/thing", {"name": "any/thing"}),
    ],
)
def test_a_path_matches_whole_names(path: str, name: str, expected: dict[str, str] | None) -> None:
    """The last placeholder takes the rest; everything else is literal."""
    match = parse_blob_path(path).pattern.fullmatch(name)
    assert (match.groupdict() if match else None) == expected


@pytest.mark.parametrize(
    ("path", "container", "prefix"),
    [("inbox/in/{suite}/{name}", "inbox", "in/"), ("inbox/{name}", "inbox", ""), ("inbox/one.txt", "inbox", "one.txt")],
)
def test_a_listing_asks_only_for_what_can_match(path: str, container: str, prefix: str) -> None:
    """The prefix is all that comes before the first placeholder."""
    parsed = parse_blob_path(path)
    assert (parsed.container, parsed.prefix) == (container, prefix)


@given(st.text())
def test_any_text_comes_back_from_base64(body: str) -> None:
    """What is sent is what is read."""
    assert decode_body(encode_body(body, "base64"), "base64") == body


@given(st.binary())
def test_any_bytes_come_back_from_base64(body: bytes) -> None:
    """As text where they are text."""
    read = decode_body(encode_body(body, "base64"), "base64")
    assert (read.encode() if isinstance(read, str) else read) == body


def test_plain_bodies_are_left_as_they_are() -> None:
    """messageEncoding none."""
    assert decode_body("{not base64}", "none") == "{not base64}" == encode_body("{not base64}", "none")


def test_a_body_that_is_not_base64_is_refused() -> None:
    """With what was expected."""
    with pytest.raises(MessageRefused, match=r"not base64, as host\.json expects"):
        decode_body("{not base64}", "base64")
