"""Models that reason, through the real SDK: efforts, temperatures, and limits that thoughts use up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from emulator_caller import calling, one_deployment

from assay.errors import RunStopped
from assay.execution.stop_reasons import stopped
from assay.llm.azure_openai import AzureOpenAIChat
from assay.llm.base import ChatMessage, ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.local.emulator_config import TokenCount

REQUEST = ChatRequest("mini", (ChatMessage("user", "Why?"),), 1_000)
THOUGHTS = 64


@asynccontextmanager
async def asking(**deployment: Any) -> AsyncIterator[AzureOpenAIChat]:
    """Assay's client of one emulated deployment."""
    async with calling(one_deployment(**deployment)) as caller:
        model = AzureOpenAIChat(caller.address, "2024-10-21", api_key="any")
        try:
            yield model
        finally:
            await model.close()


def thinking(**deployment: Any) -> dict[str, Any]:
    return {"reasoning": TokenCount(median=THOUGHTS), **deployment}


async def refusal(model: AzureOpenAIChat, **said: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await model.complete(request(**said))
    return caught.value


def request(**said: Any) -> ChatRequest:
    return replace(REQUEST, **said)


async def test_effort_says_how_much_is_thought_and_thoughts_are_output() -> None:
    """The answer is the same length; what is thought comes on top, and is billed."""
    async with asking(**thinking()) as model:
        efforts = ("none", "low", None, "high")
        answers = [await model.complete(request(reasoning_effort=effort)) for effort in efforts]

    thought = [answer.usage.output_tokens for answer in answers]
    assert thought == sorted(set(thought))
    assert thought[2] - thought[0] == THOUGHTS  # said nothing: its own default, medium


@pytest.mark.parametrize("default", ["none", "medium"])
async def test_a_temperature_is_taken_only_where_nothing_is_thought(default: str) -> None:
    """By the effort that is said, or by the model's own."""
    async with asking(**thinking(default_effort=default)) as model:
        taken = await model.complete(request(temperature=0.0, reasoning_effort="none"))
        error = await refusal(model, temperature=0.0, reasoning_effort="low")
        if default == "none":
            await model.complete(request(temperature=0.0))
        else:
            assert (await refusal(model, temperature=0.0)).kind is FailureKind.UNSUPPORTED_SETTING

    assert taken.finish_reason == "stop"
    said = advice(error)
    assert "leave temperature out" in said and "`reasoning_effort: none`" in said


@pytest.mark.parametrize(
    ("deployment", "found"),
    [
        (thinking(efforts=("low", "medium", "high")), "Supported values are: 'low', 'medium', and 'high'"),
        ({}, "Unrecognized request argument supplied: reasoning_effort"),
    ],
)
async def test_an_effort_that_the_model_does_not_know_is_a_setting_to_correct(
    deployment: dict[str, Any], found: str
) -> None:
    """Models that reason know some, others none; the advice is about efforts."""
    async with asking(**deployment) as model:
        error = await refusal(model, reasoning_effort="xhigh")

    said = advice(error)
    assert found in said and "leave reasoning_effort out" in said


@pytest.mark.parametrize("stream", [False, True])
async def test_thoughts_that_take_the_whole_limit_are_told_from_an_empty_answer(stream: bool) -> None:
    """In words, and with their bill."""
    async with asking(**thinking()) as model:
        error = await refusal(model, max_tokens=THOUGHTS, stream=stream)
        cut = await model.complete(request(max_tokens=THOUGHTS + 1, stream=stream))

    assert (error.kind, error.usage.output_tokens) == (FailureKind.MAX_TOKENS_SPENT, THOUGHTS)
    assert "max_tokens (64) before its first word" in str(error)
    assert cut.truncated and cut.text  # one token of room is a cut answer as ever


def advice(error: ModelError) -> str:
    """What a run says that stops for it, after the first such refusal."""
    assert error.kind is FailureKind.UNSUPPORTED_SETTING
    stop = stopped(error, "mini", "run-1")
    assert isinstance(stop, RunStopped)
    return str(stop)
