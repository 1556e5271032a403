"""Chat completions through the openai SDK: one HTTP request per call, every failure a ModelError.

The common part of `azure_openai.py`, `openai_chat.py` and `llama_cpp.py`, which make the SDK's client.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any, cast

import httpx2
import openai

from assay.llm.answers import Delivery, answer_in, broken_off, malformed, read_answer
from assay.llm.base import ChatAnswer, ChatRequest
from assay.llm.chat_body import LimitNames, chat_body
from assay.llm.sdk_errors import TRANSPORT_ERRORS, rate_limit, refused, request_id, said_code, said_text, translate
from assay.llm.streaming import StreamedCompletion, StreamError, chunks_in

CONNECTIONS = 256
KEEP_ALIVE_SECONDS = 60.0
REST_SECONDS = 0.5
"""How long what follows a stream's end mark is waited for: read to its end, the connection can be used again."""

_PATH = "/chat/completions"


@dataclass(frozen=True, slots=True)
class Clocks:
    """Where the time comes from: seconds for latencies, the time of day for dates in `retry-after`."""

    seconds: Callable[[], float] = time.perf_counter
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class SdkChat:
    """A ChatModel over an SDK client without retries of its own; safe to share between tasks of one loop.

    `forget_token` is called when the service answers that it does not know who asks.
    """

    def __init__(
        self, client: openai.AsyncOpenAI, clocks: Clocks | None = None, forget_token: Callable[[], None] = lambda: None
    ) -> None:
        self._client = _without_environment(client)
        self._clocks = clocks or Clocks()
        self._forget_token = forget_token
        self._limits = LimitNames()

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """The answer. Raises ModelError; never retries, but for a deployment's word for the longest answer."""
        return await self._limits.asked(request, self._ask)

    async def close(self) -> None:
        """Closes connections; a second call does nothing."""
        await self._client.close()

    async def _ask(self, request: ChatRequest, limit: str) -> ChatAnswer:
        receive = self._streamed if request.stream else self._whole
        began = self._clocks.seconds()
        try:
            async with asyncio.timeout(request.timeout_seconds):
                return await receive(request, chat_body(request, limit), began)
        except (openai.APIError, *TRANSPORT_ERRORS) as error:
            found = translate(error, self._clocks.now())
            if found.status == HTTPStatus.UNAUTHORIZED:
                self._forget_token()
            raise found from error

    async def _whole(self, request: ChatRequest, body: dict[str, Any], began: float) -> ChatAnswer:
        # The SDK's `post` with a raw response costs 0.6 ms of CPU where `chat.completions.create` costs 1.2 ms:
        # it skips the walk over a body and an answer that hold nothing to convert.
        response = await self._client.post(
            _PATH, cast_to=httpx2.Response, body=body, options={"timeout": _timeout_of(request)}
        )
        return read_answer(response.content, request, self._delivery(response, began))

    async def _streamed(self, request: ChatRequest, body: dict[str, Any], began: float) -> ChatAnswer:
        posted = await self._client.post(
            _PATH,
            cast_to=httpx2.Response,
            body=body,
            options={"timeout": _timeout_of(request)},
            stream=True,
            stream_cls=openai.AsyncStream[Any],
        )
        response = cast(httpx2.Response, posted)  # unread, as `cast_to` says
        try:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                # Some servers answer whole, whatever is asked for.
                return read_answer(await response.aread(), request, self._delivery(response, began))
            return await self._put_together(response, request, began)
        finally:
            await response.aclose()

    async def _put_together(self, response: httpx2.Response, request: ChatRequest, began: float) -> ChatAnswer:
        completion, pieces = StreamedCompletion(), response.aiter_bytes()
        try:
            async for chunk in chunks_in(pieces):
                completion.add(chunk, self._clocks.seconds() - began)
            delivery = self._delivery(response, began, completion.first_token_seconds)
            await _read_out(pieces)
            content = completion.content(request.deployment)
        except StreamError as error:
            raise self._reported(error, response) from error
        except (ValueError, TypeError, AttributeError) as error:
            raise malformed(error, "a stream", self._delivery(response, began)) from error
        if not completion.is_whole:
            raise broken_off(delivery)
        return answer_in(content, request, delivery)

    def _reported(self, error: StreamError, response: httpx2.Response) -> Exception:
        """An error in mid-stream comes with status 200; the one it would have had may be its code."""
        said = error.error if isinstance(error.error, dict) else {}
        code, message = str(said.get("code")), said_text(said) or str(error)
        status = int(code) if code.isdecimal() else _STATUS_OF_CODE.get(said_code(said), 500)
        headers = {name.lower(): value for name, value in response.headers.items()}
        return refused(status, said_code(said), message, headers, self._clocks.now())

    def _delivery(self, response: httpx2.Response, began: float, first: float | None = None) -> Delivery:
        return Delivery(request_id(response), self._clocks.seconds() - began, first, rate_limit(response))


def _without_environment(client: openai.AsyncOpenAI) -> openai.AsyncOpenAI:
    """Without what the SDK took from OPENAI_ORG_ID and its like: that is meant for one address, and not asked for."""
    client.organization = client.project = client.admin_api_key = client.webhook_secret = None
    client._custom_headers = {}  # OPENAI_CUSTOM_HEADERS, even of other people's keys; nothing public takes them out
    return client


_STATUS_OF_CODE = {"rate_limit_exceeded": 429, "insufficient_quota": 429, "content_filter": 400}


def http_client(connections: int) -> httpx2.AsyncClient:
    """The SDK's own aiohttp transport: two thirds of the default one's CPU per request.

    `connections` is as many as requests may be in flight: one that waits for a connection wastes its permit.
    """
    return openai.DefaultAioHttpClient(
        limits=httpx2.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEEP_ALIVE_SECONDS
        )
    )


async def _read_out(pieces: AsyncIterator[bytes]) -> None:
    with suppress(*TRANSPORT_ERRORS, httpx2.StreamError):
        async with asyncio.timeout(REST_SECONDS):
            async for _ in pieces:
                pass


def _timeout_of(request: ChatRequest) -> httpx2.Timeout:
    return _timeout(request.timeout_seconds, request.connect_timeout_seconds, request.read_timeout_seconds)


@lru_cache(maxsize=64)
def _timeout(total_seconds: float, connect_seconds: float, read_seconds: float | None) -> httpx2.Timeout:
    return httpx2.Timeout(total_seconds, connect=connect_seconds, read=read_seconds or total_seconds)
