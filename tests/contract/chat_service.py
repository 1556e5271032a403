"""A server that answers chat requests as a test tells it to, and the clients that the contract of models runs over."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from assay.llm.azure_openai import AzureOpenAIChat
from assay.llm.base import ChatModel
from assay.llm.litellm_chat import LiteLLMChat
from assay.llm.llama_cpp import LlamaCppChat
from assay.llm.openai_chat import OpenAIChat

Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]

CLIENTS: dict[str, Callable[[str], ChatModel]] = {
    "azure": lambda address: AzureOpenAIChat(address, "v1", api_key="a-key"),
    "azure_dated": lambda address: AzureOpenAIChat(address, "2024-10-21", api_key="a-key"),
    "openai": lambda address: OpenAIChat(f"{address}/v1", "a-key"),
    "llama_cpp": lambda address: LlamaCppChat(address, "a-key"),
    "litellm": lambda address: LiteLLMChat("openai", url=f"{address}/v1", api_key="a-key"),
}

MODEL = "gpt-4o-mini-2024-07-18"
USAGE = {
    "prompt_tokens": 30,
    "completion_tokens": 4,
    "total_tokens": 34,
    "prompt_tokens_details": {"cached_tokens": 12},
}


def completion(message: dict[str, Any] | None = None, finish_reason: str = "stop", **more: Any) -> dict[str, Any]:
    """A whole answer as every kind of server sends it."""
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": "Hello."}}
    choice["message"] |= message or {}  # type: ignore[operator]
    frame = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": MODEL}
    return {**frame, "choices": [choice], "usage": USAGE} | more


def chunk(delta: dict[str, Any] | None = None, finish_reason: str | None = None, **more: Any) -> bytes:
    """An event of a stream; without a delta and a reason one without choices."""
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish_reason}
    frame = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    choices = [choice] if delta is not None or finish_reason else []
    return event({**frame, "choices": choices} | more)


def event(content: Any) -> bytes:
    return b"data: " + json.dumps(content, ensure_ascii=False).encode() + b"\n\n"


END = b"data: [DONE]\n\n"
SPOKEN = (chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}), chunk({"content": "lo."}))
STREAM = (*SPOKEN, chunk({}, "stop"), chunk(usage=USAGE), END)


class ChatService:
    """Answers each request with what `answer` says, and keeps what came in."""

    def __init__(self) -> None:
        self.address = ""
        self.answer: Answerer = whole(completion())
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.callers: set[Any] = set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        self.callers.add(request.transport.get_extra_info("peername"))
        self.headers.append({name.lower(): value for name, value in request.headers.items()})
        self.bodies.append(json.loads(await request.read()))
        return await self.answer(request)


def whole(content: object, status: int = 200, headers: dict[str, str] | None = None) -> Answerer:
    async def answer(request: web.Request) -> web.StreamResponse:
        if isinstance(content, str):
            return web.Response(text=content, status=status, headers=headers, content_type="application/json")
        return web.json_response(content, status=status, headers=headers)

    return answer


def streamed(*events: bytes, then: str = "end", headers: dict[str, str] | None = None) -> Answerer:
    """These events, and then the end, a `cut` connection, or `silence` until the caller has left."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8", **(headers or {})})
        await response.prepare(request)
        for one in events:
            await response.write(one)
        if then == "silence":
            await gone(request)
        if then == "cut":
            close(request)
        return response

    return answer


async def gone(request: web.Request) -> None:
    """Returns when the caller has left."""
    # aiohttp has no event for it.
    while request.transport is not None and not request.transport.is_closing():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def close(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.close()


@asynccontextmanager
async def serving() -> AsyncIterator[ChatService]:
    service, app = ChatService(), web.Application()
    app.router.add_post("/{path:.*}", service.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield service
    finally:
        await runner.cleanup()
