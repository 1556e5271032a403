"""Grants permits from a bucket, in turns: what the limiters have in common.

A limiter says what stands behind a permit (its ground) and how much of the quota may be spent (`share`); waiters,
their order, the reaction to 429s and to announced limits are here.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Protocol

from assay.errors import AssayError
from assay.quota.alarm import Alarm
from assay.quota.announced import ConfiguredLimits, Limits
from assay.quota.base import Charge, ChargeTooLarge, Permit, PermitExpired, Quota, Throttling
from assay.quota.bell import Sleep
from assay.quota.bucket import HEADROOM, Bucket, Margins, Spending
from assay.quota.flows import Turns
from assay.quota.throttle import PROBE_SECONDS, Throttle
from assay.telemetry import Telemetry

# What to expect while nothing may be spent: a worker joins, or takes over, in a few seconds.
SECONDS_WITHOUT_A_SHARE = 5.0

_RECENT_SECONDS = 60.0


class LimiterDrained(AssayError):
    """The limiter grants nothing any more: the worker is shutting down."""


class Ground(Protocol):
    """What a permit stands on: it is good until the deadline, which moves back when the ground is lost."""

    @property
    def deadline(self) -> float: ...


@dataclass(slots=True, eq=False)
class _Waiter:
    charge: Charge
    granted: asyncio.Future[Permit]


class Granting:
    """Grants within what the bucket holds; flows take turns, and within a flow it is first come, first served.

    A request that is tried again after a 429 comes back as a new one, to the end of its flow: turns are by tokens, so
    its flow loses nothing by it, and nobody is overtaken.

    `limits` are those of the quota, unless others are given. `refresh(now)` is called before every look at the
    bucket and drops what has expired; `ground()` gives what a permit granted now stands on, None when nothing is held.
    `demanded` is told every charge that is granted.
    """

    def __init__(
        self,
        deployment: str,
        quota: Quota,
        *,
        refresh: Callable[[float], object],
        ground: Callable[[], Ground | None],
        demanded: Callable[[Charge], None],
        telemetry: Telemetry,
        clock: Callable[[], float],
        sleep: Sleep,
        limits: Limits | None = None,
        headroom: float = HEADROOM,
    ) -> None:
        self._deployment = deployment
        self._quota = quota
        self._refresh = refresh
        self._ground = ground
        self._demanded = demanded
        self._telemetry = telemetry
        self._clock = clock
        self._bucket = Bucket(quota, Margins(headroom))
        self._throttle = Throttle()
        self._limits = limits or ConfiguredLimits(quota)
        self._turns: Turns[_Waiter] = Turns()
        self._alarm = Alarm(self._look, clock, sleep)
        self._recent: deque[tuple[float, int]] = deque()
        self._raise_was_told = False
        self._is_drained = False
        self.last_sent_at = -inf

    @property
    def has_waiters(self) -> bool:
        return len(self._turns) > 0

    async def acquire(self, charge: Charge) -> Permit:
        """Waits until the request may be sent. Raises ChargeTooLarge at once if that can never be, LimiterDrained."""
        self.check(charge)
        if not self._turns and self._seconds_until_fits(charge) <= 0:
            return self._grant(charge)
        return await self._wait_for_turn(charge)

    def check(self, charge: Charge) -> None:
        """Raises ChargeTooLarge for what can never be granted, LimiterDrained when nothing is any more."""
        largest = self._limits.largest_charge(self._clock())
        if charge.tokens > largest:
            raise ChargeTooLarge(
                f"A request to '{self._deployment}' is charged {charge.tokens} tokens, more than the "
                f"{largest:.0f} tokens per minute of the deployment. Lower max_tokens, shorten the "
                f"prompt, or raise the deployment's quota."
            )
        if self._is_drained:
            raise self._refusal()

    def wait_seconds(self, charge: Charge) -> float:
        """About how long `acquire` would take now, whoever waits already included; infinite when it can never be."""
        if self._is_drained or charge.tokens > self._limits.largest_charge(self._clock()):
            return inf
        first = self._turns.first()
        wait = self._seconds_until_fits(first.charge if first else charge)
        requests, tokens = self._turns.ahead_of(charge)
        return min(wait, SECONDS_WITHOUT_A_SHARE if wait == inf else wait) + self._bucket.seconds_to_earn(
            requests, tokens
        )

    def announced(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        """A lower limit is kept for 15 minutes or until a higher one is announced; one above the quota is told once."""
        now = self._clock()
        before = self._limits.at(now)
        is_raised = self._limits.hear(requests_per_minute, tokens_per_minute, now)
        if self._limits.at(now) != before:
            self._limits_changed(now)
        if is_raised:
            self._tell_of_raise(requests_per_minute, tokens_per_minute)

    def set_quota(self, quota: Quota) -> None:
        """From now on the deployment has this accounting; its limits are those of `limits`, which may have changed."""
        self._quota = quota
        self._ring()

    def set_share(self, share: float, at: float, phase_seconds: float) -> None:
        """From now on so much of the quota may be spent."""
        self._bucket.set_share(share, at, phase_seconds=phase_seconds)
        self._ring()

    def seconds_in_debt(self, now: float) -> float:
        return self._bucket.seconds_in_debt(now)

    def refuse(self, error: Exception) -> None:
        """Raises `error` for everybody who waits now."""
        for waiter in self._turns.clear():
            if not waiter.granted.done():
                waiter.granted.set_exception(error)

    async def stop(self) -> None:
        """Ends the granting; a second call does nothing."""
        self._is_drained = True
        self.refuse(self._refusal())
        await self._alarm.stop()

    def facts(self) -> dict[str, str]:
        """The present state in words, for whoever looks at it from outside."""
        now = self._clock()
        self._forget_recent(now)
        requests_factor, tokens_factor = self._throttle.factors(now)
        requests_limit, tokens_limit = self._limits.at(now)
        return {
            "requests_factor": f"{requests_factor:.3f}",
            "tokens_factor": f"{tokens_factor:.3f}",
            "requests_per_minute": f"{requests_limit:.0f}",
            "tokens_per_minute": f"{tokens_limit:.0f}",
            "requests_last_minute": str(len(self._recent)),
            "tokens_last_minute": str(sum(tokens for _, tokens in self._recent)),
            "gate_seconds": f"{max(0.0, self._throttle.closed_until - now):.1f}",
            "waiting": str(len(self._turns)),
        }

    async def _wait_for_turn(self, charge: Charge) -> Permit:
        waiter = _Waiter(charge, asyncio.get_running_loop().create_future())
        self._turns.add(waiter)
        if self._turns.first() is waiter:
            self._alarm.ring()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            self._give_up(waiter)
            raise

    def _ring(self) -> None:
        if self._turns:
            self._alarm.ring()

    def _give_up(self, waiter: _Waiter) -> None:
        """The caller was cancelled, perhaps in the moment in which its permit was granted."""
        self._turns.forget(waiter)
        if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
            waiter.granted.result().refund()
        self._ring()

    def _look(self) -> float:
        try:
            return self._grant_waiting()
        except Exception as error:  # whoever waits must not wait for ever
            self.refuse(error)
            raise

    def _grant_waiting(self) -> float:
        """Grants in turns as long as the next charge fits; returns the seconds until it may."""
        while (waiter := self._turns.first()) is not None:
            if waiter.granted.done():
                self._turns.forget(waiter)
                continue
            wait = self._seconds_until_fits(waiter.charge)
            if wait > 0:
                return wait
            permit = self._grant(waiter.charge)
            self._turns.take()
            self._limits.granted()
            waiter.granted.set_result(permit)
        return inf

    def _seconds_until_fits(self, charge: Charge) -> float:
        now = self._clock()
        self._refresh(now)
        self._bucket.set_pace(self._limits.at(now), self._throttle.factors(now), now)
        return self._bucket.seconds_until_fits(charge, now)

    def _grant(self, charge: Charge) -> Permit:
        self._demanded(charge)
        now = self._clock()
        ground = self._ground()
        assert ground is not None, "nothing fits a bucket without a share"
        spending = self._bucket.spend(charge, now)
        if self._throttle.granted():
            self._bucket.forfeit(until=now + PROBE_SECONDS)
        self._recent.append((now, charge.tokens))
        self._forget_recent(now)
        return _GrantedPermit(self, spending, ground, self._throttle.epoch)

    def _forget_recent(self, now: float) -> None:
        while self._recent and self._recent[0][0] <= now - _RECENT_SECONDS:
            self._recent.popleft()

    def _limits_changed(self, now: float) -> None:
        requests, tokens = self._limits.at(now)
        self._telemetry.event(
            "quota_announced", deployment=self._deployment, requests_per_minute=requests, tokens_per_minute=tokens
        )
        self._ring()

    def _tell_of_raise(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        if self._raise_was_told:
            return
        self._raise_was_told = True
        self._telemetry.event(
            "quota_announced_above",
            deployment=self._deployment,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )

    def _confirm_sent(self, ground: Ground) -> int:
        now = self._clock()
        if now >= ground.deadline:
            raise PermitExpired(
                f"The lease behind a permit for '{self._deployment}' ran out before the request left. Ask again."
            )
        self.last_sent_at = now
        return self._throttle.epoch

    def _refund(self, spending: Spending) -> None:
        self._bucket.refund(spending)
        self._ring()

    def _settle(self, spending: Spending, epoch: int, tokens: int) -> None:
        self._throttle.answered(epoch)
        if self._quota.accounting == "settled":
            self._bucket.settle(spending, tokens)
            self._ring()

    def _slow_down(self, epoch: int, throttling: Throttling) -> None:
        now = self._clock()
        if not self._throttle.refused(epoch, throttling, now):
            return
        if not throttling.is_capacity:
            self._limits.refused(now)
        self._bucket.forfeit(until=self._throttle.closed_until)
        requests_factor, tokens_factor = self._throttle.factors(now)
        self._telemetry.problem(
            "quota_throttled",
            deployment=self._deployment,
            gate_seconds=round(self._throttle.closed_until - now, 3),
            requests_factor=round(requests_factor, 3),
            tokens_factor=round(tokens_factor, 3),
        )

    def _refusal(self) -> LimiterDrained:
        return LimiterDrained(f"The limiter of '{self._deployment}' is drained: this worker is shutting down.")


class _GrantedPermit:
    """A permit on its ground: it is good as long as that holds."""

    __slots__ = ("_epoch", "_granting", "_ground", "_spending")

    def __init__(self, granting: Granting, spending: Spending, ground: Ground, epoch: int) -> None:
        self._granting = granting
        self._spending = spending
        self._ground = ground
        self._epoch = epoch

    def sent(self) -> None:
        try:
            self._epoch = self._granting._confirm_sent(self._ground)
        except PermitExpired:
            self.refund()
            raise

    def refund(self) -> None:
        self._granting._refund(self._spending)

    def throttled(self, throttling: Throttling) -> None:
        self._granting._slow_down(self._epoch, throttling)

    def settle(self, tokens: int) -> None:
        self._granting._settle(self._spending, self._epoch, tokens)
