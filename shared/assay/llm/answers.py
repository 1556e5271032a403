"""Tells answers apart: complete, truncated, refused, cut by the content filter, empty, not the JSON that was asked for.

Adapters read chat completions here, in whatever way they got them. Pure.
"""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from assay.llm.base import ChatAnswer, ChatRequest, ModelError, RateLimitHeaders
from assay.llm.errors import FailureKind
from assay.records import Usage

_SHOWN_CHARACTERS = 80
_CUT_BY_FILTER = "content_filter"
_SPENT = (
    "The answer ended at max_tokens ({:,}) before its first word: a model that reasons spends them on its thoughts "
    "first. Raise max_tokens, or lower reasoning_effort"
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an answer came: under which id, how fast, and what its headers said of limits.

    Seconds run from sending: `latency_seconds` to the last byte, `first_token_seconds` to the first piece of a stream.
    """

    request_id: str | None = None
    latency_seconds: float = 0.0
    first_token_seconds: float | None = None
    rate_limit: RateLimitHeaders = field(default_factory=RateLimitHeaders)


def read_answer(body: bytes, request: ChatRequest, delivery: Delivery | None = None) -> ChatAnswer:
    """The answer in a chat completion's body. Raises ModelError for one that cannot be used.

    Truncated answers and refusals are answers. What a filtered or invalid one was billed is in the error.
    Protocol: https://learn.microsoft.com/azure/ai-services/openai/reference#chat-completions
    """
    delivery = delivery or Delivery()
    try:
        content = json.loads(body)
    except ValueError as error:
        raise malformed(error, body.decode("utf-8", "replace"), delivery) from error
    return answer_in(content, request, delivery)


def answer_in(content: Any, request: ChatRequest, delivery: Delivery) -> ChatAnswer:
    """The same for the content of a body: a chat completion as plain values."""
    try:
        choice = content["choices"][0]
        message = choice["message"]
        answer = ChatAnswer(
            text=_text(message.get("content") or message.get("refusal") or ""),
            finish_reason=_name(choice["finish_reason"] or ""),
            model=_name(content["model"]),
            request_id=delivery.request_id,
            usage=_usage(content),
            latency_seconds=delivery.latency_seconds,
            rate_limit=delivery.rate_limit,
            refused=bool(message.get("refusal")),
            unfiltered=_is_unfiltered(choice.get("content_filter_results") or {}),
            first_token_seconds=delivery.first_token_seconds,
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise malformed(error, json.dumps(content), delivery) from error
    return usable(answer, request)


def malformed(error: Exception, found: str, delivery: Delivery) -> ModelError:
    """What to raise for an answer of status 200 that is no chat completion; `found` is its text."""
    return ModelError(
        FailureKind.MALFORMED_ANSWER,
        f"The answer is not a chat completion: {type(error).__name__}: {error}; "
        f"it begins with {found[:_SHOWN_CHARACTERS]!r}",
        status=HTTPStatus.OK,
        request_id=delivery.request_id,
        rate_limit=delivery.rate_limit,
    )


def broken_off(delivery: Delivery) -> ModelError:
    """What to raise for a stream that ended before its answer did: what it cost nobody says."""
    return ModelError(
        FailureKind.CONNECTION_LOST,
        "The stream ended before the answer did",
        status=HTTPStatus.OK,
        request_id=delivery.request_id,
        rate_limit=delivery.rate_limit,
    )


def usable(answer: ChatAnswer, request: ChatRequest) -> ChatAnswer:
    """The answer itself. Raises ModelError when it is cut by the content filter, empty, or not the JSON asked for.

    What is truncated or a refusal cannot be expected to be JSON. What a model thinks counts as output too, so that
    thoughts alone can take all of `max_tokens`.
    """
    if answer.finish_reason == _CUT_BY_FILTER:
        raise _unusable(FailureKind.ANSWER_FILTERED, "The content filter cut the answer off", answer)
    is_empty = not answer.text.strip()
    if answer.truncated and is_empty:
        raise _unusable(FailureKind.MAX_TOKENS_SPENT, _SPENT.format(request.max_tokens), answer)
    if answer.refused or answer.truncated:
        return answer
    if is_empty:
        raise _unusable(FailureKind.INVALID_ANSWER, "The answer is empty", answer)
    # Whether it fits a schema is judged by the link `answer_schemas`, which can have it repaired.
    if request.json and not request.schema and not _is_json_object(answer.text):
        found = repr(answer.text[:_SHOWN_CHARACTERS])
        raise _unusable(FailureKind.INVALID_ANSWER, f"Expected a JSON object; the answer begins with {found}", answer)
    return answer


def _unusable(kind: FailureKind, what: str, answer: ChatAnswer) -> ModelError:
    return ModelError(
        kind,
        what,
        status=HTTPStatus.OK,
        request_id=answer.request_id,
        rate_limit=answer.rate_limit,
        usage=answer.usage,
        model=answer.model,
    )


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _is_unfiltered(results: dict[str, Any]) -> bool:
    """With a verdict per category, or the error of a filter that could not be asked."""
    return "error" in results


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise TypeError(f"{type(found).__name__} in place of a text")
    return found


def _name(found: Any) -> str:
    """A text that records can hold, as a lone surrogate is none."""
    return _text(found).encode().decode()


def _usage(content: dict[str, Any]) -> Usage:
    """The tokens that the service counted; none where it says nothing of them.

    A llama.cpp server tells them in `timings` too, in streams even when it leaves `usage` out.
    Source: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
    """
    counts, timings = content.get("usage"), content.get("timings")
    if counts:
        details = counts.get("prompt_tokens_details") or {}
        return Usage(
            input_tokens=counts.get("prompt_tokens") or 0,
            cached_input_tokens=details.get("cached_tokens") or 0,
            output_tokens=counts.get("completion_tokens") or 0,
        )
    if not timings:
        return Usage()
    cached = timings.get("cache_n") or 0
    return Usage(
        input_tokens=cached + timings["prompt_n"], cached_input_tokens=cached, output_tokens=timings["predicted_n"]
    )
