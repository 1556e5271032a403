"""What the service sends: error bodies, completions, stream events and headers, in the shapes seen on Azure OpenAI.

Called by `openai_emulator` and `emulator_requests`. No decision is taken here.
"""

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from assay.local.emulated_quota import QuotaVerdict

SUPPORT_LINK = "https://go.microsoft.com/fwlink/?linkid=2213926"
QUOTA_LINK = "https://aka.ms/oai/quotaincrease"
FILTER_LINK = "https://go.microsoft.com/fwlink/?linkid=2198766"

_SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
_SAFE_PROMPT = {**_SAFE, "jailbreak": {"filtered": False, "detected": False}}
_SAFE_COMPLETION = {
    **_SAFE,
    "protected_material_code": {"filtered": False, "detected": False},
    "protected_material_text": {"filtered": False, "detected": False},
}
_PROMPT_FILTER_RESULTS = [{"prompt_index": 0, "content_filter_results": _SAFE_PROMPT}]
_CHARACTERS_PER_CHUNK = 12


@dataclass(eq=False)
class Refusal(Exception):
    """An answer other than 200. `verdict` is the word for it in the log."""

    status: int
    verdict: str
    error: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        return json.dumps({"error": self.error}).encode()


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer, ready to be written as one body or as stream events."""

    model: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


def invalid_request(message: str, parameter: str | None = None, code: str | None = None) -> Refusal:
    error = {"message": message, "type": "invalid_request_error", "param": parameter, "code": code}
    return Refusal(400, code or "invalid_request", error)


def wrong_key() -> Refusal:
    message = (
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
        "active subscription and use a correct regional API endpoint for your resource."
    )
    return Refusal(401, "wrong_key", {"code": "401", "message": message})


def resource_not_found() -> Refusal:
    return Refusal(404, "resource_not_found", {"code": "404", "message": "Resource not found"})


def deployment_not_found() -> Refusal:
    message = (
        "The API deployment for this resource does not exist. If you created the deployment within the last "
        "5 minutes, please wait a moment and try again."
    )
    return Refusal(404, "deployment_not_found", {"code": "DeploymentNotFound", "message": message})


def rate_limited(verdict: QuotaVerdict, api_version: str | None, operation: str = "ChatCompletions_Create") -> Refusal:
    """The 429 of one axis; its text and `x-ratelimit-type` name the axis."""
    axis = verdict.refused_by or "requests"
    seconds = math.ceil(verdict.retry_after_seconds)
    limit = "token rate limit" if axis == "tokens" else "call rate limit"
    version = f" under Azure OpenAI API version {api_version}" if api_version else ""
    message = (
        f"Requests to the {operation} Operation{version} have exceeded {limit} of your current OpenAI S0 "
        f"pricing tier. Please retry after {seconds} seconds. Please go here: {QUOTA_LINK} if you would like to "
        "further increase the default rate limit."
    )
    return Refusal(429, f"rate_limited_{axis}", {"code": "429", "message": message})


def content_filtered() -> Refusal:
    message = (
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please "
        f"modify your prompt and retry. To learn more about our content filtering policies please read our "
        f"documentation: {FILTER_LINK}"
    )
    result = {**_SAFE_PROMPT, "violence": {"filtered": True, "severity": "medium"}}
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": result}
    error = {
        "message": message,
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": inner,
    }
    return Refusal(400, "content_filter", error)


def server_error(request_id: str) -> Refusal:
    message = (
        "The server had an error while processing your request. Sorry about that! You can retry your request, or "
        f"contact us through an Azure support request at: {SUPPORT_LINK} if the error persists. (Please include the "
        f"request ID {request_id} in your message.)"
    )
    return Refusal(500, "error_500", {"message": message, "type": "server_error", "param": None, "code": None})


def unavailable() -> Refusal:
    message = "The service is temporarily unable to process your request. Please try again later."
    return Refusal(503, "error_503", {"code": "ServiceUnavailable", "message": message})


def request_headers(request_id: str) -> dict[str, str]:
    """Headers of every answer. Support asks for `apim-request-id`; the SDK shows `x-request-id`."""
    return {
        "apim-request-id": request_id,
        "x-request-id": str(uuid4()),
        "x-ms-region": "Emulated",
        "x-content-type-options": "nosniff",
    }


def rate_limit_headers(verdict: QuotaVerdict) -> dict[str, str]:
    """`x-ratelimit-*` for each limited axis: limits per minute, what is left in the window, seconds until it resets."""
    headers: dict[str, str] = {}
    for axis, state in (("requests", verdict.requests), ("tokens", verdict.tokens)):
        if state is None:
            continue
        headers[f"x-ratelimit-limit-{axis}"] = str(state.limit_per_minute)
        headers[f"x-ratelimit-remaining-{axis}"] = str(state.remaining)
        headers[f"x-ratelimit-reset-{axis}"] = str(math.ceil(state.reset_seconds))
        headers[f"x-ratelimit-renewalperiod-{axis}"] = "60"
    if verdict.refused_by is not None:
        headers["x-ratelimit-type"] = verdict.refused_by.capitalize()
    return headers


def retry_after_headers(wait_seconds: float) -> dict[str, str]:
    """The recommended wait, in milliseconds and in whole seconds."""
    return {"retry-after-ms": str(math.ceil(wait_seconds * 1000)), "retry-after": str(math.ceil(wait_seconds))}


def completion_body(completion: Completion) -> bytes:
    """The body of a 200 answer."""
    message: dict[str, Any] = {"role": "assistant", "content": completion.text, "refusal": None, "annotations": []}
    choice = {
        "index": 0,
        "finish_reason": completion.finish_reason,
        "logprobs": None,
        "message": message,
        "content_filter_results": _SAFE_COMPLETION,
    }
    body = {
        **_frame(completion, "chat.completion"),
        "choices": [choice],
        "prompt_filter_results": _PROMPT_FILTER_RESULTS,
        "usage": _usage(completion),
    }
    return json.dumps(body).encode()


def stream_events(completion: Completion, usage_wanted: bool) -> list[bytes]:
    """Server-sent events of the same answer: the prompt's filter result, role, text, finish, usage if wanted, end."""
    frame = _frame(completion, "chat.completion.chunk")
    # With include_usage each chunk carries `usage: null`, and one more chunk without choices carries the figures.
    blank: dict[str, Any] = {"usage": None} if usage_wanted else {}
    annotation = {"id": "", "object": "", "created": 0, "model": "", "prompt_filter_results": _PROMPT_FILTER_RESULTS}
    events = [_event({**annotation, "choices": [], **blank})]
    events += [_event({**frame, "choices": [choice], **blank}) for choice in _stream_choices(completion)]
    if usage_wanted:
        events.append(_event({**frame, "choices": [], "usage": _usage(completion)}))
    return [*events, b"data: [DONE]\n\n"]


def _stream_choices(completion: Completion) -> Iterator[dict[str, Any]]:
    yield _stream_choice({"role": "assistant", "content": "", "refusal": None}, {})
    for start in range(0, len(completion.text), _CHARACTERS_PER_CHUNK):
        yield _stream_choice({"content": completion.text[start : start + _CHARACTERS_PER_CHUNK]}, _SAFE)
    yield {**_stream_choice({}, {}), "finish_reason": completion.finish_reason}


def _stream_choice(delta: dict[str, Any], filter_results: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": 0,
        "delta": delta,
        "finish_reason": None,
        "logprobs": None,
        "content_filter_results": filter_results,
    }


def _event(content: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(content).encode() + b"\n\n"


def _frame(completion: Completion, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid4().hex[:29]}",
        "object": kind,
        "created": int(time.time()),
        "model": completion.model,
        "system_fingerprint": "fp_emulated",
    }


def _usage(completion: Completion) -> dict[str, Any]:
    return {
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "total_tokens": completion.prompt_tokens + completion.completion_tokens,
        "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0},
        "completion_tokens_details": {
            "accepted_prediction_tokens": 0,
            "audio_tokens": 0,
            "reasoning_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
