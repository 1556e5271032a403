"""What telemetry is told of a request to a model: a span and metrics by the GenAI conventions. `sending.py` asks here.

Never what was asked or answered.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from assay import telemetry_names as names
from assay.execution.routes import Route
from assay.llm.base import ChatAnswer, ChatRequest, ModelError
from assay.middleware.base import Spent
from assay.records import Usage
from assay.telemetry import SilentSpan, Span, Telemetry

_CHAT = "chat"
_TOO_MANY_REQUESTS = 429


@dataclass(slots=True)
class Call:
    """One request to a model."""

    telemetry: Telemetry
    route: Route
    request: ChatRequest
    suite: str
    _span: Span = field(default_factory=SilentSpan)
    _began: float = 0.0

    @contextmanager
    def under_way(self, quota_wait_seconds: float) -> Iterator[None]:
        """The request is sent and answered inside the block; `quota_wait_seconds` is how long it waited before."""
        deployment = {names.DEPLOYMENT: self.route.reference}
        self.telemetry.record(names.WAIT_FOR_QUOTA, quota_wait_seconds, deployment)
        asked = {
            names.MAX_TOKENS: self.request.max_tokens,
            names.TEMPERATURE: self.request.temperature,
            names.REASONING_LEVEL: self.request.reasoning_effort,
            names.SEED: self.request.seed,
            names.SERVER_PORT: self.route.server.port,
            names.QUOTA_WAIT: round(quota_wait_seconds, 4),
        }
        self._began = time.monotonic()
        with self.telemetry.span(names.CALL_SPAN, {**self._asked(), **asked, **deployment}) as self._span:
            yield

    def answered(self, answer: ChatAnswer, spent: Spent) -> None:
        """The answer is there."""
        self._span.set(
            {
                names.FINISH_REASONS: [answer.finish_reason],
                names.REQUEST_ID: answer.request_id,
                names.STATUS: 200,
                **_told(answer.model, answer.usage),
            }
        )
        self._measure(200, None, answer.model)
        self._bill(answer.model, spent)

    def failed(self, error: ModelError, spent: Spent) -> None:
        """There is no usable answer; what the service billed for it counts all the same."""
        kind = error.kind.value
        told = _told(error.model, error.usage) if error.model else {}
        self._span.set(
            {names.ERROR_TYPE: kind, names.REQUEST_ID: error.request_id, names.STATUS: error.status or 0, **told}
        )
        self._measure(error.status or 0, kind, error.model)
        if error.status == _TOO_MANY_REQUESTS:
            throttled = {names.DEPLOYMENT: self.route.reference, names.ERROR_TYPE: kind}
            self.telemetry.count(names.THROTTLED, 1, throttled)
        if error.model:
            self._bill(error.model, spent)

    def _asked(self) -> dict[str, Any]:
        return {
            names.OPERATION: _CHAT,
            names.PROVIDER: self.route.server.provider,
            names.REQUEST_MODEL: self.request.deployment,
            names.SERVER_ADDRESS: self.route.server.host or None,
        }

    def _measure(self, status: int, kind: str | None, model: str | None) -> None:
        requests = {names.DEPLOYMENT: self.route.reference, names.STATUS: status, names.ERROR_TYPE: kind}
        self.telemetry.count(names.REQUESTS, 1, requests)
        took = {**self._asked(), names.RESPONSE_MODEL: model, names.ERROR_TYPE: kind}
        self.telemetry.record(names.CALL_DURATION, time.monotonic() - self._began, took)

    def _bill(self, model: str, spent: Spent) -> None:
        usage, deployment = spent.usage, {names.DEPLOYMENT: self.route.reference}
        by_model = {**self._asked(), names.RESPONSE_MODEL: model}
        for kind, tokens in (("input", usage.input_tokens), ("output", usage.output_tokens)):
            self.telemetry.record(names.TOKEN_USAGE, tokens, {**by_model, names.TOKEN_TYPE: kind})
            self.telemetry.count(names.TOKEN_COUNT, tokens, {**deployment, names.TOKEN_KIND: kind})
        if usage.cached_input_tokens:
            self.telemetry.count(
                names.TOKEN_COUNT, usage.cached_input_tokens, {**deployment, names.TOKEN_KIND: "cached"}
            )
        if spent.cost_usd:
            self.telemetry.count(names.COST_USD, float(spent.cost_usd), {**deployment, names.SUITE: self.suite})


def _told(model: str | None, usage: Usage) -> Mapping[str, Any]:
    return {
        names.RESPONSE_MODEL: model,
        names.INPUT_TOKENS: usage.input_tokens,
        names.OUTPUT_TOKENS: usage.output_tokens,
        names.CACHED_TOKENS: usage.cached_input_tokens or None,
    }
