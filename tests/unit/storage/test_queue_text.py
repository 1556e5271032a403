"""The text of queue messages, whoever wrote them."""

from __future__ import annotations

import base64

import pytest

from assay.storage.queue_text import plain_text

EVENT = '{"subject": "Größe"}'


def wrapped(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("body", [EVENT, wrapped(EVENT), wrapped(wrapped(EVENT)), f" {EVENT}"])
def test_a_message_reads_the_same_plain_and_in_base64(body: str) -> None:
    """Senders differ; some wrap what is wrapped already."""
    assert plain_text(body).strip() == EVENT


@pytest.mark.parametrize("body", ["", "not base64 at all", "abc", "/////w==", "[1]", "ÄÖÜ"])
def test_what_is_no_base64_of_text_stays_as_it_is(body: str) -> None:
    """A person who looks into the quarantine sees what was sent."""
    assert plain_text(body) == body
