"""The limiter that shares one deployment's quota between workers that have only a storage account in common.

The quota is cut into partitions; a lease on a partition's blob is the right to spend its part. Permits are granted
from a local bucket, without a storage call. Chosen by `runtime.py`.
"""

import asyncio
import contextvars
import random as random_module
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf

from assay.errors import StorageError
from assay.quota.announced import ConfiguredLimits
from assay.quota.base import Charge, Permit, Quota, QuotaElsewhere
from assay.quota.bell import Sleep
from assay.quota.bucket import BURST_SECONDS, HEADROOM
from assay.quota.demand import Demand
from assay.quota.deployments import REREAD_SECONDS, Deployment
from assay.quota.granting import Granting, LimiterDrained
from assay.quota.leases import PartitionLeases
from assay.quota.shares import MEAN_CHARGE_TOKENS
from assay.quota.sharing import Sharing
from assay.quota.tickets import Tickets
from assay.storage.base import Storage
from assay.telemetry import Telemetry

__all__ = ["LONGEST_COOLING_SECONDS", "LONGEST_PHASE_SECONDS", "BlobLeaseLimiter", "LimiterDrained"]

# Workers that begin together begin at different moments of this time, so that they do not send together.
LONGEST_PHASE_SECONDS = 0.5

# A drain pays its debts before it lets others have the partitions, but does not hold up a shutdown for them.
LONGEST_COOLING_SECONDS = 5.0


class BlobLeaseLimiter:
    """Grants permits in turns, within this worker's share of the quota.

    `quota` is what the suite says of the deployment; the first worker of all writes it down for everybody, and the
    smaller of both numbers holds, unless an operator set one (`deployments.py`). `worker` is a name that no other
    worker has. Nothing is done before the first `acquire`; `drain` ends what that began.
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
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        reread_seconds: float = REREAD_SECONDS,
    ) -> None:
        self._deployment = deployment
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._telemetry = telemetry
        self._limits = ConfiguredLimits(quota)
        self._leases = PartitionLeases(storage, "", 1, clock, self._share_changed, random)
        self._granting = self._granting_of(quota, headroom)
        deployed = Deployment(
            storage,
            deployment,
            quota,
            clock=clock,
            telemetry=telemetry,
            now=now,
            mean_charge_tokens=mean_charge_tokens,
            reread_seconds=reread_seconds,
        )
        self._sharing = self._sharing_of(deployed, Tickets(storage, "", worker, clock, self.facts), Demand(quota))
        self._share: asyncio.Task[None] | None = None
        self._looks_again_at = 0.0
        self._told_of_crowd = False
        self._drained = False

    def _granting_of(self, quota: Quota, headroom: float) -> Granting:
        return Granting(
            self._deployment,
            quota,
            refresh=self._leases.drop_expired,
            ground=self._leases.longest_tenure,
            demanded=self._demanded,
            telemetry=self._telemetry,
            clock=self._clock,
            sleep=self._sleep,
            limits=self._limits,
            headroom=headroom,
        )

    def _sharing_of(self, deployed: Deployment, tickets: Tickets, demand: Demand) -> Sharing:
        return Sharing(
            self._leases,
            tickets,
            demand,
            deployed,
            quota_changed=self._quota_changed,
            crowded_out=self._crowded_out,
            waiting=lambda: self._granting.has_waiters,
            clock=self._clock,
            sleep=self._sleep,
            random=self._random,
            telemetry=self._telemetry,
            debt_seconds=self._granting.seconds_in_debt,
        )

    @property
    def held(self) -> tuple[int, ...]:
        """The partitions this worker may spend from now."""
        self._leases.drop_expired(self._clock())
        return self._leases.held

    async def acquire(self, charge: Charge) -> Permit:
        """Waits until the request may be sent. Raises ChargeTooLarge at once if that can never be, LimiterDrained.

        Raises QuotaElsewhere when there are more workers than partitions and this one got none within half a minute.
        """
        self._granting.check(charge)
        self._begin()
        self._sharing.demand()
        if self._sharing.is_elsewhere:
            raise self._elsewhere()
        return await self._granting.acquire(charge)

    def wait_seconds(self, charge: Charge) -> float:
        """About how long `acquire` would take now, whoever waits already included; infinite when it would raise."""
        return inf if self._sharing.is_elsewhere else self._granting.wait_seconds(charge)

    def announced(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        """Lower limits are kept from now on, see `Granting.announced`; this worker's share of them stays the same."""
        self._granting.announced(requests_per_minute, tokens_per_minute)

    def facts(self) -> dict[str, str]:
        """What this worker learned and did, for its ticket: factors, limits, the last minute, the gate."""
        return self._granting.facts()

    async def drain(self) -> None:
        """Refuses whoever waits, pays debts for at most five seconds, and releases every partition."""
        if self._drained:
            return
        self._drained = True
        await self._granting.stop()
        if self._share is not None:
            await self._end(self._share)

    def _begin(self) -> None:
        if self._share is None:
            # A context of its own: it outlives the trial whose request happens to come first.
            loop = asyncio.get_running_loop()
            self._share = loop.create_task(self._share_forever(), context=contextvars.Context())

    async def _end(self, share: asyncio.Task[None]) -> None:
        self._sharing.stop()
        await asyncio.wait([share])
        if share.cancelled():  # and so has left already
            return
        share.result()
        await self._leave()

    async def _share_forever(self) -> None:
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
            seconds = max(self._granting.last_sent_at + BURST_SECONDS - now, self._granting.seconds_in_debt(now))
            await self._sleep(min(max(0.0, seconds), LONGEST_COOLING_SECONDS))

    def _demanded(self, charge: Charge) -> None:
        self._sharing.demand(charge)

    def _quota_changed(self, quota: Quota) -> None:
        self._limits.configure(quota)
        self._granting.set_quota(quota)

    def _crowded_out(self, seconds: float) -> None:
        self._looks_again_at = self._clock() + seconds
        self._granting.refuse(self._elsewhere())
        if not self._told_of_crowd:
            self._told_of_crowd = True
            most = self._sharing.partitions
            self._telemetry.problem(
                "quota_crowded",
                deployment=self._deployment,
                partitions=most,
                advice=f"more workers than the quota feeds: lower the number of workers or replicas to at most {most}",
            )

    def _elsewhere(self) -> QuotaElsewhere:
        seconds = max(0.0, self._looks_again_at - self._clock())
        return QuotaElsewhere(
            f"Other workers hold the whole quota of '{self._deployment}', in {self._sharing.partitions} parts.", seconds
        )

    def _share_changed(self, share: float, at: float) -> None:
        self._granting.set_share(share, at, phase_seconds=LONGEST_PHASE_SECONDS * self._random())
