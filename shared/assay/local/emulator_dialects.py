"""The emulator's replies in the words of OpenAI itself, or of a llama.cpp server, in place of Azure's.

Called by `emulator_service` for requests below `/v1`. No decision is taken here.
Protocols: https://platform.openai.com/docs/api-reference/chat and llama.cpp's tools/server/README.md.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from assay.local.emulator_deployment import Dialect
from assay.local.emulator_replies import Reply

_MILLISECONDS_PER_TOKEN = 20.0
_CONTEXT = re.compile(r"context length is (\d+) tokens.*\((\d+) in the messages", re.DOTALL)
_PACE = re.compile(r"(token|call) rate limit.*retry after (\d+) seconds", re.DOTALL)
_LLAMA_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    501: "not_supported_error",
    503: "unavailable_error",
}
_Content = dict[str, Any]


def in_dialect(reply: Reply, dialect: Dialect, deployment: str) -> Reply:
    """The same reply as the server of another maker would send it; what is no JSON stays as it is."""
    if dialect == "azure" or reply.ending in ("timeout", "dropped"):
        return reply
    speak = _in_openai if dialect == "openai" else _in_llama_cpp
    if reply.events is not None:
        return replace(reply, events=_events(reply.events, speak))
    if reply.status != 200:
        status, error = _refusal(reply, dialect, deployment)
        return replace(reply, status=status, body=json.dumps({"error": error}).encode())
    try:
        content = json.loads(reply.body)
    except ValueError:
        return reply
    return replace(reply, body=json.dumps(speak(content)).encode())


def _events(events: Sequence[bytes], speak: Callable[[_Content], _Content]) -> list[bytes]:
    """Without Azure's first one, which holds the verdict on the prompt."""
    spoken: list[bytes] = []
    for event in events:
        try:
            content = json.loads(event.removeprefix(b"data: "))
        except ValueError:
            spoken.append(event)
            continue
        if "prompt_filter_results" not in content:
            spoken.append(b"data: " + json.dumps(speak(content)).encode() + b"\n\n")
    return spoken


def _in_openai(content: _Content) -> _Content:
    content.pop("prompt_filter_results", None)
    for choice in content.get("choices", ()):
        choice.pop("content_filter_results", None)
    return content


def _in_llama_cpp(content: _Content) -> _Content:
    """No content filter, no refusals; what was computed, beside what was used."""
    if "error" in content:
        return {"error": _llama_error(500, content["error"]["message"])}
    if "choices" not in content:
        return content
    for choice in content["choices"]:
        choice.pop("content_filter_results", None)
        choice.pop("logprobs", None)
        said = choice.get("message") or choice["delta"]
        refusal = said.pop("refusal", None)
        said.pop("annotations", None)
        if refusal:
            said["content"] = refusal
    usage = content.get("usage")
    content.pop("prompt_filter_results", None)
    if usage:
        details = {"cached_tokens": usage["prompt_tokens_details"]["cached_tokens"]}
        counts = {name: usage[name] for name in ("completion_tokens", "prompt_tokens", "total_tokens")}
        content["usage"] = {**counts, "prompt_tokens_details": details}
        content["timings"] = _timings(usage, details["cached_tokens"])
    else:
        content.pop("usage", None)
    return content


def _timings(usage: _Content, cached: int) -> _Content:
    predicted = usage["completion_tokens"]
    return {
        "cache_n": cached,
        "prompt_n": usage["prompt_tokens"] - cached,
        "predicted_n": predicted,
        "predicted_ms": predicted * _MILLISECONDS_PER_TOKEN,
        "predicted_per_second": 1000 / _MILLISECONDS_PER_TOKEN,
    }


def _refusal(reply: Reply, dialect: Dialect, deployment: str) -> tuple[int, _Content]:
    error: _Content = json.loads(reply.body)["error"]
    if dialect == "openai":
        return reply.status, _openai_error(reply.status, error, deployment)
    if reply.status == 404:
        return 400, _llama_error(400, "model not found")
    if reply.status == 503:
        return 503, _llama_error(503, "Loading model")
    if reply.status == 401:
        return 401, _llama_error(401, "Invalid API Key")
    found = _CONTEXT.search(error["message"])
    if found:
        context, prompt = int(found[1]), int(found[2])
        said = f"request ({prompt} tokens) exceeds the available context size ({context} tokens), try increasing it"
        told = {"type": "exceed_context_size_error", "n_prompt_tokens": prompt, "n_ctx": context}
        return 400, {**_llama_error(400, said), **told}
    return reply.status, _llama_error(reply.status, error["message"])


def _llama_error(status: int, message: str) -> _Content:
    return {"code": status, "message": message, "type": _LLAMA_TYPES.get(status, "server_error")}


def _openai_error(status: int, error: _Content, deployment: str) -> _Content:
    if status == 401:
        return _told("Incorrect API key provided.", "invalid_request_error", "invalid_api_key")
    if status == 404:
        said = f"The model `{deployment}` does not exist or you do not have access to it."
        return _told(said, "invalid_request_error", "model_not_found")
    found = _PACE.search(error["message"])
    if found:
        unit = "tokens per min (TPM)" if found[1] == "token" else "requests per min (RPM)"
        said = f"Rate limit reached for {deployment} on {unit}. Please try again in {found[2]}s."
        return _told(said, "tokens" if found[1] == "token" else "requests", "rate_limit_exceeded")
    return error


def _told(message: str, kind: str, code: str) -> _Content:
    return {"message": message, "type": kind, "param": None, "code": code}
