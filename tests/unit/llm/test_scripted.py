"""The scripted model: the twin that other rooms' tests rely on."""

from __future__ import annotations

import pytest

from assay.llm.base import ChatMessage, ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.llm.scripted import ScriptedModel

REQUEST = ChatRequest("chat", (ChatMessage("user", "Hello?"),), max_tokens=10)


async def test_replies_come_in_the_scripts_order() -> None:
    """A list is a script: texts answer, errors are raised, the end is an error of the test."""
    model = ScriptedModel(["one", ModelError(FailureKind.TIMEOUT, "slow"), "two"])
    assert (await model.complete(REQUEST)).text == "one"
    with pytest.raises(ModelError, match="slow"):
        await model.complete(REQUEST)
    assert (await model.complete(REQUEST)).text == "two"
    with pytest.raises(LookupError, match="no reply left"):
        await model.complete(REQUEST)


async def test_a_callable_sees_the_request_and_all_requests_are_kept() -> None:
    """A function is a script too; requests are there to be looked at."""
    model = ScriptedModel(lambda request: request.messages[0].content.upper())
    assert (await model.complete(REQUEST)).text == "HELLO?"
    assert model.requests == [REQUEST]


async def test_close_is_seen_and_may_be_repeated() -> None:
    """Closing twice does nothing more."""
    model = ScriptedModel([])
    await model.close()
    await model.close()
    assert model.closed
