"""Headers are told in every spelling that was seen on the service."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from assay.local.emulated_quota import DeploymentQuota, QuotaVerdict
from assay.local.emulator_deployment import HeaderRules
from assay.local.emulator_headers import rate_limit_headers, retry_after_headers


def verdict() -> QuotaVerdict:
    """The second of two requests where ten seconds allow twenty."""
    quota = DeploymentQuota(120, 1000)
    quota.ask(100.0, 10)
    return quota.ask(101.0, 10)


def told(**rules: Any) -> dict[str, str]:
    return rate_limit_headers(verdict(), HeaderRules(**rules), "mini")


def test_the_usual_headers_tell_limits_per_minute() -> None:
    """Remaining requests are those of the short window."""
    assert told() == {
        "x-ratelimit-limit-requests": "120",
        "x-ratelimit-remaining-requests": "18",
        "x-ratelimit-reset-requests": "10",
        "x-ratelimit-renewalperiod-requests": "60",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "980",
        "x-ratelimit-reset-tokens": "60",
        "x-ratelimit-renewalperiod-tokens": "60",
    }


def test_limits_may_be_told_per_window_with_its_length() -> None:
    """20 for 120 a minute, as one needs the renewal period to read."""
    headers = told(limit_period="window")

    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-renewalperiod-requests"]) == ("20", "10")
    assert (headers["x-ratelimit-limit-tokens"], headers["x-ratelimit-renewalperiod-tokens"]) == ("1000", "60")


@pytest.mark.parametrize(("values", "value"), [("minus_one", "-1"), ("zero", "0")])
def test_values_may_be_told_that_mean_nothing(values: str, value: str) -> None:
    """-1 and 0 were seen on the service."""
    headers = told(values=values)

    assert {headers[f"x-ratelimit-{name}-tokens"] for name in ("limit", "remaining", "reset")} == {value}


def test_headers_may_be_missing_or_spelled_otherwise() -> None:
    """Every one of them is optional."""
    assert told(values="none") == {}
    assert not any("renewal" in name for name in told(renewal_period="none"))
    assert "x-ratelimit-renewal-period-tokens" in told(renewal_period="renewal-period")
    assert all(name.startswith("x-rate-limit-") for name in told(spelling="dashed"))


def test_extras_name_counter_and_policy() -> None:
    """A refusal tells that no penalty is active, too."""
    quota = DeploymentQuota(6, None)
    quota.ask(100.0, 1)

    headers = rate_limit_headers(quota.ask(100.0, 1), HeaderRules(extras=True), "mini")

    assert (headers["x-ratelimit-type"], headers["policy-id"]) == ("Requests", "DeploymentRatelimit-Request")
    assert (headers["x-ratelimit-key"], headers["x-ratelimit-abusepenalty-active"]) == ("mini-requests", "False")
    assert "policy-id" in told(extras=True)


@pytest.mark.parametrize(
    ("how", "headers"),
    [
        ("both", {"retry-after-ms": "6500", "retry-after": "7"}),
        ("seconds", {"retry-after": "7"}),
        ("milliseconds", {"retry-after-ms": "6500"}),
        ("x_ms", {"x-ms-retry-after-ms": "6500"}),
        ("minus_one", {"retry-after-ms": "-1", "retry-after": "-1"}),
        ("none", {}),
    ],
)
def test_the_wait_is_told_in_every_way(how: Any, headers: dict[str, str]) -> None:
    """One of them at a time, so that a caller's order of preference can be tested."""
    assert retry_after_headers(6.5, HeaderRules(retry_after=how)) == headers


def test_the_wait_may_be_a_date() -> None:
    """Rounded up to whole seconds from now."""
    date = retry_after_headers(100.0, HeaderRules(retry_after="date"))["retry-after"]

    assert 90 < (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds() <= 100
