"""Judges each request by its deployment's quota and keeps what is needed to say how well the quota was met.

Called by `emulator_service` for each request, and by `/_emulator` for the report.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from assay.local.emulated_load import Limits, LoadRecord
from assay.local.emulated_quota import Charge, DeploymentQuota, QuotaVerdict, limit_in_force
from assay.local.emulated_schedule import Phase, Schedule
from assay.local.emulator_config import Deployment, ScheduleEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRules:
    """How every deployment's quota is kept. Not `enforced`: all is admitted, and still measured against the limits."""

    enforced: bool = True
    request_window_seconds: float = 10.0
    count_rejected: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and under which number the arrival is kept."""

    verdict: QuotaVerdict
    number: int


class DeploymentReferee:
    """One deployment's quota and record. Its limits are its own, cut by the factor of the phase."""

    def __init__(self, deployment: Deployment, rules: QuotaRules, now: float, phase: Phase) -> None:
        self.deployment = deployment
        self.rules = rules
        self._limits = deployment.requests_per_minute, deployment.tokens_per_minute
        self._phase = phase
        self._quota = DeploymentQuota(
            *(self._limits if rules.enforced else (None, None)),
            request_window_seconds=rules.request_window_seconds,
            rejected_count=rules.count_rejected,
        )
        self._quota.set_cut(phase.quota_factor, phase.headers_tell)
        self.record = LoadRecord(self._in_force(now))

    def follow(self, at: float, phase: Phase) -> None:
        """Keep the limits of a phase that began at `at`."""
        self._phase = phase
        self._quota.set_cut(phase.quota_factor, phase.headers_tell)
        self.record.set_limits(self._in_force(at))

    def set_limits(self, now: float, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        """Change the deployment's own limits from now on."""
        self._limits = requests_per_minute, tokens_per_minute
        if self.rules.enforced:
            self._quota.set_limits(requests_per_minute, tokens_per_minute)
        self.record.set_limits(self._in_force(now))

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

    def _in_force(self, since: float) -> Limits:
        requests, tokens = (limit_in_force(limit, self._phase.quota_factor) for limit in self._limits)
        return Limits(since, requests, tokens)


class Referee:
    """All deployments of a server, and the schedule that they follow. Times are monotonic seconds."""

    def __init__(
        self, deployments: Mapping[str, Deployment], schedule: Iterable[ScheduleEntry], rules: QuotaRules, now: float
    ) -> None:
        self._rules = rules
        self._schedule = Schedule(schedule, now)
        self._schedule.advance(now)
        self._judges: dict[str, DeploymentReferee] = {}
        for name, deployment in deployments.items():
            self.judge_of(name, deployment, now)

    def phase(self, now: float) -> Phase:
        """What is in force; phases that began since the last call are applied first."""
        for at, phase in self._schedule.advance(now):
            for judge in self._judges.values():
                judge.follow(at, phase)
        return self._schedule.phase

    def judge_of(self, name: str, deployment: Deployment, now: float) -> DeploymentReferee:
        """The deployment's own referee, made at the first call."""
        judge = self._judges.get(name)
        if judge is None:
            judge = self._judges[name] = DeploymentReferee(deployment, self._rules, now, self._schedule.phase)
        return judge

    def start(self, now: float) -> None:
        """Play the schedule from the beginning."""
        self.phase(now)
        self._schedule.start(now)
        self.phase(now)

    def reset(self, now: float) -> None:
        """Forget all figures. Quotas and schedule go on as they are."""
        self.phase(now)
        for judge in self._judges.values():
            judge.record.reset()

    async def report(self, now: float, since: float | None, until: float | None) -> dict[str, Any]:
        """Figures of each deployment for [since, until], as `emulated_measures.measure` describes them.

        `since` None: from its first arrival on; `until` None: until now. Requests are served meanwhile.
        """
        phase = self.phase(now)
        until = now if until is None else until
        deployments = {name: await _figures(judge, since, until) for name, judge in list(self._judges.items())}
        started_at = self._schedule.started_at
        return {
            "now": now,
            "since": since,
            "until": until,
            "schedule": {"started_at": started_at, "seconds": now - started_at, **_phase_fields(phase)},
            "deployments": deployments,
        }


async def _figures(judge: DeploymentReferee, since: float | None, until: float) -> dict[str, Any]:
    # Imported here: only who asks for figures needs numpy, and the emulator shall start quickly.
    from assay.local.emulated_measures import measure

    limits = judge.record.limits
    figures = await asyncio.to_thread(measure, judge.record.snapshot(), since, until)
    return {
        "accounting": judge.deployment.accounting,
        "enforced": judge.rules.enforced,
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        **figures,
    }


def _phase_fields(phase: Phase) -> dict[str, Any]:
    faults = {} if phase.faults is None else {name: share for name, share in phase.faults if share}
    return {
        "down": phase.down,
        "quota_factor": phase.quota_factor,
        "headers_tell": phase.headers_tell,
        "faults": faults,
    }
