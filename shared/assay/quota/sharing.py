"""Keeps a worker's fair share of a deployment's partitions: takes, renews, gives back, and lets go when idle.

Run in the background by `limiter.py`. It decides by what one listing shows: the states of the leases, and the tickets
of the workers. Whoever is short asks for a part of somebody's surplus (`doorbell.py`).
"""

from collections.abc import Callable
from math import ceil, inf

from assay.quota.base import Charge, Quota
from assay.quota.bell import Bell, Sleep
from assay.quota.demand import Demand
from assay.quota.deployments import Deployment, Terms
from assay.quota.doorbell import Doorbell, claim
from assay.quota.leases import GUARD_SECONDS, PartitionLeases
from assay.quota.parking import LONGEST_PARKED_SECONDS, Parking
from assay.quota.shares import Claim, FairShare, fair_share
from assay.quota.tickets import WAITING_TICKET_SECONDS, Board, Ticket, Tickets
from assay.telemetry import Telemetry

# A worker waits this long for the tickets of those who begin with it, before it divides what is there.
SETTLING_SECONDS = 0.75
_HURRIED_SETTLING_SECONDS = 0.4
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 1.0, 8.0
_AFTER_RINGING_SECONDS, _LONGEST_PATIENCE_SECONDS = 0.5, 4.0
_AFTER_FAILURE_SECONDS = 2.0

# All workers together look once in so many seconds for partitions that nobody holds: seldom where these are few.
_LOOKS_TIMES_PARTITIONS, _SHORTEST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 135.0, 12.0, 20.0
_CONTENT_SECONDS = 60.0
_SOMEBODY_DIED_SECONDS = 5.0
_TICKET_REFRESH_SECONDS = 150.0

# A surplus is let go when it lasts, half of it at a time.
_SURPLUS = 1.5
_SURPLUS_SECONDS = 20.0

# From a worker's last renewal to the end of its lease pass 11 seconds at least: shorter debts are earned by then.
_SHORT_DEBT_SECONDS = 10.0


class Sharing:
    """One worker's part in sharing a quota. `waiting` says whether requests wait for permits.

    `debt_seconds(now)` says how long the bucket has to earn until it owes nothing; `quota_changed` is told what the
    whole deployment grants whenever that is another than before. `crowded_out` is told, after each look in vain of a
    worker too many, the seconds until the next one.
    """

    def __init__(
        self,
        leases: PartitionLeases,
        tickets: Tickets,
        demand: Demand,
        deployment: Deployment,
        *,
        quota_changed: Callable[[Quota], None],
        crowded_out: Callable[[float], None],
        waiting: Callable[[], bool],
        clock: Callable[[], float],
        sleep: Sleep,
        random: Callable[[], float],
        telemetry: Telemetry,
        debt_seconds: Callable[[float], float],
    ) -> None:
        self._leases = leases
        self._tickets = tickets
        self._demand = demand
        self._deployment = deployment
        self._quota_changed = quota_changed
        self._crowded_out = crowded_out
        self._doorbell = Doorbell(leases, tickets.worker)
        self._parking = Parking()
        self._waiting = waiting
        self._clock = clock
        self._sleep = sleep
        self._random = random
        self._telemetry = telemetry
        self._debt_seconds = debt_seconds
        self._bell = Bell(sleep)
        self._review_at = inf
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._has_settled = False
        self._has_just_rung = False
        self._is_content = False
        self._looks_for_all = False
        self._surplus_since = inf
        self._owes_much = False
        self._is_between_cuts = False
        self._stopping = False

    @property
    def is_elsewhere(self) -> bool:
        """Whether others hold the whole quota and this worker waited for a part of it in vain."""
        return self._parking.is_elsewhere

    @property
    def partitions(self) -> int:
        return self._leases.count

    def demand(self, charge: Charge | None = None) -> None:
        """A request wants a permit, or, with its charge, is granted one."""
        now = self._clock()
        self._demand.wanted(now)
        if charge is not None:
            self._note_grant(charge, now)
        was_short_at = self._demand.short_at
        self._demand.watch(self._waiting(), now)
        if self._review_at == inf:
            self._review_at = now
            self._bell.ring()
        elif self._is_content and was_short_at == inf > self._demand.short_at:
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
        self._begin_anew()
        await self._leases.release(self._leases.retire(self._leases.count))
        await self._tickets.withdraw()

    def _note_grant(self, charge: Charge, now: float) -> None:
        seconds = self._demand.granted(charge, now)
        if seconds * self._leases.count > _SHORT_DEBT_SECONDS * max(1, len(self._leases.held)):
            self._owes_much = True
            self._bell.ring()

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
        self._drop_expired(now)
        if self._review_at == inf:
            return
        self._demand.watch(self._waiting(), now)
        if now >= self._idle_at:
            await self.leave()
            return
        await self._leases.renew_due(now)
        self._notice_losses(now)
        await self._release_expired(now)
        if now >= self._deployment.look_at and not self._parking.is_parked:
            await self._accept(await self._deployment.terms())
        if self._is_between_cuts:
            return
        await self._write_debt(now)
        await self._let_surplus_go(now)
        if now >= self._review_at or self._leases.broken or self._is_short(now):
            await self._review()

    async def _accept(self, terms: Terms) -> None:
        """Goes where the partitions are now, if they were cut anew, and spends of the quota that holds now."""
        self._is_between_cuts = not terms.prefix
        if terms.prefix != self._leases.prefix:
            await self._move_to(terms)
        self._leases.end_at(terms.until)
        if terms.quota != self._demand.quota:
            self._demand.quota = terms.quota
            self._quota_changed(terms.quota)

    async def _move_to(self, terms: Terms) -> None:
        if self._leases.held:
            await self._give_back(len(self._leases.held))
        if self._tickets.said is not None:
            await self._tickets.withdraw()
        if terms.prefix:
            self._leases.use(terms.prefix, terms.partitions)
            self._tickets.use(terms.prefix)
        self._begin_anew()
        self._review_at = self._clock()

    def _drop_expired(self, now: float) -> None:
        self._leases.drop_expired(now)
        self._notice_losses(now)

    def _notice_losses(self, now: float) -> None:
        lost = self._leases.forget_lost()
        if lost:
            self._telemetry.problem("quota_leases_expired", partitions=lost)
            self._review_at = min(self._review_at, now)
        if lost and not self._leases.held:
            self._begin_anew()

    async def _release_expired(self, now: float) -> None:
        if self._tickets.said is not None and self._tickets.said.debt_seconds:
            self._leases.forget_expired()  # whoever takes them must wait until that is earned
        await self._leases.release_expired(now)

    def _begin_anew(self) -> None:
        """As a worker that joins: it must see who else does before it takes its share."""
        self._has_settled = self._is_content = self._looks_for_all = False
        self._surplus_since = inf
        self._parking = Parking()

    def _is_short(self, now: float) -> bool:
        return self._is_content and now >= self._demand.short_at

    def _next_at(self) -> float:
        if self._review_at == inf:
            return inf
        short_at = self._demand.short_at if self._is_content else inf
        review_at = inf if self._is_between_cuts else self._review_at
        read_at = inf if self._parking.is_parked else self._deployment.look_at
        return min(self._leases.next_renewal, review_at, self._idle_at, short_at, read_at)

    @property
    def _idle_at(self) -> float:
        """Requests that were sent away come back seldom."""
        return self._demand.idle_at + (2 * LONGEST_PARKED_SECONDS if self._parking.is_elsewhere else 0.0)

    async def _write_debt(self, now: float) -> None:
        """A debt that outlasts our leases, should we die, must be known to whoever takes them."""
        if self._owes_much:
            self._owes_much = False
            if self._debt_seconds(now) > _SHORT_DEBT_SECONDS:
                await self._post(self._wants(now))

    async def _let_surplus_go(self, now: float) -> None:
        held, wants = len(self._leases.held), self._wants(now)
        self._surplus_since = min(self._surplus_since, now) if held > _SURPLUS * wants else inf
        if now < self._surplus_since + _SURPLUS_SECONDS:
            return
        self._surplus_since = inf
        await self._give_back(ceil((held - wants) / 2))
        await self._post(wants)

    async def _review(self) -> None:
        now = self._clock()
        wants, before = self._wants(now), len(self._leases.held)
        if self._must_post(wants):
            await self._post(wants)
        board = await self._tickets.look()
        self._leases.heard_of_breaks(board.breaking())
        if self._parking.is_parked and now >= self._deployment.look_at and board.free(self._leases.count):
            self._end_parking()  # and look again, at what may be other partitions by now
            return
        share = fair_share(self._leases.count, Claim(before, wants), [claim(each) for each in self._others(board)])
        await self._move_towards(share, board, wants)
        self._review_at = self._clock() + await self._seconds_until_review(share, board, wants)
        after = len(self._leases.held)
        if after != before:
            workers = len(self._others(board)) + 1
            self._telemetry.event("quota_share", held=after, partitions=self._leases.count, workers=workers)
            await self._post(wants)

    async def _move_towards(self, share: FairShare, board: Board, wants: int) -> None:
        held = len(self._leases.held)
        surplus = max(held - share.keep, self._leases.broken)
        if surplus > 0:
            await self._give_back(surplus)
            return
        await self._take(share, board, wants)
        mine = Claim(len(self._leases.held), wants)
        is_short = self._has_settled and mine.held < share.due
        if is_short and await self._doorbell.ask_for_share(board, mine, self._clock()):
            self._has_just_rung = True
            await self._post(wants)  # others must know what is promised to us

    async def _take(self, share: FairShare, board: Board, wants: int) -> None:
        held, free = len(self._leases.held), board.free(self._leases.count)
        limit = share.take_to
        if self._looks_for_all and not share.is_contested:
            limit = max(limit, min(wants, held + len(free)))
        if not self._has_settled:
            # One first: whoever begins together must see each other's tickets before they divide the rest.
            limit = min(limit, 1)
        if free and held < limit:
            first = self._doorbell.asked
            await self._leases.take(sorted(free, key=lambda index: (index not in first, self._random())), limit - held)

    async def _give_back(self, number: int) -> None:
        retired = self._leases.retire(number)
        await self._sleep(GUARD_SECONDS)  # what a bucket may have saved up, see BURST_SECONDS
        await self._leases.release(retired)

    async def _seconds_until_review(self, share: FairShare, board: Board, wants: int) -> float:
        now, held = self._clock(), len(self._leases.held)
        self._is_content = self._looks_for_all = False
        if not self._has_settled:
            self._has_settled = True
            return (SETTLING_SECONDS if held else _HURRIED_SETTLING_SECONDS) * self._spread()
        if held == 0 and share.due == 0:
            return await self._park(now)
        self._end_parking()
        if held < max(1, share.due):
            return self._seconds_of_patience(now)
        self._pause_seconds = _FIRST_PAUSE_SECONDS
        self._looks_for_all = True
        if board.dying:
            return _SOMEBODY_DIED_SECONDS * self._spread()
        if held >= min(wants, self._leases.count):
            self._is_content = held < self._leases.count
            return _CONTENT_SECONDS * self._spread()
        return self._seconds_until_look(board, now)

    async def _park(self, now: float) -> float:
        answer = self._doorbell.next_answer(now)
        if answer < inf:
            return answer - now
        if not self._parking.is_parked:
            await self._tickets.withdraw()
        seconds = self._parking.stay(self._random())
        if self._parking.is_elsewhere:
            self._crowded_out(seconds)
        return seconds

    def _end_parking(self) -> None:
        if self._parking.is_elsewhere:
            self._demand.wanted(self._clock())  # who was sent away may take a while to come back
        self._parking.end()

    def _seconds_of_patience(self, now: float) -> float:
        """Until somebody may have given us what we asked for; without that, longer each time."""
        answer = self._doorbell.next_answer(now)
        if answer < inf:
            patience = _AFTER_RINGING_SECONDS if self._has_just_rung else _LONGEST_PATIENCE_SECONDS
            self._has_just_rung = False
            return min(answer - now, patience * self._spread())
        pause = self._pause_seconds
        self._pause_seconds = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        return pause * self._spread()

    def _seconds_until_look(self, board: Board, now: float) -> float:
        """Until it is our turn to look for the whole fleet, by storage's time and the workers' names."""
        names = sorted({self._tickets.worker, *(each.worker for each in self._others(board))})
        step = _LOOKS_TIMES_PARTITIONS / self._leases.count
        step = min(max(step, _SHORTEST_LOOK_SECONDS), _LONGEST_LOOK_SECONDS)
        storage_now = self._tickets.storage_seconds(now) or now
        wait = (names.index(self._tickets.worker) * step - storage_now) % (len(names) * step)
        return wait if wait > step / 2 else wait + len(names) * step

    def _must_post(self, wants: int) -> bool:
        said, held = self._tickets.said, set(self._leases.held)
        if self._parking.is_parked and not held:
            return False
        if said is None or set(said.turns) != held or (wants > said.wants and len(held) < wants):
            return True
        if max(wants, len(held)) <= said.wants / 2:
            return True  # what we do not want others may have
        return self._tickets.seconds_since_said >= (_TICKET_REFRESH_SECONDS if held else WAITING_TICKET_SECONDS)

    async def _post(self, wants: int) -> None:
        now, held = self._clock(), self._leases.held
        debt = self._debt_seconds(now)
        await self._tickets.post(
            Ticket(
                self._tickets.worker,
                said_at=0.0,
                turns=held,
                asks=tuple(self._doorbell.asked),
                wants=wants,
                turn_seconds=max(0.0, self._leases.next_turn - now) if held else 0.0,
                debt_seconds=debt if debt > _SHORT_DEBT_SECONDS else 0.0,
            )
        )

    def _wants(self, now: float) -> int:
        return self._demand.partitions(self._leases.count, len(self._leases.held), now)

    def _others(self, board: Board) -> list[Ticket]:
        return board.others(self._tickets.worker)

    def _spread(self) -> float:
        """Around 1, so that workers do not act in step."""
        return 0.75 + 0.5 * self._random()
