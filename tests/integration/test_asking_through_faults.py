"""A worker over the real emulator while it misbehaves: no trial is lost, none is answered twice, all is on record."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import ClientSession

from assay.execution.asking import Asker
from assay.execution.job import Jobs
from assay.execution.ledger import read_outcomes
from assay.execution.routes import Ladder, Route
from assay.execution.trial import Trial
from assay.execution.watchdog import Watchdog
from assay.execution.worker import Worker
from assay.llm.azure_openai import AzureOpenAIChat
from assay.llm.pricing import load_prices
from assay.local.emulator_config import EmulatorConfig, EmulatorFile, EmulatorScript
from assay.local.openai_emulator import EmulatorSettings, running_emulator
from assay.planning.prompts import compile_prompts
from assay.quota.none import NoLimiter
from assay.records import ChunkMessage, Outcome, Row, TrialStatus
from assay.run_records import Plan, RowRange, RunHeader
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.suite.models import Suite
from assay.telemetry import RecordingTelemetry
from builders import RUN, run_header, suite

ROWS = 200
TIMES_FASTER = 50.0
"""How much faster than ours the asker's time passes: waits of seconds take milliseconds here."""

KINDS = ("error_429", "error_500", "error_503", "timeout", "dropped", "malformed")
RECORDED_AS = {
    "error_429": "at_capacity",
    "error_500": "server_error",
    "error_503": "service_busy",
    "timeout": "read_timeout",
    "dropped": "connection_lost",
    "malformed": "malformed_answer",
}


def emulator_config(schedule: list[dict[str, Any]]) -> EmulatorConfig:
    deployment = {"model": "gpt-4o-mini-2024-07-18", "latency_ms": {"median": 2, "sigma": 0}}
    content = EmulatorFile.model_validate(
        {"seed": 11, "deployments": {"mini": deployment, "spare": deployment}, "schedule": schedule}
    )
    return EmulatorConfig(content.deployments, (EmulatorScript(Path("emulator.yaml"), content),))


class Site:
    """A run of two hundred rows in memory, a worker, and an emulator in this process."""

    def __init__(self, address: str, http: ClientSession) -> None:
        self.storage, self.telemetry = MemoryStorage(), RecordingTelemetry()
        self._address, self._http = address, http
        self.suite = suite(
            ("plain",), scorers=(), limits={"attempts": 20, "request_timeout_seconds": 0.4, "trial_timeout_seconds": 60}
        )
        self.model = AzureOpenAIChat(address, "2024-10-21", api_key="any")

    async def work(self, *rungs: tuple[str, ...]) -> list[Outcome]:
        """Handles the run's only chunk; its outcomes."""
        message = await self._begin()
        routes = {name: Route(name, name, self.model, NoLimiter()) for rung in rungs for name in rung}
        worker = Worker(
            storage=self.storage,
            jobs=Jobs(self.storage, self._trials(tuple(tuple(routes[name] for name in rung) for rung in rungs))),
            slots=asyncio.Semaphore(32),
            linger_seconds=0.0,
            now=lambda: datetime.now(UTC),
            telemetry=self.telemetry,
        )
        await worker.handle(message.model_dump_json())
        return read_outcomes(await self.storage.read(layout.outcome(RUN, "plain", 0)))

    async def stats(self) -> dict[str, Any]:
        """What the emulator counted."""
        async with self._http.get(f"{self._address}/emulator/stats") as response:
            return dict(await response.json())

    def _trials(self, ladder: Ladder) -> Any:
        async def trials_of(header: RunHeader) -> dict[str, Trial]:
            of = Suite.model_validate(header.suite)
            experiment = of.experiment("plain")
            asker = Asker(
                ladder,
                load_prices(),
                attempts_limit=of.limits.attempts,
                clock=lambda: time.monotonic() * TIMES_FASTER,
                sleep=lambda seconds: asyncio.sleep(seconds / TIMES_FASTER),
                random=lambda: 0.5,
                telemetry=self.telemetry,
            )
            prompts, watchdog = compile_prompts(experiment), Watchdog(self.telemetry)
            return {"plain": Trial(RUN, experiment, prompts, (), of.limits, asker, watchdog)}

        return trials_of

    async def _begin(self) -> ChunkMessage:
        rows = [
            Row(row_id=f"T-{n}", number=n, line=n, fields={"ticket_id": n, "subject": "as json"})
            for n in range(1, ROWS + 1)
        ]
        lines = b"".join(row.model_dump_json().encode() + b"\n" for row in rows)
        span = RowRange(first_row=1, rows=ROWS, offset=0, length=len(lines))
        plan = Plan(run=RUN, rows=ROWS, bad_rows=0, experiments=("plain",), ranges=(span,))
        header = run_header(self.suite)
        await self.storage.write(layout.header(RUN), header.model_dump_json(by_alias=True).encode())
        await self.storage.write(layout.rows(RUN), lines)
        await self.storage.write(layout.plan(RUN), plan.model_dump_json().encode())
        return next(plan.messages(0, 1))


@asynccontextmanager
async def site(*schedule: dict[str, Any]) -> AsyncIterator[Site]:
    async with (
        running_emulator(emulator_config(list(schedule)), EmulatorSettings()) as address,
        ClientSession() as http,
    ):
        made = Site(address, http)
        try:
            yield made
        finally:
            await made.model.close()


async def test_with_five_percent_of_every_failure_no_trial_is_lost_and_none_is_answered_twice() -> None:
    """Every failure is an attempt on record, and every request that the service saw is one of them."""
    async with site(dict.fromkeys(KINDS, 0.05)) as made:
        outcomes = await made.work(("mini",))
        stats = await made.stats()

    assert sorted(one.row_number for one in outcomes) == list(range(1, ROWS + 1))
    assert Counter(one.status for one in outcomes) == {TrialStatus.SUCCEEDED: ROWS}
    attempts = [attempt for one in outcomes for attempt in one.responses[0].attempts]
    failed = Counter(attempt.error for attempt in attempts if attempt.error)
    assert set(failed) == set(RECORDED_AS.values())
    assert len(attempts) - failed.total() == ROWS
    assert stats["received"] == len(attempts)
    assert stats["distinct_completions"] == ROWS
    assert len(made.telemetry.named("model_attempt_failed")) == failed.total()


async def test_with_the_primary_gone_fallbacks_answer() -> None:
    """Its breaker opens; from then on hardly a question is put to it, and every trial succeeds."""
    async with site({"deployment": "mini", "down": True}) as made:
        outcomes = await made.work(("mini",), ("spare",))
        stats = await made.stats()

    assert Counter(one.status for one in outcomes) == {TrialStatus.SUCCEEDED: ROWS}
    assert {one.responses[0].deployment for one in outcomes} == {"spare"}
    assert made.telemetry.named("breaker_opened")[0]["deployment"] == "mini"
    assert 0 < stats["by_verdict"]["down"] < ROWS / 2


async def test_a_short_outage_of_the_only_deployment_costs_no_trial() -> None:
    """Thirty seconds of the asker's time, in which every request is dropped."""
    async with site({"deployment": "mini", "down": True, "to_seconds": 30 / TIMES_FASTER}) as made:
        outcomes = await made.work(("mini",))

    assert Counter(one.status for one in outcomes) == {TrialStatus.SUCCEEDED: ROWS}
