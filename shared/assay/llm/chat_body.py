"""Chat requests in the words of OpenAI's protocol, which all clients of this room speak. Pure.

Protocol: https://platform.openai.com/docs/api-reference/chat/create
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from assay.llm.base import AnswerSchema, ChatAnswer, ChatMessage, ChatRequest, ModelError
from assay.llm.errors import FailureKind

_OLD_LIMIT, _NEW_LIMIT = "max_tokens", "max_completion_tokens"

_MISNAMED = (FailureKind.UNSUPPORTED_SETTING, FailureKind.INVALID_REQUEST)

_Ask = Callable[[ChatRequest, str], Awaitable[ChatAnswer]]


def chat_body(request: ChatRequest, limit: str) -> dict[str, Any]:
    """The body of a request; `limit` is the name under which the deployment takes the longest answer's tokens."""
    body: dict[str, Any] = {
        "model": request.deployment,
        "messages": [{"role": message.role, "content": _content(message)} for message in request.messages],
        limit: request.max_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.reasoning_effort is not None:
        body["reasoning_effort"] = request.reasoning_effort
    if request.seed is not None:
        body["seed"] = request.seed
    if request.stop:
        body["stop"] = list(request.stop)
    if request.schema:
        body["response_format"] = _structured(request.schema)
    elif request.json:
        body["response_format"] = {"type": "json_object"}
    if request.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


class LimitNames:
    """Under which name each deployment takes the longest answer's tokens, learned from its first refusal.

    Reasoning models refuse `max_tokens` and want `max_completion_tokens`, and neither the deployment's name nor the API
    version tells. Servers of other makers know only the old name.
    """

    def __init__(self) -> None:
        self._takes_new: set[str] = set()

    async def asked(self, request: ChatRequest, ask: _Ask) -> ChatAnswer:
        """The answer of `ask(request, name)`. Raises what `ask` raises.

        Asking again in the right words is no second attempt at the same request, and it happens once per deployment.
        """
        limit = _NEW_LIMIT if request.deployment in self._takes_new else _OLD_LIMIT
        try:
            return await ask(request, limit)
        except ModelError as error:
            if limit == _NEW_LIMIT or error.kind not in _MISNAMED or _NEW_LIMIT not in str(error):
                raise
        self._takes_new.add(request.deployment)
        return await ask(request, _NEW_LIMIT)


def _content(message: ChatMessage) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.content
    images = [{"type": "image_url", "image_url": {"url": one.url, "detail": one.detail}} for one in message.images]
    return [{"type": "text", "text": message.content}, *images]


def _structured(schema: AnswerSchema) -> dict[str, Any]:
    """https://learn.microsoft.com/azure/ai-services/openai/how-to/structured-outputs"""
    described = {"name": schema.name, "strict": True, "schema": json.loads(schema.text)}
    return {"type": "json_schema", "json_schema": described}
