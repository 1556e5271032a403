"""How many tokens a prompt will be charged, before it is sent. Called by `runtime.py` for every request."""

from collections.abc import Iterable
from typing import Protocol

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
