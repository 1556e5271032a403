"""Asking several deployments: who is asked first, when another one is, and who is left alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from asking_bench import QUESTION, Bench, failing

from assay.errors import RunStopped
from assay.execution.routes import Route, ladder_of
from assay.llm.base import ChatAnswer, ChatRequest
from assay.llm.errors import TAXONOMY, FailureKind
from assay.llm.scripted import ScriptedModel, scripted_answer
from assay.middleware.base import Unanswered
from assay.quota.base import Charge, Permit, QuotaElsewhere
from assay.quota.none import NoLimiter
from assay.suite.models import ModelSettings

GROUP = (("a", "b"),)
FALLBACK = (("a",), ("b",))
FALLS_BACK = {kind: rule.falls_back_after for kind, rule in TAXONOMY.items() if rule.falls_back_after is not None}


def always(reply: Any) -> Callable[[Any], Any]:
    return lambda request: reply


def two(first: Any, second: Any = "from b", rungs: Any = FALLBACK) -> Bench:
    """Deployment a replies as told, again and again; b answers."""
    return Bench(scripts={"a": always(first), "b": always(second)}, rungs=rungs)


def route(reference: str) -> Route:
    return Route(reference, reference, ScriptedModel([]), NoLimiter())


def test_the_ladder_is_the_group_and_then_each_fallback() -> None:
    """Nothing stands on it twice, and every route is made once."""
    model = ModelSettings(deployment="a", spread=("b", "a"), fallbacks=("c", "b", "d", "c"))
    ladder = ladder_of(model, route)
    assert [[one.reference for one in rung] for rung in ladder] == [["a", "b"], ["c"], ["d"]]


@pytest.mark.parametrize(("kind", "failures"), FALLS_BACK.items())
async def test_a_fallback_is_asked_after_as_many_failures_as_the_kind_says(kind: FailureKind, failures: int) -> None:
    """The reply names what answered; provisioned units spill over at their first 429."""
    bench = two(failing(kind))
    reply = await bench.ask()
    assert (reply.deployment, bench.asked("a")) == ("b", failures)
    assert [(one.deployment, one.error) for one in reply.attempts] == [("a", kind.value)] * failures + [("b", None)]


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind not in FALLS_BACK])
async def test_other_kinds_never_reach_a_fallback(kind: FailureKind) -> None:
    """Neither a suspension nor a filter is dodged through another deployment."""
    bench = two(failing(kind))
    with pytest.raises((Unanswered, RunStopped)):
        await bench.ask(attempts_limit=100)
    assert bench.asked("b") == 0


async def test_attempts_that_are_used_up_lead_to_the_fallback_too() -> None:
    """The counts begin anew there."""
    bench = Bench(
        scripts={
            "a": [failing(FailureKind.SERVER_ERROR)] * 2,
            "b": [failing(FailureKind.SERVER_ERROR), "from b"],
        },
        rungs=FALLBACK,
    )
    reply = await bench.ask(attempts_limit=2)
    assert (reply.deployment, len(reply.attempts)) == ("b", 4)


async def test_the_last_rung_gets_all_its_retries() -> None:
    """Nothing is left to fall back to."""
    bench = two(failing(FailureKind.DEPLOYMENT_MISSING), failing(FailureKind.SERVER_ERROR))
    with pytest.raises(Unanswered) as caught:
        await bench.ask()
    assert bench.asked("b") == TAXONOMY[FailureKind.SERVER_ERROR].retries + 1
    assert caught.value.last.kind is FailureKind.SERVER_ERROR


async def test_a_missing_deployment_without_another_one_stops_the_run() -> None:
    """At once: every other trial would meet the same."""
    bench = two(failing(FailureKind.DEPLOYMENT_MISSING), failing(FailureKind.DEPLOYMENT_MISSING))
    with pytest.raises(RunStopped, match="'b' ended with deployment_missing"):
        await bench.ask()


async def test_of_a_group_a_missing_deployment_is_left_to_the_others() -> None:
    """And a prompt that is too long for its model is not tried on the same model again."""
    rungs = (("a", "b"), ("c",))
    missing, long = failing(FailureKind.DEPLOYMENT_MISSING), failing(FailureKind.CONTEXT_LENGTH)
    scripts = {"a": always(missing), "b": always("from b"), "c": always("from c")}
    assert (await Bench(scripts=scripts, rungs=rungs).ask()).deployment == "b"
    assert (await Bench(scripts={**scripts, "a": always(long)}, rungs=rungs).ask()).deployment == "c"


async def test_a_group_is_used_at_once_by_who_has_quota_left() -> None:
    """The first in order that need not wait; when all must, the one with the shortest wait."""
    bench = two("from a", rungs=GROUP)
    waits = {"a": 0.0, "b": 0.0}
    for name in waits:
        bench.routes[name].limiter.wait = lambda name=name: waits[name]  # type: ignore[attr-defined]
    seen = []
    for a, b in ((0.0, 0.0), (2.0, 0.0), (2.0, 1.0), (1.0, 2.0)):
        waits.update(a=a, b=b)
        seen.append((await bench.ask()).deployment)
    assert seen == ["a", "b", "b", "a"]


async def test_the_quota_of_every_deployment_of_a_group_is_spent() -> None:
    """Two deployments of ten requests each take twenty questions without waiting."""
    bench = two("from a", rungs=GROUP)
    for name in ("a", "b"):
        limiter: Any = bench.routes[name].limiter
        limiter.wait = lambda limiter=limiter: 6.0 if len(limiter.permits) >= 10 else 0.0
    answered = [(await bench.ask()).deployment for _ in range(20)]
    assert (answered.count("a"), answered.count("b")) == (10, 10)


async def test_a_request_too_large_for_one_quota_goes_to_a_larger_one() -> None:
    """In the group without a failed attempt; down the ladder with one."""
    group, fallback = two("from a", rungs=GROUP), two("from a")
    for bench in (group, fallback):
        bench.limiter.largest = 5
    assert [(one.deployment, one.error) for one in (await group.ask()).attempts] == [("b", None)]
    assert [(one.deployment, one.error) for one in (await fallback.ask()).attempts] == [("a", "too_large"), ("b", None)]


async def test_a_wait_that_one_deployment_asks_for_is_not_waited_for_where_another_can_answer() -> None:
    """Only the one that asked is left alone."""
    bench = two(failing(FailureKind.RATE_LIMITED, wait=60.0), rungs=GROUP)
    reply = await bench.ask()
    assert (reply.deployment, bench.asked("a"), sum(bench.waits)) == ("b", 1, 0)


async def test_permits_of_two_deployments_are_never_held_together() -> None:
    """Whoever waits for one has given the other back."""
    bench = two(failing(FailureKind.UNREACHABLE, sent=False))
    bench.routes["b"].limiter.gate = asyncio.Event()  # type: ignore[attr-defined]
    task = asyncio.create_task(bench.ask())
    for _ in range(40):
        await asyncio.sleep(0)
    assert bench.permits == ["sent", "refund"] * 5
    bench.routes["b"].limiter.gate.set()  # type: ignore[attr-defined]
    assert (await task).deployment == "b"


async def test_a_deployment_that_keeps_failing_is_not_asked_while_another_one_answers() -> None:
    """Its breaker opens; the questions after that lose no time with it."""
    bench = two(failing(FailureKind.SERVER_ERROR))
    for _ in range(10):
        assert (await bench.ask(random=lambda: 0.0)).deployment == "b"
    assert bench.asked("a") == 5
    assert bench.telemetry.named("breaker_opened") == [{"deployment": "a", "kind": "server_error"}]


async def test_a_deployment_that_is_back_is_found_by_a_probe() -> None:
    """One question in fifteen seconds tries it; then all go there again."""
    outage = [failing(FailureKind.SERVER_ERROR)] * 5
    bench = Bench(scripts={"a": [*outage, "from a", "from a"], "b": always("from b")}, rungs=FALLBACK)
    before = [(await bench.ask(random=lambda: 0.0)).deployment for _ in range(4)]
    bench.now += 15.0
    after = [(await bench.ask()).deployment for _ in range(2)]
    assert (before, after) == (["b"] * 4, ["a"] * 2)
    assert bench.telemetry.named("breaker_closed") == [{"deployment": "a"}]


async def test_without_another_deployment_an_open_breaker_is_waited_for() -> None:
    """No trial is lost to it: the wait uses up no attempt."""
    bench = Bench(*[failing(FailureKind.SERVER_ERROR)] * 5, "Hello.")
    with pytest.raises(Unanswered):
        await bench.ask(random=lambda: 0.0)
    began = bench.now
    reply = await bench.ask()
    assert (reply.answer.text, len(reply.attempts)) == ("Hello.", 1)
    assert bench.now - began >= 14.0


async def test_while_a_probe_is_under_way_the_others_wait_for_its_end() -> None:
    """One request finds out for all; then everybody goes on."""
    bench = Bench(scripts={"a": always("from a")}, rungs=(("a",),))
    for _ in range(5):
        bench.routes["a"].breaker.failed(-15.0)
    under_way: list[int] = []

    async def complete(request: ChatRequest) -> ChatAnswer:
        under_way.append(1)
        if len(under_way) == 1:
            for _ in range(30):
                await asyncio.sleep(0)
            assert len(under_way) == 1
        return scripted_answer("from a")

    bench.model.complete = complete
    replies = await asyncio.gather(*(bench.ask() for _ in range(10)))
    assert [one.deployment for one in replies] == ["a"] * 10
    assert set(bench.waits) == {0.5}


async def test_a_route_that_shuts_while_its_permit_is_waited_for_is_not_asked() -> None:
    """The permit goes back, and no attempt is counted."""
    bench = two("from a")
    gate = bench.limiter.gate = asyncio.Event()
    task = asyncio.create_task(bench.ask())
    await asyncio.sleep(0)
    for _ in range(5):
        bench.routes["a"].breaker.failed(bench.now)
    gate.set()
    reply = await task
    assert ([one.deployment for one in reply.attempts], bench.permits) == (["b"], ["refund"])
    assert bench.budget.log.count("released") == 1


@pytest.mark.parametrize("kind", [FailureKind.RATE_LIMITED, FailureKind.CONTENT_FILTER, FailureKind.INVALID_REQUEST])
async def test_a_service_that_answers_with_a_refusal_is_alive(kind: FailureKind) -> None:
    """Its breaker stays closed, however often."""
    bench = Bench(scripts={"a": always(failing(kind))}, rungs=(("a",),))
    with pytest.raises(Unanswered):
        await bench.ask(random=lambda: 0.0)
    assert not bench.routes["a"].breaker.is_open


async def test_a_shared_deployment_is_priced_as_each_suite_says_until_it_answers() -> None:
    """Whoever asked first has no say in what others reserve; a model without a price teaches nothing."""
    refused = failing(FailureKind.CONTENT_FILTER)
    bench = two(refused, rungs=(("a",),))
    bench.routes["a"].model = ScriptedModel(
        [refused, replace(scripted_answer("?"), model="unheard-of"), refused, scripted_answer("known"), refused]
    )
    reserved = []
    for model in ("gpt-4o", "gpt-4o-mini", "gpt-4o", "gpt-4o", "gpt-4o"):
        ask = bench.asker(priced_as=lambda _, model=model: model)
        with suppress(Unanswered):
            await ask(QUESTION)
        reserved.append([one[1] for one in bench.budget.log if one[0] == "reserved"][-1])
    dear, cheap = reserved[:2]
    assert dear > 10 * cheap > 0
    assert reserved == [dear, cheap, dear, dear, cheap]


@pytest.mark.parametrize("other_waits_seconds", [20.0, float("inf")])
async def test_quota_that_others_hold_sends_a_question_to_the_other_route_of_its_group(
    other_waits_seconds: float,
) -> None:
    """However long that one lets it wait; it is an error only when no route of the group has quota here."""
    bench = two("from a", rungs=GROUP)
    first, second = (route.limiter for route in bench.ladder[0])
    first.wait, second.wait = lambda: 5.0, lambda: other_waits_seconds

    async def acquire(charge: Charge) -> Permit:
        first.wait = lambda: float("inf")
        raise QuotaElsewhere("others hold it", 60.0)

    first.acquire = acquire  # type: ignore[method-assign]
    if other_waits_seconds == float("inf"):
        with pytest.raises(QuotaElsewhere):
            await bench.ask()
    else:
        assert (await bench.ask()).deployment == "b"
