"""Asks a service over HTTP again while it is busy: sinks and the prompt shield do. Tenacity runs the tries.

Models are asked with more care: `execution/retry.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from math import inf
from typing import ParamSpec, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

Answer = TypeVar("Answer")
Asked = ParamSpec("Asked")


class Busy(Exception):
    """No answer yet. An error that is also this one is worth another try; after the last it is what the caller gets.

    `wait_seconds` is what the service asks to wait, or None.
    """

    wait_seconds: float | None = None


@dataclass(frozen=True)
class Patience:
    """How often to ask, and how long to wait in between: as long as the service says, else twice as long each time."""

    attempts: int
    first_wait_seconds: float
    longest_wait_seconds: float = inf
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def ask(
        self, work: Callable[Asked, Awaitable[Answer]], *arguments: Asked.args, **named: Asked.kwargs
    ) -> Answer:
        """What `work` gives in the end. Raises what it raises: an error that is Busy only after the last try."""
        retrying = AsyncRetrying(
            sleep=self.sleep,
            stop=stop_after_attempt(self.attempts),
            wait=self._seconds_to_wait,
            retry=retry_if_exception_type(Busy),
            reraise=True,
        )
        answer: Answer = await retrying(work, *arguments, **named)
        return answer

    def _seconds_to_wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait_seconds if isinstance(error, Busy) else None
        return min(asked or self.first_wait_seconds * 2.0 ** (state.attempt_number - 1), self.longest_wait_seconds)


def is_busy(status: int) -> bool:
    """Whether an answer of this HTTP status means that the same request may be answered later."""
    return status in (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS) or status >= 500


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """The seconds of a `Retry-After` header (RFC 9110, 10.2.3, in its form of seconds); None without one."""
    text = headers.get("retry-after", "")
    return float(text) if text.isdecimal() else None
