"""How the bench judges budgets, costs and lowered limits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from assay.local.emulator_config import Faults
from bench.quota import lengths, money
from bench.quota.loads import LOADS, QUOTAS
from bench.quota.runs import Measured, RunPlan


@dataclass
class Run:
    """As much of a measured run as the budget's figures look at."""

    bill: dict[str, Any]
    plan: RunPlan = field(
        default_factory=lambda: RunPlan(
            quota=QUOTAS["loose"], load=LOADS["chat"], workers=16, seconds=1, budget_usd=money.BUDGET_USD
        )
    )
    operations: dict[str, int] = field(default_factory=lambda: {"get blob": 30, "put blob": 20})
    notes: dict[str, Any] = field(default_factory=lambda: {"seconds": 60.0})
    unhandled: int = 0


def figures(usd: str) -> dict[str, Any]:
    run: Any = Run({"usd": usd, "requests": 1_000, "unseen": {"usd": "0"}})
    return money._budget_figures(cast(Measured, run), killed=0)


def test_an_overshoot_is_what_the_service_bills_beyond_the_budget() -> None:
    """In USD, and in requests of the mean cost; what is left of the budget is told apart."""
    over = figures(str(2 * money.BUDGET_USD))
    assert over["overshoot_requests"] == pytest.approx(500)
    assert over["budget_overshoot"] == f"{money.BUDGET_USD:.4f} USD = 500 requests of {money.BUDGET_USD}"
    assert over["unspent_share"] == 0
    assert money._overshoot_bounds(over)[0].verdict == "missed"

    under = figures(str(money.BUDGET_USD / 4))
    assert (under["overshoot_requests"], under["unspent_share"]) == (0, 0.75)
    assert {each.verdict for each in money._overshoot_bounds(under)} == {"kept"}
    assert under["ops_per_request"] == 0.05


def test_a_worker_that_never_stopped_is_a_missed_bound() -> None:
    """Money that nobody can spend must not keep a run going."""
    bounds = money._overshoot_bounds(figures("0.1") | {"seconds": None})
    assert [each.name for each in bounds if each.is_missed] == ["seconds until all had stopped"]


def test_five_percent_of_the_requests_go_wrong_in_kinds_that_the_emulator_knows() -> None:
    """Each of them with the same share."""
    assert sum(share for _, share in Faults(**money.FAULTS).played) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("load", "seconds", "gain", "verdict"),
    [
        ("chat-1000", 270, 1.25, "kept"),
        ("chat-1000", 270, 1.24, "missed"),
        ("chat-1000", 200, 1.40, "not judged"),
        ("chat", 270, 1.00, "kept"),
    ],
)
def test_the_gain_is_judged_where_there_is_something_to_gain(
    load: str, seconds: float, gain: float, verdict: str
) -> None:
    """And after so long that the workers have learned."""
    plan = RunPlan(quota=QUOTAS["S"], load=LOADS[load], workers=1, seconds=seconds)
    without = lengths.Counted(steady=100.0, whole=100.0, cut_share=0.0)
    bounds = lengths._bounds(plan, without, replace(without, steady=100 * gain))
    assert bounds[0].verdict == verdict
