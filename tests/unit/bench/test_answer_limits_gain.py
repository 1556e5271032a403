"""What adaptive max_tokens gains on the bench's chat load, and that it never costs more than it gains."""

from __future__ import annotations

import math
from statistics import NormalDist

import pytest

from bench.answer_limits import simulate
from bench.quota.loads import LOADS, QUOTAS

CHAT, SMALL = LOADS["chat"], QUOTAS["S"]


@pytest.mark.parametrize(("max_tokens", "factor"), [(800, 1.25), (1_000, 1.4), (2_000, 2.2)])
def test_a_loose_limit_is_worth_many_trials(max_tokens: int, factor: float) -> None:
    """The first answers included, in which nothing is known yet."""
    gain = simulate(CHAT, SMALL, max_tokens, trials=2_000)
    assert gain.factor >= factor
    assert gain.rerun_share < 0.055


@pytest.mark.parametrize("name", ["chat", "short", "long"])
def test_a_tight_limit_is_left_as_it_is(name: str) -> None:
    """One answer in fifteen of the chat load is longer than its limit of 400: every lower limit charges more."""
    gain = simulate(LOADS[name], SMALL, LOADS[name].max_tokens, trials=1_000)
    assert gain.factor == pytest.approx(1, abs=0.01)
    assert gain.rerun_share < 0.01


def test_no_limit_could_gain_on_the_chat_load_at_400() -> None:
    """By the distributions themselves: prompt + l + P(longer than l) * (prompt + 400) is above prompt + 400."""
    prompt = CHAT.prompt_median * math.exp(CHAT.prompt_sigma**2 / 2)
    normal = NormalDist(math.log(CHAT.answer_median), CHAT.answer_sigma)
    charges = [prompt + at + (1 - normal.cdf(math.log(at))) * (prompt + 400) for at in range(1, 400)]
    assert min(charges) > prompt + 400
