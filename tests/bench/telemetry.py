"""What telemetry costs a worker: without it, with the share of the default, and with every trial sent to a collector in
a process of its own. Both in the worker of `throughput` and by its calls alone, which other work disturbs less.
"""

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from tests.bench.throughput import ON_QUOTA, TRIALS, Round, Servers, servers_running, worker_round
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

ROUNDS = 5
OFF, SHARE, ALL = "off", "on, 1 % of the trials", "on, every trial"
CALLS = {OFF: 20_000, SHARE: 20_000, ALL: 1_000}
"""Of every trial no more than may wait, as what is lost costs nothing."""
RECEIVER = "tests.stand_ins.telemetry_receivers"


def measure() -> dict[str, str]:
    """CPU per trial of the calls alone, and of a worker: medians of five rounds in turns after one not counted."""
    with _collector() as address:
        figures = {f"{side}: its calls alone": f"{_alone(side, address):.0f} us" for side in (OFF, SHARE, ALL)}
        with servers_running() as servers:
            sides = asyncio.run(_measure(servers, address))
    for side, rounds in sides.items():
        pairs = zip(rounds, sides[OFF], strict=True)
        ratio = statistics.median(one.cpu_seconds / off.cpu_seconds - 1 for one, off in pairs)
        figures[f"{side}: CPU per trial of a worker"] = f"{_cpu_ms(rounds):.3f} ms ({ratio:+.1%})"
    return figures


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


async def _measure(servers: Servers, address: str) -> dict[str, list[Round]]:
    suite = load_suite(SUITE + ON_QUOTA)
    settings = _settings(address)
    sides: dict[str, list[Round]] = {side: [] for side in settings}
    for number in range(ROUNDS + 1):
        for at, (side, chosen) in enumerate(settings.items()):
            sides[side].append(await worker_round(servers, suite, f"colours-{at}-{number}", **chosen))
    return {side: rounds[1:] for side, rounds in sides.items()}


def _cpu_ms(rounds: list[Round]) -> float:
    return 1000 * statistics.median(one.cpu_seconds for one in rounds) / TRIALS


@contextmanager
def _collector() -> Iterator[str]:
    command = [sys.executable, "-m", RECEIVER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin and process.stdout
        yield process.stdout.readline().strip()
        process.stdin.close()
