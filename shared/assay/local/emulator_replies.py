"""Replies of the emulator and how they are carried out: sent, broken off, or never given.

Called by `openai_emulator`, which decides what a reply holds.
"""

import asyncio
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from aiohttp import web

from assay.local.emulator_mishaps import Fault
from assay.local.emulator_refusals import (
    CAPACITY_RETRY_SECONDS,
    at_capacity,
    bad_gateway,
    content_filtered,
    insufficient_quota,
    server_error,
    timed_out,
    unavailable,
)

CLIENT_POLL_SECONDS = 0.05
STEP_SECONDS = 0.01
CLIENT_LEFT_STATUS = 499
PROMPT_BILLED = frozenset({"error_408", "prompt_filtered", "content_filter", "context_length_exceeded"})
"""Verdicts of refusals that cost the prompt, as the service's page on managing costs says: 400 for the content filter
or the input limit, and 408. Nothing else that is refused is billed."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What to send, after which delay, and how the exchange ends. With `events` it is a stream and `body` is empty.

    A stream begins after the delay and takes `stream_seconds`. One that is `cut` ends in the middle, without its end.
    `when_made` is called after the delay, unless the reply is a timeout: from then on the answer costs money.
    `before_sending` is called next, unless the caller has left or gets nothing.
    """

    status: int
    verdict: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    events: Sequence[bytes] | None = None
    stream_seconds: float = 0.0
    ending: Literal["sent", "timeout", "dropped", "cut"] = "sent"
    before_sending: Callable[[], None] | None = None
    when_made: Callable[[], None] | None = None

    @property
    def sent_status(self) -> int | None:
        """The status that the caller gets; None when it gets no answer at all."""
        return self.status if self.ending in ("sent", "cut") else None


def with_fault(reply: Reply, fault: Fault | None, prompt_made: Callable[[], None] | None = None) -> Reply:
    """The reply that the caller gets in place of the good one; faults of the text leave it as it is.

    `prompt_made` is called in place of the reply's own `when_made` where only the prompt was processed.
    """
    if fault is None or fault in _IN_THE_TEXT:
        return reply if fault is None else replace(reply, verdict=fault)
    if fault == "malformed":
        return _broken_off(reply)
    if fault == "cut":
        return replace(_broken_off(reply), verdict=fault, ending=fault)
    if fault == "stream_error" and reply.events is not None:
        return _reporting_error(reply)
    if fault == "timeout":
        return replace(reply, verdict=fault, ending=fault, when_made=None)
    if fault == "dropped":
        return replace(reply, verdict=fault, ending=fault)
    return _refused(reply, fault, prompt_made)


def _refused(reply: Reply, fault: Fault, prompt_made: Callable[[], None] | None) -> Reply:
    refusal = _REFUSALS[fault]() if fault in _REFUSALS else server_error(reply.headers["apim-request-id"])
    retry = {"retry-after": str(CAPACITY_RETRY_SECONDS)} if fault == "error_429" else {}
    return replace(
        reply,
        status=refusal.status,
        verdict=refusal.verdict,
        body=refusal.body(),
        headers=reply.headers | retry,
        events=None,
        before_sending=None,
        when_made=prompt_made if fault in PROMPT_BILLED else None,
    )


_IN_THE_TEXT = frozenset({"empty", "invalid_json", "refused", "answer_filtered", "filter_error"})
_REFUSALS = {
    "error_408": timed_out,
    "error_429": at_capacity,
    "error_502": bad_gateway,
    "error_503": unavailable,
    "insufficient_quota": insufficient_quota,
    "prompt_filtered": content_filtered,
}


async def carry_out(request: web.Request, reply: Reply, hang_seconds: float) -> tuple[web.StreamResponse, bool]:
    """Wait and send. Says whether the whole answer was written while the caller was there.

    A timeout holds the caller until it leaves, at most `hang_seconds`, and then drops the connection.
    """
    if reply.ending == "timeout":
        await _wait_until_left(request, hang_seconds)
    elif reply.delay_seconds:
        await asyncio.sleep(reply.delay_seconds)
    if reply.when_made is not None:
        reply.when_made()
    if reply.ending in ("timeout", "dropped"):
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


def _reporting_error(reply: Reply) -> Reply:
    events = reply.events or ()
    said = server_error(reply.headers["apim-request-id"]).error
    told = b"data: " + json.dumps({"error": said}).encode() + b"\n\n"
    return replace(reply, verdict="stream_error", events=[*events[: len(events) // 2], told])


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
        await _write_events(response, reply)
        if reply.ending == "cut":
            return await _cut(request, response, reply), False
        await response.write_eof()
    except ConnectionError:
        return response, False
    return response, True


async def _write_events(response: web.StreamResponse, reply: Reply) -> None:
    """Evenly over the stream's time, in as many steps as timers are good for."""
    if not reply.events:
        return
    groups = list(_groups(reply.events, reply.stream_seconds))
    for at, group in enumerate(groups):
        if at:
            await asyncio.sleep(reply.stream_seconds / (len(groups) - 1))
        await response.write(b"".join(group))


def _groups(events: Sequence[bytes], seconds: float) -> Iterator[Sequence[bytes]]:
    size = math.ceil(len(events) / (1 + int(seconds / STEP_SECONDS)))
    return (events[start : start + size] for start in range(0, len(events), size))


async def _cut(request: web.Request, response: web.StreamResponse, reply: Reply) -> web.StreamResponse:
    """What was written still goes out, and nothing that says that it was all."""
    if reply.events is None:
        await response.write(reply.body)
    if request.transport is not None:
        request.transport.close()
    return response


def _response_for(reply: Reply) -> web.StreamResponse:
    if reply.ending == "cut" and reply.events is None:
        length = {"content-length": str(2 * len(reply.body) + 1)}
        return web.StreamResponse(headers={**reply.headers, **length, "content-type": "application/json"})
    if reply.events is None:
        kind = "application/json"
        return web.Response(status=reply.status, body=reply.body, headers=reply.headers, content_type=kind)
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_type = "text/event-stream"
    return response
