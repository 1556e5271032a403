"""B2: what adaptive `max_tokens` gains in whole trials per minute at a fixed quota, by the emulator's log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from .loads import LOADS, QUOTAS
from .options import Options
from .results import Bound, Result
from .runs import Measured, RunPlan, played
from .scoring import MINUTE, OK, Span, is_cut, whole_answers

LIMITS = {"chat": 400, "chat-800": 800, "chat-1000": 1_000}
WORKERS = (1, 4)
SHORTEST_SECONDS = 270.0
LEAST_GAIN, AIMED_GAIN = 1.25, 1.4
JUDGED_LOAD = "chat-1000"
ROUNDS, ROUNDS_OF_ALL = 1, 2


@dataclass(frozen=True)
class Counted:
    """Whole answers per minute, in the steady part and from the first one on, and the share that was cut."""

    steady: float
    whole: float
    cut_share: float


def answer_limits(options: Options) -> Iterator[Result]:
    """B2: without and with in turns, for three limits of the suite on the small quota; one of them has a bound."""
    for load in LIMITS:
        for workers in options.workers if options.workers_chosen else WORKERS:
            yield _gain(options, load, workers)


def seconds(options: Options) -> float:
    """How long it takes, about."""
    rounds = ROUNDS_OF_ALL if options.is_full else ROUNDS
    workers = options.workers if options.workers_chosen else WORKERS
    return 2 * rounds * len(LIMITS) * len(workers) * (_seconds(options) + 10.0)


def _seconds(options: Options) -> float:
    return max(options.seconds, SHORTEST_SECONDS) if options.is_full or not options.seconds_chosen else options.seconds


def _gain(options: Options, load: str, workers: int) -> Result:
    plan = RunPlan(quota=QUOTAS["S"], load=LOADS[load], workers=workers, seconds=_seconds(options))
    plain, limited = [], []
    for seed in range(1, 1 + (ROUNDS_OF_ALL if options.is_full else ROUNDS)):
        plain.append(_counted(replace(plan, seed=seed)))
        limited.append(_counted(replace(plan, seed=seed, adaptive_max_tokens=True)))
    without, with_it = _mean(plain), _mean(limited)
    figures = {"limiter": plan.limiter, "quota": "S", "load": load, "workers": workers}
    notes = {"case": f"max_tokens {LIMITS[load]}", "cut_share": round(with_it.cut_share, 4)}
    return Result("B2", figures, _bounds(plan, without, with_it), notes=notes)


def _bounds(plan: RunPlan, without: Counted, with_it: Counted) -> list[Bound]:
    is_judged = plan.load.name == JUDGED_LOAD
    is_short = plan.seconds < SHORTEST_SECONDS
    too_short = f"too short: {plan.seconds:.0f} s of at least {SHORTEST_SECONDS:.0f}" if is_short and is_judged else ""
    gain = Bound(
        "gain",
        with_it.steady / without.steady,
        least=LEAST_GAIN if is_judged else None,
        target=f"aim {AIMED_GAIN}" if is_judged else "",
        not_judged=too_short,
    )
    return [
        gain,
        Bound("whole trials per minute without", without.steady),
        Bound("with", with_it.steady),
        Bound("gain, learning included", with_it.whole / without.whole),
        Bound("cut and asked again, share", with_it.cut_share),
    ]


def _counted(plan: RunPlan) -> Counted:
    with played(plan) as measured:
        span = Span(measured.began, measured.began + plan.seconds)
        return Counted(_per_minute(measured, measured.steady), _per_minute(measured, span), _cut_share(measured))


def _per_minute(measured: Measured, span: Span) -> float:
    return whole_answers(measured.arrivals, LIMITS[measured.plan.load.name], span) / span.seconds * MINUTE


def _cut_share(measured: Measured) -> float:
    answered = [each for each in measured.arrivals if each.status == OK]
    longest = LIMITS[measured.plan.load.name]
    return sum(is_cut(each, longest) for each in answered) / max(1, len(answered))


def _mean(counted: list[Counted]) -> Counted:
    count = len(counted)
    return Counted(
        sum(each.steady for each in counted) / count,
        sum(each.whole for each in counted) / count,
        sum(each.cut_share for each in counted) / count,
    )
