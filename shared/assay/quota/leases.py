"""The partitions of a deployment's quota that this worker holds, each by a lease on an empty blob.

Used by `sharing.py` and `limiter.py`. A partition is ours until its deadline on our own clock, never longer.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from math import inf

from assay.errors import BlobExists, BlobMissing, LeaseBroken, LeaseHeld, LeaseLost, StorageError
from assay.storage.base import Storage

LEASE_SECONDS = 33
RENEWAL_SECONDS = 22.0
RENEWAL_RETRY_SECONDS = 2.0

# Turns come a little late. Whoever misses his by more than this is renewed out of turn.
_LATE_SECONDS = 1.0

# The clocks of two machines may differ in speed, and a request may spend a moment in a socket after our last look.
GUARD_SECONDS = 1.5

_AT_ONCE = 8

ShareChanged = Callable[[float, float], None]


@dataclass(slots=True, eq=False)
class Tenure:
    """One partition from taking to losing it. `deadline` is the last moment at which it may be spent from."""

    index: int
    lease: str
    deadline: float
    renew_at: float
    is_broken: bool = False


class PartitionLeases:
    """Takes, renews and releases partitions. `changed(share, at)` is told of every change, in order of time.

    Renewals take turns: with three partitions one is renewed every 22/3 seconds. So a worker hears soon that somebody
    broke one of its leases, and others can tell when, from `held` and `next_turn`.
    """

    def __init__(
        self,
        storage: Storage,
        prefix: str,
        count: int,
        clock: Callable[[], float],
        changed: ShareChanged,
        random: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._storage = storage
        self._prefix = prefix
        self.count = count
        self._clock = clock
        self._changed = changed
        self._random = random
        self._held: dict[int, Tenure] = {}
        self._first_deadline = inf
        self._turn_at = inf
        self._ends_at = inf
        self._lost = 0
        self._expired: list[tuple[Tenure, float]] = []

    @property
    def prefix(self) -> str:
        return self._prefix

    def use(self, prefix: str, count: int) -> None:
        """From now on these are the partitions. Only while none is held."""
        assert not self._held, "partitions of the former cut are still held"
        self._prefix, self.count = prefix, count

    def end_at(self, at: float) -> None:
        """No partition may be spent from after this time, unless a later call allows it."""
        self._ends_at = at
        for tenure in self._held.values():
            tenure.deadline = min(tenure.deadline, at)
        self._first_deadline = min((each.deadline for each in self._held.values()), default=inf)

    @property
    def held(self) -> tuple[int, ...]:
        """The partitions held, in the order in which they are renewed; drop what has expired first."""
        return tuple(self._held)

    @property
    def broken(self) -> int:
        """How many of those held cannot be renewed any more, because others asked for them."""
        return sum(tenure.is_broken for tenure in self._held.values())

    @property
    def next_turn(self) -> float:
        """When the first of `held` is renewed; the others follow in equal steps."""
        return self._turn_at

    @property
    def next_renewal(self) -> float:
        renewable = [tenure.renew_at for tenure in self._held.values()]
        return min(self._turn_at, *renewable) if renewable else inf

    def longest_tenure(self) -> Tenure | None:
        """The tenure with the latest deadline: what a permit granted now stands on."""
        return max(self._held.values(), key=lambda tenure: tenure.deadline, default=None)

    def drop_expired(self, now: float) -> int:
        """Forgets every partition past its deadline and says how many those were. Quick when there are none."""
        if now < self._first_deadline:
            return 0
        expired = sorted((each for each in self._held.values() if each.deadline <= now), key=lambda each: each.deadline)
        for tenure in expired:
            self._expired.append((tenure, tenure.deadline))
            self._end(tenure, tenure.deadline)
        self._lost += len(expired)
        return len(expired)

    def forget_lost(self) -> int:
        """How many partitions ran out or were lost since the last call, whoever noticed."""
        lost, self._lost = self._lost, 0
        return lost

    async def take(self, indices: Iterable[int], wanted: int) -> int:
        """Tries partitions in this order until `wanted` of them are ours; returns how many are. Raises StorageError."""
        waiting, taken = list(indices), 0
        while waiting and taken < wanted:
            at_once = min(_AT_ONCE, wanted - taken)
            taken += sum(await _all(self._take(index) for index in waiting[:at_once]))
            del waiting[:at_once]
        return taken

    async def renew_due(self, now: float) -> None:
        """Renews what is due. A lost one is dropped at once; after a failure it is tried again in two seconds."""
        due = [tenure for tenure in self._held.values() if tenure.renew_at <= now]
        if self._held and now >= self._turn_at:
            due += self._whose_turn(due)
        await _all(self._renew(tenure) for tenure in due)

    def heard_of_breaks(self, indices: Iterable[int]) -> None:
        """Others broke the leases of these, as a listing shows."""
        for index in indices:
            if index in self._held:
                self._mark_broken(self._held[index])

    async def ring(self, index: int) -> float:
        """Asks whoever holds a partition for it, by breaking its lease; returns the seconds until it ends by itself."""
        return await self._storage.break_lease(self._path(index))

    def retire(self, number: int) -> list[Tenure]:
        """Stops spending from `number` partitions, so that they can be released once they are cool.

        Broken ones go first, then those with the earliest deadline: permits stand on the latest.
        """
        now = self._clock()
        self.drop_expired(now)
        retired = sorted(self._held.values(), key=lambda each: (not each.is_broken, each.deadline))[:number]
        for tenure in retired:
            self._end(tenure, now)
        return retired

    async def release(self, retired: Iterable[Tenure]) -> None:
        """Lets others have them at once. Raises StorageError; what was not released expires by itself."""
        await _all(self._release(tenure) for tenure in retired)

    async def release_expired(self, now: float) -> None:
        """Releases what ran out here, once it is cool: a renewal that was not answered may have reached storage late,
        and hold it for nobody. Without effect on what others have by now. Raises StorageError; call it again then.
        """
        cool = [each for each in self._expired if each[1] + GUARD_SECONDS <= now]
        await self.release(tenure for tenure, _ in cool)
        self._expired = [each for each in self._expired if each not in cool]

    def forget_expired(self) -> None:
        """Lets what ran out here end by itself."""
        self._expired = []

    async def _take(self, index: int) -> bool:
        before = self._clock()
        try:
            lease = await self._acquire(self._path(index))
        except (LeaseHeld, BlobMissing):
            return False
        deadline = self._deadline(before)
        tenure = Tenure(index, lease, deadline, before + RENEWAL_SECONDS + _LATE_SECONDS)
        now = self._clock()
        if now >= deadline:
            await self._release(tenure)
            return False
        self.drop_expired(now)
        self._held[index] = tenure
        self._announce(now)
        return True

    async def _acquire(self, path: str) -> str:
        try:
            return await self._storage.acquire(path, LEASE_SECONDS)
        except BlobMissing:
            await self._create(path)
        return await self._storage.acquire(path, LEASE_SECONDS)

    async def _create(self, path: str) -> None:
        try:
            await self._storage.write(path, b"")
        except (BlobExists, LeaseLost):
            return

    async def _renew(self, tenure: Tenure) -> None:
        before = self._clock()
        # After the deadline an expired lease may still be renewable, and somebody may have had it in between.
        if before >= tenure.deadline:
            self.drop_expired(before)
            return
        try:
            await self._storage.renew(self._path(tenure.index), tenure.lease)
        except LeaseBroken:
            self._mark_broken(tenure)
        except (LeaseLost, BlobMissing):
            self._lose(tenure)
        except StorageError:
            tenure.renew_at = self._clock() + RENEWAL_RETRY_SECONDS
            raise
        else:
            await self._extend(tenure, before)

    async def _extend(self, tenure: Tenure, before: float) -> None:
        self.drop_expired(self._clock())
        if self._held.get(tenure.index) is not tenure:
            await self._release(tenure)
            return
        tenure.deadline = self._deadline(before)
        tenure.renew_at = before + RENEWAL_SECONDS + _LATE_SECONDS
        self._held[tenure.index] = self._held.pop(tenure.index)  # to the end of the turns
        self._first_deadline = min(each.deadline for each in self._held.values())

    async def _release(self, tenure: Tenure) -> bool:
        await self._storage.release(self._path(tenure.index), tenure.lease)
        return True

    def _whose_turn(self, due: list[Tenure]) -> list[Tenure]:
        self._turn_at += self._step_seconds
        first = next((tenure for tenure in self._held.values() if not tenure.is_broken), None)
        return [] if first is None or first in due else [first]

    def _deadline(self, asked_at: float) -> float:
        """Counted from before the request left: the service counts from later on."""
        return min(asked_at + LEASE_SECONDS - GUARD_SECONDS, self._ends_at)

    def _first_turn(self) -> float:
        """A time at which nobody's turn comes too late; by chance, so that workers do not renew in step."""
        due = enumerate(tenure.renew_at - _LATE_SECONDS for tenure in self._held.values())
        latest = min((at - turn * self._step_seconds for turn, at in due), default=inf)
        return latest - self._random() * self._step_seconds if self._held else inf

    @property
    def _step_seconds(self) -> float:
        return RENEWAL_SECONDS / len(self._held)

    def _mark_broken(self, tenure: Tenure) -> None:
        tenure.is_broken, tenure.renew_at = True, inf

    def _lose(self, tenure: Tenure) -> None:
        now = self._clock()
        self.drop_expired(now)
        if self._held.get(tenure.index) is tenure:
            self._end(tenure, now)
            self._lost += 1

    def _end(self, tenure: Tenure, at: float) -> None:
        del self._held[tenure.index]
        tenure.deadline = -inf
        self._announce(at)

    def _announce(self, at: float) -> None:
        self._first_deadline = min((each.deadline for each in self._held.values()), default=inf)
        self._turn_at = self._first_turn()
        self._changed(len(self._held) / self.count, at)

    def _path(self, index: int) -> str:
        return f"{self._prefix}/p/{index:02d}"


async def _all(calls: Iterable[Awaitable[bool | None]]) -> list[bool]:
    """Lets every call end, then raises the first failure: a lease must never be taken behind our back."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [bool(outcome) for outcome in outcomes]
