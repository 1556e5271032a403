"""Reads and checks the body of a chat completion request, with the refusals that the service gives.

Called by `openai_emulator` for each request; plain checks only, this is its hot path.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from assay.local.emulator_deployment import Deployment
from assay.local.emulator_refusals import invalid_request, wrong_type
from assay.local.emulator_schemas import check_json_schema
from assay.reasoning import ReasoningEffort

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
CHARACTERS_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
UNSET_MAX_TOKENS_CHARGE = 640
"""What was measured on the service as the completion's part of the charge when a request sets no limit."""

# fmt: off
ANSWER_PARAMETERS = (
    "temperature", "top_p", "seed", "presence_penalty", "frequency_penalty", "logit_bias", "reasoning_effort",
    "response_format", "stop", "tools",
)
"""What may change an answer besides the messages. A token limit only cuts it, so it is not among them."""

KNOWN_PARAMETERS = frozenset(ANSWER_PARAMETERS) | {
    "audio", "data_sources", "function_call", "functions", "logprobs", "max_completion_tokens", "max_tokens",
    "messages", "metadata", "modalities", "model", "n", "parallel_tool_calls", "prediction", "prompt_cache_key",
    "prompt_cache_retention", "safety_identifier", "service_tier", "store", "stream", "stream_options", "tool_choice",
    "top_logprobs", "user", "user_security_context", "verbosity",
}
# fmt: on

NUMBER_RANGES = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
SERVICE_TEMPERATURE = 1.0
REASONING_DEFAULTS = {"temperature": SERVICE_TEMPERATURE, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A checked request. `digest` names its content: deployment, messages and the parameters that change an answer."""

    deployment: str
    texts: tuple[str, ...]
    digest: str
    prompt_tokens: int
    max_tokens: int | None
    response_format: Mapping[str, Any]
    stream: bool
    include_usage: bool
    temperature: float
    effort: ReasoningEffort = "none"

    @property
    def charge(self) -> int:
        """Tokens that the quota counts at arrival: the estimated prompt and the whole completion limit."""
        return self.prompt_tokens + (UNSET_MAX_TOKENS_CHARGE if self.max_tokens is None else self.max_tokens)


def count_tokens(characters: int, messages: int = 0) -> int:
    """The emulator's only tokeniser: a quarter of the characters, rounded up, and four tokens for each message."""
    return math.ceil(characters / CHARACTERS_PER_TOKEN) + TOKENS_PER_MESSAGE * messages


def parse_body(raw: bytes) -> dict[str, Any]:
    """The JSON object of a request. Raises Refusal (400) for anything else."""
    try:
        body = json.loads(raw)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise invalid_request("We could not parse the JSON body of your request. Expected a JSON object.")
    return body


def read_chat_request(body: Mapping[str, Any], name: str, deployment: Deployment) -> ChatRequest:
    """Check `body` for the deployment called `name`. Raises Refusal (400) with the service's own error codes."""
    _check_parameters(body)
    effort = _effort(body, deployment)
    if deployment.reasoning is not None:
        _check_reasoning_parameters(body, effort)
    messages = body.get("messages")
    texts = _texts_of(messages)
    response_format = _response_format(body, texts)
    return ChatRequest(
        deployment=name,
        texts=texts,
        digest=_digest(name, body),
        prompt_tokens=_prompt_tokens(texts, response_format),
        max_tokens=_max_tokens(body, deployment),
        response_format=response_format,
        stream=bool(body.get("stream")),
        include_usage=_include_usage(body),
        temperature=_temperature(body),
        effort=effort,
    )


def check_context_length(chat: ChatRequest, deployment: Deployment) -> None:
    """Raises Refusal (400 context_length_exceeded) when prompt and completion limit do not fit the model."""
    completion = chat.max_tokens or 0
    wanted = chat.prompt_tokens + completion
    if wanted <= deployment.context_tokens:
        return
    asked = f"you requested {wanted} tokens ({chat.prompt_tokens} in the messages, {completion} in the completion)"
    raise invalid_request(
        f"This model's maximum context length is {deployment.context_tokens} tokens. However, {asked}. "
        "Please reduce the length of the messages or completion.",
        "messages",
        "context_length_exceeded",
    )


def _check_parameters(body: Mapping[str, Any]) -> None:
    if not body.keys() <= KNOWN_PARAMETERS:
        unknown = min(body.keys() - KNOWN_PARAMETERS)
        raise invalid_request(f"Unrecognized request argument supplied: {unknown}")
    for name, (minimum, maximum) in NUMBER_RANGES.items():
        value = body.get(name)
        if value is not None:
            _check_number(name, value, minimum, maximum)
    if body.get("n") not in (None, 1):
        raise invalid_request(
            f"Unsupported value: 'n' does not support {body['n']} with this emulator. Only 1 is supported.",
            "n",
            "unsupported_value",
        )


def _effort(body: Mapping[str, Any], deployment: Deployment) -> ReasoningEffort:
    """How much the model is to think. Models that do not reason refuse the parameter, others what they do not know."""
    said = body.get("reasoning_effort")
    if deployment.reasoning is None:
        if said is not None:
            raise invalid_request("Unrecognized request argument supplied: reasoning_effort")
        return "none"
    if said is None:
        return deployment.default_effort
    known = [effort for effort in deployment.efforts if effort == said]
    if not known:
        *others, last = (f"'{effort}'" for effort in deployment.efforts)
        raise invalid_request(
            f"Unsupported value: 'reasoning_effort' does not support '{said}' with this model. "
            f"Supported values are: {', '.join(others)}, and {last}.",
            "reasoning_effort",
            "unsupported_value",
        )
    return known[0]


def _check_reasoning_parameters(body: Mapping[str, Any], effort: ReasoningEffort) -> None:
    """Models that reason refuse the old token limit, and, while they do, any sampling but the default one."""
    if body.get("max_tokens") is not None:
        raise invalid_request(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' "
            "instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    for name, only in REASONING_DEFAULTS.items() if effort != "none" else ():
        if body.get(name) not in (None, only):
            raise invalid_request(
                f"Unsupported value: '{name}' does not support {body[name]} with this model. Only the default "
                f"({only}) value is supported.",
                name,
                "unsupported_value",
            )


def _check_number(name: str, value: object, minimum: int, maximum: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(name, "a decimal", value)
    if minimum <= value <= maximum:
        return
    side, sign, bound = ("below", ">=", minimum) if value < minimum else ("above", "<=", maximum)
    code = f"decimal_{side}_{'min' if side == 'below' else 'max'}_value"
    extreme = "minimum" if side == "below" else "maximum"
    raise invalid_request(
        f"Invalid '{name}': decimal {side} {extreme} value. "
        f"Expected a value {sign} {bound}, but got {value:g} instead.",
        name,
        code,
    )


def _texts_of(messages: object) -> tuple[str, ...]:
    if messages is None:
        raise invalid_request("Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    if not isinstance(messages, list):
        raise wrong_type("messages", "an array of objects", messages)
    if not messages:
        raise invalid_request(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            "messages",
            "empty_array",
        )
    return tuple(_text_of(message, f"messages[{index}]") for index, message in enumerate(messages))


def _text_of(message: object, place: str) -> str:
    if not isinstance(message, dict):
        raise wrong_type(place, "an object", message)
    role = message.get("role")
    if role is None:
        raise invalid_request(
            f"Missing required parameter: '{place}.role'.", f"{place}.role", "missing_required_parameter"
        )
    if not isinstance(role, str) or role not in ROLES:
        raise invalid_request(
            f"Invalid value: '{role}'. Supported values are: {', '.join(sorted(ROLES))}.",
            f"{place}.role",
            "invalid_value",
        )
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if content is None and role == "assistant":
        return ""
    raise wrong_type(f"{place}.content", "a string or an array of objects", content)


def _response_format(body: Mapping[str, Any], texts: tuple[str, ...]) -> Mapping[str, Any]:
    wanted = body.get("response_format")
    if wanted is None:
        return {}
    if not isinstance(wanted, dict):
        raise wrong_type("response_format", "an object", wanted)
    kind = wanted.get("type")
    if kind not in ("text", "json_object", "json_schema"):
        raise invalid_request(
            f"Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and 'text'.",
            "response_format.type",
            "invalid_value",
        )
    if kind == "json_object" and not any("json" in text.lower() for text in texts):
        raise invalid_request(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.",
            "messages",
        )
    if kind == "json_schema":
        check_json_schema(wanted.get("json_schema"))
    return wanted


def _prompt_tokens(texts: tuple[str, ...], response_format: Mapping[str, Any]) -> int:
    """A schema counts as one more message: the model reads it."""
    wanted = response_format.get("json_schema") or {}
    schema = json.dumps(wanted["schema"], ensure_ascii=False, separators=(",", ":")) if "schema" in wanted else ""
    return count_tokens(sum(map(len, texts)) + len(schema), len(texts) + bool(schema))


def _temperature(body: Mapping[str, Any]) -> float:
    value = body.get("temperature")
    return SERVICE_TEMPERATURE if value is None else float(value)


def _include_usage(body: Mapping[str, Any]) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not body.get("stream"):
        message = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise invalid_request(message, "stream_options")
    if not isinstance(options, dict):
        raise wrong_type("stream_options", "an object", options)
    return bool(options.get("include_usage"))


def _max_tokens(body: Mapping[str, Any], deployment: Deployment) -> int | None:
    given = [name for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None]
    if not given:
        return None
    if len(given) == 2:
        raise invalid_request(
            "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
            "max_tokens",
            "invalid_parameter_combination",
        )
    name, value = given[0], body[given[0]]
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "an integer", value)
    if value < 1:
        raise invalid_request(
            f"Invalid '{name}': integer below minimum value. Expected a value >= 1, but got {value} instead.",
            name,
            "integer_below_min_value",
        )
    if value > deployment.max_output_tokens:
        raise invalid_request(
            f"{name} is too large: {value}. This model supports at most {deployment.max_output_tokens} "
            f"completion tokens, whereas you provided {value}.",
            name,
            "invalid_value",
        )
    return value


def _digest(name: str, body: Mapping[str, Any]) -> str:
    parameters = {key: body[key] for key in ANSWER_PARAMETERS if body.get(key) is not None}
    content = json.dumps([name, body["messages"], parameters], sort_keys=True, separators=(",", ":"))
    return blake2b(content.encode(), digest_size=16).hexdigest()
