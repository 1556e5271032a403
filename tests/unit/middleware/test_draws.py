"""Questions of programs on their way: the same one twice, and several with limits of their own."""

from __future__ import annotations

from dataclasses import replace

from chain_bench import question
from test_answer_limits import COHORT, limits, sent_by, taught
from test_answer_limits import question as limited

from assay.middleware.cached_answer import cache_key


def test_another_draw_of_a_question_has_a_key_of_its_own() -> None:
    """The first keeps the key that it had before there were draws."""
    first = question()
    keys = {cache_key(replace(first, draw=draw)) for draw in (0, 1, 2)}
    assert len(keys) == 3 and cache_key(first) in keys
    assert cache_key(replace(first, draw=1)) != cache_key(replace(first, repeat=1))


async def test_calls_with_other_limits_are_learned_apart() -> None:
    """A short call must not have the limit of long ones cut their answers again and again."""
    link = limits()
    await taught(link, [20] * 3 * COHORT)
    assert await sent_by(link, limited("0")) < 100
    assert await sent_by(link, limited("0", max_tokens=900)) == 900
