"""The even runs: A1 (tokens bind), A2 (requests bind), both at full load and at 80 %, and the public baselines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from assay.quota.base import Quota
from assay.quota.shares import partition_count

from .environment import versions
from .loads import LOADS, QUOTAS
from .options import Options
from .results import Bound, Result
from .runs import Measured, RunPlan, played
from .scoring import MINUTE

LEAST_UTILISATION, AIMED_UTILISATION = 0.97, 0.985
LEAST_UTILISATION_OF_SHORT_RUNS = {"S": 0.965}
SHORT_RUN_SECONDS = 240.0
MOST_REJECTED, AIMED_REJECTED = 0.005, 0.001
MOST_OVER_10, MOST_OVER_60 = 0.02, 0.01
MOST_OPERATIONS, AIMED_OPERATIONS = 0.05, 0.04
UTILISATION_TARGET = f"target {LEAST_UTILISATION}, aim {AIMED_UTILISATION}"
LOAD_SHARE = 0.8
REQUESTS_PER_PARTITION = 1.0

BASELINES = ("none", "sdk", "sdk-10", "litellm-whole", "litellm-share", "aiolimiter-whole", "aiolimiter-share")
USUAL_BASELINES = ("sdk", "litellm-whole", "litellm-share", "aiolimiter-share")


def steady(options: Options) -> Iterator[Result]:
    """A1: chat, saturated, for every quota and number of workers."""
    for quota in options.quotas:
        for workers in options.workers:
            for limiter in options.limiters:
                yield _measured("A1", replace(_plan(options, quota, "chat", workers), limiter=limiter))


def request_bound(options: Options) -> Iterator[Result]:
    """A2: short requests, saturated: requests bind."""
    for quota in options.quotas:
        for workers in options.workers:
            yield _measured("A2", _plan(options, quota, "short", workers))


def open_load(options: Options) -> Iterator[Result]:
    """A1 at 80 % of the quota, Poisson arrivals: what a permit costs in time when there is enough for all."""
    for quota in options.quotas:
        for workers in options.workers:
            yield _measured("A1-80", _plan(options, quota, "chat", workers, LOAD_SHARE))


def long_requests(options: Options) -> Iterator[Result]:
    """Charges of ten thousand tokens with a heavy tail."""
    for workers in options.workers:
        if workers <= 4:  # each share is still worth a few requests per minute
            yield _measured("A1-long", _plan(options, "L", "long", workers))


def baselines(options: Options) -> Iterator[Result]:
    """A17: the same work by what users have today. No bounds."""
    used = versions()
    for quota in options.quotas:
        for workers in options.workers:
            for name in options.baselines:
                plan = RunPlan(
                    quota=QUOTAS[quota], load=LOADS["chat"], workers=workers, seconds=options.seconds, limiter=name
                )
                with played(plan) as measured:
                    yield Result("baseline", measured.figures(), notes={"versions": used})


def _plan(options: Options, quota: str, load: str, workers: int, load_share: float | None = None) -> RunPlan:
    return RunPlan(
        quota=QUOTAS[quota], load=LOADS[load], workers=workers, seconds=options.seconds, load_share=load_share
    )


def _measured(name: str, plan: RunPlan) -> Result:
    with played(plan) as measured:
        # What the others reach is theirs: only the shared limiter promises anything of a whole fleet.
        bounds = steady_bounds(measured) if plan.limiter == "blob_lease" else [_unhandled_bound(measured)]
        return Result(name, measured.figures(), bounds)


def steady_bounds(measured: Measured) -> list[Bound]:
    """The bounds of A1 and A2; utilisation only where there is work for all of it."""
    plan, over = measured.plan, measured.score.over
    no_window = "" if plan.seconds >= MINUTE else f"the run has no whole window: {plan.seconds:.0f} s"
    bounds = [
        _rejected_bound(measured),
        Bound("tokens over, 60 s", over["tokens"][60], most=most_over_60(plan), target="aim 0", not_judged=no_window),
        Bound("requests over, 10 s", over["requests"][10], most=max(MOST_OVER_10, 60 / plan.quota.requests / 10)),
        _unhandled_bound(measured),
    ]
    if plan.load_share is None:
        bounds.insert(0, _utilisation_bound(measured))
        if _is_partition_busy(plan):
            operations, target = measured.operations_per_request, f"aim {AIMED_OPERATIONS}"
            bounds.append(Bound("storage operations per request", operations, most=MOST_OPERATIONS, target=target))
    return bounds


def _utilisation_bound(measured: Measured) -> Bound:
    seconds = measured.steady.seconds
    too_short = "" if seconds >= MINUTE else f"too short: {seconds:.0f} s scored of at least {MINUTE:.0f}"
    least = least_utilisation(measured.plan, seconds)
    return Bound("utilisation", measured.score.utilisation, least, target=UTILISATION_TARGET, not_judged=too_short)


def least_utilisation(plan: RunPlan, seconds: float) -> float:
    """A minute of the small quota holds a hundred requests: one of them more or less is not the limiter's doing."""
    least = LEAST_UTILISATION
    if seconds < SHORT_RUN_SECONDS:
        least = LEAST_UTILISATION_OF_SHORT_RUNS.get(plan.quota.name, least)
    return round(least - 1 / (plan.load.requests_per_second(plan.quota) * seconds), 4)


def _rejected_bound(measured: Measured) -> Bound:
    """One refusal of too few requests is above the bound, and none of them proves nothing."""
    offered, share = measured.score.offered, measured.score.rejected_share
    fewest = round(1 / MOST_REJECTED)
    is_too_few = offered < fewest and share * offered < 1.5
    too_few = f"too few requests: {offered} of at least {fewest}" if is_too_few else ""
    return Bound("429 share", share, most=MOST_REJECTED, target=f"aim {AIMED_REJECTED}", not_judged=too_few)


def _unhandled_bound(measured: Measured) -> Bound:
    return Bound("unhandled", measured.unhandled + measured.rows_lost, most=0)


def most_over_60(plan: RunPlan) -> float:
    """One request is never an overrun."""
    return max(MOST_OVER_60, plan.load.mean_charge / plan.quota.tokens)


def _is_partition_busy(plan: RunPlan) -> bool:
    """Whether the quota is worth a request per second and partition, as the bound on operations supposes."""
    per_second = plan.load.requests_per_second(plan.quota)
    partitions = partition_count(Quota(plan.quota.requests, plan.quota.tokens), round(plan.load.mean_charge))
    return per_second / partitions >= REQUESTS_PER_PARTITION
