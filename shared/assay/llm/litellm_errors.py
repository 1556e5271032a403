"""What LiteLLM and its providers raise, as ModelErrors. Only `litellm_chat.py` comes here, after LiteLLM is loaded."""

import json
from datetime import datetime

import httpx
import openai
from litellm import exceptions as raised

from assay.llm.base import ModelError
from assay.llm.errors import FailureKind
from assay.llm.sdk_errors import LONGEST_MESSAGE, causes, refused, translate

# What its own classes know better than their texts, and what its transport for other providers may raise.
_KINDS: tuple[tuple[tuple[type[BaseException], ...], FailureKind], ...] = (
    ((raised.ContextWindowExceededError,), FailureKind.CONTEXT_LENGTH),
    ((raised.ContentPolicyViolationError,), FailureKind.CONTENT_FILTER),
    ((httpx.ConnectError, httpx.ConnectTimeout), FailureKind.UNREACHABLE),
    ((raised.Timeout, httpx.TimeoutException), FailureKind.READ_TIMEOUT),
    ((json.JSONDecodeError,), FailureKind.MALFORMED_ANSWER),
)


def translate_litellm(error: Exception, now: datetime) -> ModelError:
    """The ModelError for whatever it raised; the cause in the provider's own words, where there is one."""
    chain = list(causes(error))
    own = next((one for one in chain if type(one).__module__.startswith("openai")), None)
    headers = _headers_of(error)
    message = str(getattr(error, "message", None) or error)[:LONGEST_MESSAGE]
    status = getattr(error, "status_code", None)
    for types, kind in _KINDS[:2]:
        if isinstance(error, types):
            found = refused(int(status or 400), "", message, headers, now)
            found.kind = kind
            return found
    if isinstance(own, openai.APIStatusError | openai.APIConnectionError):
        return translate(own, now)
    for types, kind in _KINDS[2:]:
        if any(isinstance(one, types) for one in chain):
            return ModelError(kind, message, sent=kind is not FailureKind.UNREACHABLE)
    if isinstance(error, TimeoutError):
        return translate(error, now)
    return refused(int(status or 500), "", message, headers, now)


def _headers_of(error: Exception) -> dict[str, str]:
    response = getattr(error, "response", None)
    headers = getattr(error, "litellm_response_headers", None) or getattr(response, "headers", None) or {}
    return {str(name).lower(): str(value) for name, value in headers.items()}
