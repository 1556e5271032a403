"""The even runs: A1 (tokens bind), A2 (requests bind), both at full load and at 80 %, and the public baselines."""

from __future__ import annotations

from collections.abc import Iterator

from .environment import versions
from .loads import LOADS, QUOTAS
from .options import Options
from .results import Bound, Result
from .runs import Measured, RunPlan, played

LEAST_UTILISATION = {"S": 0.965}
LEAST_UTILISATION_ELSEWHERE = 0.97
MOST_REJECTED = 0.005
MOST_OVER_10, MOST_OVER_60, MOST_CHARGES_OVER_60 = 0.02, 0.01, 1.5
MOST_OPERATIONS = 0.05
LOAD_SHARE = 0.8
REQUESTS_PER_PARTITION = 1.0
MOST_PARTITIONS = 64

BASELINES = ("none", "sdk", "sdk-10", "litellm-whole", "litellm-share", "aiolimiter-whole", "aiolimiter-share")
USUAL_BASELINES = ("sdk", "litellm-whole", "litellm-share", "aiolimiter-share")


def steady(options: Options) -> Iterator[Result]:
    """A1: chat, saturated, for every quota and number of workers."""
    for quota in options.quotas:
        for workers in options.workers:
            yield _measured("A1", _plan(options, quota, "chat", workers))


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
        return Result(name, measured.figures(), steady_bounds(measured))


def steady_bounds(measured: Measured) -> list[Bound]:
    """The bounds of A1 and A2; utilisation only where there is work for all of it."""
    plan, over = measured.plan, measured.score.over
    bounds = [
        Bound("429 share", measured.score.rejected_share, most=MOST_REJECTED),
        Bound("tokens over, 60 s", over["tokens"][60], most=most_over_60(plan)),
        Bound("requests over, 10 s", over["requests"][10], most=max(MOST_OVER_10, 60 / plan.quota.requests / 10)),
        Bound("unhandled", measured.unhandled + measured.rows_lost, most=0),
    ]
    if plan.load_share is None:
        bounds.insert(0, Bound("utilisation", measured.score.utilisation, least=least_utilisation(measured)))
        if _is_partition_busy(plan):
            operations = measured.operations_per_request
            bounds.append(Bound("storage operations per request", operations, most=MOST_OPERATIONS))
    return bounds


def least_utilisation(measured: Measured) -> float:
    """A minute of the small quota holds a hundred requests: one of them more or less is not the limiter's doing."""
    plan = measured.plan
    least = LEAST_UTILISATION.get(plan.quota.name, LEAST_UTILISATION_ELSEWHERE)
    requests = plan.load.requests_per_second(plan.quota) * measured.steady.seconds
    return round(least - 1 / requests, 4)


def most_over_60(plan: RunPlan) -> float:
    return max(MOST_OVER_60, MOST_CHARGES_OVER_60 * plan.load.mean_charge / plan.quota.tokens)


def _is_partition_busy(plan: RunPlan) -> bool:
    """Whether the quota is worth a request per second and partition, as the bound on operations supposes."""
    per_second = plan.load.requests_per_second(plan.quota)
    partitions = min(max(int(0.9 * per_second), 4), MOST_PARTITIONS)
    return per_second / partitions >= REQUESTS_PER_PARTITION
