"""The model port: one request in, one answer out, every failure a ModelError of the taxonomy in `errors.py`."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from assay.errors import ServiceError
from assay.llm.errors import FailureKind
from assay.reasoning import ReasoningEffort
from assay.records import Usage

BLOB = "blob://"


@dataclass(frozen=True, slots=True)
class ChatImage:
    """An image by its address: https, `blob://container/name` until it is read, then data. `tokens` is an estimate."""

    url: str
    detail: Literal["auto", "low", "high"] = "auto"
    tokens: int = 85


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """What one side says. Only users show images."""

    role: Literal["system", "user", "assistant"]
    content: str
    images: tuple[ChatImage, ...] = ()


# Counts as one token by its characters, and in the encodings of the models too.
_WORD = " the"


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """What an answer must look like: a JSON Schema as JSON text, and the name under which the model is told it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One request to one deployment. `max_tokens` bounds the answer; `json` asks for a JSON object.

    With a `schema` the service is asked for answers that fit it, and `json` means nothing. `stream` asks for the answer
    piece by piece, which tells when it began. Without a `reasoning_effort` the service takes the model's own.
    `timeout_seconds` bounds the whole request, `read_timeout_seconds` the silence of the service within it.
    """

    deployment: str
    messages: tuple[ChatMessage, ...]
    max_tokens: int
    temperature: float | None = None
    seed: int | None = None
    json: bool = False
    stop: tuple[str, ...] = ()
    timeout_seconds: float = 60.0
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float | None = None
    schema: AnswerSchema | None = None
    stream: bool = False
    reasoning_effort: ReasoningEffort | None = None

    @property
    def counted(self) -> tuple[ChatMessage, ...]:
        """What counts as prompt when tokens are estimated: messages, images and schema, as the model reads all."""
        return counted(self.messages, self.schema)


def counted(messages: tuple[ChatMessage, ...], schema: AnswerSchema | None) -> tuple[ChatMessage, ...]:
    """The messages, and images and schema as if they were some more of text."""
    if schema:
        messages = (*messages, ChatMessage("system", schema.text))
    tokens = sum(image.tokens for message in messages for image in message.images)
    return (*messages, ChatMessage("user", _WORD * tokens)) if tokens else messages


@dataclass(frozen=True, slots=True)
class RateLimitHeaders:
    """What the service said of the deployment's limits, per minute; every value may be missing."""

    limit_requests: int | None = None
    limit_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """One answer. `latency_seconds` runs from sending to the last byte. `refused`: the model declined to answer.

    `unfiltered`: the service could not ask its content filter and let the answer through. `first_token_seconds`: from
    sending to the first piece of a streamed answer; None for one that came whole.
    """

    text: str
    finish_reason: str
    model: str
    request_id: str | None
    usage: Usage
    latency_seconds: float
    rate_limit: RateLimitHeaders = field(default_factory=RateLimitHeaders)
    refused: bool = False
    unfiltered: bool = False
    first_token_seconds: float | None = None

    @property
    def truncated(self) -> bool:
        """Whether it ended at `max_tokens`."""
        return self.finish_reason == "length"


class ModelError(ServiceError):
    """A request without a usable answer.

    `retry_after_seconds` is what the service asked for, if it did. `sent` is False when no byte can have reached it.
    `axis` is the limit that a 429 hit, where it says so. `usage` is what an answer that cannot be used was billed, by
    `model`.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        status: int | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
        sent: bool = True,
        rate_limit: RateLimitHeaders | None = None,
        axis: Literal["requests", "tokens"] | None = None,
        usage: Usage | None = None,
        model: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds
        self.sent = sent
        self.rate_limit = rate_limit or RateLimitHeaders()
        self.axis = axis
        self.usage = usage or Usage()
        self.model = model


class ChatModel(Protocol):
    """Something that answers chat requests."""

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """The answer. Raises ModelError; never retries by itself."""
        ...

    async def close(self) -> None:
        """Closes connections; a second call does nothing."""
        ...
