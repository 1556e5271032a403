"""What goes wrong while the load runs: A4 killed workers, A5 frozen workers, A6 lost storage, A7 a cut quota."""

from __future__ import annotations

import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import Any

from assay.quota.leases import LEASE_SECONDS

from .loads import LOADS, QUOTAS
from .options import Options
from .results import Bound, Result
from .runs import Measured, Play, RunPlan, played
from .scoring import MINUTE, Arrival, Span, capacity, rates, seconds_below, seconds_until_rate
from .steady import MOST_REJECTED, most_over_60

WORKERS = 16
SWEEP_SECONDS = 10
FREEZE_SECONDS = 70.0
CUT = 0.6
RATE_WINDOW_SECONDS = 10.0
FULL_RATE = 0.95
UNDISTURBED = 0.985
MOST_UNTIL_HELD = LEASE_SECONDS + SWEEP_SECONDS + 2
MOST_UNTIL_FIRST_SEND = 10.0

# What a cut costs, it costs at its begin: a window that is full of earlier charges admits nothing for a while, and the
# limiter has to learn. The design's bounds are for ten minutes, of which nine are scored and 492 s of quota are left;
# shorter runs are held to the same loss, not to the same share.
LEAST_OF_CUT = {True: 0.93, False: 0.90}
MOST_REJECTED_OF_CUT = {True: 0.005, False: 0.01}
SECONDS_LEFT_IN_TEN_MINUTES = 492.0


def crash(options: Options) -> Iterator[Result]:
    """A4: an eighth of the workers is killed; their partitions are back in use soon, and nothing overruns."""
    at, seconds = (120.0, 600.0) if options.is_full else (60.0, 150.0)
    plan = _plan(seconds)
    killed = WORKERS // 8

    def meanwhile(play: Play) -> None:
        play.at(at - 3)
        before = max(leased for _, leased in play.watch_leases(until=at - 1))
        play.at(at)
        for worker in play.fleet.workers[:killed]:
            worker.signal(signal.SIGKILL)
        play.notes["before"] = before
        # The dead workers' leases run on for a while: all held means held by others only after they have run out.
        play.notes["leased"] = play.watch_leases(until=at + 2 * MOST_UNTIL_HELD)

    with played(plan, meanwhile) as measured:
        notes = measured.notes
        below = [second for second, leased in notes["leased"] if leased < notes["before"]]
        is_back = notes["leased"][-1][1] >= notes["before"]
        until_held = (max(below, default=at) - at + 1) if is_back else None
        lost = killed / WORKERS * MOST_UNTIL_HELD / measured.steady.seconds
        bounds = [
            Bound("seconds until all is held again", until_held, most=MOST_UNTIL_HELD),
            Bound("utilisation", measured.score.utilisation, least=round(UNDISTURBED - lost, 4)),
            *_never_too_much(measured),
        ]
        back = seconds_below(_token_rates(measured), FULL_RATE * plan.quota.tokens, measured.began + at)
        yield Result(
            "A4", measured.figures(), bounds, notes={"case": "crash", "killed": killed, "seconds_until_full_rate": back}
        )


def fence(options: Options) -> Iterator[Result]:
    """A5: four of sixteen workers are stopped for longer than a lease, and go on: none may spend what it has lost."""
    at = 60.0
    plan = _plan(seconds=at + FREEZE_SECONDS + 30)

    def meanwhile(play: Play) -> None:
        play.at(at)
        for worker in play.fleet.workers[:4]:
            worker.signal(signal.SIGSTOP)
        play.at(at + FREEZE_SECONDS)
        for worker in play.fleet.workers[:4]:
            worker.signal(signal.SIGCONT)

    with played(plan, meanwhile) as measured:
        sent = _sent(measured)
        late = sum(record["t"] > record["deadline"] for record in sent)
        bounds = [
            Bound("sent past the deadline", late if sent else None, most=0),
            Bound("partitions with two owners", _shared_partitions(sent) if sent else None, most=0),
            *_never_too_much(measured),
        ]
        arrived = _arrived_late(measured.arrivals, sent)
        yield Result("A5", measured.figures(), bounds, notes={"case": "freeze", "arrived_past_the_deadline": arrived})


def outage(options: Options) -> Iterator[Result]:
    """A6: storage hangs for 20 s (all: and for 120 s); what is held is spent to its end, and no longer."""
    for length in (20.0, 120.0) if options.is_full else (20.0,):
        yield _outage(60.0, length)


def _outage(at: float, length: float) -> Result:
    def meanwhile(play: Play) -> None:
        play.at(at)
        play.stage.freeze_storage()
        play.at(at + length)
        play.stage.thaw_storage()

    with played(_plan(seconds=at + length + 60), meanwhile) as measured:
        begin, end = measured.began + at, measured.began + at + length
        last = max((each.at - begin for each in measured.arrivals if begin <= each.at < end), default=0.0)
        first = min((each.at - end for each in measured.arrivals if each.at >= end), default=None)
        bounds = [
            Bound("seconds from the outage to the last request in it", last, most=min(length, LEASE_SECONDS)),
            Bound("seconds from its end to the next request", first, most=MOST_UNTIL_FIRST_SEND),
            *_never_too_much(measured),
        ]
        back = seconds_below(_token_rates(measured), FULL_RATE * measured.plan.quota.tokens, end)
        notes = {"case": f"storage outage of {length:.0f} s", "seconds_until_full_rate": back}
        return Result("A6", measured.figures(), bounds, notes=notes)


def cut(options: Options) -> Iterator[Result]:
    """A7: the service grants 60 % for a while, and its headers say so, or do not."""
    begin, end, seconds = (120.0, 240.0, 600.0) if options.is_full else (45.0, 105.0, 150.0)
    for told in options.told:
        phase = {"from_seconds": begin, "to_seconds": end, "quota_factor": CUT, "headers_tell": told}
        plan = _plan(seconds, schedule=[phase], cuts=[(begin, end, CUT)])
        with played(plan) as measured:
            left = capacity(measured.limits, "tokens", measured.steady) / plan.quota.tokens * MINUTE
            scale = max(1.0, SECONDS_LEFT_IN_TEN_MINUTES / left)
            least = round(1 - (1 - LEAST_OF_CUT[told]) * scale, 4)
            most_rejected = round(MOST_REJECTED_OF_CUT[told] * scale, 5)
            bounds = [
                Bound("utilisation of what was available", measured.score.utilisation, least=least),
                Bound("429 share", measured.score.rejected_share, most=most_rejected),
                Bound("unhandled", measured.unhandled + measured.rows_lost, most=0),
            ]
            wanted = FULL_RATE * plan.quota.tokens
            back = seconds_until_rate(_token_rates(measured), wanted, measured.began + end)
            notes = {"case": "cut, told" if told else "cut, not told", "seconds_until_full_rate": back}
            yield Result("A7", measured.figures(), bounds, notes=notes)


def _plan(seconds: float, **more: Any) -> RunPlan:
    return RunPlan(quota=QUOTAS["L"], load=LOADS["chat"], workers=WORKERS, seconds=seconds, is_disturbed=True, **more)


def _never_too_much(measured: Measured) -> list[Bound]:
    return [
        Bound("429 share", measured.score.rejected_share, most=MOST_REJECTED),
        Bound("tokens over, 60 s", measured.score.over["tokens"][60], most=most_over_60(measured.plan)),
        Bound("unhandled", measured.unhandled + measured.rows_lost, most=0),
    ]


def _token_rates(measured: Measured) -> list[tuple[float, float]]:
    span = Span(measured.began, measured.began + measured.plan.seconds)
    return rates(measured.arrivals, "tokens", RATE_WINDOW_SECONDS, span)


def _sent(measured: Measured) -> list[dict[str, Any]]:
    """What every worker wrote down of every request that left: when, and on which lease until when."""
    return sorted((record for _, record in measured.fleet.records("sent")), key=_time)


def _shared_partitions(sent: list[dict[str, Any]]) -> int:
    """Partitions on which sends of one lease lie on both sides of a send of another one."""
    return sum(_is_interleaved(records) for records in _by(sent, lambda record: record["partition"]).values())


def _is_interleaved(records: list[dict[str, Any]]) -> bool:
    tenures = [lease for lease, _ in groupby(record["lease"] for record in records)]
    return len(tenures) > len(set(tenures))


def _arrived_late(arrivals: list[Arrival], sent: list[dict[str, Any]]) -> int:
    """Requests that the service saw after the deadline of the lease on which they had left."""
    by_content = _by(sent, lambda record: record["content"])
    late = 0
    for arrival in arrivals:
        before = [record for record in by_content.get(arrival.content, []) if record["t"] <= arrival.at]
        late += bool(before) and arrival.at > before[-1]["deadline"]
    return late


def _by(records: list[dict[str, Any]], key: Callable[[Mapping[str, Any]], Any]) -> dict[Any, list[dict[str, Any]]]:
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        groups[key(record)].append(record)
    return groups


def _time(record: Mapping[str, Any]) -> float:
    return float(record["t"])
