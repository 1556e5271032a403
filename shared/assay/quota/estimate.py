"""How many tokens a prompt will be charged, before it is sent: one estimator per deployment and process.

`execution/asking.py` asks it for every request and lets it learn from `usage`; plans ask `estimate_tokens`.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from assay.telemetry import Telemetry

CHARACTERS_PER_TOKEN = 4
TOKENS_AROUND_A_MESSAGE = 4


class HasContent(Protocol):
    """A chat message, as far as its length goes."""

    @property
    def content(self) -> str: ...


def estimate_tokens(messages: Iterable[HasContent]) -> int:
    """Tokens of the prompt: a quarter of its characters, rounded up, and four around each message.

    Azure OpenAI charges its quota by such an estimate too, not by the tokens it bills.
    """
    return sum(-(-len(each.content) // CHARACTERS_PER_TOKEN) + TOKENS_AROUND_A_MESSAGE for each in messages)


class TokenEstimator:
    """Estimates the prompt tokens of one deployment's requests, and gets better with every answer."""

    def __init__(self, deployment: str, telemetry: Telemetry) -> None:
        self._deployment = deployment
        self._telemetry = telemetry

    def estimate(self, messages: Sequence[HasContent]) -> int:
        """Tokens that the quota is expected to be charged for the prompt."""
        return estimate_tokens(messages)

    def highest(self, messages: Sequence[HasContent]) -> int:
        """Tokens that the prompt will hardly be billed more than: what to reserve money for."""
        return estimate_tokens(messages)

    def learn(self, messages: Sequence[HasContent], prompt_tokens: int) -> None:
        """What the service counted for a prompt (`usage.prompt_tokens`). Cheap; call it for every answer."""
