"""Requests are checked as the service checks them, and refused with its error codes."""

import json
from typing import Any

import pytest

from assay.local.emulator_bodies import Completion, stream_events
from assay.local.emulator_config import Deployment
from assay.local.emulator_refusals import Refusal
from assay.local.emulator_requests import (
    UNSET_MAX_TOKENS_CHARGE,
    ChatRequest,
    check_context_length,
    count_tokens,
    parse_body,
    read_chat_request,
)

MESSAGES = [{"role": "user", "content": "Answer in json."}]


def read(body: dict[str, Any]) -> ChatRequest:
    return read_chat_request(body, "mini", Deployment(model="m", context_tokens=1000, max_output_tokens=500))


def test_a_prompt_is_estimated_by_its_characters_and_messages() -> None:
    """A quarter of the characters, rounded up, and four tokens a message."""
    chat = read({"messages": [{"role": "system", "content": "x" * 9}, {"role": "user", "content": "y"}]})

    assert chat.prompt_tokens == 3 + 8 == count_tokens(10, 2)


def test_the_charge_is_the_prompt_and_the_whole_completion_limit() -> None:
    """A tight limit is the cheapest throughput; none at all is charged a guess."""
    assert read({"messages": MESSAGES, "max_tokens": 60}).charge == 8 + 60
    assert read({"messages": MESSAGES, "max_completion_tokens": 60}).charge == 8 + 60
    assert read({"messages": MESSAGES}).charge == 8 + UNSET_MAX_TOKENS_CHARGE


def test_content_parts_are_joined() -> None:
    """Text parts count, images have no text."""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}]

    assert read({"messages": [{"role": "user", "content": parts}]}).texts == ("a\n",)


@pytest.mark.parametrize(
    ("body", "code", "parameter"),
    [
        ({}, "missing_required_parameter", "messages"),
        ({"messages": []}, "empty_array", "messages"),
        ({"messages": "hello"}, "invalid_type", "messages"),
        ({"messages": ["hello"]}, "invalid_type", "messages[0]"),
        ({"messages": [{"content": "a"}]}, "missing_required_parameter", "messages[0].role"),
        ({"messages": [{"role": "boss", "content": "a"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": [], "content": "a"}]}, "invalid_value", "messages[0].role"),
        ({"messages": [{"role": "user", "content": None}]}, "invalid_type", "messages[0].content"),
        ({"messages": MESSAGES, "temperature": 3}, "decimal_above_max_value", "temperature"),
        ({"messages": MESSAGES, "top_p": -1}, "decimal_below_min_value", "top_p"),
        ({"messages": MESSAGES, "temperature": "hot"}, "invalid_type", "temperature"),
        ({"messages": MESSAGES, "max_tokens": 0}, "integer_below_min_value", "max_tokens"),
        ({"messages": MESSAGES, "max_tokens": 1.5}, "invalid_type", "max_tokens"),
        ({"messages": MESSAGES, "max_tokens": 501}, "invalid_value", "max_tokens"),
        ({"messages": MESSAGES, "max_tokens": 1, "max_completion_tokens": 1}, "invalid_parameter_combination", None),
        ({"messages": MESSAGES, "n": 2}, "unsupported_value", "n"),
        ({"messages": MESSAGES, "response_format": "json"}, "invalid_type", "response_format"),
        ({"messages": MESSAGES, "response_format": {"type": "xml"}}, "invalid_value", "response_format.type"),
        ({"messages": MESSAGES, "response_format": {"type": "json_schema"}}, "missing_required_parameter", None),
        ({"messages": MESSAGES, "stream_options": {"include_usage": True}}, None, "stream_options"),
        ({"messages": MESSAGES, "stream": True, "stream_options": 1}, "invalid_type", "stream_options"),
        ({"messages": MESSAGES, "temprature": 0}, None, None),
    ],
)
def test_an_invalid_request_is_refused_with_its_code(
    body: dict[str, Any], code: str | None, parameter: str | None
) -> None:
    """The service names the parameter and what is wrong with it."""
    with pytest.raises(Refusal) as refusal:
        read(body)
    error = refusal.value.error
    assert (refusal.value.status, error["type"], error["code"]) == (400, "invalid_request_error", code)
    assert parameter is None or error["param"] == parameter


def test_json_mode_needs_the_word_json_in_a_message() -> None:
    """The service refuses json_object without it, so the emulator does."""
    with pytest.raises(Refusal) as refusal:
        read({"messages": [{"role": "user", "content": "Answer."}], "response_format": {"type": "json_object"}})
    assert "must contain the word 'json'" in refusal.value.error["message"]
    assert read({"messages": MESSAGES, "response_format": {"type": "json_object"}}).response_format


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(raw: bytes) -> None:
    """Nothing that a caller sends breaks the emulator."""
    with pytest.raises(Refusal) as refusal:
        parse_body(raw)
    assert refusal.value.status == 400


def test_prompt_and_limit_must_fit_the_context() -> None:
    """The message tells how many tokens were asked for where."""
    deployment = Deployment(model="m", context_tokens=100)
    fits = read_chat_request({"messages": MESSAGES, "max_tokens": 92}, "mini", deployment)
    too_long = read_chat_request({"messages": MESSAGES, "max_tokens": 93}, "mini", deployment)

    check_context_length(fits, deployment)
    with pytest.raises(Refusal) as refusal:
        check_context_length(too_long, deployment)
    assert refusal.value.error["code"] == "context_length_exceeded"
    assert "101 tokens (8 in the messages, 93 in the completion)" in refusal.value.error["message"]


def test_a_stream_begins_with_the_filter_result_and_ends_with_usage() -> None:
    """Usage stands in one last chunk without choices, and only when it was asked for."""
    completion = Completion("m", "a text of some length", "stop", 7, 6)
    events = stream_events(completion, usage_wanted=True)
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events[:-1]]

    assert events[-1] == b"data: [DONE]\n\n"
    assert chunks[0]["choices"] == [] and chunks[0]["prompt_filter_results"]
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks[1:-1]) == completion.text
    assert chunks[-2]["choices"][0]["finish_reason"] == "stop" and chunks[-2]["usage"] is None
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == 13
    assert all(b'"usage"' not in event for event in stream_events(completion, usage_wanted=False))
