"""One worker of the bench: Assay's limiter, retries and client under a load. `fleet.py` runs it as a process.

It reads its orders from standard input, one JSON object per line, and ends when that is closed or on SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import signal
import sys
import time
from collections import Counter
from contextvars import ContextVar
from decimal import Decimal
from pathlib import Path
from typing import Any

from assay.budget.base import BudgetUsedUp, NoBudget
from assay.budget.tranches import TrancheBudget
from assay.execution.course import followed
from assay.llm.azure_openai import AzureOpenAIChat
from assay.llm.base import ChatMessage, ChatRequest
from assay.middleware.base import Ask, Question, Unanswered
from assay.quota.adaptive import AdaptiveLimiter
from assay.quota.base import Charge, Limiter, Permit, Quota, QuotaElsewhere
from assay.quota.limiter import BlobLeaseLimiter, LimiterDrained
from assay.quota.none import NoLimiter
from assay.quota.window import WindowLimiter
from assay.storage.azure import AzureStorage
from assay.telemetry import EventsOnly

from .journal import Journal, read_orders
from .loads import API_VERSION, DEPLOYMENT, LOADS, QUOTAS, Prompt, Prompts, content_digest
from .questions import make_asker, with_answer_limits

DRAIN_SECONDS = 25.0
RUN = "bench"
REST_SECONDS = 2.0


# Which request a permit is for; the limiter's port has no place for it.
_asking: ContextVar[str] = ContextVar("asking", default="")


class Counts(EventsOnly):
    """Telemetry that only counts events, and writes down problems."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.by_name: Counter[str] = Counter()

    def event(self, name: str, **fields: Any) -> None:
        self.by_name[name] += 1

    def problem(self, name: str, **fields: Any) -> None:
        self.by_name[name] += 1
        self._journal.write("problem", name=name, fields=fields)


class NotingLimiter:
    """A limiter that writes down, for each request that leaves, on what its permit stands.

    It hears an estimate that is off by a few percent, as it would be of a real service's count.
    """

    def __init__(self, inner: Limiter, journal: Journal, error: float, noise: random.Random) -> None:
        self._inner = inner
        self._journal = journal
        self._error = error
        self._noise = noise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def acquire(self, charge: Charge) -> Permit:
        tokens = round(charge.tokens * math.exp(self._noise.gauss(0.0, self._error)))
        while True:
            try:
                permit = await self._inner.acquire(Charge(tokens, charge.flow))
            except QuotaElsewhere as elsewhere:  # there is no queue that could give the work to others
                await asyncio.sleep(elsewhere.retry_after_seconds + REST_SECONDS)
            else:
                return _NotingPermit(permit, self._journal)


class _NotingPermit:
    def __init__(self, inner: Permit, journal: Journal) -> None:
        self._inner = inner
        self._journal = journal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def sent(self) -> None:
        self._inner.sent()
        # The port does not tell on what a permit stands, and nobody but the bench wants to know.
        ground = getattr(self._inner, "_ground", None)
        if hasattr(ground, "lease"):
            stands_on = {"deadline": ground.deadline, "partition": ground.index, "lease": ground.lease}
            self._journal.write("sent", content=_asking.get(), **stands_on)


class Worker:
    """Slots that each take up one request after another, or requests that arrive by themselves."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._journal = Journal(Path(options["log"]))
        self._load = LOADS[options["load"]]
        self._telemetry = Counts(self._journal)
        self._prompts = Prompts(self._load, options["worker"], options["seed"])
        self._noise = random.Random(options["worker"])
        self._storage = AzureStorage.from_connection_string(options["storage"])
        slots = options["slots"]
        self._model = AzureOpenAIChat(options["endpoint"], API_VERSION, api_key="bench", connections=slots + 8)
        error = options["estimate_error"]
        self._limiter = NotingLimiter(self._make_limiter(), self._journal, error, self._noise)
        self._budget = self._make_budget()
        self._ask = self._make_ask()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unhandled = 0
        self._is_budget_used_up = False
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Obeys orders until it is told to stop, then gives everything back."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self._note_unhandled(str(context.get("exception") or context)))
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        orders = asyncio.create_task(read_orders(self._obey, self._stopping))
        print("ready", flush=True)
        await self._stopping.wait()
        await self._finish()
        orders.cancel()

    def _obey(self, order: dict[str, Any]) -> None:
        match order["do"]:
            case "saturate":
                for _ in range(self._options["slots"]):
                    self._start(self._slot(order["at"] + 0.2 * self._noise.random()))
            case "arrive":
                self._start(self._arrivals(order["at"], order["per_second"]))
            case "rows":
                left = iter(range(order["count"]))
                for _ in range(order["slots"]):
                    self._start(self._rows(order["at"], left, order["flow"]))
            case "pause":
                for task in list(self._tasks):
                    task.cancel()

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() and not isinstance(task.exception(), LimiterDrained):
            self._note_unhandled(repr(task.exception()))
        if self._is_budget_used_up and not self._tasks:
            self._journal.write("stopped")

    async def _slot(self, at: float) -> None:
        await asyncio.sleep(at - time.monotonic())
        while not self._stopping.is_set() and not self._is_budget_used_up:
            await self._row(self._prompts.next(), "")

    async def _arrivals(self, at: float, per_second: float) -> None:
        await asyncio.sleep(at - time.monotonic())
        while not self._stopping.is_set():
            await asyncio.sleep(self._noise.expovariate(per_second))
            self._start(self._row(self._prompts.next(), ""))

    async def _rows(self, at: float, left: Any, flow: str) -> None:
        await asyncio.sleep(at - time.monotonic())
        for _ in left:
            await self._row(self._prompts.next(), flow)

    async def _row(self, prompt: Prompt, flow: str) -> None:
        began = time.monotonic()
        content = content_digest(DEPLOYMENT, prompt.messages)
        _asking.set(content)
        request = ChatRequest(DEPLOYMENT, (ChatMessage("user", prompt.text),), self._load.max_tokens)
        outcome = "answered"
        with followed() as course:
            try:
                await self._ask(Question(RUN, flow, "answer", "row", request))
            except (Unanswered, LimiterDrained) as error:
                outcome = type(error).__name__
            except BudgetUsedUp:
                outcome, self._is_budget_used_up = "stopped", True
            except asyncio.CancelledError:
                outcome = "cancelled"
                raise
            finally:
                cost = course.spent.cost_usd
                self._journal.write("row", content=content, asked=began, outcome=outcome, flow=flow, cost_usd=cost)

    def _make_ask(self) -> Ask:
        ask = make_asker(self._model, self._limiter, self._telemetry, self._budget or NoBudget())
        return with_answer_limits(ask, self._telemetry) if self._options["adaptive_max_tokens"] else ask

    def _make_budget(self) -> TrancheBudget | None:
        limit = self._options["budget_usd"]
        if limit is None:
            return None
        return TrancheBudget(
            self._storage,
            RUN,
            self._options["worker"],
            Decimal(limit),
            "enforce",
            clock=time.monotonic,
            sleep=asyncio.sleep,
            telemetry=self._telemetry,
        )

    def _make_limiter(self) -> Limiter:
        kind, one = self._options["limiter"], QUOTAS[self._options["quota"]]
        quota = Quota(one.requests, one.tokens)
        if kind == "none":
            return NoLimiter()
        if kind == "window":
            return WindowLimiter(DEPLOYMENT, quota, telemetry=self._telemetry)
        if kind == "adaptive":
            return AdaptiveLimiter(DEPLOYMENT, telemetry=self._telemetry)
        return BlobLeaseLimiter(
            self._storage,
            DEPLOYMENT,
            quota,
            self._options["worker"],
            telemetry=self._telemetry,
            mean_charge_tokens=round(self._load.mean_charge),
        )

    async def _finish(self) -> None:
        """What is under way ends, what waits is refused, every lease is given back."""
        began = time.monotonic()
        await self._limiter.drain()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=DRAIN_SECONDS)
        if self._budget is not None:
            await self._budget.drain()
        await self._model.close()
        await self._storage.close()
        self._journal.write(
            "end",
            drain_seconds=time.monotonic() - began,
            unfinished=len(self._tasks),
            unhandled=self._unhandled,
            events=dict(self._telemetry.by_name),
            cpu_seconds=time.process_time(),
        )

    def _note_unhandled(self, text: str) -> None:
        self._unhandled += 1
        self._journal.write("unhandled", error=text[:300])


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the bench's: it ends us in order

    async def run() -> None:
        await Worker(json.loads(sys.argv[1])).run()

    asyncio.run(run())


if __name__ == "__main__":
    main()
