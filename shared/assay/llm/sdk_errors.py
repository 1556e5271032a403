"""What the openai SDK and its transport raise, as ModelErrors, and what response headers say.

Clients ask here; nothing else knows these classes.
"""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import aiohttp
import httpx2
import openai

from assay.llm.base import ModelError, RateLimitHeaders
from assay.llm.errors import FailureKind
from assay.llm.refusals import classify, exhausted_axis, per_minute, retry_after_seconds

LONGEST_MESSAGE = 500

TRANSPORT_ERRORS = (httpx2.HTTPError, aiohttp.ClientError, TimeoutError)
"""What may come through the SDK as it is, beside its own classes."""

_RATE_LIMIT = b"x-ratelimit-"
_NOTHING_SAID = RateLimitHeaders()


def translate(error: Exception, now: datetime) -> ModelError:
    """The ModelError for whatever the SDK or its transport raised."""
    if isinstance(error, openai.APIStatusError):
        headers = {name.lower(): value for name, value in error.response.headers.items()}
        return refused(error.status_code, said_code(error.body), said_text(error.body) or error.message, headers, now)
    kind = _transport_kind(error)
    sent = kind not in (FailureKind.UNREACHABLE, FailureKind.TLS)
    root = [one for one in causes(error) if not isinstance(one, asyncio.CancelledError)][-1]
    return ModelError(kind, f"{type(root).__name__}: {root}".rstrip(": ")[:LONGEST_MESSAGE], sent=sent)


def refused(status: int, code: str, message: str, headers: Mapping[str, str], now: datetime) -> ModelError:
    """The ModelError of an error answer; header names are lower case, `code` is what `said_code` finds in the body."""
    return ModelError(
        classify(status, code, message, headers, now),
        message[:LONGEST_MESSAGE],
        status=status,
        request_id=request_id_in(headers),
        retry_after_seconds=retry_after_seconds(headers, message, now),
        rate_limit=limits_in(headers),
        axis=exhausted_axis(headers, message),
    )


def said_code(error: Any) -> str:
    """The code of an error object; its type where that says more, as llama.cpp's codes are HTTP statuses."""
    if not isinstance(error, dict):
        return ""
    code, kind = error.get("code"), error.get("type")
    return code if isinstance(code, str) and not code.isdecimal() else str(kind or code or "")


def said_text(error: Any) -> str:
    """The message of an error object, and which parameter it is about where only the object says so."""
    if not isinstance(error, dict):
        return ""
    message, parameter = str(error.get("message") or ""), error.get("param")
    is_named = error.get("code") != "invalid_value" or not parameter or str(parameter) in message
    return message if is_named else f"{message} (parameter {parameter})"


def request_id(response: httpx2.Response) -> str | None:
    """The id under which the service's support finds the request."""
    return request_id_in(response.headers)


def rate_limit(response: httpx2.Response) -> RateLimitHeaders:
    """Every one of these headers may be missing; most answers of a deployment without a quota have none."""
    # From the raw pairs: looking names up in `headers` decodes all of them again and again.
    raw = ((name.lower(), value) for name, value in response.headers.raw)
    return limits_in({name.decode(): value.decode("latin-1") for name, value in raw if name.startswith(_RATE_LIMIT)})


def request_id_in(headers: Mapping[str, str]) -> str | None:
    """The same in plain headers, their names in lower case."""
    return headers.get("apim-request-id") or headers.get("x-request-id") or headers.get("request-id")


def limits_in(headers: Mapping[str, str]) -> RateLimitHeaders:
    """The same in plain headers, their names in lower case."""
    if not any(name.startswith("x-ratelimit-") for name in headers):
        return _NOTHING_SAID
    return RateLimitHeaders(per_minute(headers, "requests"), per_minute(headers, "tokens"))


# In this order: a class below may be the base of one above.
_TRANSPORT_KINDS: tuple[tuple[tuple[type[BaseException], ...], FailureKind], ...] = (
    ((aiohttp.ClientSSLError,), FailureKind.TLS),
    ((aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError), FailureKind.UNREACHABLE),
    ((aiohttp.ClientHttpProxyError, httpx2.UnsupportedProtocol), FailureKind.UNREACHABLE),
    ((TimeoutError,), FailureKind.READ_TIMEOUT),
)


def _transport_kind(error: Exception) -> FailureKind:
    """Read from the bottom of the chain: the SDK calls a connection that broke after sending a connect timeout."""
    chain = list(causes(error))
    for types, kind in _TRANSPORT_KINDS:
        if any(isinstance(cause, types) for cause in chain):
            return kind
    return FailureKind.CONNECTION_LOST


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what led to it, the latest first."""
    at: BaseException | None = error
    while at is not None:
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
