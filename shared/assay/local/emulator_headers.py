"""The headers of the emulator's answers: request ids, and what is told of quotas, in every spelling seen.

Called by `emulator_service`.
"""

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from uuid import uuid4

from assay.local.emulated_quota import Axis, AxisState, QuotaVerdict
from assay.local.emulator_deployment import HeaderRules

TOLD_INSTEAD = {"minus_one": "-1", "zero": "0"}


def request_headers(request_id: str, region: str) -> dict[str, str]:
    """Headers of every answer. Support asks for `apim-request-id`; the SDK shows `x-request-id`."""
    return {
        "apim-request-id": request_id,
        "x-request-id": str(uuid4()),
        "x-ms-region": region,
        "x-content-type-options": "nosniff",
    }


def rate_limit_headers(verdict: QuotaVerdict, rules: HeaderRules, deployment: str) -> dict[str, str]:
    """`x-ratelimit-*` for each limited axis: its limit, what is left in the window, seconds until it resets.

    In the spelling and with the values that the deployment's rules set.
    """
    if rules.values == "none":
        return {}
    headers: dict[str, str] = {}
    prefix = "x-ratelimit" if rules.spelling == "usual" else "x-rate-limit"
    if verdict.requests is not None:
        _tell_axis(headers, "requests", verdict.requests, rules, prefix)
    if verdict.tokens is not None:
        _tell_axis(headers, "tokens", verdict.tokens, rules, prefix)
    if verdict.refused_by is not None:
        headers[f"{prefix}-type"] = verdict.refused_by.capitalize()
    if rules.extras:
        _tell_extras(headers, verdict, prefix, deployment)
    return headers


def retry_after_headers(wait_seconds: float, rules: HeaderRules) -> dict[str, str]:
    """The recommended wait, told as the deployment's rules say."""
    milliseconds, seconds = str(math.ceil(wait_seconds * 1000)), str(math.ceil(wait_seconds))
    if rules.retry_after == "both":
        return {"retry-after-ms": milliseconds, "retry-after": seconds}
    if rules.retry_after == "none":
        return {}
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=math.ceil(wait_seconds)), usegmt=True)
    return {
        "seconds": {"retry-after": seconds},
        "milliseconds": {"retry-after-ms": milliseconds},
        "x_ms": {"x-ms-retry-after-ms": milliseconds},
        "date": {"retry-after": date},
        "minus_one": {"retry-after-ms": "-1", "retry-after": "-1"},
    }[rules.retry_after]


def _tell_axis(headers: dict[str, str], axis: Axis, state: AxisState, rules: HeaderRules, prefix: str) -> None:
    by_window = rules.limit_period == "window"
    limit = state.limit_per_window if by_window else state.limit_per_minute
    told = TOLD_INSTEAD.get(rules.values)
    headers[f"{prefix}-limit-{axis}"] = told or str(limit)
    headers[f"{prefix}-remaining-{axis}"] = told or str(state.remaining)
    headers[f"{prefix}-reset-{axis}"] = told or str(math.ceil(state.reset_seconds))
    if rules.renewal_period != "none":
        headers[f"{prefix}-{rules.renewal_period}-{axis}"] = f"{state.window_seconds:g}" if by_window else "60"


def _tell_extras(headers: dict[str, str], verdict: QuotaVerdict, prefix: str, deployment: str) -> None:
    axis = verdict.refused_by or "tokens"
    headers[f"{prefix}-key"] = f"{deployment}-{axis}"
    headers["policy-id"] = f"DeploymentRatelimit-{axis.capitalize().removesuffix('s')}"
    if verdict.refused_by is not None:
        headers[f"{prefix}-abusepenalty-active"] = "False"
