"""Failure injection, for tests and drills: a model that fails as the service does, at a chosen rate.

`ASSAY_INJECT_FAILURES=rate=0.05,kinds=429|500|timeout` turns it on, `--inject-failures` for the local stack.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from assay.errors import UserError
from assay.llm.base import ChatAnswer, ChatModel, ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.registry import did_you_mean
from assay.telemetry import Telemetry

EXAMPLE = "rate=0.05,kinds=429|500|timeout|malformed"


def _error(kind: FailureKind, status: int | None = None, wait_seconds: float | None = None) -> Callable[[], ModelError]:
    def make() -> ModelError:
        return ModelError(
            kind,
            f"Injected failure: {kind.value}",
            status=status,
            retry_after_seconds=wait_seconds,
            axis="requests" if kind is FailureKind.RATE_LIMITED else None,
        )

    return make


INJECTED: dict[str, Callable[[], ModelError]] = {
    "429": _error(FailureKind.RATE_LIMITED, 429, 1.0),
    "500": _error(FailureKind.SERVER_ERROR, 500),
    "503": _error(FailureKind.SERVICE_BUSY, 503, 1.0),
    "timeout": _error(FailureKind.READ_TIMEOUT),
    "dropped": _error(FailureKind.CONNECTION_LOST),
    "malformed": _error(FailureKind.MALFORMED_ANSWER, 200),
    "empty": _error(FailureKind.INVALID_ANSWER, 200),
    "filter": _error(FailureKind.CONTENT_FILTER, 400),
}
"""The kinds by name. What a service would bill is not billed: the request never reaches the model."""


@dataclass(frozen=True, slots=True)
class FailurePlan:
    """Which share of attempts fails, as what. The same seed gives the same draws in the same order."""

    rate: float
    kinds: tuple[str, ...]
    seed: int = 0


class FailingModel:
    """A model of which a share of attempts fails; the others reach `model`."""

    def __init__(
        self,
        model: ChatModel,
        rate: float,
        kinds: tuple[str, ...] = tuple(INJECTED),
        seed: int = 0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._model, self._rate, self._kinds = model, rate, kinds
        self._draws, self._sleep = Random(seed), sleep  # noqa: S311 - no secret depends on it

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """The model's answer, or an injected ModelError; a timeout takes as long as the request may."""
        if self._draws.random() >= self._rate:
            return await self._model.complete(request)
        kind = self._draws.choice(self._kinds)
        if kind == "timeout":
            await self._sleep(request.timeout_seconds)
        raise INJECTED[kind]()

    async def close(self) -> None:
        await self._model.close()


def with_failures(model: ChatModel, text: str | None, telemetry: Telemetry) -> ChatModel:
    """The model, failing as `text` says and saying so on the log; without a text the model itself. Raises UserError."""
    if not text:
        return model
    plan = read_failures(text)
    telemetry.problem("failures_injected", rate=plan.rate, kinds="|".join(plan.kinds), seed=plan.seed)
    return FailingModel(model, plan.rate, plan.kinds, plan.seed)


def read_failures(text: str) -> FailurePlan:
    """The plan in a text such as `rate=0.05,kinds=429|500,seed=7`; without kinds all of them. Raises UserError."""
    parts = dict(_pair(part) for part in text.split(",") if part.strip())
    for name in parts:
        if name not in ("rate", "kinds", "seed"):
            raise _wrong(f"unknown key '{name}'{did_you_mean(name, ['rate', 'kinds', 'seed'])}")
    return FailurePlan(_rate(parts.get("rate")), _kinds(parts.get("kinds")), _seed(parts.get("seed", "0")))


def _pair(part: str) -> tuple[str, str]:
    name, separator, value = part.partition("=")
    if not separator:
        raise _wrong(f"'{part.strip()}' has no '='")
    return name.strip(), value.strip()


def _rate(text: str | None) -> float:
    if text is None:
        raise _wrong("'rate' is missing")
    try:
        rate = float(text)
    except ValueError:
        raise _wrong(f"rate is '{text}'; expected a number") from None
    if not 0 <= rate <= 1:
        raise _wrong(f"rate is {text}; expected 0 to 1")
    return rate


def _kinds(text: str | None) -> tuple[str, ...]:
    kinds = tuple(INJECTED) if text is None else tuple(kind.strip() for kind in text.split("|"))
    for kind in kinds:
        if kind not in INJECTED:
            raise _wrong(f"unknown kind '{kind}'{did_you_mean(kind, list(INJECTED))}. Known: {', '.join(INJECTED)}")
    return kinds


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise _wrong(f"seed is '{text}'; expected a whole number") from None


def _wrong(found: str) -> UserError:
    return UserError(f"failures to inject: {found}. Expected something like {EXAMPLE}")
