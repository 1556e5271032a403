"""The error taxonomy of model calls: which kinds of failure there are, and what to do about each.

Adapters classify, `execution/retry.py` carries out the rules. Pure: no clock, no I/O, no SDK.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from math import isfinite
from re import IGNORECASE, compile, search

from assay.records import TrialStatus


class FailureKind(StrEnum):
    """Why a model request has no usable answer."""

    RATE_LIMITED = "rate_limited"
    SERVICE_BUSY = "service_busy"
    QUOTA_EXHAUSTED = "quota_exhausted"
    TOO_LARGE = "too_large"
    CONTENT_FILTER = "content_filter"
    CONTEXT_LENGTH = "context_length"
    INVALID_REQUEST = "invalid_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    DEPLOYMENT_MISSING = "deployment_missing"
    TIMEOUT = "timeout"
    CONFLICT = "conflict"
    SERVER_ERROR = "server_error"
    GATEWAY_ERROR = "gateway_error"
    UNREACHABLE = "unreachable"
    CONNECTION_LOST = "connection_lost"
    READ_TIMEOUT = "read_timeout"
    INVALID_ANSWER = "invalid_answer"
    ANSWER_FILTERED = "answer_filtered"
    TLS = "tls"
    CANCELLED = "cancelled"
    PROMPT_SHIELDED = "prompt_shielded"
    SHIELD_FAILED = "shield_failed"
    AUDIT_FAILED = "audit_failed"


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do about one kind of failure.

    `retries` is how often this kind alone may be retried; between retries `base_seconds` doubles up to `cap_seconds`,
    fully jittered, unless the service names a wait and `honours_retry_after` is set. `counts` says whether the attempt
    uses up the caller's limit of attempts. `charged` says whether the service is assumed to have counted the request.
    `outcome` is what the trial becomes when no retry is left.
    """

    retries: int
    base_seconds: float = 1.0
    cap_seconds: float = 8.0
    honours_retry_after: bool = False
    counts: bool = True
    charged: bool = True
    outcome: TrialStatus = TrialStatus.FAILED


_NEVER = 0
_BLOCKED = TrialStatus.BLOCKED

# One line per kind. 429s do not use up attempts: waiting helps for certain, and thirty waits of a minute bound it.
# Nor do endpoints that cannot be reached: nothing was sent or paid for, and eight waits outlast half a minute's outage.
# A missing deployment is not retried, although a new one may take five minutes to appear: a wrong name is likelier.
TAXONOMY: dict[FailureKind, Rule] = {
    FailureKind.RATE_LIMITED: Rule(30, cap_seconds=60, honours_retry_after=True, counts=False),
    FailureKind.SERVICE_BUSY: Rule(6, cap_seconds=30, honours_retry_after=True),
    FailureKind.QUOTA_EXHAUSTED: Rule(_NEVER, charged=False),
    FailureKind.TOO_LARGE: Rule(_NEVER, charged=False),
    FailureKind.CONTENT_FILTER: Rule(_NEVER, outcome=_BLOCKED),
    FailureKind.CONTEXT_LENGTH: Rule(_NEVER),
    FailureKind.INVALID_REQUEST: Rule(_NEVER),
    FailureKind.UNAUTHORIZED: Rule(1, charged=False),
    FailureKind.FORBIDDEN: Rule(_NEVER, charged=False),
    FailureKind.DEPLOYMENT_MISSING: Rule(_NEVER, charged=False),
    FailureKind.TIMEOUT: Rule(3, honours_retry_after=True),
    FailureKind.CONFLICT: Rule(2, honours_retry_after=True),
    FailureKind.SERVER_ERROR: Rule(4, honours_retry_after=True),
    FailureKind.GATEWAY_ERROR: Rule(4, honours_retry_after=True),
    FailureKind.UNREACHABLE: Rule(8, cap_seconds=30, counts=False, charged=False),
    FailureKind.CONNECTION_LOST: Rule(2),
    FailureKind.READ_TIMEOUT: Rule(2),
    FailureKind.INVALID_ANSWER: Rule(2),
    FailureKind.ANSWER_FILTERED: Rule(_NEVER, outcome=_BLOCKED),
    FailureKind.TLS: Rule(_NEVER, charged=False),
    FailureKind.CANCELLED: Rule(_NEVER),
    FailureKind.PROMPT_SHIELDED: Rule(_NEVER, charged=False, outcome=_BLOCKED),
    FailureKind.SHIELD_FAILED: Rule(_NEVER, charged=False),
    FailureKind.AUDIT_FAILED: Rule(_NEVER, charged=False),
}

# A longer wait means that the request alone is above the deployment's limit (up to 86,400 seconds have been seen).
LONGEST_WAIT_SECONDS = 600.0

_LONGEST_RESET_SECONDS = 60.0
_BUSY = compile(
    r"temporarily unable to process|experiencing high demand|no capacity|at capacity|overloaded", IGNORECASE
)
_REQUEST_TOO_LARGE = compile(r"request too large", IGNORECASE)
_FILTERED = compile(r"content management policy|ResponsibleAIPolicyViolation", IGNORECASE)
_TOO_LONG = compile(r"maximum context length|context_length_exceeded|string_above_max_length", IGNORECASE)
_RETRY_AFTER_TEXT = compile(
    r"(?:retry after|try again in) (\d+(?:\.\d+)?) ?(ms|milliseconds?|s|seconds?)\b", IGNORECASE
)
_AXES = ("requests", "tokens")

_BY_STATUS = {
    HTTPStatus.UNAUTHORIZED: FailureKind.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN: FailureKind.FORBIDDEN,
    HTTPStatus.NOT_FOUND: FailureKind.DEPLOYMENT_MISSING,
    HTTPStatus.REQUEST_TIMEOUT: FailureKind.TIMEOUT,
    HTTPStatus.CONFLICT: FailureKind.CONFLICT,
    HTTPStatus.BAD_GATEWAY: FailureKind.GATEWAY_ERROR,
    HTTPStatus.SERVICE_UNAVAILABLE: FailureKind.SERVICE_BUSY,
    HTTPStatus.GATEWAY_TIMEOUT: FailureKind.GATEWAY_ERROR,
}


def classify(status: int, code: str | None, message: str, headers: Mapping[str, str], now: datetime) -> FailureKind:
    """The kind of an error answer. `code` is the body's error code; header names are lower case; `now` is aware."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _classify_throttling(code, message, retry_after_seconds(headers, message, now))
    if status == HTTPStatus.BAD_REQUEST:
        return _classify_bad_request(code or "", message)
    if status in _BY_STATUS:
        return _BY_STATUS[HTTPStatus(status)]
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return FailureKind.SERVER_ERROR
    return FailureKind.INVALID_REQUEST if status >= HTTPStatus.BAD_REQUEST else FailureKind.INVALID_ANSWER


def _classify_throttling(code: str | None, message: str, wait_seconds: float | None) -> FailureKind:
    if code == "insufficient_quota":
        return FailureKind.QUOTA_EXHAUSTED
    if _REQUEST_TOO_LARGE.search(message) or (wait_seconds or 0) > LONGEST_WAIT_SECONDS:
        return FailureKind.TOO_LARGE
    return FailureKind.SERVICE_BUSY if _BUSY.search(message) else FailureKind.RATE_LIMITED


def _classify_bad_request(code: str, message: str) -> FailureKind:
    if code == "content_filter" or _FILTERED.search(f"{code} {message}"):
        return FailureKind.CONTENT_FILTER
    return FailureKind.CONTEXT_LENGTH if _TOO_LONG.search(f"{code} {message}") else FailureKind.INVALID_REQUEST


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
    """The unit is not documented; the values seen are seconds."""
    resets = [_positive(headers.get(f"x-ratelimit-reset-{axis}")) for axis in _exhausted_axes(headers, message)]
    longest = max((reset for reset in resets if reset), default=None)
    return longest and min(longest, _LONGEST_RESET_SECONDS)


def _exhausted_axes(headers: Mapping[str, str], message: str) -> tuple[str, ...]:
    stated = headers.get("x-ratelimit-type", "").lower()
    if stated in _AXES:
        return (stated,)
    if search("token rate limit", message, IGNORECASE):
        return ("tokens",)
    if search("call rate limit", message, IGNORECASE):
        return ("requests",)
    return tuple(axis for axis in _AXES if headers.get(f"x-ratelimit-remaining-{axis}") == "0")


def _wait_in_text(message: str) -> float | None:
    found = _RETRY_AFTER_TEXT.search(message)
    if not found:
        return None
    milliseconds = found[2].lower().startswith("m")
    return _positive(found[1]) and float(found[1]) / (1000 if milliseconds else 1)
