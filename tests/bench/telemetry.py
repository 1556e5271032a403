"""What telemetry costs a worker: the worker of `throughput`, without it, with the share of the default, and with every
trial sent to a collector in a process of its own.
"""

import asyncio
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.bench.throughput import ON_QUOTA, TRIALS, Round, Servers, servers_running, worker_round
from tests.end_to_end.small_suite import SUITE

from assay.suite.loading import load_suite

ROUNDS = 5
OFF, SHARE, ALL = "off", "on, 1 % of the trials", "on, every trial"
RECEIVER = "tests.stand_ins.telemetry_receivers"


def measure() -> dict[str, str]:
    """CPU per trial and trials per second, medians of five rounds in turns after one that is not counted."""
    with servers_running() as servers, _collector() as address:
        sides = asyncio.run(_measure(servers, address))
    off = _cpu_ms(sides[OFF])
    figures = {}
    for side, rounds in sides.items():
        figures[f"{side}: CPU per trial"] = f"{_cpu_ms(rounds):.3f} ms ({_cpu_ms(rounds) / off - 1:+.1%})"
        figures[f"{side}: trials/s"] = f"{statistics.median(TRIALS / one.seconds for one in rounds):.0f}"
    return figures


async def _measure(servers: Servers, address: str) -> dict[str, list[Round]]:
    suite = load_suite(SUITE + ON_QUOTA)
    on = {"OTEL_EXPORTER_OTLP_ENDPOINT": address}
    settings = {OFF: {}, SHARE: on, ALL: {**on, "ASSAY_TRACE_SAMPLE": "1"}}
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
