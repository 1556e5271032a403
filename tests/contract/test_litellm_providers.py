"""LiteLLM over a provider whose protocol is not OpenAI's: answers, streams and errors come out the same."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from chat_service import Answerer, ChatService, close, gone, serving, streamed, whole

from assay.llm.base import ChatMessage, ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.llm.litellm_chat import LiteLLMChat
from assay.records import Usage

# LiteLLM 1.83 uses what newer versions of pydantic call outdated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:litellm.*")

REQUEST = ChatRequest("claude-sonnet-4-5", (ChatMessage("user", "Hello?"),), 20, temperature=0.0, timeout_seconds=20)
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0, "output_tokens": 3},
}
BILLED = Usage(input_tokens=14, cached_input_tokens=4, output_tokens=3)


def event(name: str, **content: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **content})}\n\n".encode()


SPOKEN = (
    event("message_start", message={**MESSAGE, "content": [], "stop_reason": None}),
    event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hel"}),
    event("content_block_delta", index=0, delta={"type": "text_delta", "text": "lo."}),
)
STREAM = (
    *SPOKEN,
    event("content_block_stop", index=0),
    event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage={"output_tokens": 3}),
    event("message_stop"),
)


@pytest.fixture
async def service() -> AsyncIterator[ChatService]:
    async with serving() as service:
        yield service


@pytest.fixture
async def model(service: ChatService) -> AsyncIterator[LiteLLMChat]:
    model = LiteLLMChat("anthropic", url=service.address, api_key="a-key")
    yield model
    await model.close()


async def failure(model: LiteLLMChat, request: ChatRequest = REQUEST) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await model.complete(request)
    return caught.value


async def test_an_answer_is_read_whole_and_streamed(service: ChatService, model: LiteLLMChat) -> None:
    """With the tokens that its cache gave, and the id that its support asks for."""
    service.answer = whole(MESSAGE, headers={"request-id": "req-9"})
    found = await model.complete(REQUEST)
    service.answer = streamed(*STREAM)
    again = await model.complete(replace(REQUEST, stream=True))
    assert (found.text, found.usage, found.request_id) == ("Hello.", BILLED, "req-9")
    assert (again.text, again.usage) == ("Hello.", BILLED)
    assert (found.model, found.first_token_seconds) == ("claude-sonnet-4-5-20250929", None)
    assert again.first_token_seconds is not None
    assert service.bodies[0]["max_tokens"] == 20


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        (400, "prompt is too long: 210000 tokens > 200000 maximum", FailureKind.CONTEXT_LENGTH),
        (401, "invalid x-api-key", FailureKind.UNAUTHORIZED),
        (403, "not allowed", FailureKind.FORBIDDEN),
        (404, "model: claude", FailureKind.DEPLOYMENT_MISSING),
        (429, "slow down", FailureKind.RATE_LIMITED),
        (500, "Internal server error", FailureKind.SERVER_ERROR),
        (529, "Overloaded", FailureKind.SERVER_ERROR),
    ],
)
async def test_every_refusal_has_its_kind_and_is_one_request(
    service: ChatService, model: LiteLLMChat, status: int, said: str, kind: FailureKind
) -> None:
    """The status is the provider's own, whatever class LiteLLM makes of it."""
    service.answer = whole({"type": "error", "error": {"type": "error", "message": said}}, status, {"retry-after": "3"})
    found = await failure(model)
    assert (found.kind, found.status, found.retry_after_seconds) == (kind, status, 3.0)
    assert len(service.bodies) == 1


async def drop(request: web.Request) -> web.StreamResponse:
    close(request)
    return web.Response()


async def silence(request: web.Request) -> web.StreamResponse:
    await gone(request)
    return web.Response()


@pytest.mark.parametrize(
    ("answer", "stream", "kind"),
    [
        (drop, False, FailureKind.CONNECTION_LOST),
        (silence, False, FailureKind.READ_TIMEOUT),
        (whole('{"id": "x'), False, FailureKind.MALFORMED_ANSWER),
        (streamed(*SPOKEN, then="cut"), True, FailureKind.CONNECTION_LOST),
        (streamed(*SPOKEN), True, FailureKind.CONNECTION_LOST),
    ],
    ids=["dropped", "silent", "malformed", "cut", "ended early"],
)
async def test_what_goes_wrong_on_the_way_has_its_kind(
    service: ChatService, model: LiteLLMChat, answer: Answerer, stream: bool, kind: FailureKind
) -> None:
    """LiteLLM would end a stream that breaks off as if it were whole."""
    service.answer = answer
    found = await failure(model, replace(REQUEST, stream=stream, read_timeout_seconds=0.2))
    assert (found.kind, found.sent) == (kind, True)


async def test_what_the_provider_does_not_know_is_refused_before_it_is_sent(
    service: ChatService, model: LiteLLMChat
) -> None:
    """Dropped silently, a seed would promise what it does not keep."""
    found = await failure(model, replace(REQUEST, seed=7))
    assert (found.kind, service.bodies) == (FailureKind.UNSUPPORTED_SETTING, [])
    assert "does not support parameters: ['seed']" in str(found)
