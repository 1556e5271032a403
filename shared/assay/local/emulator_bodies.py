"""Completions as the service sends them, whole or as stream events, in the shapes seen on Azure OpenAI.

Called by `emulator_service`. No decision is taken here.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from assay.local.emulator_refusals import SAFE, SAFE_PROMPT, VIOLENT

_SAFE_COMPLETION = {
    **SAFE,
    "protected_material_code": {"filtered": False, "detected": False},
    "protected_material_text": {"filtered": False, "detected": False},
}
_FILTER_ERROR = {"error": {"code": "content_filter_error", "message": "The contents are not filtered"}}
_VERDICTS: dict[str, dict[str, Any]] = {
    "safe": _SAFE_COMPLETION,
    "violent": {**_SAFE_COMPLETION, "violence": VIOLENT},
    "error": _FILTER_ERROR,
}
_CHUNK_VERDICTS: dict[str, dict[str, Any]] = {**_VERDICTS, "safe": SAFE}
_PROMPT_FILTER_RESULTS = [{"prompt_index": 0, "content_filter_results": SAFE_PROMPT}]
_VERDICT_TEXTS = {verdict: json.dumps(results) for verdict, results in _VERDICTS.items()}
_PROMPT_FILTER_TEXT = json.dumps(_PROMPT_FILTER_RESULTS)
_CHARACTERS_PER_CHUNK = 12


@dataclass(frozen=True, slots=True)
class Completion:
    """A finished answer, ready to be written as one body or as stream events.

    `completion_tokens` include the hidden reasoning ones, `prompt_tokens` the cached ones. `is_refusal`: the text is
    the model's refusal. `filter_verdict`: what the content filter says of the text; `error` when it could not be asked.
    """

    model: str
    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    is_refusal: bool = False
    filter_verdict: Literal["safe", "violent", "error"] = "safe"


def completion_body(completion: Completion) -> bytes:
    """The body of a 200 answer."""
    said = {"content": None, "refusal": completion.text} if completion.is_refusal else {"content": completion.text}
    message: dict[str, Any] = {"role": "assistant", "refusal": None, **said, "annotations": []}
    choice = {"index": 0, "finish_reason": completion.finish_reason, "logprobs": None, "message": message}
    # Most of a body never changes; it is written once, because this is the hot path.
    frame, usage = json.dumps(_frame(completion, "chat.completion")), json.dumps(_usage(completion))
    verdict = f'"content_filter_results": {_VERDICT_TEXTS[completion.filter_verdict]}'
    choices = f'"choices": [{json.dumps(choice)[:-1]}, {verdict}}}]'
    return f'{frame[:-1]}, {choices}, "prompt_filter_results": {_PROMPT_FILTER_TEXT}, "usage": {usage}}}'.encode()


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
    verdict = _CHUNK_VERDICTS[completion.filter_verdict]
    part = "refusal" if completion.is_refusal else "content"
    yield _stream_choice({"role": "assistant", "content": "", "refusal": None}, {})
    for start in range(0, len(completion.text), _CHARACTERS_PER_CHUNK):
        yield _stream_choice({part: completion.text[start : start + _CHARACTERS_PER_CHUNK]}, verdict)
    yield {**_stream_choice({}, verdict if verdict is not SAFE else {}), "finish_reason": completion.finish_reason}


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
        "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": completion.cached_tokens},
        "completion_tokens_details": {
            "accepted_prediction_tokens": 0,
            "audio_tokens": 0,
            "reasoning_tokens": completion.reasoning_tokens,
            "rejected_prediction_tokens": 0,
        },
    }
