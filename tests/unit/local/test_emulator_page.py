"""The page shows what the report says, and nothing of it can become markup."""

from assay.local.emulated_schedule import Phase
from assay.local.emulator_config import Deployment, ScheduleEntry
from assay.local.emulator_page import report_page
from assay.local.emulator_referee import QuotaRules, Referee


async def page(referee: Referee, now: float) -> str:
    return report_page(await referee.report(now, None, None))


async def test_every_deployment_is_shown_with_its_overruns() -> None:
    """Three requests where ten seconds allow two are half too many."""
    deployment = Deployment(model="m", requests_per_minute=12)
    referee = Referee({"<b>mini": deployment}, [], QuotaRules(), 0.0)
    for now in (1.0, 2.0, 3.0):
        referee.judge_of("<b>mini", deployment, now).ask(now, 10)

    shown = await page(referee, 60.0)

    assert "&lt;b&gt;mini" in shown and "<b>" not in shown
    assert '<td class="over">+50.0 %</td>' in shown
    assert "33.33%" in shown and "no limit" in shown


async def test_the_phase_of_the_schedule_is_told() -> None:
    """Whoever looks sees that the quota is cut at the moment."""
    entry = ScheduleEntry(quota_factor=0.6, headers_tell=False, down=True, error_500=0.05)

    shown = await page(Referee({}, [entry], QuotaRules(), 0.0), 5.0)

    assert "down, quota cut to 60%, not told by the headers, 5.0% error_500." in shown
    assert "No deployment yet." in shown


async def test_capacity_follows_a_cut_that_no_request_met() -> None:
    """60 a minute, cut to a half for 10 of 20 seconds, allow 15."""
    deployment = Deployment(model="m", requests_per_minute=60)
    cut = ScheduleEntry(from_seconds=5, to_seconds=15, quota_factor=0.5)
    referee = Referee({"mini": deployment}, [cut], QuotaRules(), 0.0)
    judge = referee.judge_of("mini", deployment, 0.0)
    for _ in range(3):
        judge.ask(0.0, 1)

    report = await referee.report(20.0, 0.0, None)

    assert report["deployments"]["mini"]["utilisation"]["requests"] == 3 / 15
    assert referee.phase(20.0) == Phase(15.0)
