"""What LiteLLM and its providers raise, as ModelErrors. Only `litellm_chat.py` comes here, after LiteLLM is loaded."""

import json
from datetime import datetime
from http import HTTPStatus

import aiohttp
import httpx
import openai
from litellm import exceptions as raised

from assay.llm.base import ModelError
from assay.llm.errors import FailureKind
from assay.llm.sdk_errors import LONGEST_MESSAGE, causes, refused, translate

# What its own classes know better than their texts.
_OWN_KINDS = {
    raised.ContextWindowExceededError: FailureKind.CONTEXT_LENGTH,
    raised.ContentPolicyViolationError: FailureKind.CONTENT_FILTER,
    raised.UnsupportedParamsError: FailureKind.UNSUPPORTED_SETTING,
}
# What may lie below the others, where the provider's code does not use the openai SDK.
_CAUSES: tuple[tuple[tuple[type[BaseException], ...], FailureKind], ...] = (
    ((httpx.ConnectError, httpx.ConnectTimeout), FailureKind.UNREACHABLE),
    ((raised.Timeout, httpx.TimeoutException), FailureKind.READ_TIMEOUT),
    ((json.JSONDecodeError,), FailureKind.MALFORMED_ANSWER),
    ((httpx.TransportError, aiohttp.ClientError), FailureKind.CONNECTION_LOST),
)


def translate_litellm(error: Exception, now: datetime) -> ModelError:
    """The ModelError for whatever it raised; the cause in the provider's own words, where there is one."""
    chain = list(causes(error))
    if type(error) in _OWN_KINDS:
        found = _refused(error, chain, now)
        found.kind = _OWN_KINDS[type(error)]
        return found
    sdk = next((one for one in chain if type(one).__module__.startswith("openai")), None)
    if isinstance(sdk, openai.APIStatusError | openai.APIConnectionError):
        return translate(sdk, now)
    if isinstance(error, TimeoutError):
        return translate(error, now)
    answered = any(isinstance(one, httpx.HTTPStatusError) for one in chain)
    for types, kind in () if answered else _CAUSES:
        if any(isinstance(one, types) for one in chain):
            return ModelError(kind, _message(error), sent=kind is not FailureKind.UNREACHABLE)
    return _refused(error, chain, now)


def _refused(error: Exception, chain: list[BaseException], now: datetime) -> ModelError:
    """By the status that the provider answered with, else by the one that LiteLLM gives to its error."""
    answered = (one.response.status_code for one in chain if isinstance(one, httpx.HTTPStatusError))
    status = next(answered, None) or getattr(error, "status_code", None) or HTTPStatus.INTERNAL_SERVER_ERROR
    return refused(int(status), "", _message(error), _headers_of(error), now)


def _message(error: Exception) -> str:
    return str(getattr(error, "message", None) or error)[:LONGEST_MESSAGE]


def _headers_of(error: Exception) -> dict[str, str]:
    response = getattr(error, "response", None)
    headers = getattr(error, "litellm_response_headers", None) or getattr(response, "headers", None) or {}
    return {str(name).lower(): str(value) for name, value in headers.items()}
