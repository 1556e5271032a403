"""Routes: the deployments that may answer an experiment's questions, each with its client, limiter and breaker.

`runtime.py` makes one route per deployment and puts an experiment's ladder together with `ladder_of`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from assay.execution.breaker import Breaker
from assay.llm.base import ChatMessage, ChatModel
from assay.quota.base import Limiter
from assay.suite.models import ModelSettings
from assay.tokens.estimate import TOKENS_AROUND_A_MESSAGE, estimate_tokens


class PromptTokens(Protocol):
    """Estimates how many tokens a prompt is charged and billed."""

    def estimate(self, messages: Sequence[ChatMessage]) -> int:
        """Tokens that the quota is expected to be charged."""
        ...

    def highest(self, messages: Sequence[ChatMessage]) -> int:
        """Tokens that the prompt will hardly be billed more than."""
        ...

    def learn(self, messages: Sequence[ChatMessage], prompt_tokens: int) -> None:
        """What the service counted for a prompt."""
        ...


class PlainTokens:
    """The rule of four characters per token, which learns nothing."""

    def estimate(self, messages: Sequence[ChatMessage]) -> int:
        return estimate_tokens(messages)

    def highest(self, messages: Sequence[ChatMessage]) -> int:
        return sum(len(one.content.encode("utf-8", "surrogatepass")) + 2 * TOKENS_AROUND_A_MESSAGE for one in messages)

    def learn(self, messages: Sequence[ChatMessage], prompt_tokens: int) -> None:
        """The rule stays as it is."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a deployment is, for telemetry: the provider by its name in OpenTelemetry's conventions, host and port."""

    provider: str = "unknown"
    host: str = ""
    port: int | None = None


@dataclass(eq=False, slots=True)
class Route:
    """One deployment. `reference` is what the suite calls it, `deployment` its name at its endpoint.

    `is_provisioned`: its 429s mean that its units are busy. `answers_as` is the model that its answers name, once
    one with a price has come.
    """

    reference: str
    deployment: str
    model: ChatModel
    limiter: Limiter
    tokens: PromptTokens = field(default_factory=PlainTokens)
    breaker: Breaker = field(default_factory=Breaker)
    is_provisioned: bool = False
    answers_as: str | None = None
    server: Server = Server()


Rung = tuple[Route, ...]
"""Deployments of the same model, used all at once."""

Ladder = tuple[Rung, ...]
"""The rung to ask first, then those to fall back to, in order."""


def ladder_of(model: ModelSettings, route_of: Callable[[str], Route]) -> Ladder:
    """The deployment with its spread, then each fallback on a rung of its own; none of them twice."""
    first = tuple(dict.fromkeys((model.deployment, *model.spread)))
    later = (one for one in dict.fromkeys(model.fallbacks) if one not in first)
    return (_rung(first, route_of), *(_rung((one,), route_of) for one in later))


def _rung(references: Iterable[str], route_of: Callable[[str], Route]) -> Rung:
    return tuple(route_of(one) for one in references)
