"""The referee follows orders and schedules for whom they concern, and writes the bill."""

from decimal import Decimal
from typing import Any

import pytest

from assay.local.emulated_bill import Bill, Billed, total
from assay.local.emulator_config import Deployment, Region, ScheduleEntry
from assay.local.emulator_mishaps import FaultShares
from assay.local.emulator_orders import QuotaOrder, Target
from assay.local.emulator_referee import QuotaRules, Referee

MINI = Deployment(model="gpt-4o-mini-2024-07-18", requests_per_minute=60, tokens_per_minute=1000)


def referee(*entries: dict[str, Any], rules: QuotaRules | None = None) -> Referee:
    schedule = [ScheduleEntry.model_validate(entry) for entry in entries]
    regions = {"west": Region(deployments={"mini": MINI, "large": MINI})}
    return Referee({"mini": MINI}, schedule, rules or QuotaRules(), 0.0, regions)


def test_an_order_concerns_a_deployment_a_region_or_everything() -> None:
    """A deployment without a region is the one without prefix."""
    served = referee()

    assert [judge.region for judge in served.judges(Target(deployment="mini"))] == ["default"]
    assert len(served.judges(Target(region="west"))) == 2
    assert len(served.judges(Target())) == 3
    assert len(served.judges(Target(region="west", deployment="large"))) == 1


@pytest.mark.parametrize("target", [Target(region="moon"), Target(deployment="large")])
def test_an_order_for_whom_nobody_serves_is_a_mistake(target: Target) -> None:
    """The sentence names what was not found."""
    with pytest.raises(LookupError, match=r"no (region 'moon'|deployment 'large')"):
        referee().judges(target)


async def test_entries_of_a_schedule_happen_only_where_they_are_meant() -> None:
    """A cut of one region's deployment leaves the others whole."""
    served = referee(
        {"to_seconds": 60, "region": "west", "deployment": "mini", "quota_factor": 0.5},
        {"to_seconds": 60, "deployment": "mini", "error_500": 0.1},
        {"to_seconds": 60, "region": "west", "down": True},
    )

    report = await served.report(30.0, None, None)
    told = {name: figures["told"] for name, figures in report["deployments"].items()}
    limits = {name: figures["tokens_per_minute"] for name, figures in report["deployments"].items()}

    assert limits == {"mini": 1000, "west/mini": 500, "west/large": 1000}
    assert [told[name]["faults"] for name in limits] == [{"error_500": 0.1}, {"error_500": 0.1}, {}]
    assert [told[name]["down"] for name in limits] == [False, True, True]
    assert report["schedule"]["faults"] == {} and report["regions"]["west"] == {"down": True}
    assert (await served.report(60.0, None, None))["regions"]["west"] == {"down": False}


async def test_orders_and_schedule_cut_a_quota_together() -> None:
    """A half of 60 %; each ends by itself."""
    served = referee({"to_seconds": 60, "quota_factor": 0.6})
    [judge] = served.judges(Target(deployment="mini"))

    judge.obey(10.0, QuotaOrder(quota_factor=0.5))
    both = judge.record.limits.tokens_per_minute
    judge.phase(60.0)
    order_alone = judge.record.limits.tokens_per_minute
    judge.obey(70.0, QuotaOrder(quota_factor=1.0))

    assert (both, order_alone, judge.record.limits.tokens_per_minute) == (300, 500, 1000)


def test_an_order_about_one_axis_leaves_the_other_and_null_takes_a_limit_away() -> None:
    """Absent and null are not the same."""
    [judge] = referee().judges(Target(deployment="mini"))

    judge.obey(1.0, QuotaOrder.model_validate({"requests_per_minute": None}))

    limits = judge.record.limits
    assert (limits.requests_per_minute, limits.tokens_per_minute) == (None, 1000)


def test_restoring_undoes_every_order() -> None:
    """The whole quota is kept again, and nothing is down or faulted."""
    served = referee()
    served.set_down(Target(), True)
    for judge in served.judges(Target()):
        judge.obey(1.0, QuotaOrder(tokens_per_minute=5, quota_factor=0.5, told=False))
        judge.switches.faults = FaultShares(dropped=1.0)

    served.restore(2.0)

    [judge] = served.judges(Target(deployment="mini"))
    assert judge.ask(3.0, 900).verdict.refused_by is None
    assert not judge.switches.down and judge.switches.faults is None
    assert not served.regions["west"].is_down(3.0)


def test_a_deployment_s_own_window_and_counting_win_over_the_server_s() -> None:
    """Rejected tokens fill the window where both are counted."""
    deployment = Deployment(model="m", tokens_per_minute=100, count_rejected="both")
    judge = Referee({"mini": deployment}, [], QuotaRules(), 0.0).judges(Target())[0]
    judge.ask(0.0, 60)
    judge.ask(10.0, 60)

    after_the_first_left = judge.ask(61.0, 60).verdict
    after_all_left = judge.ask(200.0, 60).verdict

    assert (after_the_first_left.refused_by, after_all_left.refused_by) == ("tokens", None)


def test_a_bill_is_priced_by_the_model_s_list_prices() -> None:
    """0.15, 0.075 and 0.60 USD per million tokens of gpt-4o-mini."""
    bill = Bill()
    bill.whole.add(Billed(1_000_000, 400_000, 100_000))
    bill.whole.add(Billed(1))
    bill.unseen.add(Billed(1))

    fields = bill.fields(MINI.model)

    assert Decimal(fields["usd"]) == Decimal("0.09") + Decimal("0.03") + Decimal("0.06") + Decimal("0.00000015")
    assert (fields["requests"], fields["unseen"]["usd"]) == (2, "0.000000150")


def test_the_sum_of_bills_leaves_out_models_without_a_price() -> None:
    """Their requests and tokens count."""
    priced, unpriced = Bill(), Bill()
    priced.whole.add(Billed(1_000_000))
    unpriced.whole.add(Billed(1_000_000))

    whole = total([priced.fields(MINI.model), unpriced.fields("nobody-knows")])

    assert unpriced.fields("nobody-knows")["usd"] is None
    assert (whole["requests"], Decimal(whole["usd"])) == (2, Decimal("0.15"))


async def test_a_reset_forgets_figures_and_bills_but_not_orders() -> None:
    """A measurement begins with a clean sheet in the same situation."""
    served = referee()
    [judge] = served.judges(Target(deployment="mini"))
    judge.ask(1.0, 10)
    judge.bill.whole.add(Billed(10))
    judge.switches.down = True

    served.reset(2.0)

    figures = (await served.report(3.0, None, None))["deployments"]["mini"]
    assert (figures["offered"], figures["bill"]["requests"], figures["told"]["down"]) == (0, 0, True)
