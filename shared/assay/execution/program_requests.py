"""Makes a request like any other of what a program asks, or says what is wrong with it. `program_calls.py` calls it."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

from assay.llm.base import AnswerSchema, ChatMessage, ChatRequest
from assay.llm.schemas import schema_problem
from assay.programs.model import BadCall, Messages, Options
from assay.reasoning import ReasoningEffort
from assay.registry import did_you_mean
from assay.suite.models import PROGRAM_CRITERION

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)
MOST_STOPS = 4
HIGHEST_TEMPERATURE = 2
_EFFORTS: tuple[ReasoningEffort, ...] = get_args(ReasoningEffort)


def request_of(messages: Messages, options: Options, defaults: ChatRequest) -> ChatRequest:
    """The request; what the options do not say is as in `defaults`. Raises BadCall."""
    known = list(Options.__annotations__)
    for name in options:
        if name not in known:
            raise BadCall(f"there is no option '{name}'{did_you_mean(name, known)}. Options: {', '.join(known)}")
    said: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    for name, value in said.items():
        if not _CHECKS[name](value):
            raise BadCall(f"{name} is {value!r}; expected {_EXPECTED[name]}"[:500])
    if "schema" in said:
        said["schema"] = _schema(said["schema"])
    if "stop" in said:
        said["stop"] = tuple(said["stop"])
    return replace(defaults, messages=_messages(messages), **said)


def _messages(messages: Messages) -> tuple[ChatMessage, ...]:
    if isinstance(messages, str):
        return (ChatMessage("user", _sendable(messages)),)
    if not isinstance(messages, Sequence) or not messages:
        raise BadCall(f"messages is {type(messages).__name__}; expected text, or a list of at least one message")
    return tuple(_message(one) for one in messages)


def _message(message: Any) -> ChatMessage:
    expected = f"expected a mapping of role ({', '.join(ROLES)}) and content, a text"
    if not isinstance(message, Mapping):
        raise BadCall(f"a message is of type {type(message).__name__}; {expected}")
    role, content = message.get("role"), message.get("content")
    if role not in ROLES or not isinstance(content, str):
        raise BadCall(f"a message has role {role!r} and content of type {type(content).__name__}; {expected}")
    return ChatMessage(role, _sendable(content))


def _schema(schema: Mapping[str, Any]) -> AnswerSchema:
    try:
        text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadCall(f"schema is no JSON: {error}") from None
    if problem := schema_problem(schema):
        raise BadCall(f"schema: {problem}")
    return AnswerSchema(PROGRAM_CRITERION, text)


def _sendable(text: str) -> str:
    """The text without lone surrogates, which no request can carry."""
    return text.encode("utf-8", "replace").decode()


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "max_tokens": lambda value: _is_whole(value) and value >= 1,
    "temperature": lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= HIGHEST_TEMPERATURE
    ),
    "reasoning_effort": lambda value: isinstance(value, str) and value in _EFFORTS,
    "seed": _is_whole,
    "json": lambda value: isinstance(value, bool),
    "stop": lambda value: (
        isinstance(value, list | tuple) and len(value) <= MOST_STOPS and all(isinstance(one, str) for one in value)
    ),
    "schema": lambda value: isinstance(value, Mapping),
}
_EXPECTED = {
    "max_tokens": "a whole number of at least 1",
    "temperature": f"a number from 0 to {HIGHEST_TEMPERATURE}",
    "reasoning_effort": f"one of {', '.join(_EFFORTS)}",
    "seed": "a whole number",
    "json": "True or False",
    "stop": f"a list of at most {MOST_STOPS} texts",
    "schema": "a JSON Schema, a mapping",
}
