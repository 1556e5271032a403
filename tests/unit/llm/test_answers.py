"""Answers told apart: what can be used, what cannot, and what it was billed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from assay.llm.answers import Delivery, read_answer
from assay.llm.base import ChatMessage, ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.records import Usage

REQUEST = ChatRequest("chat", (ChatMessage("user", "Hello?"),), max_tokens=10)
JSON_REQUEST = ChatRequest("chat", (ChatMessage("user", "Hello?"),), max_tokens=10, json=True)
MODEL = "gpt-4o-mini-2024-07-18"
BILLED = Usage(input_tokens=30, output_tokens=4)
SAFE = {"hate": {"filtered": False, "severity": "safe"}}


def body(content: str | None = "Hello.", finish_reason: str = "stop", **changes: Any) -> bytes:
    message = {"role": "assistant", "content": content, "refusal": changes.get("refusal")}
    choice = {"finish_reason": finish_reason, "message": message, "content_filter_results": changes.get("filter", SAFE)}
    usage = {"prompt_tokens": 30, "completion_tokens": 4}
    return json.dumps({"model": changes.get("model", MODEL), "choices": [choice], "usage": usage}).encode()


def failure(content: bytes, request: ChatRequest = REQUEST) -> ModelError:
    with pytest.raises(ModelError) as caught:
        read_answer(content, request, Delivery("req-1"))
    return caught.value


def test_a_complete_answer_is_itself() -> None:
    """Text, reason, model and tokens as the service says."""
    answer = read_answer(body(), REQUEST)
    assert (answer.text, answer.finish_reason, answer.model, answer.usage) == ("Hello.", "stop", MODEL, BILLED)
    assert (answer.refused, answer.truncated, answer.unfiltered) == (False, False, False)


@pytest.mark.parametrize("content", ["Half an ans", '{"half": "an'])
def test_a_truncated_answer_is_kept_whatever_it_holds(content: str) -> None:
    """It is not 'invalid JSON': our limit cut it, and its reason says so."""
    answer = read_answer(body(content, "length"), JSON_REQUEST)
    assert (answer.text, answer.truncated) == (content, True)


@pytest.mark.parametrize("content", ["", None, "\n"])
def test_an_answer_that_ends_at_the_limit_without_a_word_says_what_took_the_tokens(content: str | None) -> None:
    """Thoughts are billed as output and count to the limit; asking again at the same one would not help."""
    error = failure(body(content, "length"))
    assert (error.kind, error.usage, error.model) == (FailureKind.MAX_TOKENS_SPENT, BILLED, MODEL)
    assert f"max_tokens ({REQUEST.max_tokens})" in str(error) and "reasoning_effort" in str(error)


@pytest.mark.parametrize("content", [None, ""])
def test_a_refusal_is_an_answer_whose_text_is_the_refusal(content: str | None) -> None:
    """The model declined; that is neither an empty answer nor invalid JSON."""
    answer = read_answer(body(content, refusal="I can't help with that."), JSON_REQUEST)
    assert (answer.text, answer.refused) == ("I can't help with that.", True)


def test_an_answer_cut_by_the_filter_cannot_be_used_and_was_billed() -> None:
    """Half an answer must not be scored, and is paid for."""
    error = failure(body("Half an", "content_filter"))
    assert (error.kind, error.usage, error.model) == (FailureKind.ANSWER_FILTERED, BILLED, MODEL)


def test_an_answer_that_no_filter_has_seen_is_kept_and_says_so() -> None:
    """The filter was out of order, the answer was not."""
    broken = {"error": {"code": "content_filter_error", "message": "The contents are not filtered"}}
    assert read_answer(body(filter=broken), REQUEST).unfiltered


@pytest.mark.parametrize("content", ["", None, " \n"])
def test_an_empty_answer_is_invalid_and_was_billed(content: str | None) -> None:
    """Asking again may help."""
    error = failure(body(content))
    assert (error.kind, error.usage, error.model) == (FailureKind.INVALID_ANSWER, BILLED, MODEL)


@pytest.mark.parametrize("content", ['Sure! {"a": 1}', '{"a": 1', "[1]", '"text"', "3", "[" * 100_000])
def test_where_json_was_asked_for_anything_but_an_object_is_invalid(content: str) -> None:
    """The service promises an object; what it sent is named, shortened, and billed."""
    error = failure(body(content), JSON_REQUEST)
    assert (error.kind, error.usage, error.status) == (FailureKind.INVALID_ANSWER, BILLED, 200)
    assert content[:3] in str(error)
    assert len(str(error)) < 200


def test_where_no_json_was_asked_for_any_text_will_do() -> None:
    """Prose is not judged here."""
    assert read_answer(body("{half"), REQUEST).text == "{half"


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\xff\xfe", b"null", b"[]", b'{"choices": []}', body()[:-20], b'{"choices": [{"message": null}]}'),
        *(body(model=None), body(model=7), body(model="\ud800"), body(finish_reason=7)),  # type: ignore[arg-type]
        body(content=[{"text": "Hi"}]),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_chat_completion_is_malformed_and_nobody_knows_what_it_cost(content: bytes) -> None:
    """Something stands between us and the service, or the connection broke off."""
    error = failure(content)
    assert (error.kind, error.model, error.request_id) == (FailureKind.MALFORMED_ANSWER, None, "req-1")


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"usage": None, "timings": {"cache_n": 20, "prompt_n": 10, "predicted_n": 4}}, (30, 20, 4)),
        ({"usage": None, "timings": {"prompt_n": 10, "predicted_n": 4}}, (10, 0, 4)),
        ({"usage": None}, (0, 0, 0)),
        ({"usage": {"prompt_tokens": None, "completion_tokens": 4, "prompt_tokens_details": None}}, (0, 0, 4)),
    ],
)
def test_tokens_are_read_wherever_a_server_tells_them(told: dict[str, Any], usage: tuple[int, int, int]) -> None:
    """A llama.cpp server does so in `timings` too; some tell nothing."""
    answer = read_answer(json.dumps(json.loads(body()) | told).encode(), REQUEST)
    counted = answer.usage
    assert (counted.input_tokens, counted.cached_input_tokens, counted.output_tokens) == usage
