"""A ladder of scripted deployments on a clock of their own, and a record of what an asker did with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from assay.execution.asking import Asker
from assay.execution.routes import Ladder, Route
from assay.llm.base import ChatMessage, ChatRequest, ModelError
from assay.llm.errors import FailureKind
from assay.llm.pricing import load_prices
from assay.llm.scripted import Reply as Scripted
from assay.llm.scripted import ScriptedModel
from assay.middleware.base import Question, Reply
from assay.quota.base import Charge, ChargeTooLarge, PermitExpired, Throttling
from assay.telemetry import RecordingTelemetry

REQUEST = ChatRequest("chat", (ChatMessage("user", "Hello?"),), max_tokens=10)
QUESTION = Question("run-1", "plain", "answer", "T-0001", REQUEST)
SPENT_AT_ONCE = 0.25


class CountingPermit:
    """Writes down what is done with it; may be expired when it is to be used."""

    def __init__(self, log: list[str], settled: list[int], *, expired: bool) -> None:
        self._log = log
        self._settled = settled
        self._expired = expired

    def sent(self) -> None:
        if self._expired:
            self._log.append("expired")
            raise PermitExpired("too late")
        self._log.append("sent")

    def refund(self) -> None:
        self._log.append("refund")

    def throttled(self, throttling: Throttling) -> None:
        busy = " busy" if throttling.is_capacity else ""
        self._log.append(f"throttled {throttling.retry_after_seconds}{busy}")

    def settle(self, tokens: int) -> None:
        self._settled.append(tokens)


class CountingLimiter:
    """Grants after a quarter of a second on the bench's clock, or when `gate` is set."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.permits: list[str] = []
        self.settled: list[int] = []
        self.charged: list[int] = []
        self.told: list[tuple[int | None, int | None]] = []
        self.expired_permits = 0
        self.largest: float = float("inf")
        self.wait: Callable[[], float] = lambda: 0.0
        self.gate: asyncio.Event | None = None

    async def acquire(self, charge: Charge) -> CountingPermit:
        if charge.tokens > self.largest:
            raise ChargeTooLarge("more than the deployment's limit")
        if self.gate:
            await self.gate.wait()
        self._bench.now += SPENT_AT_ONCE
        self.expired_permits -= 1
        self.charged.append(charge.tokens)
        return CountingPermit(self.permits, self.settled, expired=self.expired_permits >= 0)

    def wait_seconds(self, charge: Charge) -> float:
        return float("inf") if charge.tokens > self.largest else self.wait()

    def announced(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        self.told.append((requests_per_minute, tokens_per_minute))

    async def drain(self) -> None:
        return


class CountingBudget:
    """Reserves whatever it is asked for, and keeps what became of it."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.gate: asyncio.Event | None = None
        self.error: Exception | None = None

    async def reserve(self, cost_usd: Decimal) -> CountingBudget:
        if self.gate:
            await self.gate.wait()
        if self.error:
            raise self.error
        self.log.append(("reserved", cost_usd))
        return self

    def settle(self, cost_usd: Decimal | None) -> None:
        self.log.append(("settled", cost_usd))

    def release(self) -> None:
        self.log.append("released")


class Bench:
    """Everything that an asker takes. Replies alone script the one route 'chat'; `scripts` script a whole ladder."""

    def __init__(
        self,
        *replies: Scripted,
        scripts: Mapping[str, Any] | None = None,
        rungs: Iterable[Iterable[str]] = (("chat",),),
    ) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.telemetry = RecordingTelemetry()
        self.budget = CountingBudget()
        self.routes = {name: self._route(name, script) for name, script in (scripts or {"chat": replies}).items()}
        self.ladder: Ladder = tuple(tuple(self.routes[name] for name in rung) for rung in rungs)
        self.exhausted: list[Any] = []
        self._asker: Asker | None = None

    def _route(self, name: str, script: Any) -> Route:
        return Route(name, name, ScriptedModel(script), CountingLimiter(self))

    @property
    def limiter(self) -> Any:
        return self.ladder[0][0].limiter

    @property
    def model(self) -> Any:
        return self.ladder[0][0].model

    @property
    def permits(self) -> list[str]:
        return list(self.limiter.permits)

    def asked(self, name: str) -> int:
        """How many requests a deployment has had."""
        model = self.routes[name].model
        assert isinstance(model, ScriptedModel)
        return len(model.requests)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    async def ask(self, attempts_limit: int = 10, random: Callable[[], float] = lambda: 1.0, **changes: Any) -> Reply:
        """Another question of the same experiment; the first call's options stay."""
        if self._asker is None:
            self._asker = self.asker(attempts_limit=attempts_limit, random=random, **changes)
        return await self._asker(QUESTION)

    def asker(self, **changes: Any) -> Asker:
        options: dict[str, Any] = {"attempts_limit": 10, "random": lambda: 1.0, "budget": self.budget}
        return Asker(
            self.ladder,
            load_prices(),
            clock=lambda: self.now,
            sleep=lambda seconds: self.sleep(seconds),
            telemetry=self.telemetry,
            **options | changes,
        )


def failing(
    kind: FailureKind, *, status: int | None = None, wait: float | None = None, sent: bool = True, **changes: Any
) -> ModelError:
    return ModelError(kind, "no", status=status, request_id="req-1", retry_after_seconds=wait, sent=sent, **changes)
