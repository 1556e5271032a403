"""HTTP for sinks: JSON in, JSON out, patient with services that are busy, clear about those that refuse.

Every sink that talks HTTP makes an `HttpService` and describes its refusals.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from assay.errors import ServiceError, UserError
from assay.patience import Busy, Patience, is_busy, retry_after_seconds
from assay.telemetry import Telemetry

LONGEST_WAIT_SECONDS = 900.0
_FIRST_WAIT_SECONDS, _ATTEMPTS = 1.0, 8
_TIMEOUT_SECONDS = 120.0

Headers = Callable[[], Awaitable[Mapping[str, str]]]
"""Gives the headers that name the caller, anew for every request: tokens end."""

Waiting = Callable[[httpx2.Response], float | None]
"""How many seconds a service asks to wait, by its answer; None when it did not say."""


class Refused(UserError):
    """A service refused a request for good. `status` is its answer, `said` its words."""

    def __init__(self, message: str, status: int, said: str) -> None:
        super().__init__(message)
        self.status, self.said = status, said


class _Busy(ServiceError, Busy):
    """No answer, or one that asks to come again."""

    def __init__(self, message: str, wait_seconds: float | None = None) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


def retry_after(response: httpx2.Response) -> float | None:
    """As most services say it."""
    return retry_after_seconds(response.headers)


@dataclass
class HttpService:
    """One service at one address. `name` stands in errors; `explain` says what to do about a refusal, or nothing.

    `is_busy` tells answers that are worth another try beside 408, 429 and 5xx, `is_no_answer` successes that are none.
    """

    name: str
    base: str
    headers: Headers
    telemetry: Telemetry
    explain: Callable[[httpx2.Response], str] = lambda _: ""
    waiting: Waiting = retry_after
    is_busy: Callable[[httpx2.Response], bool] = lambda _: False
    is_no_answer: Callable[[httpx2.Response], bool] = lambda _: False
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    transport: httpx2.AsyncBaseTransport | None = None
    _client: httpx2.AsyncClient | None = field(default=None, init=False)

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        fine: tuple[int, ...] = (),
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """The answer: a success, or one of the `fine` statuses. `content` goes as it is, `body` as JSON.

        Raises Refused when the service refuses, ServiceError when it stays busy or away.
        """
        request = {"json": body, "params": params, "content": content}
        patience = Patience(_ATTEMPTS, _FIRST_WAIT_SECONDS, sleep=self.sleep)
        return await patience.ask(self._try, method, path, request, headers or {}, fine)

    async def close(self) -> None:
        """Closes connections; a second call does nothing."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _try(
        self, method: str, path: str, request: Mapping[str, Any], extra: Mapping[str, str], fine: tuple[int, ...]
    ) -> httpx2.Response:
        if self._client is None:
            self._client = httpx2.AsyncClient(timeout=_TIMEOUT_SECONDS, transport=self.transport)
        headers = {**await self.headers(), **extra}
        try:
            response = await self._client.request(method, self.base + path, headers=headers, **request)
        except httpx2.HTTPError as error:
            raise _Busy(f"{self.name} does not answer: {type(error).__name__}") from error
        if (response.is_success and not self.is_no_answer(response)) or response.status_code in fine:
            return response
        raise self._fault(method, path, response)

    def _fault(self, method: str, path: str, response: httpx2.Response) -> Exception:
        status, said = response.status_code, _said(response)
        message = f"{self.name} answered {method} {path} with HTTP {status}{': ' + said if said else ''}"
        if is_busy(status) or self.is_busy(response):
            seconds = self.waiting(response)
            self.telemetry.event("sink_busy", sink=self.name, status=status, wait_seconds=seconds)
            if seconds is not None and seconds > LONGEST_WAIT_SECONDS:
                return ServiceError(f"{message}. It asks to wait {seconds:.0f} seconds: publish again after that.")
            return _Busy(message, seconds)
        advice = self.explain(response)
        return Refused(f"{message}. {advice}".strip(), status, said)


def _said(response: httpx2.Response) -> str:
    """What the service says in its answer, on one line and cut."""
    try:
        content = response.json()
    except ValueError:
        return ""
    text = str(content.get("message", "")) if isinstance(content, dict) else ""
    return ascii(" ".join(text.split())[:300])[1:-1]
