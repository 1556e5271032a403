"""The contract of the model port, over every client that deployments.py may choose, whole and streamed."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from chat_service import (
    CLIENTS,
    END,
    MODEL,
    SPOKEN,
    STREAM,
    ChatService,
    chunk,
    close,
    completion,
    event,
    gone,
    serving,
    streamed,
    whole,
)

from assay.llm.base import AnswerSchema, ChatImage, ChatMessage, ChatModel, ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.llm.litellm_chat import LiteLLMChat
from assay.records import Usage

# LiteLLM 1.83 uses what newer versions of pydantic call outdated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:litellm.*")

REQUEST = ChatRequest("chat", (ChatMessage("system", "Be brief."), ChatMessage("user", "Hello?")), max_tokens=20)
STREAMED = replace(REQUEST, stream=True)
BILLED = Usage(input_tokens=30, cached_input_tokens=12, output_tokens=4)
SCHEMA = AnswerSchema("queue", '{"type":"object","properties":{}}')


@pytest.fixture
async def service() -> AsyncIterator[ChatService]:
    async with serving() as service:
        yield service


@pytest.fixture(params=CLIENTS)
async def model(request: pytest.FixtureRequest, service: ChatService) -> AsyncIterator[ChatModel]:
    model = CLIENTS[request.param](service.address)
    yield model
    await model.close()
    await model.close()


async def failure(model: ChatModel, request: ChatRequest = REQUEST) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await model.complete(request)
    return caught.value


async def test_an_answer_carries_text_usage_and_what_the_headers_say(service: ChatService, model: ChatModel) -> None:
    """Everything the worker records of an answer comes from one response."""
    service.answer = whole(completion(), headers={"x-request-id": "req-7", "x-ratelimit-limit-requests": "600"})
    answer = await model.complete(REQUEST)
    assert (answer.text, answer.finish_reason, answer.model, answer.usage) == ("Hello.", "stop", MODEL, BILLED)
    assert (answer.request_id, answer.rate_limit.limit_requests) == ("req-7", 600)
    assert (answer.latency_seconds > 0, answer.first_token_seconds) == (True, None)


async def test_a_streamed_answer_is_the_same_and_tells_when_it_began(service: ChatService, model: ChatModel) -> None:
    """Azure's first chunk, with its verdict on the prompt, is no part of the answer, nor is that of the role."""
    verdict = [{"prompt_index": 0, "content_filter_results": {}}]
    first = event({"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": verdict})
    service.answer = streamed(first, *STREAM, headers={"x-request-id": "req-7"})
    answer = await model.complete(STREAMED)
    assert (answer.text, answer.finish_reason, answer.usage) == ("Hello.", "stop", BILLED)
    assert answer.request_id == "req-7"
    assert answer.first_token_seconds is not None
    assert 0 < answer.first_token_seconds <= answer.latency_seconds
    assert (service.bodies[0]["stream"], service.bodies[0]["stream_options"]) == (True, {"include_usage": True})


async def test_every_part_of_a_request_is_sent(service: ChatService, model: ChatModel) -> None:
    """Zeros, a schema and images included; what is not given is left out."""
    seen = ChatMessage("user", "What is this?", (ChatImage("https://x.example/1.png", "low"),))
    asked = ChatRequest("chat", (seen,), 5, temperature=0.0, seed=0, stop=("END",), schema=SCHEMA)
    service.answer = whole(completion({"content": "{}"}))
    await model.complete(asked)
    await model.complete(replace(asked, schema=None, json=True, stop=()))
    sent, plain = service.bodies
    assert (sent["model"], sent["max_tokens"], sent["temperature"], sent["seed"]) == ("chat", 5, 0.0, 0)
    assert sent["stop"] == ["END"]
    described = {"name": "queue", "strict": True, "schema": {"type": "object", "properties": {}}}
    assert sent["response_format"] == {"type": "json_schema", "json_schema": described}
    shown = {"type": "image_url", "image_url": {"url": "https://x.example/1.png", "detail": "low"}}
    assert sent["messages"] == [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, shown]}]
    assert plain["response_format"] == {"type": "json_object"}
    assert not plain.keys() & {"stop", "stream", "stream_options"}


async def test_the_key_travels_in_the_header_of_its_protocol(service: ChatService, model: ChatModel) -> None:
    """Azure's own, or a bearer's."""
    await model.complete(REQUEST)
    (headers,) = service.headers
    assert headers.get("api-key") == "a-key" or headers["authorization"] == "Bearer a-key"


@pytest.mark.parametrize("client", sorted(CLIENTS.keys() - {"litellm"}))
async def test_nothing_that_is_meant_for_openai_s_own_address_is_sent_elsewhere(
    client: str, service: ChatService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK takes more than keys from variables: whose account it is, and headers of any name. LiteLLM's users expect
    that, as docs/models.md says.
    """
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID", "WEBHOOK_SECRET"):
        monkeypatch.setenv(f"OPENAI_{name}", "not-yours")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "x-mine: not-yours\nAuthorization: Bearer not-yours")
    monkeypatch.setenv("AZURE_OPENAI_AD_TOKEN", "not-yours")
    model = CLIENTS[client](service.address)
    await model.complete(REQUEST)
    await model.close()
    (headers,) = service.headers
    assert {name: value for name, value in headers.items() if "not-yours" in value} == {}
    assert not headers.keys() & {"openai-organization", "openai-project", "x-mine"}


async def test_a_model_that_wants_another_word_for_the_limit_is_learned_once(
    service: ChatService, model: ChatModel
) -> None:
    """The first refusal teaches it; from then on every request is right at once."""
    said = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    refusal = whole({"error": {"message": said, "code": "unsupported_parameter", "param": "max_tokens"}}, 400)

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (refusal if "max_tokens" in service.bodies[-1] else whole(completion()))(request)

    service.answer = answer
    await model.complete(REQUEST)
    await model.complete(REQUEST)
    assert [body.get("max_completion_tokens") for body in service.bodies] == [None, 20, 20]


TPM = "Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000. Please try again in 20ms."
LLAMA_CONTEXT = "request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it"
OPENAI_CONTEXT = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9412 tokens."
FILTERED = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
REFUSALS: list[tuple[int, dict[str, Any], FailureKind]] = [
    (400, {"message": "temperature is too high", "code": "invalid_value"}, FailureKind.INVALID_REQUEST),
    (400, {"message": OPENAI_CONTEXT, "code": "context_length_exceeded"}, FailureKind.CONTEXT_LENGTH),
    (400, {"message": LLAMA_CONTEXT, "code": 400, "type": "exceed_context_size_error"}, FailureKind.CONTEXT_LENGTH),
    (400, {"message": FILTERED, "code": "content_filter"}, FailureKind.CONTENT_FILTER),
    (400, {"message": "model not found", "code": 400, "type": "invalid_request_error"}, FailureKind.DEPLOYMENT_MISSING),
    (401, {"message": "Invalid API Key", "code": 401, "type": "authentication_error"}, FailureKind.UNAUTHORIZED),
    (403, {"message": "Country not supported", "code": "unsupported_country"}, FailureKind.FORBIDDEN),
    (404, {"message": "The model `m` does not exist", "code": "model_not_found"}, FailureKind.DEPLOYMENT_MISSING),
    (408, {"message": "Timeout", "code": "Timeout"}, FailureKind.TIMEOUT),
    (422, {"message": "unprocessable", "code": None}, FailureKind.INVALID_REQUEST),
    (429, {"message": TPM, "type": "tokens", "code": "rate_limit_exceeded"}, FailureKind.RATE_LIMITED),
    (429, {"message": "No money", "code": "insufficient_quota"}, FailureKind.QUOTA_EXHAUSTED),
    (500, {"message": "boom", "code": 500, "type": "server_error"}, FailureKind.SERVER_ERROR),
    (500, {"message": "image input is not supported - hint: mmproj", "code": 500}, FailureKind.INVALID_REQUEST),
    (501, {"message": "No chat here", "code": 501, "type": "not_supported_error"}, FailureKind.INVALID_REQUEST),
    (502, {"message": "Bad gateway", "code": "502"}, FailureKind.GATEWAY_ERROR),
    (503, {"message": "Busy", "code": "ServiceUnavailable"}, FailureKind.SERVICE_BUSY),
    (503, {"message": "Loading model", "code": 503, "type": "unavailable_error"}, FailureKind.AT_CAPACITY),
]


@pytest.mark.parametrize(("status", "error", "kind"), REFUSALS, ids=[f"{s}-{k.value}" for s, _, k in REFUSALS])
async def test_every_refusal_has_its_kind_and_is_one_request(
    service: ChatService, model: ChatModel, status: int, error: dict[str, Any], kind: FailureKind
) -> None:
    """In the words of all makers, asked whole or streamed; retries that the limiter does not see are off."""
    service.answer = whole({"error": error}, status, {"retry-after-ms": "1500", "x-request-id": "req-8"})
    found, again = await failure(model), await failure(model, STREAMED)
    assert (found.kind, again.kind) == (kind, kind)
    assert (found.status, found.request_id, found.retry_after_seconds, found.sent) == (status, "req-8", 1.5, True)
    assert len(service.bodies) == 2


async def test_a_429_names_the_limit_that_it_hit(service: ChatService, model: ChatModel) -> None:
    """The limiter hears of it, and of the wait that only the text tells."""
    service.answer = whole({"error": {"message": TPM, "type": "tokens", "code": "rate_limit_exceeded"}}, 429)
    found = await failure(model)
    assert (found.axis, found.retry_after_seconds) == ("tokens", 0.02)


async def test_a_page_in_place_of_json_is_classified_by_its_status(service: ChatService, model: ChatModel) -> None:
    """Gateways answer with pages."""
    service.answer = whole("<html>Bad gateway</html>", 502)
    assert (await failure(model)).kind is FailureKind.GATEWAY_ERROR


@pytest.mark.parametrize("request_", [REQUEST, STREAMED], ids=["whole", "streamed"])
async def test_half_a_body_of_status_200_is_malformed(
    service: ChatService, model: ChatModel, request_: ChatRequest
) -> None:
    """Anything may stand between us and the service and answer 200."""
    service.answer = whole('{"id": "chatcmpl-1", "choices": [{"index": 0, "mess')
    found = await failure(model, request_)
    assert found.kind in (FailureKind.MALFORMED_ANSWER, FailureKind.CONNECTION_LOST)
    assert found.sent


async def test_a_server_that_does_not_stream_is_understood(service: ChatService, model: ChatModel) -> None:
    """Its answer is whole, and does not say when it began. LiteLLM cannot tell that from a broken stream."""
    service.answer = whole(completion())
    try:
        answer = await model.complete(STREAMED)
    except ModelError as error:
        assert (error.kind, type(model)) == (FailureKind.CONNECTION_LOST, LiteLLMChat)
    else:
        assert (answer.text, answer.usage, answer.first_token_seconds) == ("Hello.", BILLED, None)


async def test_a_filtered_answer_is_a_failure_with_its_bill(service: ChatService, model: ChatModel) -> None:
    """Half an answer must not be scored, whether the filter steps in before or in the middle of a stream."""
    service.answer = whole(completion({"content": "Half"}, "content_filter"))
    found = await failure(model)
    service.answer = streamed(*SPOKEN, chunk({}, "content_filter"), chunk(usage=completion()["usage"]), END)
    again = await failure(model, STREAMED)
    assert (found.kind, found.usage) == (again.kind, again.usage) == (FailureKind.ANSWER_FILTERED, BILLED)


async def test_a_refusal_of_the_model_is_an_answer(service: ChatService, model: ChatModel) -> None:
    """In its own field, whole and piece by piece. LiteLLM loses the pieces, and then the answer is empty."""
    service.answer = whole(completion({"content": None, "refusal": "I cannot."}))
    found = await model.complete(REQUEST)
    service.answer = streamed(chunk({"refusal": "I can"}), chunk({"refusal": "not."}), chunk({}, "stop"), END)
    assert (found.text, found.refused) == ("I cannot.", True)
    try:
        again = await model.complete(STREAMED)
    except ModelError as error:
        assert (error.kind, type(model)) == (FailureKind.INVALID_ANSWER, LiteLLMChat)
    else:
        assert (again.text, again.refused) == ("I cannot.", True)


async def test_a_cut_answer_says_so(service: ChatService, model: ChatModel) -> None:
    """At the token limit."""
    service.answer = whole(completion(finish_reason="length"))
    found = await model.complete(REQUEST)
    service.answer = streamed(*SPOKEN, chunk({}, "length"), END)
    again = await model.complete(STREAMED)
    assert (found.truncated, again.truncated) == (True, True)


@pytest.mark.parametrize("then", ["end", "cut"])
async def test_a_stream_that_breaks_off_is_a_lost_connection(service: ChatService, model: ChatModel, then: str) -> None:
    """What came of it is no answer, and nobody says what it cost."""
    service.answer = streamed(*SPOKEN, then=then)
    found = await failure(model, STREAMED)
    assert (found.kind, found.sent, found.model, found.usage) == (FailureKind.CONNECTION_LOST, True, None, Usage())


async def test_an_error_in_the_middle_of_a_stream_is_the_service_s(service: ChatService, model: ChatModel) -> None:
    """The status is 200 by then; the event says what it is."""
    service.answer = streamed(*SPOKEN, event({"error": {"message": "boom", "type": "server_error", "code": 500}}))
    assert (await failure(model, STREAMED)).kind is FailureKind.SERVER_ERROR


async def test_silence_between_two_pieces_is_not_waited_for(service: ChatService, model: ChatModel) -> None:
    """The limit on silence holds within a stream too."""
    service.answer = streamed(*SPOKEN, then="silence")
    found = await failure(model, replace(STREAMED, timeout_seconds=30.0, read_timeout_seconds=0.1))
    assert found.kind is FailureKind.READ_TIMEOUT


@pytest.mark.parametrize("limits", [(0.1, None), (30.0, 0.1)], ids=["whole request", "silence"])
async def test_a_silent_service_is_a_read_timeout(
    service: ChatService, model: ChatModel, limits: tuple[float, float | None]
) -> None:
    """Both limits hold, and the request counts as sent."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await gone(request)
        return web.Response()

    service.answer = answer
    found = await failure(model, replace(REQUEST, timeout_seconds=limits[0], read_timeout_seconds=limits[1]))
    assert (found.kind, found.sent) == (FailureKind.READ_TIMEOUT, True)


async def test_a_connection_lost_after_sending_counts_as_sent(service: ChatService, model: ChatModel) -> None:
    """The service may have worked, and billed it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        close(request)
        return web.Response()

    service.answer = answer
    found = await failure(model)
    assert (found.kind, found.sent) == (FailureKind.CONNECTION_LOST, True)


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_refused_connection_was_not_sent(client: str) -> None:
    """Nothing can have been counted when nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    model = CLIENTS[client](f"http://127.0.0.1:{port}")
    found = await failure(model)
    await model.close()
    assert (found.kind, found.sent) == (FailureKind.UNREACHABLE, False)


async def test_a_stream_leaves_its_connection_for_the_next_request(service: ChatService, model: ChatModel) -> None:
    """Read to its very end; a new connection for every answer would cost a handshake each."""
    service.answer = streamed(*STREAM)
    for _ in range(3):
        await model.complete(STREAMED)
    assert len(service.callers) == 1
