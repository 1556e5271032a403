"""What telemetry costs a worker: without it, with the share of the default, and with every trial sent to a collector in
a process of its own. By its calls alone, which find the processor's caches warm, and in the worker of `throughput`, by
its part of each round's CPU time and by rounds with and without it, in turns.
"""

import asyncio
import gc
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from tests.bench.throughput import ON_QUOTA, Servers, begin, check, servers_running, timed, work, worker_settings
from tests.bench.timed_telemetry import TimedTelemetry
from tests.end_to_end.small_suite import SUITE

from assay.execution.measured_trial import MeasuredTrial
from assay.execution.model_calls import Call
from assay.execution.routes import Route, Server
from assay.llm.base import ChatRequest
from assay.llm.scripted import ScriptedModel, scripted_answer
from assay.middleware.base import Spent
from assay.quota.none import NoLimiter
from assay.records import Outcome, Row, TrialStatus, Usage
from assay.runtime import Runtime
from assay.settings import Settings
from assay.suite.loading import load_suite
from assay.telemetry import bound
from assay.telemetry_names import HEARTBEAT

ROUNDS, TRIALS = 15, 500
ROUNDS_ALONE = 7
OFF, SHARE, ALL = "off", "on, 1 % of the trials", "on, every trial"
CALLS = {OFF: 10_000, SHARE: 10_000, ALL: 1_000}
"""Of every trial no more than may wait, as what is lost costs nothing."""
RECEIVER = "tests.stand_ins.telemetry_receivers"


@dataclass(frozen=True)
class Turn:
    """Microseconds of CPU per trial in one round: all, and telemetry's part of it."""

    all: float
    telemetry: float = 0.0

    @property
    def part(self) -> float:
        """What telemetry adds to the trial."""
        return self.telemetry / (self.all - self.telemetry)


Turns = dict[str, list[Turn]]
"""By side."""


def measure() -> dict[str, str]:
    """CPU per trial of the calls alone, and of a worker: medians, and the middle half of the rounds."""
    loads = [os.getloadavg()[0]]
    with _collector() as address:
        alone = _alone_in_turns(address)
        loads.append(os.getloadavg()[0])
        with servers_running() as servers:
            worker = asyncio.run(_worker_in_turns(servers, address))
    loads.append(os.getloadavg()[0])
    figures = {"load of the machine, at the beginning, middle, end": ", ".join(f"{load:.1f}" for load in loads)}
    figures |= {f"{side}: calls alone": f"{_spread([one.all for one in alone[side]], '.0f')} us" for side in alone}
    for side, turns in worker.items():
        figures[f"{side}: a worker's trial"] = f"{_spread([one.all for one in turns], '.0f')} us"
        figures[f"{side}: telemetry's part of it"] = f"{_spread([one.telemetry for one in turns], '.0f')} us"
        figures[f"{side}: adds to a trial"] = _spread([one.part for one in turns], ".1%")
    for side in (SHARE, ALL):
        ratios = [one.all / off.all - 1 for one, off in zip(worker[side], worker[OFF], strict=True)]
        figures[f"{side}: round against round"] = _spread(ratios, "+.1%")
    return figures


def _spread(values: list[float], form: str) -> str:
    low, median, high = statistics.quantiles(values, n=4)
    return f"{median:{form}} ({low:{form}} to {high:{form}})"


def _alone_in_turns(address: str) -> Turns:
    turns: Turns = {OFF: [], SHARE: [], ALL: []}
    for _ in range(ROUNDS_ALONE + 1):
        for side, found in turns.items():
            found.append(Turn(_alone(side, address)))
    return _without_first(turns)


def _without_first(turns: Turns) -> Turns:
    """The first round loads modules."""
    return {side: found[1:] for side, found in turns.items()}


def _alone(side: str, address: str) -> float:
    """Microseconds of CPU per trial with one request, exporting included."""
    runtime = Runtime(Settings.load(_settings(address)[side]))
    telemetry = runtime.telemetry
    model = ScriptedModel(())
    route = Route("small-model", "small-model", model, NoLimiter(), server=Server("azure.ai.openai", "home.example"))
    request = ChatRequest("small-model", (), max_tokens=20, temperature=0.0)
    answer, spent = scripted_answer("{}"), Spent(Usage(input_tokens=100, output_tokens=9), Decimal("0.0001"))

    class Asked:
        async def run(self, row: Row) -> Outcome:
            call = Call(telemetry, route, request, "colours")
            with call.under_way(quota_wait_seconds=0.01):
                call.answered(answer, spent)
            return outcome

    outcome = Outcome(row_id="I-1", row_number=1, experiment="plain", status=TrialStatus.SUCCEEDED)
    rows = [Row(row_id=f"I-{n}", number=n, line=n, fields={}) for n in range(CALLS[side])]

    async def run_all() -> float:
        with bound(run="colours-1", experiment="plain", chunk=1):
            trial = MeasuredTrial(telemetry, "colours", 0, Asked())
            await trial.run(rows[0])
            began = time.process_time()
            for row in rows:
                await trial.run(row)
            await runtime.close()
            return time.process_time() - began

    return 1e6 * asyncio.run(run_all()) / len(rows)


def _settings(address: str) -> dict[str, dict[str, str]]:
    on = {"OTEL_EXPORTER_OTLP_ENDPOINT": address}
    return {OFF: {}, SHARE: on, ALL: {**on, "ASSAY_TRACE_SAMPLE": "1"}}


async def _worker_in_turns(servers: Servers, address: str) -> Turns:
    settings = _settings(address)
    turns: Turns = {side: [] for side in settings}
    for number in range(ROUNDS + 1):
        # Forwards and backwards in turn: what grows with time falls on all sides alike.
        for side in list(settings)[:: -1 if number % 2 else 1]:
            run = f"colours-{list(settings).index(side)}-{number}"
            turns[side].append(await _worker_turn(servers, run, settings[side]))
    return _without_first(turns)


async def _worker_turn(servers: Servers, run: str, settings: dict[str, str]) -> Turn:
    """Telemetry is opened before and sends the last of it within: more often than in a worker that goes on."""
    runtime = Runtime(Settings.load({**worker_settings(servers), **settings}))
    runtime.telemetry = telemetry = TimedTelemetry(runtime.telemetry)
    try:
        messages = await begin(runtime.storage, load_suite(SUITE + ON_QUOTA), run, TRIALS)
        telemetry.record(HEARTBEAT, 0)
        gc.collect()
        before = telemetry.cpu_seconds
        async with timed(servers) as rounds:
            await work(runtime, messages)
            await asyncio.to_thread(telemetry.flush)
        told = telemetry.cpu_seconds - before
        await check(runtime.storage, messages, TRIALS)
    finally:
        await runtime.close()
    return Turn(1e6 * rounds[0].cpu_seconds / TRIALS, 1e6 * told / TRIALS)


@contextmanager
def _collector() -> Iterator[str]:
    command = [sys.executable, "-m", RECEIVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        yield process.stdout.readline().strip()
        process.stdin.close()
