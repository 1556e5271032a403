"""The taxonomy: what an error answer of Azure OpenAI means, and how long it asks to wait."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.llm.errors import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, TAXONOMY, FailureKind
from assay.llm.refusals import classify, exhausted_axis, per_minute, retry_after_seconds
from assay.records import TrialStatus

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)

RATE_LIMIT_TEXT = (
    "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token "
    "rate limit of your current OpenAI S0 pricing tier. Please retry after 7 seconds. Please contact Azure support."
)
CALL_LIMIT_TEXT = RATE_LIMIT_TEXT.replace("token rate limit", "call rate limit")
CAPACITY_TEXT = (
    "The service is temporarily unable to process your request. Please try again later. (experiencing high demand)"
)
FILTER_TEXT = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
    "Please modify your prompt and retry."
)
LENGTH_TEXT = "This model's maximum context length is 128000 tokens. However, your messages resulted in 130012 tokens."
# As Azure OpenAI said them to requests of others: github.com/johny-b/llmcomp/issues/69, BerriAI/litellm/issues/16704.
ONLY_DEFAULT = "does not support 0 with this model. Only the default (1) value is supported."
UNKNOWN_EFFORT = (
    "Unsupported value: 'reasoning_effort' does not support 'minimal' with this model. "
    "Supported values are: 'none', 'low', 'medium', 'high', and 'xhigh'."
)
OLD_EFFORTS = "Invalid value: 'none'. Supported values are: 'low', 'medium', and 'high'. (parameter reasoning_effort)"
SPENT_TEXT = "Could not finish the message because max_tokens or model output limit was reached."

ANSWERS = [
    (429, "429", RATE_LIMIT_TEXT, {}, FailureKind.RATE_LIMITED),
    (429, "RateLimitReached", "Your requests have been limited.", {}, FailureKind.RATE_LIMITED),
    (429, None, "", {}, FailureKind.RATE_LIMITED),
    (429, "429", CAPACITY_TEXT, {"retry-after": "3"}, FailureKind.AT_CAPACITY),
    (429, "NoCapacity", "The system is currently experiencing high demand.", {}, FailureKind.AT_CAPACITY),
    (429, "insufficient_quota", "You exceeded your current quota.", {}, FailureKind.QUOTA_EXHAUSTED),
    (429, "429", RATE_LIMIT_TEXT, {"retry-after": "86400"}, FailureKind.TOO_LARGE),
    (429, "429", RATE_LIMIT_TEXT, {"retry-after": "600"}, FailureKind.RATE_LIMITED),
    (
        429,
        "rate_limit_exceeded",
        "Request too large for gpt-4o: limit 30000, requested 41000",
        {},
        FailureKind.TOO_LARGE,
    ),
    (400, "content_filter", FILTER_TEXT, {}, FailureKind.CONTENT_FILTER),
    (400, None, FILTER_TEXT, {}, FailureKind.CONTENT_FILTER),
    (400, "ResponsibleAIPolicyViolation", "", {}, FailureKind.CONTENT_FILTER),
    (400, "context_length_exceeded", LENGTH_TEXT, {}, FailureKind.CONTEXT_LENGTH),
    (400, "string_above_max_length", "Invalid 'messages[0].content': too long.", {}, FailureKind.CONTEXT_LENGTH),
    (400, None, LENGTH_TEXT, {}, FailureKind.CONTEXT_LENGTH),
    (400, "unsupported_parameter", "Unsupported parameter: 'logprobs'.", {}, FailureKind.UNSUPPORTED_SETTING),
    (400, "unsupported_value", f"Unsupported value: 'temperature' {ONLY_DEFAULT}", {}, FailureKind.UNSUPPORTED_SETTING),
    (400, "unsupported_value", UNKNOWN_EFFORT, {}, FailureKind.UNSUPPORTED_SETTING),
    (400, "invalid_value", OLD_EFFORTS, {}, FailureKind.UNSUPPORTED_SETTING),
    (400, None, "Unrecognized request argument supplied: reasoning_effort", {}, FailureKind.UNSUPPORTED_SETTING),
    (400, "unsupported_value", "Unsupported value: 'messages[1].content'", {}, FailureKind.INVALID_REQUEST),
    (400, "invalid_value", "Invalid value: 'bird'. Supported values are: 'user'.", {}, FailureKind.INVALID_REQUEST),
    (400, None, SPENT_TEXT, {}, FailureKind.MAX_TOKENS_SPENT),
    (401, "401", "Access denied due to invalid subscription key.", {}, FailureKind.UNAUTHORIZED),
    (403, "AccessDenied", "Public access is disabled.", {}, FailureKind.FORBIDDEN),
    (
        404,
        "DeploymentNotFound",
        "The API deployment for this resource does not exist.",
        {},
        FailureKind.DEPLOYMENT_MISSING,
    ),
    (408, "Timeout", "The operation was timeout.", {}, FailureKind.TIMEOUT),
    (409, "conflict", "", {}, FailureKind.CONFLICT),
    (410, "ModelRetired", "The model of this deployment has been retired.", {}, FailureKind.DEPLOYMENT_MISSING),
    (413, None, "", {}, FailureKind.INVALID_REQUEST),
    (422, None, "", {}, FailureKind.INVALID_REQUEST),
    (431, None, "", {}, FailureKind.INVALID_REQUEST),
    (500, "InternalServerError", "The server had an error.", {}, FailureKind.SERVER_ERROR),
    (502, None, "<html>Bad gateway</html>", {}, FailureKind.GATEWAY_ERROR),
    (503, "ServiceUnavailable", "", {}, FailureKind.SERVICE_BUSY),
    (504, None, "", {}, FailureKind.GATEWAY_ERROR),
    (529, None, "", {}, FailureKind.SERVER_ERROR),
    (302, None, "", {}, FailureKind.MALFORMED_ANSWER),
]

WAITS = [
    ({"retry-after-ms": "1500", "retry-after": "7"}, "", 1.5),
    ({"x-ms-retry-after-ms": "250", "retry-after": "7"}, "", 0.25),
    ({"retry-after": "7", "x-ratelimit-reset-tokens": "3"}, RATE_LIMIT_TEXT, 7.0),
    ({"retry-after": "0.5"}, "", 0.5),
    ({"retry-after": "Fri, 20 Nov 2026 12:00:09 GMT"}, "", 9.0),
    ({"retry-after": "Fri, 20 Nov 2026 11:59:09 GMT"}, "", None),
    ({"retry-after": "86400"}, "", 86400.0),
    ({"retry-after-ms": "-1", "retry-after": "4"}, "", 4.0),
    ({"retry-after": "-1"}, "", None),
    ({"retry-after": "0"}, "", None),
    ({"retry-after": "nan"}, "", None),
    ({"retry-after": "soon"}, "", None),
    ({"x-ratelimit-reset-tokens": "12", "x-ratelimit-reset-requests": "3"}, RATE_LIMIT_TEXT, 12.0),
    ({"x-ratelimit-reset-tokens": "12", "x-ratelimit-reset-requests": "3"}, CALL_LIMIT_TEXT, 3.0),
    ({"x-ratelimit-reset-tokens": "12", "x-ratelimit-type": "Tokens"}, "", 12.0),
    ({"x-ratelimit-reset-tokens": "300", "x-ratelimit-type": "tokens"}, "", 60.0),
    ({"x-ratelimit-reset-tokens": "12", "x-ratelimit-remaining-tokens": "0"}, "", 12.0),
    ({"x-ratelimit-reset-tokens": "1.5s", "x-ratelimit-remaining-tokens": "0"}, "", 1.5),
    ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "0"}, "", 60.0),
    ({"x-ratelimit-reset-requests": "17ms", "x-ratelimit-remaining-requests": "0"}, "", 0.017),
    ({"x-ratelimit-reset-tokens": "12", "x-ratelimit-remaining-tokens": "500"}, "", None),
    ({}, RATE_LIMIT_TEXT, 7.0),
    ({}, "Rate limit is exceeded. Try again in 26 seconds.", 26.0),
    ({}, "Please try again in 20ms.", 0.02),
    ({}, "retry after 0 seconds", None),
    ({}, "", None),
]


@pytest.mark.parametrize(("status", "code", "message", "headers", "kind"), ANSWERS)
def test_an_error_answer_has_one_kind(
    status: int, code: str | None, message: str, headers: dict[str, str], kind: FailureKind
) -> None:
    """Status first, then code, then words: the kind follows from the answer alone."""
    assert classify(status, code, message, headers, NOW) is kind


@pytest.mark.parametrize(("headers", "message", "seconds"), WAITS)
def test_the_most_precise_wait_is_used(headers: dict[str, str], message: str, seconds: float | None) -> None:
    """Milliseconds before seconds before resets before text; values of zero and below are ignored."""
    assert retry_after_seconds(headers, message, NOW) == seconds


@pytest.mark.parametrize(
    ("headers", "limit"),
    [
        ({"x-ratelimit-limit-requests": "600"}, 600),
        ({"x-ratelimit-limit-requests": "20", "x-ratelimit-renewalperiod-requests": "10"}, 120),
        ({"x-ratelimit-limit-requests": "600", "x-ratelimit-renewalperiod-requests": "60"}, 600),
        ({"x-ratelimit-limit-requests": "600", "x-ratelimit-renewalperiod-requests": "0"}, 600),
        ({"x-ratelimit-limit-requests": "-1"}, None),
        ({"x-ratelimit-limit-requests": "0"}, None),
        ({"x-ratelimit-limit-requests": "many"}, None),
        ({"x-ratelimit-limit-tokens": "600"}, None),
        ({}, None),
    ],
)
def test_announced_limits_are_per_minute_and_positive(headers: dict[str, str], limit: int | None) -> None:
    """Some deployments state the limit of a shorter window; nothing at or below zero is a limit."""
    assert per_minute(headers, "requests") == limit


@pytest.mark.parametrize(
    ("headers", "message", "axis"),
    [
        ({"x-ratelimit-type": "Tokens"}, CALL_LIMIT_TEXT, "tokens"),
        ({}, RATE_LIMIT_TEXT, "tokens"),
        ({}, CALL_LIMIT_TEXT, "requests"),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-remaining-tokens": "9"}, "", "requests"),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-remaining-tokens": "0"}, "", None),
        ({}, "", None),
    ],
)
def test_the_limit_that_was_hit_is_named_where_the_service_says_it(
    headers: dict[str, str], message: str, axis: str | None
) -> None:
    """Header, text, then what is left; both or neither say nothing."""
    assert exhausted_axis(headers, message) == axis


@given(st.text(), st.text(), st.text())
def test_no_header_or_text_breaks_the_parser(retry_after: str, reset: str, message: str) -> None:
    """Headers are the service's: whatever they hold, the answer is None or a positive number."""
    headers = {"retry-after": retry_after, "x-ratelimit-reset-tokens": reset, "x-ratelimit-type": "tokens"}
    wait = retry_after_seconds(headers, message, NOW)
    assert wait is None or wait > 0


def test_every_kind_has_a_rule() -> None:
    """A failure without a rule could not be carried out."""
    assert set(TAXONOMY) == set(FailureKind)


@pytest.mark.parametrize("kind", [kind for kind, rule in TAXONOMY.items() if not rule.charged and rule.counts])
def test_what_no_repetition_can_heal_is_hardly_retried(kind: FailureKind) -> None:
    """Only a token may have run out meanwhile; nothing else heals by asking again."""
    assert TAXONOMY[kind].retries <= 1


def test_an_endpoint_that_cannot_be_reached_for_half_a_minute_costs_no_trial() -> None:
    """Nothing was sent, so that asking again costs nothing; full jitter halves a back-off on average."""
    rule = TAXONOMY[FailureKind.UNREACHABLE]
    longest = [min(rule.cap_seconds, FIRST_WAIT_SECONDS * 2**at) for at in range(rule.retries)]
    assert sum(longest) / 2 >= 2 * 30
    assert not rule.counts


def test_filtered_content_blocks_the_trial_and_is_never_asked_again() -> None:
    """The filter is deterministic, and its verdict is an outcome of its own."""
    blocked = {kind for kind, rule in TAXONOMY.items() if rule.outcome is TrialStatus.BLOCKED}
    assert blocked == {FailureKind.CONTENT_FILTER, FailureKind.ANSWER_FILTERED, FailureKind.PROMPT_SHIELDED}
    assert all(TAXONOMY[kind].retries == 0 for kind in blocked)


def test_waits_stay_below_the_bound_that_means_too_large() -> None:
    """A back-off may not be mistaken for a request that never fits."""
    assert all(rule.cap_seconds < LONGEST_WAIT_SECONDS for rule in TAXONOMY.values())
