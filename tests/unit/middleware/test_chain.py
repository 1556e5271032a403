"""The chain: its order, its links' lives, and which links a suite turns on."""

from __future__ import annotations

import asyncio

import pytest
from chain_bench import Asked, context, question, reply

from assay.errors import ServiceError, UserError
from assay.middleware.base import Ask, Question, Reply
from assay.middleware.chain import MIDDLEWARE, ORDER, Chain, Chains, build_chain, by_experiment
from assay.telemetry import RecordingTelemetry
from builders import suite


class Noted:
    """A link that notes what is done to it; what `fails` names raises."""

    def __init__(self, name: str, notes: list[str], fails: str = "") -> None:
        self.name, self.notes, self.fails = name, notes, fails

    async def begin(self) -> None:
        self._note("begin")

    async def answer(self, question: Question, ask: Ask) -> Reply:
        self._note("in")
        given = await ask(question)
        self._note("out")
        return given

    async def end(self) -> None:
        self._note("end")

    def _note(self, what: str) -> None:
        self.notes.append(f"{self.name} {what}")
        if what == self.fails:
            raise ValueError(f"{self.name} is broken")


def chain_of(*links: Noted, telemetry: RecordingTelemetry | None = None) -> Chain:
    return Chain([(one.name, one) for one in links], Asked(), telemetry or RecordingTelemetry())


def test_the_order_is_this_one() -> None:
    """Each neighbour has its reason in `chain.py`; whoever changes the order changes what is promised."""
    assert ORDER == ("redaction", "audit", "prompt_shield", "images", "cache", "answer_schemas", "answer_limits")
    assert sorted(MIDDLEWARE.names) == sorted(ORDER)


@pytest.mark.parametrize(
    ("middleware", "adaptive", "links"),
    [
        ([], True, ("redaction", "images", "answer_schemas", "answer_limits")),
        ([], False, ("redaction", "images", "answer_schemas")),
        (["answer_limits"], False, ("redaction", "images", "answer_schemas")),
        (["cache", "audit"], True, ("redaction", "audit", "images", "cache", "answer_schemas", "answer_limits")),
        (["answer_limits", "cache", "prompt_shield", "audit", "redaction"], True, ORDER),
    ],
)
def test_a_suite_turns_links_on_and_never_orders_them(
    middleware: list[str], adaptive: bool, links: tuple[str, ...]
) -> None:
    """Redaction is always on, answer limits by their own switch."""
    of = suite(middleware=[{"plugin": name} for name in middleware], limits={"adaptive_max_tokens": adaptive})

    assert build_chain(of, context(), Asked()).names == links


async def test_a_question_passes_all_links_in_order_and_back() -> None:
    """The first link is the outermost."""
    notes: list[str] = []

    await chain_of(Noted("a", notes), Noted("b", notes)).ask(question())

    assert notes == ["a in", "b in", "b out", "a out"]


async def test_links_begin_in_order_and_end_in_reverse_each_once() -> None:
    """However often and by however many the chain is told."""
    notes: list[str] = []
    chain = chain_of(Noted("a", notes), Noted("b", notes))

    await asyncio.gather(chain.begin(), chain.begin())
    await chain.begin()
    await asyncio.gather(chain.end(), chain.end())
    await chain.end()

    assert notes == ["a begin", "b begin", "b end", "a end"]


async def test_a_link_that_cannot_end_does_not_keep_the_others_from_it() -> None:
    """It is reported."""
    notes, telemetry = [], RecordingTelemetry()
    chain = chain_of(Noted("a", notes), Noted("b", notes, fails="end"), telemetry=telemetry)

    await chain.begin()
    await chain.end()

    assert notes[2:] == ["b end", "a end"]
    assert telemetry.named("middleware_end_failed") == [{"middleware": "b", "reason": "b is broken"}]


async def test_a_link_that_cannot_begin_is_named_and_ends_those_before_it() -> None:
    """Nothing is asked; the next delivery of the chunk tries again."""
    notes: list[str] = []
    broken = Noted("b", notes, fails="begin")
    chain = chain_of(Noted("a", notes), broken, Noted("c", notes))

    with pytest.raises(ServiceError, match=r"'b' cannot begin.*b is broken"):
        await chain.begin()
    assert notes == ["a begin", "b begin", "a end"]

    broken.fails = ""
    await chain.begin()
    assert notes[3:] == ["a begin", "b begin", "c begin"]


def test_a_shield_without_an_endpoint_is_the_users_to_mend() -> None:
    """It is told when the run's chain is made, not per question."""
    of = suite(middleware=[{"plugin": "prompt_shield", "provider": "content_safety"}])

    with pytest.raises(UserError, match="CONTENT_SAFETY_ENDPOINT"):
        build_chain(of, context(), Asked())


def test_a_link_that_is_not_known_here_is_not_left_out_silently() -> None:
    """A run may have been frozen by a newer version than the worker's."""
    with pytest.raises(UserError, match="unknown middleware 'watermark'"):
        build_chain(suite(middleware=[{"plugin": "watermark"}]), context(), Asked())


async def test_a_process_has_one_chain_per_run_and_ends_those_long_unused() -> None:
    """Begun once however often the run's trials are made; a run that comes back gets a new chain."""
    notes: list[str] = []
    chains = Chains(kept=2)

    for run in ("a", "b", "a", "c", "b"):
        await chains.of(run, lambda run=run: chain_of(Noted(run, notes)))  # type: ignore[misc]
    await chains.close()
    await chains.close()

    assert notes == ["a begin", "b begin", "c begin", "b end", "b begin", "a end", "b end", "c end"]


async def test_each_experiment_has_its_own_end_of_the_chain() -> None:
    """Their deployments differ."""
    plain, short = Asked(), Asked(lambda _: reply("short"))
    ask = by_experiment({"plain": plain, "short": short})

    assert (await ask(question())).answer.text == "billing"
    assert len(short.questions) == 0
