"""What a budget means for a run's steps: whether it may begin, when it warns, what a person is told."""

from __future__ import annotations

from decimal import Decimal

import pytest
from run_bench import SUITE, admitted, answer, asking, drop, ingest, plan_of, progress_of, refused_files, with_suite

from assay.budget.account import open_account
from assay.orchestration.budgets import Terms, budget_message, suggested
from assay.orchestration.ingest import OVER_BUDGET
from assay.planning.frozen import read_header
from assay.run_records import Progress, Stage, Tally
from assay.storage import layout
from assay.storage.memory import MemoryStorage
from assay.telemetry import RecordingTelemetry

ON_BUDGET = SUITE.replace("limits: {", "limits: {budget_usd: BUDGET, budget: MODE, ")


async def begun(budget: str, mode: str = "enforce", suite: str = ON_BUDGET) -> tuple[MemoryStorage, str]:
    storage = await with_suite(suite.replace("BUDGET", budget).replace("MODE", mode))
    return storage, await admitted(storage)


async def test_a_run_that_would_likely_cost_more_than_its_budget_is_refused() -> None:
    """Nothing is planned, the run has failed, and the reason names the figures and what to do."""
    storage, run = await begun("0.0001")

    assert await asking(storage).plan(run) == {"refused": True}

    progress = await progress_of(storage, run)
    assert progress.stage is Stage.FAILED
    assert "would likely cost" in progress.message and "0.00010 USD" in progress.message
    assert f"assay resume {run} --budget-usd" in progress.message and "--over-budget" in progress.message
    assert await storage.find(layout.plan(run)) is None
    assert [one.reason for one in await refused_files(storage)] == [progress.message]


async def test_enough_of_a_budget_lets_a_run_begin() -> None:
    """The likely cost decides, not the highest."""
    storage, run = await begun("5")

    assert await asking(storage).plan(run) == {"refused": False}


async def test_a_soft_budget_refuses_nothing() -> None:
    """It only warns."""
    storage, run = await begun("0.0001", "soft")

    assert await asking(storage).plan(run) == {"refused": False}


async def test_a_person_may_let_a_run_begin_over_its_budget() -> None:
    """Said with the drop and recorded in the header; it is another run than the refused one."""
    storage, refused = await begun("0.0001")

    run = await ingest(storage).admit(await drop(storage, **{OVER_BUDGET: "yes"}))

    assert run and run != refused
    assert (await read_header(storage, run)).over_budget
    assert await asking(storage).plan(run) == {"refused": False}


async def test_a_raised_budget_counts_in_place_of_the_suites() -> None:
    """What a person said when resuming stands in the account."""
    storage, run = await begun("0.0001")
    await open_account(storage, run, Decimal(5), "enforce")

    assert await asking(storage).plan(run) == {"refused": False}


async def test_an_enforced_budget_without_a_price_is_refused() -> None:
    """Whether or not a person would let it begin: nobody could say when it is used up."""
    suite = ON_BUDGET.replace("gpt-4o-mini", "chat-eu")
    storage, run = await begun("5", suite=suite)

    assert await asking(storage).plan(run) == {"refused": True}

    message = (await progress_of(storage, run)).message
    assert "no price of 'chat-eu'" in message and "priced_as" in message and "ASSAY_PRICES" in message


async def test_a_soft_budget_warns_once_at_each_mark() -> None:
    """At 80 and at 100 percent an event; from then on a notice in the progress. Every answer costs 0.001 USD."""
    storage, run = await begun("0.005", "soft")
    telemetry = RecordingTelemetry()
    steps = asking(storage, telemetry=telemetry)
    await steps.plan(run)
    plan = await plan_of(storage, run)
    seen = []
    for message in plan.messages(0, 3):
        await answer(storage, message)
        for _ in range(2):
            await steps.watch(run)
        seen.append((await progress_of(storage, run)).message)

    assert [event["percent"] for event in telemetry.named("budget_exceeded")] == [80, 100]
    assert seen[0] == ""
    assert "Budget exceeded" in seen[1] and "goes on" in seen[2]


@pytest.mark.parametrize(
    ("before", "after", "marks"),
    [("0", "7.99", []), ("7.99", "8", [80]), ("8", "9", []), ("0", "12", [80, 100]), ("10", "20", [])],
)
def test_a_mark_is_crossed_once(before: str, after: str, marks: list[int]) -> None:
    """Between two looks, whichever they are."""
    assert Terms(Decimal(10), "soft").crossed(Decimal(before), Decimal(after)) == marks


def test_a_person_reads_how_far_a_run_came_and_how_it_goes_on() -> None:
    """With an amount that will do."""
    progress = Progress(
        run="demo-1", stage=Stage.STOPPED, trials_total=1500, tally=Tally(trials=1204, cost_usd=Decimal("24.6"))
    )

    assert budget_message(progress, Decimal("24.69"), Decimal(25)) == (
        "Budget reached: 1,204 of 1,500 trials are done and 24.69 of 25.00 USD is spent. "
        "Raise it and go on: assay resume demo-1 --budget-usd 34"
    )


@pytest.mark.parametrize(
    ("needed", "said"), [("30.7", "34"), ("0.00123", "0.0014"), ("1000", "1100"), ("9.5", "11"), ("1", "1.1")]
)
def test_a_suggested_amount_is_round_and_enough(needed: str, said: str) -> None:
    """Two digits, a tenth more than needed."""
    assert suggested(Decimal(needed)) == said
