"""Keeps a worker's fair share of a deployment's partitions: takes, renews, gives back, and lets go when idle.

Run in the background by `limiter.py`. It decides by the tickets of the other workers, once per renewal.
"""

from collections.abc import Callable
from math import inf

from assay.quota.bell import Bell, Sleep
from assay.quota.leases import GUARD_SECONDS, RENEWAL_SECONDS, PartitionLeases
from assay.quota.shares import FairShare, fair_share
from assay.quota.tickets import Tickets
from assay.telemetry import Telemetry

IDLE_SECONDS = 60.0

# After its first partition a worker waits this long for the tickets of those who begin with it.
SETTLING_SECONDS = 1.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 8.0
_AFTER_FAILURE_SECONDS = 2.0


class Sharing:
    """One worker's part in sharing a quota. `waiting` says whether requests wait for permits."""

    def __init__(
        self,
        leases: PartitionLeases,
        tickets: Tickets,
        *,
        waiting: Callable[[], bool],
        clock: Callable[[], float],
        sleep: Sleep,
        random: Callable[[], float],
        telemetry: Telemetry,
    ) -> None:
        self._leases = leases
        self._tickets = tickets
        self._waiting = waiting
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._telemetry = telemetry
        self._bell = Bell(sleep)
        self._demand_at = -inf
        self._review_at = inf
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._stopping = False

    def demand(self) -> None:
        """A request wants a permit, or got one."""
        self._demand_at = self._clock()
        if self._review_at == inf:
            self._review_at = self._demand_at
            self._bell.ring()

    async def run(self) -> None:
        """Works until `stop`; a failure of storage only delays it."""
        while not self._stopping:
            await self._bell.wait(await self._round())

    def stop(self) -> None:
        """Lets `run` return after the round it is in; what is held stays held."""
        self._stopping = True
        self._bell.ring()

    async def leave(self) -> None:
        """Releases everything and withdraws the ticket. Raises StorageError; leases expire by themselves."""
        self._review_at = inf
        await self._leases.release(self._leases.retire(self._leases.count))
        await self._tickets.withdraw()

    async def _round(self) -> float:
        """One look at everything; returns the seconds until the next."""
        try:
            await self._work()
        except Exception as error:  # requests wait for this loop: it must outlive whatever one round runs into
            self._telemetry.problem("quota_round_failed", error=f"{type(error).__name__}: {error}"[:200])
            return _AFTER_FAILURE_SECONDS * (0.5 + self._random())
        return max(0.0, self._next_at() - self._clock())

    async def _work(self) -> None:
        now = self._clock()
        lost = self._leases.drop_expired(now)
        if lost:
            self._telemetry.problem("quota_leases_expired", partitions=lost)
        if self._review_at == inf:
            return
        if self._is_idle(now):
            await self.leave()
            return
        await self._leases.renew_due(now)
        if now >= self._review_at:
            await self._review()

    def _is_idle(self, now: float) -> bool:
        return not self._waiting() and now >= self._demand_at + IDLE_SECONDS

    def _next_at(self) -> float:
        if self._review_at == inf:
            return inf
        idle_at = inf if self._waiting() else self._demand_at + IDLE_SECONDS
        return min(self._leases.next_renewal, self._review_at, idle_at)

    async def _review(self) -> None:
        before = len(self._leases.held)
        await self._tickets.post(before)
        others = await self._tickets.others()
        share = fair_share(self._leases.count, before, others)
        await self._move_towards(share)
        after = len(self._leases.held)
        self._review_at = self._clock() + self._seconds_until_review(before, after, share)
        if after != before:
            self._telemetry.event("quota_share", held=after, partitions=self._leases.count, workers=len(others) + 1)
            await self._tickets.post(after)

    async def _move_towards(self, share: FairShare) -> None:
        held = self._leases.held
        if len(held) > share.keep:
            await self._give_back(len(held) - share.keep)
        elif len(held) < share.take_to and share.free:
            # One first: whoever begins together must see each other's tickets before they divide the rest.
            wanted = share.take_to - len(held) if held else 1
            others = [index for index in range(self._leases.count) if index not in held]
            await self._leases.take(sorted(others, key=lambda _: self._random()), wanted)

    async def _give_back(self, number: int) -> None:
        retired = self._leases.retire(number)
        await self._sleep(GUARD_SECONDS)  # what a bucket may have saved up, see BURST_SECONDS
        await self._leases.release(retired)

    def _seconds_until_review(self, before: int, after: int, share: FairShare) -> float:
        if before == 0 and after > 0:
            return SETTLING_SECONDS * (0.75 + 0.5 * self._random())
        if after >= share.due:
            self._pause_seconds = _FIRST_PAUSE_SECONDS
            return RENEWAL_SECONDS
        pause = self._pause_seconds = _FIRST_PAUSE_SECONDS if after != before else self._pause_seconds
        self._pause_seconds = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return pause * (0.75 + 0.5 * self._random())
