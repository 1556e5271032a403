"""The limiter that shares one deployment's quota between workers that have only a storage account in common.

The quota is cut into partitions; a lease on a partition's blob is the right to spend its part. Permits are granted
from a local bucket, without a storage call. Chosen by `runtime.py`.
"""

import asyncio
import contextvars
import random as random_module
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from assay.errors import AssayError, StorageError
from assay.quota.base import Charge, ChargeTooLarge, Permit, PermitExpired, Quota, Throttling
from assay.quota.bell import Bell, Sleep
from assay.quota.bucket import BURST_SECONDS, HEADROOM, Bucket, Spending
from assay.quota.leases import PartitionLeases, Tenure
from assay.quota.shares import MEAN_CHARGE_TOKENS, partition_count
from assay.quota.sharing import Sharing
from assay.quota.throttle import Throttle
from assay.quota.tickets import Tickets
from assay.storage.base import Storage
from assay.storage.layout import QUOTA
from assay.telemetry import Telemetry

# Workers that begin together begin at different moments of this time, so that they do not send together.
LONGEST_PHASE_SECONDS = 0.5

# A drain pays its debts before it lets others have the partitions, but does not hold up a shutdown for them.
LONGEST_COOLING_SECONDS = 5.0


class LimiterDrained(AssayError):
    """The limiter grants nothing any more: the worker is shutting down."""


@dataclass(slots=True, eq=False)
class _Waiter:
    charge: Charge
    granted: asyncio.Future[Permit]


class BlobLeaseLimiter:
    """Grants permits first come, first served, within this worker's share of the quota.

    Every worker of a deployment must be given the same `quota` and `mean_charge_tokens`: other numbers cut other
    partitions, which are shared only among those who have the same. `worker` is a name that no other worker has.
    Nothing is done before the first `acquire`; `drain` ends what that began.
    """

    def __init__(
        self,
        storage: Storage,
        deployment: str,
        quota: Quota,
        worker: str,
        *,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        random: Callable[[], float] = random_module.random,
        mean_charge_tokens: int = MEAN_CHARGE_TOKENS,
        headroom: float = HEADROOM,
    ) -> None:
        count = partition_count(quota, mean_charge_tokens)
        prefix = f"{QUOTA}/{deployment}/{quota.requests_per_minute}-{quota.tokens_per_minute}-{count}"
        self._deployment = deployment
        self._quota = quota
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._telemetry = telemetry
        self._bucket = Bucket(quota, headroom)
        self._throttle = Throttle()
        self._leases = PartitionLeases(storage, prefix, count, clock, self._share_changed)
        self._sharing = Sharing(
            self._leases,
            Tickets(storage, prefix, worker),
            waiting=lambda: bool(self._waiters),
            clock=clock,
            sleep=sleep,
            random=random,
            telemetry=telemetry,
        )
        self._waiters: deque[_Waiter] = deque()
        self._bell = Bell(sleep)
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._last_sent_at = -inf
        self._drained = False

    @property
    def held(self) -> tuple[int, ...]:
        """The partitions this worker may spend from now."""
        self._leases.drop_expired(self._clock())
        return self._leases.held

    async def acquire(self, charge: Charge) -> Permit:
        """Waits until the request may be sent. Raises ChargeTooLarge at once if that can never be, LimiterDrained."""
        if charge.tokens > self._quota.tokens_per_minute:
            raise ChargeTooLarge(
                f"A request to '{self._deployment}' is charged {charge.tokens} tokens, more than the "
                f"{self._quota.tokens_per_minute} tokens per minute of the deployment. Lower max_tokens, shorten the "
                f"prompt, or raise the deployment's quota."
            )
        if self._drained:
            raise self._refusal()
        self._begin()
        self._sharing.demand()
        if not self._waiters and self._seconds_until_fits(charge) <= 0:
            return self._grant(charge)
        return await self._wait_for_turn(charge)

    def wait_seconds(self, charge: Charge) -> float:
        """Not yet with those who wait."""
        return 0.0 if not self._waiters and self._seconds_until_fits(charge) <= 0 else 1.0

    def announced(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        """Not adopted yet."""

    async def drain(self) -> None:
        """Refuses whoever waits, pays debts for at most five seconds, and releases every partition."""
        if self._drained:
            return
        self._drained = True
        for waiter in self._waiters:
            if not waiter.granted.done():
                waiter.granted.set_exception(self._refusal())
        self._waiters.clear()
        if self._tasks:
            await self._end()

    def _begin(self) -> None:
        if self._tasks:
            return
        # A context of their own: they outlive the trial whose request happens to come first.
        context = contextvars.Context()
        loop = asyncio.get_running_loop()
        self._tasks = (
            loop.create_task(self._grant_forever(), context=context),
            loop.create_task(self._share(), context=context),
        )

    async def _end(self) -> None:
        granting, sharing = self._tasks
        granting.cancel()
        self._sharing.stop()
        await asyncio.wait(self._tasks)
        if sharing.cancelled():  # and so has left already
            return
        sharing.result()
        await self._leave()

    async def _share(self) -> None:
        try:
            await self._sharing.run()
        except asyncio.CancelledError:
            # The loop ends and nobody drained us: those who begin next must not wait for our leases to run out.
            await self._leave()
            raise

    async def _leave(self) -> None:
        await self._cool()
        try:
            await self._sharing.leave()
        except StorageError as error:
            self._telemetry.problem("quota_release_failed", deployment=self._deployment, error=str(error)[:200])

    async def _cool(self) -> None:
        now = self._clock()
        self._leases.drop_expired(now)
        if self._leases.held:
            seconds = max(self._last_sent_at + BURST_SECONDS - now, self._bucket.seconds_in_debt(now))
            await self._sleep(min(max(0.0, seconds), LONGEST_COOLING_SECONDS))

    async def _wait_for_turn(self, charge: Charge) -> Permit:
        waiter = _Waiter(charge, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        self._bell.ring()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            self._give_up(waiter)
            raise

    def _give_up(self, waiter: _Waiter) -> None:
        """The caller was cancelled, perhaps in the moment in which its permit was granted."""
        if waiter.granted.done() and not waiter.granted.cancelled() and waiter.granted.exception() is None:
            waiter.granted.result().refund()
        self._bell.ring()

    async def _grant_forever(self) -> None:
        while True:
            await self._bell.wait(self._grant_waiting())

    def _grant_waiting(self) -> float:
        """Grants in order as long as the first charge fits; returns the seconds until it may."""
        while self._waiters:
            waiter = self._waiters[0]
            wait = 0.0 if waiter.granted.done() else self._seconds_until_fits(waiter.charge)
            if wait > 0:
                return wait
            self._waiters.popleft()
            if not waiter.granted.done():
                waiter.granted.set_result(self._grant(waiter.charge))
        return inf

    def _seconds_until_fits(self, charge: Charge) -> float:
        now = self._clock()
        self._leases.drop_expired(now)
        self._bucket.set_factor(self._throttle.factor(now), now)
        return self._bucket.seconds_until_fits(charge, now)

    def _grant(self, charge: Charge) -> Permit:
        self._sharing.demand()
        tenure = self._leases.longest_tenure()
        assert tenure is not None, "nothing fits a bucket without a share"
        return _LeasedPermit(self, self._bucket.spend(charge, self._clock()), tenure)

    def _share_changed(self, share: float, at: float) -> None:
        self._bucket.set_share(share, at, phase_seconds=LONGEST_PHASE_SECONDS * self._random())
        self._bell.ring()

    def _confirm_sent(self, tenure: Tenure) -> float:
        now = self._clock()
        if now >= tenure.deadline:
            raise PermitExpired(
                f"The lease behind a permit for '{self._deployment}' ran out before the request left. Ask again."
            )
        self._last_sent_at = now
        return now

    def _refund(self, spending: Spending) -> None:
        self._bucket.refund(spending)
        self._bell.ring()

    def _slow_down(self, sent_at: float, retry_after_seconds: float | None) -> None:
        now = self._clock()
        if not self._throttle.refused(sent_at, retry_after_seconds, now):
            return
        self._bucket.forfeit(until=self._throttle.closed_until)
        self._telemetry.problem(
            "quota_throttled",
            deployment=self._deployment,
            gate_seconds=round(self._throttle.closed_until - now, 3),
            factor=round(self._throttle.factor(now), 3),
        )

    def _refusal(self) -> LimiterDrained:
        return LimiterDrained(f"The limiter of '{self._deployment}' is drained: this worker is shutting down.")


class _LeasedPermit:
    """A permit on one tenure: it is good as long as that partition is ours."""

    __slots__ = ("_limiter", "_sent_at", "_spending", "_tenure")

    def __init__(self, limiter: BlobLeaseLimiter, spending: Spending, tenure: Tenure) -> None:
        self._limiter = limiter
        self._spending = spending
        self._tenure = tenure
        self._sent_at = -inf

    def sent(self) -> None:
        try:
            self._sent_at = self._limiter._confirm_sent(self._tenure)
        except PermitExpired:
            self.refund()
            raise

    def refund(self) -> None:
        self._limiter._refund(self._spending)

    def throttled(self, throttling: Throttling) -> None:
        self._limiter._slow_down(self._sent_at, throttling.retry_after_seconds)

    def settle(self, tokens: int) -> None:
        """Not credited yet."""
