"""Replies of the emulator and how they are carried out: sent, broken off, or never given.

Called by `openai_emulator`, which decides what a reply holds.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from aiohttp import web

from assay.local.emulated_faults import Fault
from assay.local.emulator_bodies import Refusal, server_error, unavailable

CLIENT_POLL_SECONDS = 0.05
CLIENT_LEFT_STATUS = 499


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send, after which delay, and how the exchange ends. With `events` it is a stream and `body` is empty.

    `before_sending` is called after the delay, unless the caller has left or gets nothing.
    """

    status: int
    verdict: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    events: Sequence[bytes] | None = None
    ending: Literal["sent", "timeout", "dropped"] = "sent"
    before_sending: Callable[[], None] | None = None

    @property
    def sent_status(self) -> int | None:
        """The status that the caller gets; None when it gets no answer at all."""
        return self.status if self.ending == "sent" else None


def with_fault(reply: Reply, fault: Fault | None) -> Reply:
    """The reply that the caller gets in place of the good one."""
    if fault is None:
        return reply
    if fault == "malformed":
        return _broken_off(reply)
    if fault == "timeout" or fault == "dropped":
        return replace(reply, verdict=fault, ending=fault)
    refusal: Refusal = server_error(reply.headers["apim-request-id"]) if fault == "error_500" else unavailable()
    return replace(reply, status=refusal.status, verdict=fault, body=refusal.body(), events=None, before_sending=None)


async def carry_out(request: web.Request, reply: Reply, hang_seconds: float) -> tuple[web.StreamResponse, bool]:
    """Wait and send. Says whether the whole answer was written while the caller was there.

    A timeout holds the caller until it leaves, at most `hang_seconds`, and then drops the connection.
    """
    if reply.ending == "timeout":
        await _wait_until_left(request, hang_seconds)
    elif reply.delay_seconds:
        await asyncio.sleep(reply.delay_seconds)
    if reply.ending != "sent":
        _drop_connection(request)
    if _has_left(request):
        return web.Response(status=CLIENT_LEFT_STATUS), False
    if reply.before_sending is not None:
        reply.before_sending()
    return await _send(request, reply)


def _broken_off(reply: Reply) -> Reply:
    """Half an answer: a body that is no JSON, or a stream that ends inside an event."""
    if reply.events is None:
        return replace(reply, verdict="malformed", body=reply.body[: len(reply.body) // 2])
    whole = b"".join(reply.events)
    return replace(reply, verdict="malformed", events=[whole[: len(whole) // 2]])


def _has_left(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _wait_until_left(request: web.Request, limit_seconds: float) -> None:
    deadline = time.monotonic() + limit_seconds
    # aiohttp has no event for a caller that leaves unless it cancels the handler, and then nothing would be logged.
    while not _has_left(request) and time.monotonic() < deadline:  # noqa: ASYNC110
        await asyncio.sleep(CLIENT_POLL_SECONDS)


def _drop_connection(request: web.Request) -> None:
    if isinstance(request.transport, asyncio.WriteTransport):
        request.transport.abort()


async def _send(request: web.Request, reply: Reply) -> tuple[web.StreamResponse, bool]:
    # Written here and not by aiohttp after the return, so that the log can say whether it was sent.
    response = _response_for(reply)
    try:
        await response.prepare(request)
        for event in reply.events or ():
            await response.write(event)
        await response.write_eof()
    except ConnectionError:
        return response, False
    return response, True


def _response_for(reply: Reply) -> web.StreamResponse:
    if reply.events is None:
        kind = "application/json"
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers, content_type=kind)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type = "text/event-stream"
    return response
