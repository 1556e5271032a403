"""Chat completions of Azure OpenAI through its own SDK: one HTTP request per call, every failure a ModelError.

Chosen by `runtime.py`. The emulator speaks the same protocol, so laptops and tests come through here too.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx2
import openai

from assay.llm.answers import read_answer
from assay.llm.base import AnswerSchema, ChatAnswer, ChatMessage, ChatRequest, ModelError, RateLimitHeaders
from assay.llm.errors import FailureKind
from assay.llm.refusals import classify, exhausted_axis, per_minute, retry_after_seconds

if TYPE_CHECKING:
    from azure.core.credentials_async import AsyncTokenCredential

TokenProvider = Callable[[], Awaitable[str]]

CONNECTIONS = 256
KEEP_ALIVE_SECONDS = 60.0
LONGEST_MESSAGE = 500

_SCOPE = "https://cognitiveservices.azure.com/.default"
_PATH = "/chat/completions"
_OLD_LIMIT, _NEW_LIMIT = "max_tokens", "max_completion_tokens"
_RATE_LIMIT = b"x-ratelimit-"
_NOTHING_SAID = RateLimitHeaders()


class AzureOpenAIChat:
    """A ChatModel over the deployments of one Azure OpenAI resource; safe to share between tasks of one loop.

    Exactly one of `api_key` and `token_provider` is given; the provider is asked before every request and caches.
    `forget_token` is called when the service refuses a token, so that the provider gets a new one.
    `connections` is as many as requests may be in flight: one that waits for a connection wastes its permit.
    """

    def __init__(
        self,
        endpoint: str,
        api_version: str,
        *,
        api_key: str | None = None,
        token_provider: TokenProvider | None = None,
        forget_token: Callable[[], None] = lambda: None,
        connections: int = CONNECTIONS,
        clock: Callable[[], float] = time.perf_counter,
        wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if (api_key is None) == (token_provider is None):
            raise ValueError("AzureOpenAIChat takes either an api_key or a token_provider")
        self._client = openai.AsyncAzureOpenAI(
            azure_endpoint=endpoint,
            api_version=api_version,
            api_key=api_key,
            azure_ad_token_provider=token_provider and _translated(token_provider),
            max_retries=0,  # a hidden retry would be a request without a permit
            http_client=_http_client(connections),
        )
        self._forget_token = forget_token
        self._clock = clock
        self._wall_clock = wall_clock
        self._takes_new_limit: set[str] = set()

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """The answer. Raises ModelError; never retries, with one exception.

        Reasoning models refuse `max_tokens` and want `max_completion_tokens`, and neither the deployment's name nor
        the API version tells. The first refusal teaches it: asking again in the right words is no second attempt at
        the same request, and it happens once per deployment.
        """
        limit = _NEW_LIMIT if request.deployment in self._takes_new_limit else _OLD_LIMIT
        try:
            return await self._ask(request, limit)
        except ModelError as error:
            if limit == _NEW_LIMIT or error.kind is not FailureKind.INVALID_REQUEST or _NEW_LIMIT not in str(error):
                raise
        self._takes_new_limit.add(request.deployment)
        return await self._ask(request, _NEW_LIMIT)

    async def close(self) -> None:
        """Closes connections; a second call does nothing."""
        await self._client.close()

    async def _ask(self, request: ChatRequest, limit: str) -> ChatAnswer:
        began = self._clock()
        try:
            async with asyncio.timeout(request.timeout_seconds):
                response = await self._post(request, limit)
        except (openai.APIError, httpx2.HTTPError, aiohttp.ClientError, TimeoutError) as error:
            found = translate(error, self._wall_clock())
            if found.status == HTTPStatus.UNAUTHORIZED:
                self._forget_token()
            raise found from error
        return read_answer(
            response.content,
            request,
            request_id=_request_id(response),
            latency_seconds=self._clock() - began,
            rate_limit=_rate_limit(response),
        )

    async def _post(self, request: ChatRequest, limit: str) -> httpx2.Response:
        # The SDK's `post` with a raw response costs 0.6 ms of CPU where `chat.completions.create` costs 1.2 ms:
        # it skips the walk over a body and an answer that hold nothing to convert.
        timeout = _timeout(request.timeout_seconds, request.connect_timeout_seconds, request.read_timeout_seconds)
        return await self._client.post(
            _PATH, cast_to=httpx2.Response, body=_body(request, limit), options={"timeout": timeout}
        )


class EntraTokens:
    """Tokens for an identity, kept until shortly before they run out, or until the service refuses one."""

    def __init__(self, credential: "AsyncTokenCredential") -> None:
        self._credential = credential
        self.forget()

    async def __call__(self) -> str:
        return await self._provider()

    def forget(self) -> None:
        """The next token is asked for anew."""
        from azure.identity.aio import get_bearer_token_provider

        self._provider = get_bearer_token_provider(self._credential, _SCOPE)


def translate(error: Exception, now: datetime) -> ModelError:
    """The ModelError for whatever the SDK or its transport raised: the only place that knows their classes."""
    if isinstance(error, openai.APIStatusError):
        return _refused(error, now)
    kind = _transport_kind(error)
    sent = kind not in (FailureKind.UNREACHABLE, FailureKind.TLS)
    root = list(_causes(error))[-1]
    return ModelError(kind, f"{type(root).__name__}: {root}"[:LONGEST_MESSAGE], sent=sent)


def _refused(error: openai.APIStatusError, now: datetime) -> ModelError:
    headers = {name.lower(): value for name, value in error.response.headers.items()}
    return ModelError(
        classify(error.status_code, error.code, error.message, headers, now),
        error.message[:LONGEST_MESSAGE],
        status=error.status_code,
        request_id=_request_id(error.response),
        retry_after_seconds=retry_after_seconds(headers, error.message, now),
        rate_limit=_rate_limit(error.response),
        axis=exhausted_axis(headers, error.message),
    )


# In this order: a class below may be the base of one above.
_TRANSPORT_KINDS: tuple[tuple[tuple[type[BaseException], ...], FailureKind], ...] = (
    ((aiohttp.ClientSSLError,), FailureKind.TLS),
    ((aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError), FailureKind.UNREACHABLE),
    ((aiohttp.ClientHttpProxyError, httpx2.UnsupportedProtocol), FailureKind.UNREACHABLE),
    ((TimeoutError,), FailureKind.READ_TIMEOUT),
)


def _transport_kind(error: Exception) -> FailureKind:
    """Read from the bottom of the chain: the SDK calls a connection that broke after sending a connect timeout."""
    causes = list(_causes(error))
    for types, kind in _TRANSPORT_KINDS:
        if any(isinstance(cause, types) for cause in causes):
            return kind
    return FailureKind.CONNECTION_LOST


def _causes(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__


def _http_client(connections: int) -> httpx2.AsyncClient:
    """The SDK's own aiohttp transport: two thirds of the default one's CPU per request."""
    return openai.DefaultAioHttpClient(
        limits=httpx2.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEEP_ALIVE_SECONDS
        )
    )


def _translated(provider: TokenProvider) -> TokenProvider:
    async def token() -> str:
        try:
            return await provider()
        except Exception as error:
            raise ModelError(FailureKind.UNAUTHORIZED, f"No access token: {error}", sent=False) from error

    return token


def _body(request: ChatRequest, limit: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": request.deployment,
        "messages": [{"role": message.role, "content": _content(message)} for message in request.messages],
        limit: request.max_tokens,
    }
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.seed is not None:
        body["seed"] = request.seed
    if request.stop:
        body["stop"] = list(request.stop)
    if request.schema:
        body["response_format"] = _structured(request.schema)
    elif request.json:
        body["response_format"] = {"type": "json_object"}
    return body


def _content(message: ChatMessage) -> str | list[dict[str, Any]]:
    if not message.images:
        return message.content
    images = [{"type": "image_url", "image_url": {"url": one.url, "detail": one.detail}} for one in message.images]
    return [{"type": "text", "text": message.content}, *images]


def _structured(schema: AnswerSchema) -> dict[str, Any]:
    """https://learn.microsoft.com/azure/ai-services/openai/how-to/structured-outputs"""
    described = {"name": schema.name, "strict": True, "schema": json.loads(schema.text)}
    return {"type": "json_schema", "json_schema": described}


def _request_id(response: httpx2.Response) -> str | None:
    return response.headers.get("apim-request-id") or response.headers.get("x-request-id")


def _rate_limit(response: httpx2.Response) -> RateLimitHeaders:
    """Every one of these headers may be missing; most answers of a deployment without a quota have none."""
    # From the raw pairs: looking names up in `headers` decodes all of them again and again.
    raw = ((name.lower(), value) for name, value in response.headers.raw)
    headers = {name.decode(): value.decode("latin-1") for name, value in raw if name.startswith(_RATE_LIMIT)}
    if not headers:
        return _NOTHING_SAID
    return RateLimitHeaders(
        limit_requests=per_minute(headers, "requests"),
        limit_tokens=per_minute(headers, "tokens"),
        remaining_requests=_count(headers.get("x-ratelimit-remaining-requests")),
        remaining_tokens=_count(headers.get("x-ratelimit-remaining-tokens")),
    )


def _count(text: str | None) -> int | None:
    """The service has been seen to send -1."""
    return int(text) if text and text.isdecimal() else None


@lru_cache(maxsize=64)
def _timeout(total_seconds: float, connect_seconds: float, read_seconds: float | None) -> httpx2.Timeout:
    return httpx2.Timeout(total_seconds, connect=connect_seconds, read=read_seconds or total_seconds)
