"""One run of the bench: a stage, a fleet, a load for some time, things that happen meanwhile, and the score."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from .environment import baseline_command
from .fleet import Fleet, numbered, open_fleet, our_command
from .loads import BenchQuota, Load
from .progress import say
from .scoring import Arrival, Limits, Score, Span, percentile, score, waits
from .stage import Stage, cost_usd, open_stage, wait_until

OURS = ("blob_lease", "window", "adaptive", "none")
ESTIMATE_ERROR = 0.02
LEAD_SECONDS = 1.0
SETTLE_SECONDS = 0.3
WATCH_SECONDS = 1.0
LONGEST_WARM_UP = 60.0
SHORTEST_WARM_UP = 30.0
TOKEN_WINDOW = 60.0
NOT_LOST = ("answered", "cancelled", "stopped", "LimiterDrained")


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What to run. `load_share` None: as much as can be; else Poisson arrivals at this part of the quota.

    `schedule` is the emulator's, `cuts` what it does to the limits: (from, to, factor) in seconds of the load.
    `slots` None: three times what the quota needs.
    `orders` gives the workers other work than that. `faults` are the emulator's shares of what goes wrong.
    """

    quota: BenchQuota
    load: Load
    workers: int
    seconds: float
    limiter: str = "blob_lease"
    load_share: float | None = None
    schedule: Sequence[Mapping[str, Any]] = ()
    cuts: Sequence[tuple[float, float, float]] = ()
    orders: Callable[[Play], None] | None = None
    is_disturbed: bool = False
    faults: Mapping[str, float] = field(default_factory=dict)
    budget_usd: Decimal | None = None
    adaptive_max_tokens: bool = False
    slots: int | None = None
    seed: int = 1

    @property
    def warm_up(self) -> float:
        """Seconds that are not scored. With a fault in it, everything is scored that comes after the start.

        Else it is a multiple of the token window, so that a load that comes in bursts is not favoured.
        """
        if self.is_disturbed:
            return SHORTEST_WARM_UP
        windows = math.floor((self.seconds - SHORTEST_WARM_UP) / TOKEN_WINDOW)
        return self.seconds - TOKEN_WINDOW * windows if windows > 0 else self.seconds / 2


@dataclass
class Play:
    """A run under way: what those who make things happen may touch."""

    plan: RunPlan
    stage: Stage
    fleet: Fleet
    began: float
    command: list[str]
    options: dict[str, Any]
    notes: dict[str, Any] = field(default_factory=dict)

    def at(self, seconds: float) -> None:
        """Waits for this second of the load."""
        wait_until(self.began + seconds)

    def watch_leases(self, until: float, found: Callable[[int], bool] = lambda _: False) -> list[tuple[float, int]]:
        """(seconds of the load, partitions leased) once a second until then, or until it finds what it looks for.

        Its own listings are not counted as the limiter's.
        """
        seen: list[tuple[float, int]] = []
        while not (seen and (seen[-1][0] >= until or found(seen[-1][1]))):
            leased = self.stage.leased()
            self.notes["own_operations"] = self.notes.get("own_operations", 0) + 1
            seen.append((time.monotonic() - self.began, leased))
            time.sleep(WATCH_SECONDS)
        return seen

    def join(self, count: int) -> list[str]:
        """Starts further workers, which begin at once when all are ready; gives their names."""
        names = numbered(count, first=len(self.fleet.workers))
        self.fleet.start(self.command, self.options, self.stage.folder, names)
        joined = self.fleet.workers[-count:]
        self.stage.survivor.will_end(*(worker.process.pid for worker in joined))
        self.notes["joined_at"] = time.monotonic() + SETTLE_SECONDS
        self.fleet.order(joined, do="saturate", at=self.notes["joined_at"])
        return names


@dataclass(frozen=True)
class Measured:
    """What a run left behind. `began` and the span are seconds of the monotonic clock."""

    plan: RunPlan
    began: float
    steady: Span
    arrivals: list[Arrival]
    limits: list[Limits]
    score: Score
    operations: dict[str, int]
    steady_operations: int
    wait_p95: float | None
    cpu: dict[str, float]
    unhandled: int
    rows: dict[str, int]
    leases_left: int | None
    bill: dict[str, Any]
    fleet: Fleet
    notes: dict[str, Any]

    @property
    def operations_per_request(self) -> float:
        """In the steady part: the start of a fleet is measured apart."""
        answered = sum(each.status == 200 and self.steady.holds(each.at) for each in self.arrivals)
        return self.steady_operations / answered if answered else math.inf

    def figures(self) -> dict[str, Any]:
        """The fields that every run prints."""
        plan, scored = self.plan, self.score
        return {
            "limiter": plan.limiter,
            "quota": plan.quota.name,
            "load": plan.load.name + ("" if plan.load_share is None else f" {plan.load_share:.0%}"),
            "workers": plan.workers,
            "seconds": round(plan.seconds),
            "warm_up_seconds": round(plan.warm_up),
            "utilisation": round(scored.utilisation, 4),
            "binding_axis": scored.binding_axis,
            "r429": round(scored.rejected_share, 5),
            "r429_steady": round(scored.steady_rejected_share, 5),
            "over": {
                axis: {f"{seconds}s": round(over, 4) for seconds, over in windows.items()}
                for axis, windows in scored.over.items()
            },
            "useful_per_minute": round(scored.useful_per_minute, 1),
            "rows_lost": self.rows_lost,
            "statuses": scored.statuses,
            "ops_per_request": round(self.operations_per_request, 4),
            "ops_by_kind": self.operations,
            "usd_per_hour": round(cost_usd(self.operations) * 3_600 / plan.seconds, 5),
            "p95_wait_seconds": None if self.wait_p95 is None else round(self.wait_p95, 2),
            "unhandled": self.unhandled,
            "cpu_share": self.cpu,
        }

    @property
    def rows_lost(self) -> int:
        """Rows that their client gave up, the end of the run apart."""
        return sum(count for outcome, count in self.rows.items() if outcome not in NOT_LOST)


@contextmanager
def played(plan: RunPlan, meanwhile: Callable[[Play], None] = lambda _: None) -> Iterator[Measured]:
    """Runs a plan to its end and scores it; the workers' logs are there as long as the block runs."""
    with open_stage(plan.load, plan.quota, plan.schedule, plan.faults) as stage, open_fleet() as fleet:
        say(f"{plan.limiter}, {plan.workers} workers, quota {plan.quota.name}, {plan.load.name}: starting")
        play = _start(plan, stage, fleet)
        log_sizes = [stage.storage_log_size()]
        cpu_before = _cpu(stage, fleet)
        _order_load(play)
        say(f"load for {plan.seconds:.0f} s")
        play.at(0.0)
        if plan.schedule:
            stage.start_schedule()
        mark_steady = _Later(play, plan.warm_up, stage.storage_log_size)
        meanwhile(play)
        play.at(plan.seconds)
        log_sizes += [mark_steady.result(), stage.storage_log_size()]
        cpu_after = _cpu(stage, fleet)
        cpu = {name: round((used - cpu_before[name]) / plan.seconds, 3) for name, used in cpu_after.items()}
        fleet.stop()
        yield _score(play, log_sizes, cpu)


class _Later:
    """Calls a function at a second of the load, in a thread of its own, and keeps what it gives."""

    def __init__(self, play: Play, seconds: float, call: Callable[[], int]) -> None:
        from threading import Thread

        self._play, self._seconds, self._call = play, seconds, call
        self._value = 0
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> int:
        self._thread.join()
        return self._value

    def _run(self) -> None:
        self._play.at(self._seconds)
        self._value = self._call()


def _start(plan: RunPlan, stage: Stage, fleet: Fleet) -> Play:
    command = our_command() if plan.limiter in OURS else baseline_command()
    options = {
        "storage": stage.storage,
        "endpoint": stage.endpoint,
        "load": plan.load.name,
        "quota": plan.quota.name,
        "limiter": plan.limiter,
        "workers": plan.workers,
        "slots": plan.slots or plan.load.slots(plan.quota, plan.workers),
        "estimate_error": ESTIMATE_ERROR,
        "adaptive_max_tokens": plan.adaptive_max_tokens,
        "budget_usd": None if plan.budget_usd is None else str(plan.budget_usd),
        "seed": plan.seed,
    }
    fleet.start(command, options, stage.folder, numbered(plan.workers))
    stage.survivor.will_end(*(worker.process.pid for worker in fleet.workers))
    return Play(plan, stage, fleet, time.monotonic() + LEAD_SECONDS, command, options)


def _order_load(play: Play) -> None:
    plan = play.plan
    if plan.orders is not None:
        plan.orders(play)
        return
    if plan.load_share is None:
        play.fleet.order(do="saturate", at=play.began)
        return
    per_second = plan.load_share * plan.load.requests_per_second(plan.quota) / plan.workers
    play.fleet.order(do="arrive", at=play.began, per_second=per_second)


def _cpu(stage: Stage, fleet: Fleet) -> dict[str, float]:
    return {**stage.cpu_seconds(), "workers": fleet.cpu_seconds()}


def _score(play: Play, log_sizes: Sequence[int], cpu: dict[str, float]) -> Measured:
    plan, stage = play.plan, play.stage
    begin, warm, end = log_sizes
    span = Span(play.began, play.began + plan.seconds)
    steady = Span(play.began + plan.warm_up, span.end)
    arrivals = [each for each in stage.arrivals() if each.at < span.end]
    limits = _limits(plan, play.began)
    rows: dict[str, int] = {}
    for _, record in play.fleet.records("row"):
        rows[record["outcome"]] = rows.get(record["outcome"], 0) + 1
    return Measured(
        plan=plan,
        began=play.began,
        steady=steady,
        arrivals=arrivals,
        limits=limits,
        score=score(arrivals, limits, steady),
        operations=stage.operations(begin, end),
        steady_operations=sum(stage.operations(warm, end).values()) - play.notes.get("own_operations", 0),
        wait_p95=percentile(waits(arrivals, play.fleet.asked(), steady), 0.95),
        cpu=cpu,
        unhandled=play.fleet.unhandled(),
        rows=rows,
        leases_left=stage.leased() if plan.limiter == "blob_lease" else None,
        bill=stage.bill(),
        fleet=play.fleet,
        notes=play.notes,
    )


def _limits(plan: RunPlan, began: float) -> list[Limits]:
    whole = (plan.quota.requests, plan.quota.tokens)
    limits = [Limits(0.0, *whole)]
    for since, until, factor in plan.cuts:
        limits.append(Limits(began + since, *(factor * limit for limit in whole)))
        limits.append(Limits(began + until, *whole))
    return limits
