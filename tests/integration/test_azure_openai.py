"""The Azure OpenAI adapter over real HTTP, against a server in this process that answers what a test tells it to."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from assay.errors import UserError
from assay.llm.azure_openai import AzureOpenAIChat
from assay.llm.base import AnswerSchema, ChatImage, ChatMessage, ChatRequest, ModelError
from assay.llm.errors import FailureKind

REQUEST = ChatRequest("chat", (ChatMessage("system", "Be brief."), ChatMessage("user", "Hello?")), max_tokens=20)
API_VERSION = "2024-10-21"
Answerer = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


def completion(**changes: Any) -> dict[str, Any]:
    """A chat completion as the service sends it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini-2024-07-18",
        "choices": [
            {
                "index": 0,
                "finish_reason": changes.get("finish_reason", "stop"),
                "message": {"role": "assistant", "content": changes.get("content", "Hello."), "refusal": None},
                "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}},
            }
        ],
        "usage": {
            "prompt_tokens": 30,
            "completion_tokens": 4,
            "total_tokens": 34,
            "prompt_tokens_details": {"cached_tokens": 12},
        },
    }


class Service:
    """Answers each request with what `answer` says, and keeps what came in."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.requests: list[web.Request] = []
        self.answer: Answerer = self.reply(completion())
        self.endpoint = ""

    @staticmethod
    def reply(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Answerer:
        async def answer(request: web.Request, body_in: dict[str, Any]) -> web.StreamResponse:
            return web.json_response(body, status=status, headers=headers)

        return answer

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(json.loads(await request.read()))
        return await self.answer(request, self.bodies[-1])


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    service = Service()
    app = web.Application()
    app.router.add_post("/{path:.*}", service.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    service.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield service
    await runner.cleanup()


@pytest.fixture
async def model(service: Service) -> AsyncIterator[AzureOpenAIChat]:
    model = AzureOpenAIChat(service.endpoint, API_VERSION, api_key="a-key")
    yield model
    await model.close()


@asynccontextmanager
async def model_of(endpoint: str, **options: Any) -> AsyncIterator[AzureOpenAIChat]:
    model = AzureOpenAIChat(endpoint, API_VERSION, **{"api_key": "a-key", **options})
    try:
        yield model
    finally:
        await model.close()


async def failure(model: AzureOpenAIChat, request: ChatRequest = REQUEST) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await model.complete(request)
    return caught.value


async def test_an_answer_carries_text_usage_and_what_the_headers_say(service: Service, model: AzureOpenAIChat) -> None:
    """Everything the worker records of an answer comes from one response."""
    headers = {
        "apim-request-id": "req-7",
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-limit-tokens": "-1",
    }
    service.answer = service.reply(completion(), headers=headers)
    answer = await model.complete(REQUEST)
    assert (answer.text, answer.finish_reason, answer.model) == ("Hello.", "stop", "gpt-4o-mini-2024-07-18")
    assert (answer.usage.input_tokens, answer.usage.cached_input_tokens, answer.usage.output_tokens) == (30, 12, 4)
    assert answer.request_id == "req-7"
    assert (answer.rate_limit.limit_requests, answer.rate_limit.limit_tokens) == (600, None)
    assert answer.latency_seconds > 0


async def test_the_request_is_azures_wire_format(service: Service, model: AzureOpenAIChat) -> None:
    """Deployment in the path, version in the query, key in the header, only given parameters in the body."""
    await model.complete(REQUEST)
    seen = service.requests[0]
    assert seen.path == "/openai/deployments/chat/chat/completions"
    assert seen.query["api-version"] == API_VERSION
    assert seen.headers["api-key"] == "a-key"
    assert service.bodies[0] == {
        "model": "chat",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}],
        "max_tokens": 20,
    }


@pytest.mark.parametrize("by_token", [False, True])
async def test_without_a_date_the_service_is_asked_as_openai_s_clients_ask(service: Service, by_token: bool) -> None:
    """Deployment in the body, no version, key or token in the one header that takes both."""

    async def provider() -> str:
        return "a-token"

    access: dict[str, Any] = {"token_provider": provider} if by_token else {"api_key": "a-key"}
    model = AzureOpenAIChat(f"{service.endpoint}/", "v1", **access)
    await model.complete(REQUEST)
    await model.close()
    seen = service.requests[0]
    assert (seen.path, dict(seen.query)) == ("/openai/v1/chat/completions", {})
    assert seen.headers["authorization"] == f"Bearer {'a-token' if by_token else 'a-key'}"
    assert service.bodies[0]["model"] == "chat"


@pytest.mark.parametrize("api_version", ["v1", API_VERSION])
async def test_an_empty_key_is_refused(api_version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK would look for another one, and send it to this endpoint."""
    monkeypatch.setenv("OPENAI_API_KEY", "not-yours")
    with pytest.raises(UserError, match=r"the key of http://127\.0\.0\.1:9 is empty"):
        AzureOpenAIChat("http://127.0.0.1:9", api_version, api_key="")


async def test_given_parameters_are_sent(service: Service, model: AzureOpenAIChat) -> None:
    """Temperature, seed, stop and the JSON format arrive, zero included."""
    service.answer = service.reply(completion(content="{}"))
    await model.complete(
        ChatRequest("chat", REQUEST.messages, max_tokens=5, temperature=0.0, seed=0, json=True, stop=("END",))
    )
    sent = service.bodies[0]
    assert (sent["temperature"], sent["seed"], sent["stop"]) == (0.0, 0, ["END"])
    assert sent["response_format"] == {"type": "json_object"}


async def test_a_schema_and_images_are_sent_in_the_service_s_words(service: Service, model: AzureOpenAIChat) -> None:
    """A strict `json_schema` in place of `json_object`, and the parts of a message that shows something."""
    service.answer = service.reply(completion(content="{}"))
    schema = AnswerSchema("queue", '{"type":"object","properties":{}}')
    seen = ChatMessage("user", "What is this?", (ChatImage("https://x.org/1", "low"),))
    await model.complete(ChatRequest("chat", (seen,), max_tokens=5, json=True, schema=schema))
    sent = service.bodies[0]
    described = {"name": "queue", "strict": True, "schema": {"type": "object", "properties": {}}}
    assert sent["response_format"] == {"type": "json_schema", "json_schema": described}
    assert sent["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://x.org/1", "detail": "low"}},
            ],
        }
    ]


async def test_a_token_is_asked_for_before_every_request(service: Service) -> None:
    """A provider caches by itself; a token that was renewed must be used at once."""
    tokens = iter(["first", "second"])

    async def provider() -> str:
        return next(tokens)

    async with model_of(service.endpoint, api_key=None, token_provider=provider) as model:
        await model.complete(REQUEST)
        await model.complete(REQUEST)
    assert [each.headers["Authorization"] for each in service.requests] == ["Bearer first", "Bearer second"]


async def test_a_token_that_cannot_be_had_is_unauthorized_and_nothing_is_sent(service: Service) -> None:
    """An identity problem looks like one, whatever the provider raises."""

    async def provider() -> str:
        raise RuntimeError("no identity")

    async with model_of(service.endpoint, api_key=None, token_provider=provider) as model:
        error = await failure(model)
    assert (error.kind, error.sent, service.requests) == (FailureKind.UNAUTHORIZED, False, [])


async def test_a_refusal_is_one_request_with_kind_status_id_and_wait(service: Service, model: AzureOpenAIChat) -> None:
    """The SDK's own retries are off: the limiter must see every request."""
    body = {"error": {"code": "429", "message": "Rate limit is exceeded. Try again in 7 seconds."}}
    service.answer = service.reply(body, 429, {"retry-after-ms": "1500", "apim-request-id": "req-8"})
    error = await failure(model)
    assert len(service.requests) == 1
    assert (error.kind, error.status, error.request_id) == (FailureKind.RATE_LIMITED, 429, "req-8")
    assert (error.retry_after_seconds, error.sent) == (1.5, True)


async def test_a_filtered_prompt_is_told_from_other_bad_requests(service: Service, model: AzureOpenAIChat) -> None:
    """The filter's verdict is in the error body's code."""
    details = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"hate": {"filtered": True}}}
    body = {"error": {"code": "content_filter", "message": "filtered", "param": "prompt", "innererror": details}}
    service.answer = service.reply(body, 400)
    assert (await failure(model)).kind is FailureKind.CONTENT_FILTER


async def test_a_filtered_answer_is_a_failure(service: Service, model: AzureOpenAIChat) -> None:
    """Half an answer must not be scored."""
    service.answer = service.reply(completion(finish_reason="content_filter", content="Half an"))
    assert (await failure(model)).kind is FailureKind.ANSWER_FILTERED


@pytest.mark.parametrize("body", ['{"choices": []}', "<html>Hello</html>", '{"choices"', "[]", "null"])
async def test_an_answer_that_is_no_completion_is_malformed(
    service: Service, model: AzureOpenAIChat, body: str
) -> None:
    """Anything may stand between us and the service and answer 200."""

    async def answer(request: web.Request, body_in: dict[str, Any]) -> web.StreamResponse:
        return web.Response(text=body, content_type="application/json")

    service.answer = answer
    assert (await failure(model)).kind is FailureKind.MALFORMED_ANSWER


async def test_a_body_that_is_no_json_is_classified_by_status(service: Service, model: AzureOpenAIChat) -> None:
    """Gateways answer with pages."""

    async def answer(request: web.Request, body_in: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=502, text="<html>Bad gateway</html>", content_type="text/html")

    service.answer = answer
    assert (await failure(model)).kind is FailureKind.GATEWAY_ERROR


async def test_a_model_that_wants_max_completion_tokens_is_learned_once(
    service: Service, model: AzureOpenAIChat
) -> None:
    """The first refusal teaches the deployment's parameter; from then on every request is right at once."""
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )
    refusal = service.reply(
        {"error": {"code": "unsupported_parameter", "param": "max_tokens", "message": message}}, 400
    )

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        return await (refusal if "max_tokens" in body else service.reply(completion()))(request, body)

    service.answer = answer
    await model.complete(REQUEST)
    await model.complete(REQUEST)
    assert ["max_tokens" in body for body in service.bodies] == [True, False, False]
    assert service.bodies[2]["max_completion_tokens"] == 20


async def test_a_refused_token_is_forgotten_so_that_the_next_attempt_gets_a_new_one(service: Service) -> None:
    """A provider caches; only the service knows that its token is no good any more."""
    tokens, forgotten = ["stale", "fresh"], []

    async def provider() -> str:
        return tokens[0]

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        is_stale = request.headers["Authorization"] == "Bearer stale"
        return await service.reply({"error": {"code": "401"}} if is_stale else completion(), 401 if is_stale else 200)(
            request, body
        )

    def forget() -> None:
        forgotten.append(tokens.pop(0))

    service.answer = answer
    async with model_of(service.endpoint, api_key=None, token_provider=provider, forget_token=forget) as model:
        error = await failure(model)
        await model.complete(REQUEST)
    assert (error.kind, forgotten) == (FailureKind.UNAUTHORIZED, ["stale"])


async def test_a_silent_service_is_not_waited_for_as_long_as_a_slow_answer(
    service: Service, model: AzureOpenAIChat
) -> None:
    """The limit on silence is its own, and shorter than the one on the whole request."""
    released = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await released.wait()
        return web.json_response(completion())

    service.answer = answer
    error = await failure(model, replace(REQUEST, timeout_seconds=60.0, read_timeout_seconds=0.05))
    released.set()
    assert (error.kind, error.sent) == (FailureKind.READ_TIMEOUT, True)


async def test_a_429_names_its_limit_and_what_the_deployment_grants(service: Service, model: AzureOpenAIChat) -> None:
    """The limiter hears of both."""
    headers = {
        "x-ratelimit-type": "Tokens",
        "x-ratelimit-limit-requests": "20",
        "x-ratelimit-renewalperiod-requests": "10",
    }
    service.answer = service.reply({"error": {"code": "429", "message": ""}}, 429, headers)
    error = await failure(model)
    assert (error.axis, error.rate_limit.limit_requests) == ("tokens", 120)


async def test_other_bad_requests_are_not_asked_again(service: Service, model: AzureOpenAIChat) -> None:
    """Only the one known refusal is worth different words."""
    service.answer = service.reply({"error": {"code": "invalid_value", "message": "temperature is too high"}}, 400)
    assert (await failure(model)).kind is FailureKind.INVALID_REQUEST
    assert len(service.requests) == 1


async def test_a_refused_connection_was_not_sent() -> None:
    """Nothing can have been counted when nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    async with model_of(f"http://127.0.0.1:{port}") as model:
        error = await failure(model)
    assert (error.kind, error.sent) == (FailureKind.UNREACHABLE, False)


async def test_a_connection_lost_after_sending_counts_as_sent(service: Service, model: AzureOpenAIChat) -> None:
    """The service may have worked: the SDK calls this a connect timeout, which it is not."""

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    service.answer = answer
    error = await failure(model)
    assert (error.kind, error.sent) == (FailureKind.CONNECTION_LOST, True)


async def test_a_body_that_breaks_off_is_a_lost_connection(service: Service, model: AzureOpenAIChat) -> None:
    """Headers alone are no answer."""

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "500", "content-type": "application/json"})
        await response.prepare(request)
        await response.write(b'{"choices":')
        assert request.transport is not None
        request.transport.close()
        return response

    service.answer = answer
    assert (await failure(model)).kind is FailureKind.CONNECTION_LOST


async def test_no_answer_in_time_is_a_read_timeout(service: Service, model: AzureOpenAIChat) -> None:
    """The request's own limit holds, and the request counts as sent."""
    released = asyncio.Event()

    async def answer(request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        await released.wait()
        return web.json_response(completion())

    service.answer = answer
    error = await failure(model, ChatRequest("chat", REQUEST.messages, max_tokens=5, timeout_seconds=0.05))
    released.set()
    assert (error.kind, error.sent) == (FailureKind.READ_TIMEOUT, True)


async def test_a_certificate_that_does_not_hold_is_a_tls_failure() -> None:
    """A port that does not speak TLS is the simplest of them: retrying cannot help."""

    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"this is not TLS at all\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak_plainly, "127.0.0.1", 0)
    async with server, model_of(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as model:
        error = await failure(model)
    assert (error.kind, error.sent) == (FailureKind.TLS, False)


def test_key_and_token_provider_exclude_each_other() -> None:
    """Two identities are a mistake in the settings, and none is too."""
    with pytest.raises(ValueError, match="either an api_key or a token_provider"):
        AzureOpenAIChat("http://127.0.0.1:1", API_VERSION)
