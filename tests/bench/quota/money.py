"""Money, judged by the emulator's own bill: B1 a budget that is reached, B3 what workers say that they spent."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from .loads import LOADS, QUOTAS
from .options import Options
from .results import Bound, Result
from .runs import Measured, Play, RunPlan, played
from .stage import cost_usd

WORKERS = 16
SLOTS = 16
KILLED = WORKERS // 8
BUDGET_USD = Decimal("0.60")
BUDGET_BASELINES = ("litellm-budget-whole", "litellm-budget-share")
# Nobody waits longer than two minutes for money that others hold and do not spend.
LONGEST_SECONDS = 420.0
KILL_SECONDS = 20.0
SETTLE_SECONDS = 3.0

# Five percent, all of them billed; of dropped and malformed answers nobody tells the caller how much.
FAULTS = dict.fromkeys(
    (
        "dropped",
        "malformed",
        "empty",
        "refused",
        "answer_filtered",
        "prompt_filtered",
        "error_408",
        "invalid_json",
    ),
    0.05 / 8,
)


def overshoot(options: Options) -> Iterator[Result]:
    """B1: sixteen workers spend an enforced budget; again with two of them killed on the way; then the baselines."""
    yield _overshoot("none", killed=0)
    yield _overshoot("none", killed=KILLED)
    for name in BUDGET_BASELINES if options.is_full else BUDGET_BASELINES[-1:]:
        yield _overshoot(name, killed=0)


def _overshoot(limiter: str, killed: int) -> Result:
    plan = RunPlan(
        quota=QUOTAS["loose"],
        load=LOADS["chat"],
        workers=WORKERS,
        seconds=KILL_SECONDS + 1,
        limiter=limiter,
        slots=SLOTS,
        budget_usd=_budget_usd(limiter),
    )

    def meanwhile(play: Play) -> None:
        play.at(KILL_SECONDS)
        for worker in play.fleet.workers[:killed]:
            worker.signal(signal.SIGKILL)
        _await_stop(play, killed)

    with played(plan, meanwhile) as measured:
        is_ours = limiter == "none"
        case = "budget" if not killed else f"budget, {killed} workers killed"
        figures = _budget_figures(measured, killed) | {"case": case, "limiter": "budget" if is_ours else limiter}
        return Result("B1", figures, _overshoot_bounds(figures) if is_ours else ())


def _budget_usd(limiter: str) -> Decimal:
    """Where every process spends the whole budget it is a part of it, so that all of it takes as long as elsewhere."""
    return BUDGET_USD / WORKERS if limiter.endswith("-whole") else BUDGET_USD


def _await_stop(play: Play, killed: int) -> None:
    """Until every worker that lives has found its budget used up."""
    while time.monotonic() < play.began + LONGEST_SECONDS:
        stopped = {worker.name: record["t"] for worker, record in play.fleet.records("stopped")}
        if len(stopped) >= play.plan.workers - killed:
            play.notes["seconds"] = max(stopped.values()) - play.began
            break
        time.sleep(0.5)
    # Answers that the dead had asked for are billed when they are made.
    time.sleep(SETTLE_SECONDS)


def _budget_figures(measured: Measured, killed: int) -> dict[str, Any]:
    bill = measured.bill
    budget, billed = measured.plan.budget_usd or Decimal(), Decimal(bill["usd"])
    mean = billed / max(1, bill["requests"])
    over = max(Decimal(), billed - budget)
    operations = sum(measured.operations.values())
    return {
        "quota": "loose",
        "load": "chat",
        "workers": WORKERS,
        "budget_overshoot": f"{over:.4f} USD = {over / mean:.0f} requests of {budget}",
        "budget_usd": str(budget),
        "billed_usd": str(billed),
        "billed_requests": bill["requests"],
        "unseen_usd": bill["unseen"]["usd"],
        "overshoot_requests": float(over / mean),
        "unspent_share": float(max(Decimal(), budget - billed) / budget),
        "ops_per_request": operations / max(1, bill["requests"]),
        "ops_by_kind": measured.operations,
        "ops_usd": cost_usd(measured.operations),
        "seconds": measured.notes.get("seconds"),
        "fair_seconds": round(bill["requests"] * measured.plan.load.mean_seconds / (WORKERS * SLOTS), 1),
        "killed": killed,
        "unhandled": measured.unhandled,
    }


def _overshoot_bounds(figures: dict[str, Any]) -> list[Bound]:
    return [
        Bound("overshoot in requests", figures["overshoot_requests"], most=0, target=f"limit {WORKERS * SLOTS}, aim 0"),
        Bound("unspent share of the budget", figures["unspent_share"]),
        Bound("seconds until all had stopped", figures["seconds"], most=LONGEST_SECONDS),
        Bound("of which all slots would have needed", figures["fair_seconds"]),
        Bound("storage operations per request", figures["ops_per_request"]),
        Bound("unhandled", figures["unhandled"], most=0),
    ]


def cost(options: Options) -> Iterator[Result]:
    """B3: what the workers recorded as the cost of all they asked, and the bill; five percent go wrong, billed."""
    plan = RunPlan(
        quota=QUOTAS["L"],
        load=LOADS["chat-1000"],
        workers=4,
        seconds=options.seconds,
        faults=FAULTS,
        adaptive_max_tokens=True,
    )
    with played(plan) as measured:
        own = sum((Decimal(record["cost_usd"]) for _, record in measured.fleet.records("row")), Decimal())
        billed, unseen = Decimal(measured.bill["usd"]), Decimal(measured.bill["unseen"]["usd"])
        told = billed - unseen
        bounds = [
            Bound(
                "difference to what the service told", float(abs(own - told) / told), most=0, target="limit 0.02, aim 0"
            ),
            Bound("share of the bill that the service told nobody", float(unseen / billed)),
            Bound("rows given up", measured.rows_lost),
            Bound("unhandled", measured.unhandled, most=0),
        ]
        notes = {
            "case": "5 % billed faults",
            "own_usd": str(own),
            "billed_usd": str(billed),
            "unseen_usd": str(unseen),
            "billed_requests": measured.bill["requests"],
            "rows": measured.rows,
        }
        yield Result("B3", measured.figures(), bounds, notes=notes)
