"""Streamed chat completions: server-sent events, put together to the completion that would have come whole. Pure.

Protocol: https://platform.openai.com/docs/api-reference/chat/streaming
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

_END = b"[DONE]"
# Older llama.cpp servers name the error in place of the data.
_FIELDS = (b"data", b"error")
_PARTS = ("content", "refusal", "reasoning_content")


class StreamError(Exception):
    """The service reports an error in the middle of a stream. `error` is what it says of it."""

    def __init__(self, error: Any) -> None:
        super().__init__(str(error))
        self.error = error


async def chunks_in(pieces: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """The chunks in the bytes of a stream, up to its end mark. Raises StreamError, and ValueError for a broken one.

    Lines end with a line feed only: other separators may stand in an answer as they are.
    """
    rest = b""
    async for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            field, _, value = line.partition(b":")
            value = value.strip()
            if field not in _FIELDS:
                continue
            if value == _END:
                return
            yield _chunk(field, value)


def _chunk(field: bytes, value: bytes) -> dict[str, Any]:
    chunk = json.loads(value)
    if not isinstance(chunk, dict):
        raise ValueError("a chunk is no object")
    error = chunk.get("error") or (chunk if field == b"error" else None)
    if error:
        raise StreamError(error)
    return chunk


class StreamedCompletion:
    """Chunks of one answer, as they come. `first_token_seconds` is the time of the first that holds some of it."""

    def __init__(self) -> None:
        self.first_token_seconds: float | None = None
        self._parts: dict[str, list[str]] = {part: [] for part in _PARTS}
        self._filter: dict[str, Any] = {}
        self._told: dict[str, Any] = {}
        self._finish_reason: str | None = None
        self._is_empty = True

    def add(self, chunk: Mapping[str, Any], seconds: float) -> None:
        """Takes a chunk in; `seconds` since the request was sent. Raises TypeError and AttributeError for other forms.

        Azure sends one without choices first, with the verdict on the prompt; the last one without tells the usage.
        """
        self._is_empty = False
        for name in ("model", "usage", "timings"):
            if chunk.get(name):
                self._told[name] = chunk[name]
        for choice in (chunk.get("choices") or ())[:1]:
            self._add_choice(choice, seconds)

    @property
    def is_whole(self) -> bool:
        """Whether it came to an end of its own."""
        return self._finish_reason is not None

    def content(self, deployment: str) -> dict[str, Any]:
        """The completion; where no chunk named the model, that is the deployment. Raises ValueError without a chunk."""
        if self._is_empty:
            raise ValueError("the stream holds no chunk")
        message = {part: "".join(self._parts[part]) for part in ("content", "refusal")}
        choice = {"message": message, "finish_reason": self._finish_reason, "content_filter_results": self._filter}
        return {"model": deployment, **self._told, "choices": [choice]}

    def _add_choice(self, choice: Mapping[str, Any], seconds: float) -> None:
        delta = choice.get("delta") or {}
        for part, texts in self._parts.items():
            if delta.get(part):
                texts.append(delta[part])
                if self.first_token_seconds is None:
                    self.first_token_seconds = seconds
        self._filter |= choice.get("content_filter_results") or {}
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
