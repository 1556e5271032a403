"""Injected failures: which, how often, and how they are asked for."""

from __future__ import annotations

from collections import Counter

import pytest

from assay.errors import UserError
from assay.llm.base import ChatMessage, ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.llm.failing import INJECTED, FailingModel, FailurePlan, read_failures, with_failures
from assay.llm.scripted import ScriptedModel
from assay.telemetry import RecordingTelemetry

REQUEST = ChatRequest("gpt-4o-mini", (ChatMessage("user", "Sort this ticket."),), 60)


class Time:
    """Sleeps take no time, and are remembered."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


async def outcomes(model: FailingModel, times: int = 400) -> list[str]:
    found = []
    for _ in range(times):
        try:
            await model.complete(REQUEST)
        except ModelError as error:
            found.append(error.kind.value)
        else:
            found.append("answered")
    return found


def answering() -> ScriptedModel:
    return ScriptedModel(lambda _: "yes")


async def test_about_the_given_share_of_attempts_fails_as_all_kinds() -> None:
    """The others reach the model."""
    model = answering()

    counted = Counter(await outcomes(FailingModel(model, 0.25, seed=7, sleep=Time().sleep)))

    assert 270 <= counted["answered"] <= 330
    assert len(model.requests) == counted["answered"]
    assert set(counted) == {INJECTED[kind]().kind.value for kind in INJECTED} | {"answered"}


async def test_the_same_seed_fails_the_same_attempts() -> None:
    """A drill can be repeated."""
    runs = [await outcomes(FailingModel(answering(), 0.5, ("429", "500"), seed), 50) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


async def test_failures_look_as_the_services_own() -> None:
    """Rate limits name a wait, timeouts take their time, and nothing is billed."""
    time = Time()
    with pytest.raises(ModelError) as caught:
        await FailingModel(answering(), 1, ("timeout",), sleep=time.sleep).complete(REQUEST)
    assert caught.value.kind is FailureKind.READ_TIMEOUT
    assert time.slept == [REQUEST.timeout_seconds]

    with pytest.raises(ModelError) as caught:
        await FailingModel(answering(), 1, ("429",)).complete(REQUEST)
    assert (caught.value.status, caught.value.retry_after_seconds) == (429, 1.0)
    assert caught.value.usage.input_tokens == 0


async def test_closing_closes_the_model() -> None:
    """It holds the connections."""
    model = answering()
    await FailingModel(model, 0).close()
    assert model.closed


def test_a_plan_is_read_from_its_text() -> None:
    """Kinds default to all of them, the seed to 0."""
    assert read_failures("rate=0.05,kinds=429|500|timeout|malformed") == FailurePlan(
        0.05, ("429", "500", "timeout", "malformed")
    )
    assert read_failures(" rate = 1 , seed=7 ") == FailurePlan(1.0, tuple(INJECTED), 7)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("kinds=429", "'rate' is missing"),
        ("rate=often", "rate is 'often'; expected a number"),
        ("rate=1.5", "rate is 1.5; expected 0 to 1"),
        ("rate=nan", "rate is nan; expected 0 to 1"),
        ("rate=0.1,kinds=429|tiemout", "unknown kind 'tiemout' (did you mean 'timeout'?)"),
        ("rate=0.1,kind=429", "unknown key 'kind' (did you mean 'kinds'?)"),
        ("rate", "'rate' has no '='"),
        ("rate=0.1,seed=x", "seed is 'x'; expected a whole number"),
    ],
)
def test_a_wrong_plan_says_what_is_wrong_and_shows_a_right_one(text: str, problem: str) -> None:
    """Before anything is started."""
    with pytest.raises(UserError) as caught:
        read_failures(text)
    assert problem in str(caught.value)
    assert "rate=0.05,kinds=" in str(caught.value)


def test_injection_is_said_loudly_and_costs_nothing_when_off() -> None:
    """Nobody shall take a drill for the service."""
    telemetry, model = RecordingTelemetry(), answering()

    assert with_failures(model, None, telemetry) is model
    assert telemetry.events == []
    assert isinstance(with_failures(model, "rate=0.1,kinds=500", telemetry), FailingModel)
    assert telemetry.named("failures_injected") == [{"rate": 0.1, "kinds": "500", "seed": 0}]
