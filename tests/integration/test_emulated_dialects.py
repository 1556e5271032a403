"""The emulator below `/v1`, where it speaks as OpenAI does, or a llama.cpp server; and how it streams."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import ClientSession
from emulator_caller import HELLO, scripted

from assay.llm.base import ChatAnswer, ChatMessage, ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.llm.llama_cpp import LlamaCppChat
from assay.llm.openai_chat import OpenAIChat
from assay.local.openai_emulator import EmulatorSettings, running_emulator
from assay.records import Usage

LONG = "word " * 40
DEPLOYMENTS = {
    "mini": {"model": "gpt-4o-mini-2024-07-18", "requests_per_minute": 6, "context_tokens": 64},
    "qwen": {"model": "qwen3-8b.gguf", "dialect": "llama_cpp", "context_tokens": 64, "prompt_cache": True},
}


def request(deployment: str, text: str = "Hello", *, stream: bool = False) -> ChatRequest:
    return ChatRequest(deployment, (ChatMessage("user", text),), 20, stream=stream)


async def post(address: str, key: str = "k", **body: Any) -> dict[str, Any]:
    """What an answer holds, with its status."""
    headers = {"Authorization": f"Bearer {key}"}
    async with ClientSession() as http, http.post(f"{address}/v1/chat/completions", json=body, headers=headers) as got:
        return {"status": got.status, **await got.json()}


async def test_openai_s_dialect_has_no_content_filter_and_codes_of_its_own() -> None:
    """A bearer's key, the model in the body, and errors by code."""
    async with running_emulator(scripted(deployments=DEPLOYMENTS), EmulatorSettings(key="k")) as address:
        answer = await post(address, model="mini", messages=HELLO)
        unknown = await post(address, model="nowhere", messages=HELLO)
        stranger = await post(address, "other", model="mini", messages=HELLO)
        hurried = await post(address, model="mini", messages=HELLO)

    assert (answer["status"], answer["object"]) == (200, "chat.completion")
    assert not {"prompt_filter_results"} & answer.keys()
    assert "content_filter_results" not in answer["choices"][0]
    assert (unknown["status"], unknown["error"]["code"]) == (404, "model_not_found")
    assert (stranger["status"], stranger["error"]["code"]) == (401, "invalid_api_key")
    assert (hurried["status"], hurried["error"]["code"]) == (429, "rate_limit_exceeded")
    assert "on requests per min (RPM)" in hurried["error"]["message"]


async def test_llama_cpp_s_dialect_tells_timings_and_types_of_errors() -> None:
    """Its codes are statuses; what it computed of a prompt is what it did not find in its cache."""
    async with running_emulator(scripted(deployments=DEPLOYMENTS), EmulatorSettings(key="k")) as address:
        answer = await post(address, model="qwen", messages=HELLO)
        too_long = await post(address, model="qwen", messages=[{"role": "user", "content": LONG * 2}])
        unknown = await post(address, model="nowhere", messages=HELLO)

    usage, timings = answer["usage"], answer["timings"]
    assert timings["prompt_n"] + timings["cache_n"] == usage["prompt_tokens"]
    assert timings["predicted_n"] == usage["completion_tokens"]
    assert not {"refusal", "annotations"} & answer["choices"][0]["message"].keys()
    assert too_long["error"].items() >= {"code": 400, "type": "exceed_context_size_error", "n_ctx": 64}.items()
    assert unknown["status"] == 404


@pytest.mark.parametrize("stream", [False, True])
async def test_a_llama_cpp_server_is_asked_whole_and_streamed(stream: bool) -> None:
    """The same text and tokens, with or without `/v1` in its address."""
    async with running_emulator(scripted(deployments=DEPLOYMENTS)) as address:
        answers = [await asked(LlamaCppChat(url), request("qwen", stream=stream)) for url in (address, f"{address}/v1")]
        with pytest.raises(ModelError) as caught:
            await asked(LlamaCppChat(address), request("qwen", LONG * 2, stream=stream))

    assert answers[0].text == answers[1].text
    assert answers[0].model == "qwen3-8b.gguf"
    assert answers[0].usage.output_tokens > 0
    assert caught.value.kind is FailureKind.CONTEXT_LENGTH


async def test_a_stream_begins_after_its_share_of_the_answer_time_and_takes_the_rest() -> None:
    """Both can only be longer than told, never shorter."""
    paced = {"model": "m", "latency_ms": {"median": 120}, "first_token_share": 0.5}
    async with running_emulator(scripted(deployments={"mini": paced})) as address:
        answer = await asked(OpenAIChat(f"{address}/v1"), request("mini", stream=True))

    assert answer.first_token_seconds is not None
    assert answer.first_token_seconds > 0.059
    assert answer.latency_seconds > 0.119


@pytest.mark.parametrize(
    ("fault", "whole", "streamed"),
    [
        ("cut", FailureKind.CONNECTION_LOST, FailureKind.CONNECTION_LOST),
        ("stream_error", FailureKind.SERVER_ERROR, FailureKind.SERVER_ERROR),
        ("malformed", FailureKind.MALFORMED_ANSWER, FailureKind.CONNECTION_LOST),
        ("answer_filtered", FailureKind.ANSWER_FILTERED, FailureKind.ANSWER_FILTERED),
    ],
)
async def test_answers_that_break_off_have_their_kind(fault: str, whole: FailureKind, streamed: FailureKind) -> None:
    """Whole and streamed, in the middle of a body and of a stream."""
    config = scripted(deployments={"mini": {"model": "m"}}, faults={fault: 1.0})
    for stream, kind in ((False, whole), (True, streamed)):
        async with running_emulator(config) as address:
            with pytest.raises(ModelError) as caught:
                await asked(OpenAIChat(f"{address}/v1"), request("mini", stream=stream))
        assert caught.value.kind is kind
        assert (caught.value.usage != Usage()) is (fault == "answer_filtered")


async def asked(model: OpenAIChat, request_: ChatRequest) -> ChatAnswer:
    try:
        return await model.complete(request_)
    finally:
        await model.close()
