"""Turns between flows: fewest tokens first, order within a flow, nothing saved up."""

from __future__ import annotations

from dataclasses import dataclass

from assay.quota.base import Charge
from assay.quota.flows import Turns


@dataclass(frozen=True)
class Ask:
    charge: Charge
    name: str


def ask(flow: str, name: str = "", tokens: int = 100) -> Ask:
    return Ask(Charge(tokens, flow), name)


def turns_of(*asks: Ask) -> Turns[Ask]:
    turns: Turns[Ask] = Turns()
    for each in asks:
        turns.add(each)
    return turns


def taken(turns: Turns[Ask], number: int) -> str:
    return "".join(turns.take().charge.flow for _ in range(number))


def test_flows_take_turns_by_tokens() -> None:
    """A flow of dear requests gets as many tokens as one of cheap ones, not as many requests."""
    turns = turns_of(*[ask("a", tokens=300)] * 2, *[ask("b", tokens=100)] * 6)
    assert taken(turns, 8) == "abbbabbb"


def test_order_within_a_flow_is_kept() -> None:
    """First come, first served, whatever the sizes."""
    turns = turns_of(ask("a", "1", 900), ask("a", "2", 1), ask("a", "3", 50))
    assert [turns.take().name for _ in range(3)] == ["1", "2", "3"]


def test_a_newcomer_starts_where_the_others_are() -> None:
    """Neither does it wait for what the others had before, nor do they wait for it."""
    turns = turns_of(*[ask("a")] * 100)
    taken(turns, 50)
    for _ in range(10):
        turns.add(ask("b"))
    assert taken(turns, 6).count("b") == 3


def test_a_flow_that_was_empty_for_a_moment_keeps_what_it_had() -> None:
    """Else a flow of one request at a time would get every other turn, however dear they are."""
    turns = turns_of(ask("a", tokens=1000), *[ask("b", tokens=100)] * 20)
    assert taken(turns, 1) == "a"
    turns.add(ask("a", tokens=1000))
    assert taken(turns, 12) == "b" * 11 + "a"


def test_a_flow_that_was_away_for_long_has_saved_nothing_up() -> None:
    """What it did not use was used by others, who owe it nothing."""
    turns = turns_of(ask("a"), *[ask("b")] * 100)
    taken(turns, 90)
    for _ in range(10):
        turns.add(ask("a"))
    assert taken(turns, 6).count("a") == 3


def test_who_no_longer_waits_is_forgotten_and_costs_its_flow_nothing() -> None:
    """Also when it was the next; a second time is without effect."""
    first, second = ask("a", "1", 900), ask("a", "2", 900)
    turns = turns_of(first, second, ask("b"), ask("b"))
    turns.forget(first)
    turns.forget(first)
    assert len(turns) == 3
    assert turns.first() is second
    assert taken(turns, 3) == "abb"
    assert turns.first() is None


def test_ahead_of_a_charge_are_its_own_flow_and_as_much_of_each_other() -> None:
    """A newcomer does not wait for the whole backlog of another flow."""
    turns = turns_of(*[ask("a", tokens=100)] * 50)
    assert turns.ahead_of(Charge(100, "a")) == (50, 5_000)
    assert turns.ahead_of(Charge(100, "b")) == (1, 100)
    turns.add(ask("b"))
    assert turns.ahead_of(Charge(100, "b")) == (3, 300)


def test_clearing_gives_back_everybody() -> None:
    """Whoever waits must be told."""
    turns = turns_of(ask("a"), ask("b"))
    assert len(turns.clear()) == 2
    assert (len(turns), turns.first()) == (0, None)
