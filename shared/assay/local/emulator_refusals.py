"""What the service says when it refuses: statuses, error codes and texts as seen on Azure OpenAI.

Called by everything that checks requests, and by `emulator_replies`. No decision is taken here.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from assay.local.emulated_quota import QuotaVerdict

SUPPORT_LINK = "https://go.microsoft.com/fwlink/?linkid=2213926"
QUOTA_LINK = "https://aka.ms/oai/quotaincrease"
FILTER_LINK = "https://go.microsoft.com/fwlink/?linkid=2198766"
CAPACITY_RETRY_SECONDS = 2
CONDUCT_LINK = "https://aka.ms/aoaicodeofconduct"

SAFE = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")}
SAFE_PROMPT: dict[str, Any] = {**SAFE, "jailbreak": {"filtered": False, "detected": False}}
VIOLENT = {"filtered": True, "severity": "medium"}

RefusalKind = Literal[
    "wrong_key", "blocked", "deployment_not_found", "capacity", "insufficient_quota", "unavailable", "server_error"
]
"""What a deployment can be told to answer to everything."""


@dataclass(eq=False)
class Refusal(Exception):
    """An answer other than 200. `verdict` is the word for it in the log."""

    status: int
    verdict: str
    error: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        return json.dumps({"error": self.error}).encode()


def invalid_request(message: str, parameter: str | None = None, code: str | None = None) -> Refusal:
    error = {"message": message, "type": "invalid_request_error", "param": parameter, "code": code}
    return Refusal(400, code or "invalid_request", error)


def wrong_type(name: str, expected: str, value: object) -> Refusal:
    return invalid_request(
        f"Invalid type for '{name}': expected {expected}, but got {_json_type(value)} instead.", name, "invalid_type"
    )


def wrong_key() -> Refusal:
    message = (
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid key for an "
        "active subscription and use a correct regional API endpoint for your resource."
    )
    return Refusal(401, "wrong_key", {"code": "401", "message": message})


def resource_not_found() -> Refusal:
    return Refusal(404, "resource_not_found", {"code": "404", "message": "Resource not found"})


def blocked() -> Refusal:
    message = (
        "Your resource has been temporarily blocked because we detected behavior that may violate our content policy. "
        f"For more details on Azure OpenAI service content policy, please visit {CONDUCT_LINK}"
    )
    return Refusal(403, "blocked", {"code": "Forbidden", "message": message})


def deployment_not_found() -> Refusal:
    message = (
        "The API deployment for this resource does not exist. If you created the deployment within the last "
        "5 minutes, please wait a moment and try again."
    )
    return Refusal(404, "deployment_not_found", {"code": "DeploymentNotFound", "message": message})


def rate_limited(verdict: QuotaVerdict, api_version: str | None, operation: str = "ChatCompletions_Create") -> Refusal:
    """The 429 of one axis; its text and `x-ratelimit-type` name the axis."""
    axis = verdict.refused_by or "requests"
    seconds = math.ceil(verdict.retry_after_seconds)
    limit = "token rate limit" if axis == "tokens" else "call rate limit"
    version = f" under Azure OpenAI API version {api_version}" if api_version else ""
    message = (
        f"Requests to the {operation} Operation{version} have exceeded {limit} of your current OpenAI S0 "
        f"pricing tier. Please retry after {seconds} seconds. Please go here: {QUOTA_LINK} if you would like to "
        "further increase the default rate limit."
    )
    return Refusal(429, f"rate_limited_{axis}", {"code": "429", "message": message})


def at_capacity() -> Refusal:
    """The 429 that is no fault of the caller: the service is busy. Its text must not name a rate limit."""
    message = (
        "The service is temporarily unable to process your request because of high demand. Please retry after "
        f"{CAPACITY_RETRY_SECONDS} seconds."
    )
    return Refusal(429, "capacity", {"code": "429", "message": message})


def insufficient_quota() -> Refusal:
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more information on this "
        "error, read the docs."
    )
    error = {"message": message, "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}
    return Refusal(429, "insufficient_quota", error)


def content_filtered() -> Refusal:
    message = (
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please "
        f"modify your prompt and retry. To learn more about our content filtering policies please read our "
        f"documentation: {FILTER_LINK}"
    )
    result = {**SAFE_PROMPT, "violence": VIOLENT}
    inner = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": result}
    error = {
        "message": message,
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": inner,
    }
    return Refusal(400, "content_filter", error)


def server_error(request_id: str) -> Refusal:
    message = (
        "The server had an error while processing your request. Sorry about that! You can retry your request, or "
        f"contact us through an Azure support request at: {SUPPORT_LINK} if the error persists. (Please include the "
        f"request ID {request_id} in your message.)"
    )
    return Refusal(500, "error_500", {"message": message, "type": "server_error", "param": None, "code": None})


def bad_gateway() -> Refusal:
    return Refusal(502, "error_502", {"code": "502", "message": "Bad gateway: the backend gave no valid response."})


def unavailable() -> Refusal:
    message = "The service is temporarily unable to process your request. Please try again later."
    return Refusal(503, "error_503", {"code": "ServiceUnavailable", "message": message})


def timed_out() -> Refusal:
    return Refusal(408, "error_408", {"code": "Timeout", "message": "The operation was timeout."})


def refusal_of(kind: RefusalKind, request_id: str) -> Refusal:
    """What a deployment answers that was told to refuse everything so."""
    return server_error(request_id) if kind == "server_error" else _REFUSALS[kind]()


_REFUSALS: dict[str, Callable[[], Refusal]] = {
    "wrong_key": wrong_key,
    "blocked": blocked,
    "deployment_not_found": deployment_not_found,
    "capacity": at_capacity,
    "insufficient_quota": insufficient_quota,
    "unavailable": unavailable,
}


def _json_type(value: object) -> str:
    names = {bool: "a boolean", int: "an integer", float: "a decimal", str: "a string", list: "an array"}
    return "null" if value is None else names.get(type(value), "an object")
