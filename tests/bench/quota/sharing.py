"""How workers share: A3 joining, A9 idling and waking up, A11 fairness between experiments, A14 leaving."""

from __future__ import annotations

from collections.abc import Iterator

from assay.quota.base import Quota
from assay.quota.shares import partition_count

from .loads import LOADS, QUOTAS, BenchQuota, Load
from .options import Options
from .results import Bound, Result
from .runs import Measured, Play, RunPlan, played
from .scoring import Span, percentile, rates, seconds_until_rate
from .steady import MOST_REJECTED

RATE_WINDOW_SECONDS = 10.0
MOST_UNTIL_SHARE = 20.0
SHARE_REACHED = 0.9
MOST_UNTIL_IDLE, MOST_UNTIL_FIRST_SEND, MOST_UNTIL_RATE = 70.0, 5.0, 12.0
LONG_ROWS, SHORT_ROWS, FAIR_WORKERS = 1_500, 150, 4
MOST_FAIR_SHARES = 2.0
MOST_DRAIN_SECONDS = 25.0
FEWEST_IN_FLIGHT = 10


def join(options: Options) -> Iterator[Result]:
    """A3: workers join a saturated fleet; seconds until each has the smallest share that it is due."""
    cases = ((8, 4), (1, 15), (15, 1)) if options.is_full else ((8, 4),)
    for before, joining in cases:
        yield _join(before, joining)


def _join(before: int, joining: int) -> Result:
    plan = RunPlan(quota=QUOTAS["L"], load=LOADS["chat"], workers=before, seconds=120.0)
    names: list[str] = []

    def meanwhile(play: Play) -> None:
        play.at(45.0)
        names.extend(play.join(joining))

    with played(plan, meanwhile) as measured:
        due = _smallest_share(plan.quota, plan.load, before + joining)
        took = [_seconds_until_share(measured, name, due) for name in names]
        seen = [seconds for seconds in took if seconds is not None]
        p90 = percentile(seen, 0.9) if len(seen) == len(took) else None
        bounds = [
            Bound("p90 seconds until a joiner has its share", p90, most=MOST_UNTIL_SHARE),
            Bound("429 share", measured.score.rejected_share, most=MOST_REJECTED),
        ]
        notes = {"case": f"{before} -> {before + joining}", "seconds_until_share": took, "tokens_per_minute_due": due}
        return Result("A3", measured.figures(), bounds, notes=notes)


def _smallest_share(quota: BenchQuota, load: Load, workers: int) -> float:
    """Tokens per minute of the whole partitions that every worker gets at least."""
    partitions = partition_count(Quota(quota.requests, quota.tokens), round(load.mean_charge))
    return partitions // workers * quota.tokens / partitions


def _seconds_until_share(measured: Measured, name: str, due: float) -> float | None:
    owners, joined_at = measured.fleet.owners(), measured.notes["joined_at"]
    own = [each for each in measured.arrivals if each.content is not None and owners.get(each.content) == name]
    span = Span(joined_at, measured.began + measured.plan.seconds)
    found = rates(own, "tokens", RATE_WINDOW_SECONDS, span)
    return seconds_until_rate(found, SHARE_REACHED * due, since=joined_at)


def idle(options: Options) -> Iterator[Result]:
    """A9: the work ends for two minutes and begins again."""
    plan = RunPlan(quota=QUOTAS["L"], load=LOADS["chat"], workers=4, seconds=210.0)
    stop, begin_again = 45.0, 165.0

    def meanwhile(play: Play) -> None:
        play.at(stop)
        play.fleet.order(do="pause")
        play.notes["leased"] = play.watch_leases(until=begin_again - 5, found=lambda leased: leased == 0)
        play.at(begin_again)
        play.fleet.order(do="saturate", at=play.began + begin_again)

    with played(plan, meanwhile) as measured:
        at, leased = measured.notes["leased"][-1]
        again = measured.began + begin_again
        last = max(each.at for each in measured.arrivals if each.at < again) - measured.began
        first = min((each.at - again for each in measured.arrivals if each.at >= again), default=None)
        until_idle = at - last if leased == 0 else None
        found = rates(measured.arrivals, "tokens", RATE_WINDOW_SECONDS, Span(again, measured.began + plan.seconds))
        bounds = [
            Bound("seconds from the last request to no lease", until_idle, most=MOST_UNTIL_IDLE),
            Bound("seconds from new work to the first request", first, most=MOST_UNTIL_FIRST_SEND),
            Bound(
                "seconds from new work to 90 % of the rate",
                seconds_until_rate(found, SHARE_REACHED * plan.quota.tokens, again),
                most=MOST_UNTIL_RATE,
            ),
        ]
        figures = {"limiter": plan.limiter, "quota": plan.quota.name, "load": "chat", "workers": plan.workers}
        yield Result("A9", figures, bounds, notes={"case": "idle and wake up", "r429": measured.score.rejected_share})


def fairness(options: Options) -> Iterator[Result]:
    """A11: a small experiment beside a large one ends as if it had half of the quota, or nearly."""
    quota, load = QUOTAS["M"], LOADS["chat"]
    seconds = 150.0
    plan = RunPlan(quota=quota, load=load, workers=FAIR_WORKERS, seconds=seconds, orders=_rows_of_both)
    with played(plan) as measured:
        flows = {record["content"]: record["flow"] for _, record in measured.fleet.records("row")}
        ends = [
            each.answered_at - measured.began
            for each in measured.arrivals
            if each.status == 200 and each.answered_at is not None and flows.get(each.content or "") == "short"
        ]
        is_complete = len(ends) >= SHORT_ROWS // FAIR_WORKERS * FAIR_WORKERS
        fair = SHORT_ROWS * load.mean_charge / (quota.tokens / 2) * 60 + load.mean_seconds
        fair_shares = max(ends) / fair if is_complete else None
        bounds = [Bound("end of the short experiment, fair shares", fair_shares, most=MOST_FAIR_SHARES)]
        notes = {
            "case": "1,500 rows and 150 rows",
            "fair_seconds": round(fair, 1),
            "ended_after_seconds": max(ends, default=None),
        }
        yield Result("A11", measured.figures(), bounds, notes=notes)


def _rows_of_both(play: Play) -> None:
    """The long experiment first: a limiter that serves in order would let the short one wait for its end."""
    slots = 2 * play.options["slots"]
    for flow, rows in (("long", LONG_ROWS), ("short", SHORT_ROWS)):
        play.fleet.order(do="rows", at=play.began, count=rows // FAIR_WORKERS, slots=slots, flow=flow)


def drain(options: Options) -> Iterator[Result]:
    """A14: SIGTERM with requests in flight; nothing sent is lost, no lease is left."""
    plan = RunPlan(quota=QUOTAS["L"], load=LOADS["chat"], workers=4, seconds=45.0)
    with played(plan) as measured:
        end = measured.began + plan.seconds
        in_flight = [each for each in measured.arrivals if each.admitted and (each.answered_at or end) >= end]
        outcomes = {record["content"]: record["outcome"] for _, record in measured.fleet.records("row")}
        dropped = sum(outcomes.get(each.content or "") != "answered" for each in in_flight)
        took = [(worker.ended_at or end) - (worker.stopped_at or end) for worker in measured.fleet.workers]
        bounds = [
            Bound("requests in flight", len(in_flight), least=FEWEST_IN_FLIGHT),
            Bound("of them without an outcome", dropped, most=0),
            Bound("leases left", measured.leases_left, most=0),
            Bound("slowest exit, seconds", max(took), most=MOST_DRAIN_SECONDS),
            Bound("unhandled", measured.unhandled, most=0),
        ]
        figures = {"limiter": plan.limiter, "quota": plan.quota.name, "load": "chat", "workers": plan.workers}
        yield Result("A14", figures, bounds, notes={"case": "drain"})
