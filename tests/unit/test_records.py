"""What records derive, and what they leave out."""

from __future__ import annotations

import pytest

from assay.records import Response, Usage
from builders import response


@pytest.mark.parametrize(
    ("first_seconds", "latency_seconds", "rate"),
    [(0.5, 2.5, 20.0), (None, 2.5, None), (2.5, 2.5, None)],
)
def test_tokens_per_second_count_from_the_first_one(
    first_seconds: float | None, latency_seconds: float, rate: float | None
) -> None:
    """Nothing is said of an answer that came whole, or in one piece."""
    times = {"first_token_seconds": first_seconds, "latency_seconds": latency_seconds}
    answered = response().model_copy(update={"usage": Usage(output_tokens=40), **times})
    assert answered.tokens_per_second == rate


def test_an_answer_that_came_whole_has_no_field_for_its_first_token() -> None:
    """An outcome is written a million times."""
    streamed = response().model_copy(update={"first_token_seconds": 0.25})
    assert "first_token_seconds" not in response().model_dump_json()
    assert Response.model_validate_json(streamed.model_dump_json()) == streamed
