"""The token estimate, and the limiter that never waits."""

from __future__ import annotations

from assay.llm.base import ChatMessage
from assay.quota.base import Charge, Throttling
from assay.quota.estimate import estimate_tokens
from assay.quota.none import NoLimiter


def test_a_prompt_is_a_quarter_of_its_characters_and_four_per_message() -> None:
    """Rounded up per message: 5 characters are 2 tokens, 0 are none."""
    assert estimate_tokens([ChatMessage("system", "Hello"), ChatMessage("user", "")]) == (2 + 4) + (0 + 4)


async def test_no_limiter_grants_at_once_and_forgets() -> None:
    """Its permits can do all that permits do, as often as one likes."""
    limiter = NoLimiter()
    permit = await limiter.acquire(Charge(10**9))
    permit.sent()
    permit.throttled(Throttling(3.0))
    permit.refund()
    await limiter.drain()
    await limiter.acquire(Charge(1))
