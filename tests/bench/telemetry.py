"""What telemetry costs a worker: without it, with the share of the default, and with every trial sent to a collector in
a process of its own. In the worker of `throughput`, and by its calls alone, which find the processor's caches warm.
Sides take turns in many short rounds; a round is compared with the one of the same turn that has no telemetry.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from tests.bench.throughput import ON_QUOTA, Servers, servers_running, worker_round
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

ROUNDS, TRIALS = 30, 500
ROUNDS_ALONE = 7
OFF, SHARE, ALL = "off", "on, 1 % of the trials", "on, every trial"
CALLS = {OFF: 10_000, SHARE: 10_000, ALL: 1_000}
"""Of every trial no more than may wait, as what is lost costs nothing."""
RECEIVER = "tests.stand_ins.telemetry_receivers"
Rounds = dict[str, list[float]]
"""By side, microseconds of CPU per trial in each turn."""


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
    figures |= {f"{side}: its calls alone": f"{_spread(alone[side], '.0f')} us" for side in alone}
    figures |= {f"{side}: a worker's trial": f"{_spread(worker[side], '.0f')} us" for side in worker}
    for side in (SHARE, ALL):
        pairs = list(zip(worker[side], worker[OFF], strict=True))
        figures[f"{side}: more than off"] = f"{_spread([one - off for one, off in pairs], '+.0f')} us"
        figures[f"{side}: in parts of off"] = _spread([one / off - 1 for one, off in pairs], "+.1%")
    return figures


def _spread(values: list[float], form: str) -> str:
    low, median, high = statistics.quantiles(values, n=4)
    return f"{median:{form}} ({low:{form}} to {high:{form}})"


def _alone_in_turns(address: str) -> Rounds:
    rounds: Rounds = {OFF: [], SHARE: [], ALL: []}
    for _ in range(ROUNDS_ALONE + 1):
        for side, found in rounds.items():
            found.append(_alone(side, address))
    return _without_first(rounds)


def _without_first(rounds: Rounds) -> Rounds:
    """The first turn loads modules and fills caches."""
    return {side: found[1:] for side, found in rounds.items()}


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


async def _worker_in_turns(servers: Servers, address: str) -> Rounds:
    suite = load_suite(SUITE + ON_QUOTA)
    settings = _settings(address)
    rounds: Rounds = {side: [] for side in settings}
    for number in range(ROUNDS + 1):
        # Forwards and backwards in turn: what grows with time falls on all sides alike.
        for side in list(settings)[:: -1 if number % 2 else 1]:
            run = f"colours-{list(settings).index(side)}-{number}"
            found = await worker_round(servers, suite, run, TRIALS, **settings[side])
            rounds[side].append(1e6 * found.cpu_seconds / TRIALS)
    return _without_first(rounds)


@contextmanager
def _collector() -> Iterator[str]:
    command = [sys.executable, "-m", RECEIVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        yield process.stdout.readline().strip()
        process.stdin.close()
