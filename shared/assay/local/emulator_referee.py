"""Judges each request by its deployment's quota and keeps what is needed to say how well the quota was met.

Called by `emulator_service` for each request, and by `/_emulator` for orders and the report.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.local.emulated_bill import Bill, total
from assay.local.emulated_load import Limits, LoadRecord
from assay.local.emulated_prompt_cache import PromptCache
from assay.local.emulated_quota import Charge, CountRejected, DeploymentQuota, QuotaVerdict, limit_in_force
from assay.local.emulated_schedule import Phase, Schedule
from assay.local.emulator_config import DEFAULT_REGION, Region
from assay.local.emulator_deployment import Deployment, HeaderRules
from assay.local.emulator_mishaps import ScheduleEntry
from assay.local.emulator_orders import QuotaOrder, Switches, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRules:
    """How quotas are kept where a deployment does not say. Not `enforced`: all is admitted, and still measured."""

    enforced: bool = True
    request_window_seconds: float = 10.0
    count_rejected: CountRejected = "none"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and under which number the arrival is kept."""

    verdict: QuotaVerdict
    number: int


class DeploymentReferee:
    """One deployment's quota, record, bill and switches. Its limits are its own, cut by its phase and switches."""

    def __init__(
        self, deployment: Deployment, region: str, rules: QuotaRules, schedule: Schedule, switches: Switches, now: float
    ) -> None:
        self.deployment = deployment
        self.region = region
        self.rules = rules
        self.switches = switches
        self.bill = Bill()
        self.cache = PromptCache()
        self.schedule = schedule
        self._limits = deployment.requests_per_minute, deployment.tokens_per_minute
        self._quota = DeploymentQuota(
            *(self._limits if rules.enforced else (None, None)),
            request_window_seconds=deployment.request_window_seconds or rules.request_window_seconds,
            count_rejected=deployment.count_rejected or rules.count_rejected,
        )
        schedule.advance(now)
        self.record = LoadRecord(self._in_force(now, schedule.phase))
        self._keep_cut(schedule.phase)

    @property
    def headers(self) -> HeaderRules:
        return self.switches.headers or self.deployment.headers

    def phase(self, now: float) -> Phase:
        """What is scheduled; phases that began since the last call are applied first."""
        for at, phase in self.schedule.advance(now):
            self._keep_cut(phase)
            self.record.set_limits(self._in_force(at, phase))
        return self.schedule.phase

    def set_limits(
        self, now: float, requests_per_minute: int | None, tokens_per_minute: int | None, *, told: bool = True
    ) -> None:
        """Change the deployment's own limits from now on; not `told`, headers tell the ones before."""
        before, self._limits = self._limits, (requests_per_minute, tokens_per_minute)
        if self.rules.enforced:
            self._quota.set_limits(requests_per_minute, tokens_per_minute, None if told else before)
        self.record.set_limits(self._in_force(now, self.phase(now)))

    def obey(self, now: float, order: QuotaOrder) -> None:
        """Carry out an order about limits."""
        phase = self.phase(now)
        if order.quota_factor is not None:
            self.switches.quota_factor, self.switches.headers_tell = order.quota_factor, order.told
            self._keep_cut(phase)
        limits = zip(("requests_per_minute", "tokens_per_minute"), self._limits, strict=True)
        told = order.model_fields_set
        self.set_limits(now, *(getattr(order, axis) if axis in told else old for axis, old in limits), told=order.told)

    def restore(self, now: float) -> None:
        """Undo every order."""
        self.switches = Switches()
        self._keep_cut(self.phase(now))
        self.set_limits(now, self.deployment.requests_per_minute, self.deployment.tokens_per_minute)

    def ask(self, now: float, charge: int) -> Judgement:
        """Judge and record one request."""
        verdict = self._quota.ask(now, charge)
        return Judgement(verdict, self.record.add(now, charge, verdict.refused_by or "admitted"))

    def turn_away(self, now: float, charge: int) -> None:
        """Record a request that came while the deployment was down; it is charged nothing."""
        self.record.add(now, charge, "down")

    def settle(self, now: float, judgement: Judgement, tokens: int) -> bool:
        """Correct an admitted request's charge to the tokens it used, where the accounting is `settled`."""
        charge: Charge | None = judgement.verdict.charge
        if charge is None or self.deployment.accounting != "settled":
            return False
        self._quota.settle(now, charge, tokens)
        self.record.correct(judgement.number, tokens)
        return True

    def _keep_cut(self, phase: Phase) -> None:
        told = phase.headers_tell and self.switches.headers_tell
        self._quota.set_cut(phase.quota_factor * self.switches.quota_factor, told)

    def _in_force(self, since: float, phase: Phase) -> Limits:
        factor = phase.quota_factor * self.switches.quota_factor
        requests, tokens = (limit_in_force(limit, factor) for limit in self._limits)
        return Limits(since, requests, tokens)


@dataclass(slots=True)
class RegionReferee:
    """What is in force in a whole region, whatever the deployment."""

    schedule: Schedule
    switches: Switches = field(default_factory=Switches)

    def is_down(self, now: float) -> bool:
        self.schedule.advance(now)
        return self.schedule.phase.down or self.switches.down


class Referee:
    """All deployments of a server, and the schedule that they follow. Times are monotonic seconds."""

    def __init__(
        self,
        deployments: Mapping[str, Deployment],
        schedule: Iterable[ScheduleEntry],
        rules: QuotaRules,
        now: float,
        regions: Mapping[str, Region] | None = None,
    ) -> None:
        self._rules = rules
        self._entries = list(schedule)
        self._started_at = now
        everywhere = [entry for entry in self._entries if entry.region is None and entry.deployment is None]
        self._schedule = Schedule(everywhere, now)
        self._schedule.advance(now)
        self._judges: dict[tuple[str, str], DeploymentReferee] = {}
        regions = {DEFAULT_REGION: Region(deployments=dict(deployments)), **(regions or {})}
        self.regions = {name: RegionReferee(self._schedule_of(name, None)) for name in regions}
        for region, content in regions.items():
            for name, deployment in content.deployments.items():
                self.judge_of(name, deployment, now, region)

    def phase(self, now: float) -> Phase:
        """What is in force everywhere; at each deployment, phases that began since the last call are applied first."""
        for judge in self._judges.values():
            judge.phase(now)
        self._schedule.advance(now)
        return self._schedule.phase

    def judge_of(
        self, name: str, deployment: Deployment, now: float, region: str = DEFAULT_REGION
    ) -> DeploymentReferee:
        """The deployment's own referee, made at the first call."""
        judge = self._judges.get((region, name))
        if judge is None:
            of_region = self.regions[region].switches
            judge = self._judges[region, name] = DeploymentReferee(
                deployment, region, self._rules, self._schedule_of(region, name), Switches(down=of_region.down), now
            )
        return judge

    def judges(self, target: Target) -> list[DeploymentReferee]:
        """Everyone an order concerns. Raises LookupError, with a sentence, for a region or deployment not served."""
        if target.region is not None and target.region not in self.regions:
            raise LookupError(f"no region {target.region!r}; there are: {', '.join(self.regions)}")
        if target.deployment is not None:
            region = target.region or DEFAULT_REGION
            if (region, target.deployment) not in self._judges:
                raise LookupError(f"no deployment {target.deployment!r} in region {region!r}")
            return [self._judges[region, target.deployment]]
        return [judge for (region, _), judge in self._judges.items() if target.region in (None, region)]

    def set_down(self, target: Target, down: bool) -> None:
        """Take a target away or bring it back; a whole region with all that it serves. Raises LookupError."""
        for judge in self.judges(target):
            judge.switches.down = down
        if target.deployment is None:
            for name, region in self.regions.items():
                if target.region in (None, name):
                    region.switches.down = down

    def start(self, now: float) -> None:
        """Play the schedule from the beginning."""
        self.phase(now)
        self._started_at = now
        for schedule in self._schedules():
            schedule.start(now)
        self.phase(now)

    def reset(self, now: float) -> None:
        """Forget all figures and bills. Quotas, orders and schedule go on as they are."""
        self.phase(now)
        for judge in self._judges.values():
            judge.record.reset()
            judge.bill = Bill()

    def restore(self, now: float) -> None:
        """Undo every order; figures and schedule go on as they are."""
        for judge in self._judges.values():
            judge.restore(now)
        for region in self.regions.values():
            region.switches = Switches()

    async def report(self, now: float, since: float | None, until: float | None) -> dict[str, Any]:
        """Figures of each deployment for [since, until], as `emulated_measures.measure` describes them, and its bill.

        `since` None: from its first arrival on; `until` None: until now. Requests are served meanwhile. Deployments of
        a region are named `region/deployment`. Bills are since the start or the last reset, whatever the times.
        """
        phase = self.phase(now)
        until = now if until is None else until
        deployments = {
            name if region == DEFAULT_REGION else f"{region}/{name}": await _figures(judge, since, until)
            for (region, name), judge in list(self._judges.items())
        }
        started_at = self._started_at
        return {
            "now": now,
            "since": since,
            "until": until,
            "schedule": {"started_at": started_at, "seconds": now - started_at, **_phase_fields(phase)},
            "regions": {name: {"down": region.is_down(now)} for name, region in self.regions.items()},
            "deployments": deployments,
            "bill": total(figures["bill"] for figures in deployments.values()),
        }

    def _schedule_of(self, region: str, deployment: str | None) -> Schedule:
        entries = [entry for entry in self._entries if entry.concerns(region, deployment)]
        return Schedule(entries, self._started_at)

    def _schedules(self) -> Iterable[Schedule]:
        yield self._schedule
        yield from (region.schedule for region in self.regions.values())
        yield from (judge.schedule for judge in self._judges.values())


async def _figures(judge: DeploymentReferee, since: float | None, until: float) -> dict[str, Any]:
    # Imported here: only who asks for figures needs numpy, and the emulator shall start quickly.
    from assay.local.emulated_measures import measure

    limits = judge.record.limits
    figures = await asyncio.to_thread(measure, judge.record.snapshot(), since, until)
    return {
        "region": judge.region,
        "accounting": judge.deployment.accounting,
        "enforced": judge.rules.enforced,
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "request_window_seconds": judge.deployment.request_window_seconds or judge.rules.request_window_seconds,
        "told": _told_fields(judge),
        "bill": judge.bill.fields(judge.deployment.model),
        **figures,
    }


def _told_fields(judge: DeploymentReferee) -> dict[str, Any]:
    """What is in force at one deployment, by schedule or order."""
    phase, switches = judge.schedule.phase, judge.switches
    return {
        **_phase_fields(phase),
        "down": phase.down or switches.down,
        "quota_factor": phase.quota_factor * switches.quota_factor,
        "headers_tell": phase.headers_tell and switches.headers_tell,
        "refusal": switches.refusal,
        "told_faults": dict(switches.faults.played) if switches.faults is not None else {},
    }


def _phase_fields(phase: Phase) -> dict[str, Any]:
    return {
        "down": phase.down,
        "quota_factor": phase.quota_factor,
        "headers_tell": phase.headers_tell,
        "faults": {} if phase.faults is None else dict(phase.faults.played),
    }
