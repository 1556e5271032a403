"""`python -m tests.bench quota`: runs the chosen measurements, prints a JSON line for each, and a table at the end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from assay.local.processes import terminated_as_interrupted

from . import faults, lengths, money, sharing, steady
from .fleet import machine
from .options import Options
from .progress import expect, say
from .results import Result, table
from .runs import OURS
from .stage import ROOT

MINUTES, FULL_MINUTES = 1.5, 5.0
WORKERS = "1,4,16"
START_SECONDS = 6.0
START_SECONDS_PER_WORKER = 0.6


@dataclass(frozen=True, slots=True)
class Measurement:
    """One name on the command line. `seconds` is about how long it takes; None: one run per quota and workers."""

    run: Callable[[Options], Iterator[Result]]
    seconds: Callable[[Options], float]


def _cells(options: Options) -> float:
    """Every quota with every number of workers."""
    starts = sum(START_SECONDS + START_SECONDS_PER_WORKER * workers for workers in options.workers)
    return len(options.quotas) * len(options.limiters) * (starts + len(options.workers) * options.seconds)


def _virtual(name: str) -> Callable[[Options], Iterator[Result]]:
    """Imported when it runs: it brings the tests' fleet."""

    def run(options: Options) -> Iterator[Result]:
        from . import virtual

        yield from getattr(virtual, name)(options)

    return run


def _replies(options: Options) -> Iterator[Result]:
    from .replies import retry_after

    yield from retry_after(options)


def _by_length(short: float, full: float) -> Callable[[Options], float]:
    return lambda options: full if options.is_full else short


MEASUREMENTS = {
    "A1": Measurement(steady.steady, _cells),
    "A1-80": Measurement(steady.open_load, _cells),
    "A1-long": Measurement(steady.long_requests, lambda options: 2 * (options.seconds + START_SECONDS)),
    "A2": Measurement(steady.request_bound, _cells),
    "A3": Measurement(sharing.join, _by_length(130, 390)),
    "A3-virtual": Measurement(_virtual("joins"), _by_length(5, 15)),
    "A4": Measurement(faults.crash, _by_length(165, 615)),
    "A5": Measurement(faults.fence, _by_length(175, 175)),
    "A6": Measurement(faults.outage, _by_length(155, 410)),
    "A7": Measurement(faults.cut, lambda options: len(options.told) * (615 if options.is_full else 165)),
    "A8": Measurement(_replies, _by_length(10, 10)),
    "A9": Measurement(sharing.idle, _by_length(220, 220)),
    "A10": Measurement(_virtual("crowd"), _by_length(3, 3)),
    "A11": Measurement(sharing.fairness, _by_length(160, 160)),
    "A12": Measurement(_virtual("clocks"), _by_length(1, 1)),
    "A14": Measurement(sharing.drain, _by_length(60, 60)),
    "A15": Measurement(_virtual("properties"), _by_length(90, 90)),
    "A16": Measurement(_virtual("cost"), _by_length(5, 10)),
    "B1": Measurement(money.overshoot, _by_length(760, 860)),
    "B2": Measurement(lengths.answer_limits, lengths.seconds),
    "B3": Measurement(money.cost, lambda options: options.seconds + START_SECONDS),
    "baselines": Measurement(steady.baselines, lambda options: len(options.baselines) * _cells(options)),
}


def main(arguments: Sequence[str]) -> None:
    """Exits with 1 when a bound was missed, with 130 on Ctrl-C; whatever was started has ended by then."""
    chosen = _parser().parse_args(arguments)
    steps = _steps(chosen)
    expect(sum(MEASUREMENTS[name].seconds(options) for name, options in steps))
    results: list[Result] = []
    with terminated_as_interrupted():
        try:
            for name, options in steps:
                say(f"== {name}")
                for result in MEASUREMENTS[name].run(options):
                    results.append(result)
                    print(result.as_json(), flush=True)
        except KeyboardInterrupt:
            say("interrupted")
            _report(results, arguments)
            sys.exit(130)
    _report(results, arguments)
    sys.exit(0 if all(result.is_kept for result in results) else 1)


def _steps(chosen: argparse.Namespace) -> list[tuple[str, Options]]:
    """What to run in which order, each with its own options."""
    options = Options(
        quotas=chosen.quota.split(","),
        workers=[int(part) for part in (chosen.workers or WORKERS).split(",")],
        seconds=60 * (chosen.minutes or (FULL_MINUTES if chosen.full else MINUTES)),
        baselines=chosen.baselines.split(","),
        limiters=chosen.limiters.split(","),
        is_full=chosen.full,
        seconds_chosen=chosen.minutes is not None,
        workers_chosen=chosen.workers is not None,
    )
    if chosen.measurements:
        return [(name, options) for name in chosen.measurements]
    if chosen.full:
        return [(name, options) for name in MEASUREMENTS]
    return _selection(options)


def _selection(options: Options) -> list[tuple[str, Options]]:
    """What `make bench-quota` runs: something of nearly everything, in three quarters of an hour."""
    small = replace(options, quotas=["S"], workers=[4], told=[True])
    names = ["A4", "A6", "A7", "A14", "A8", "A3-virtual", "A10", "A12", "A16", "B1", "B3", "baselines"]
    return [("A1", options), ("A2", replace(options, workers=[4])), *((name, small) for name in names)]


def _report(results: Sequence[Result], arguments: Sequence[str]) -> None:
    if not results:
        return
    now = datetime.now(UTC)
    head = f"`python -m tests.bench quota {' '.join(arguments)}`, {now:%Y-%m-%d %H:%M} UTC, {machine()}\n\n"
    text = head + table(results)
    target = ROOT / ".assay" / "bench" / f"quota-{now:%Y-%m-%d-%H%M%S}.md"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    print(text, flush=True)
    say(f"written to {target.relative_to(ROOT)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench quota", description=__doc__)
    add = parser.add_argument
    add("measurements", nargs="*", choices=[*MEASUREMENTS, []], metavar="NAME", help=", ".join(MEASUREMENTS))
    add("--minutes", type=float, help=f"length of each even run; default {MINUTES:g}, with --full {FULL_MINUTES:g}")
    add("--workers", help=f"numbers of worker processes; default {WORKERS}")
    add("--quota", default="S,L", help="S: 600 RPM, 100k TPM; L: 10,000 RPM, 2M TPM")
    add("--baselines", default=",".join(steady.USUAL_BASELINES), help="which of: " + ", ".join(steady.BASELINES))
    add("--limiters", default="blob_lease", help="for A1, which of: " + ", ".join(OURS))
    add("--full", action="store_true", help="all measurements, with the lengths and repeats of the design")
    return parser
