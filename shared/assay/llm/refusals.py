"""What a refusal of the service means: its kind, how long it asks to wait, and which limit was hit.

Adapters ask here. Pure: no clock, no I/O, no SDK. Header names are lower case everywhere.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from math import isfinite
from re import IGNORECASE, compile, search
from typing import Literal

from assay.llm.errors import LONGEST_WAIT_SECONDS, FailureKind

Axis = Literal["requests", "tokens"]

_MINUTE_SECONDS = 60.0
_LONGEST_RESET_SECONDS = 60.0
_BUSY = compile(
    r"temporarily unable to process|experiencing high demand|no capacity|at capacity|overloaded", IGNORECASE
)
_REQUEST_TOO_LARGE = compile(r"request too large", IGNORECASE)
_FILTERED = compile(r"content management policy|ResponsibleAIPolicyViolation|content_policy_violation", IGNORECASE)
_TOO_LONG = compile(
    r"maximum context length|context_length_exceeded|string_above_max_length"
    r"|exceed_context_size_error|exceeds the available context size",  # llama.cpp
    IGNORECASE,
)
_NO_SUCH_MODEL = compile(r"model_not_found|^\S* (?:the )?model\b.{0,200}\b(?:not found|does not exist)", IGNORECASE)
# llama.cpp: status 503 until its model is loaded, and 500 for images where it has no eyes.
_LOADING = compile(r"loading model", IGNORECASE)
_UNSUPPORTED = compile(r"input is not supported", IGNORECASE)
_SETTING = compile(
    r"unsupported (?:value|parameter): '(?!messages)|unrecognized request argument supplied"
    r"|invalid value: .*\(parameter reasoning_effort\)",
    IGNORECASE,
)
_SPENT = compile(r"could not finish the message because max_tokens", IGNORECASE)
_DURATION = compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")
_RETRY_AFTER_TEXT = compile(
    r"(?:retry after|try again in) (\d+(?:\.\d+)?) ?(ms|milliseconds?|s|seconds?)\b", IGNORECASE
)
_AXES: tuple[Axis, ...] = ("requests", "tokens")

_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: FailureKind.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: FailureKind.FORBIDDEN,
    HTTPStatus.NOT_FOUND: FailureKind.DEPLOYMENT_MISSING,
    HTTPStatus.REQUEST_TIMEOUT: FailureKind.TIMEOUT,
    HTTPStatus.CONFLICT: FailureKind.CONFLICT,
    HTTPStatus.GONE: FailureKind.DEPLOYMENT_MISSING,  # the version of a model that Azure has retired
    HTTPStatus.NOT_IMPLEMENTED: FailureKind.INVALID_REQUEST,
    HTTPStatus.BAD_GATEWAY: FailureKind.GATEWAY_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE: FailureKind.SERVICE_BUSY,
    HTTPStatus.GATEWAY_TIMEOUT: FailureKind.GATEWAY_ERROR,
}


def classify(status: int, code: str | None, message: str, headers: Mapping[str, str], now: datetime) -> FailureKind:
    """The kind of an error answer. `code` is the body's error code; header names are lower case; `now` is aware."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _classify_throttling(code, message, headers, now)
    if status == HTTPStatus.BAD_REQUEST:
        return _classify_bad_request(code or "", message)
    if status == HTTPStatus.SERVICE_UNAVAILABLE and _LOADING.search(message):
        return FailureKind.AT_CAPACITY
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and _UNSUPPORTED.search(message):
        return FailureKind.INVALID_REQUEST
    if status in _BY_STATUS:
        return _BY_STATUS[HTTPStatus(status)]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return FailureKind.SERVER_ERROR
    return FailureKind.INVALID_REQUEST if status >= HTTPStatus.BAD_REQUEST else FailureKind.MALFORMED_ANSWER


def exhausted_axis(headers: Mapping[str, str], message: str) -> Axis | None:
    """The limit that a 429 hit, where headers or text say so of exactly one."""
    axes = _exhausted_axes(headers, message)
    return axes[0] if len(axes) == 1 else None


def per_minute(headers: Mapping[str, str], axis: Axis) -> int | None:
    """What the service says the deployment grants per minute; None where it says nothing, or nothing sensible.

    Some deployments state the limit of a shorter window, whose seconds are in `x-ratelimit-renewalperiod-<axis>`.
    """
    limit = _positive(headers.get(f"x-ratelimit-limit-{axis}"))
    if limit is None:
        return None
    period_seconds = _positive(headers.get(f"x-ratelimit-renewalperiod-{axis}")) or _MINUTE_SECONDS
    return round(limit * _MINUTE_SECONDS / period_seconds)


def _classify_throttling(code: str | None, message: str, headers: Mapping[str, str], now: datetime) -> FailureKind:
    if code == "insufficient_quota":
        return FailureKind.QUOTA_EXHAUSTED
    wait_seconds = retry_after_seconds(headers, message, now)
    if _REQUEST_TOO_LARGE.search(message) or (wait_seconds or 0) > LONGEST_WAIT_SECONDS:
        return FailureKind.TOO_LARGE
    return FailureKind.AT_CAPACITY if _BUSY.search(message) else FailureKind.RATE_LIMITED


def _classify_bad_request(code: str, message: str) -> FailureKind:
    if code == "content_filter" or _FILTERED.search(f"{code} {message}"):
        return FailureKind.CONTENT_FILTER
    if _TOO_LONG.search(f"{code} {message}"):
        return FailureKind.CONTEXT_LENGTH
    if _NO_SUCH_MODEL.search(f"{code} {message}"):
        return FailureKind.DEPLOYMENT_MISSING
    if _SETTING.search(message):
        return FailureKind.UNSUPPORTED_SETTING
    return FailureKind.MAX_TOKENS_SPENT if _SPENT.search(message) else FailureKind.INVALID_REQUEST


def retry_after_seconds(headers: Mapping[str, str], message: str, now: datetime) -> float | None:
    """How long the service asks to wait, or None. Header names are lower case; values of 0 and below are ignored.

    The order is the service's own precision: `retry-after-ms`, `x-ms-retry-after-ms`, `retry-after` (seconds or an
    HTTP date), the reset time of the axis that ran out, and at last the message's text.
    """
    for name in ("retry-after-ms", "x-ms-retry-after-ms"):
        milliseconds = _positive(headers.get(name))
        if milliseconds:
            return milliseconds / 1000
    named = headers.get("retry-after")
    return _positive(named) or _until(named, now) or _reset_seconds(headers, message) or _wait_in_text(message)


def _positive(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if value > 0 and isfinite(value) else None


def _until(http_date: str | None, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date or "")
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    seconds = (aware - now).total_seconds()
    return seconds if seconds > 0 else None


def _reset_seconds(headers: Mapping[str, str], message: str) -> float | None:
    """Azure's unit is not documented, and the values seen are seconds; OpenAI writes durations such as 6m0s."""
    told = [headers.get(f"x-ratelimit-reset-{axis}") for axis in _exhausted_axes(headers, message)]
    resets = [_positive(text) or _duration(text) for text in told]
    longest = max((reset for reset in resets if reset), default=None)
    return longest and min(longest, _LONGEST_RESET_SECONDS)


def _duration(text: str | None) -> float | None:
    found = _DURATION.fullmatch(text or "")
    if not found:
        return None
    hours, minutes, seconds, milliseconds = (float(part or 0) for part in found.groups())
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000


def _exhausted_axes(headers: Mapping[str, str], message: str) -> tuple[Axis, ...]:
    stated = headers.get("x-ratelimit-type", "").lower()
    if stated in _AXES:
        return tuple(axis for axis in _AXES if axis == stated)
    if search("token rate limit|tokens per min", message, IGNORECASE):
        return ("tokens",)
    if search("call rate limit|requests per min", message, IGNORECASE):
        return ("requests",)
    return tuple(axis for axis in _AXES if headers.get(f"x-ratelimit-remaining-{axis}") == "0")


def _wait_in_text(message: str) -> float | None:
    found = _RETRY_AFTER_TEXT.search(message)
    if not found:
        return None
    milliseconds = found[2].lower().startswith("m")
    return _positive(found[1]) and float(found[1]) / (1000 if milliseconds else 1)
