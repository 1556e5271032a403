"""Conversations in a cell: a list of messages, as JSON or as values, that go before a row's prompt."""

import json
from typing import Any

from assay.llm.base import ChatMessage
from assay.planning.sandbox import count_written

MAX_MESSAGES = 500
_KEYS = {"role", "content"}


def conversation(cell: Any) -> tuple[ChatMessage, ...]:
    """The messages of a cell, in order; none where it is empty. Raises ValueError, and TooMuch for too much text."""
    written = cell.strip() if isinstance(cell, str) else cell
    if written is None or written == "":
        return ()
    messages = json.loads(written) if isinstance(written, str) else written
    if not isinstance(messages, list):
        raise ValueError(f"expected a list of messages, found {_shown(messages)}")
    if len(messages) > MAX_MESSAGES:
        raise ValueError(f"{len(messages):,} messages; at most {MAX_MESSAGES} are sent")
    return tuple(_message(at, one) for at, one in enumerate(messages, start=1))


def _message(at: int, written: Any) -> ChatMessage:
    if not isinstance(written, dict) or written.keys() != _KEYS:
        found = f"one with {', '.join(map(str, written))}" if isinstance(written, dict) else _shown(written)
        raise ValueError(f"message {at}: expected a mapping with role and content, found {found}")
    role, content = written["role"], written["content"]
    # A row must not give instructions to the system: who writes rows does not write prompts.
    if role not in ("user", "assistant"):
        raise ValueError(f"message {at}: expected the role user or assistant, found {_shown(role)}")
    if not isinstance(content, str) or not content.strip():
        raise ValueError(f"message {at}: expected a text as content, found {_shown(content)}")
    content.encode()
    count_written(len(content))
    return ChatMessage(role, content)


def _shown(value: Any) -> str:
    return repr(value)[:40] if isinstance(value, str | int | float | bool) else f"a {type(value).__name__}"
