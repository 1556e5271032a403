"""A run's budget as one worker sees it: it draws tranches from the account ahead of need, and spends them locally.

One per run and worker process, shared by all its requests. `account.py` holds the rules of sharing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal

from assay.amounts import usd
from assay.budget.account import (
    Account,
    AccountSpoilt,
    Holding,
    Need,
    change_account,
    open_account,
    read_account,
    redrawn,
)
from assay.budget.base import BudgetUsedUp, Reservation
from assay.errors import BlobMissing, StorageError
from assay.records import NO_COST
from assay.run_records import BudgetMode
from assay.storage.base import Blobs
from assay.telemetry import Telemetry

FIRST_REQUESTS, MOST_REQUESTS = 40, 500
"""A tranche is worth so many requests: few at first, as nobody knows who else comes, and twice as many each time."""

LOW_WATER = 4
"""A tranche is drawn when what is at hand has fallen to a quarter of what it was after the last one."""

IDLE_SECONDS, SCARCE_IDLE_SECONDS = 10.0, 1.0
LOOK_SECONDS, SCARCE_LOOK_SECONDS = 60.0, 3.0
"""Whoever has not drawn for so long looks whether others wait. Scarce: the last draw brought less than half of what
was wanted."""

TICK_SECONDS = 0.01
"""Wakes a little after the time to look, so that rounding does not make it look at nothing."""

PATIENCE_SECONDS = 75.0
"""How long a request waits for money of workers that say nothing; longer than `LOOK_SECONDS`: one that lives speaks."""

POLL_SECONDS = (1.0, 2.0)
SILENCE_SECONDS = 2.0
GOODBYE_SECONDS = 5.0

_Waiter = tuple[Decimal, "asyncio.Future[Reservation]"]


class TrancheBudget:
    """Implements `Budget`. Money is held by `worker`, a name that no other process and no later one has."""

    def __init__(
        self,
        blobs: Blobs,
        run: str,
        worker: str,
        limit_usd: Decimal,
        mode: BudgetMode,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        telemetry: Telemetry,
    ) -> None:
        self._blobs, self._run, self._worker = blobs, run, worker
        self._terms: tuple[Decimal, BudgetMode] = (limit_usd, mode)
        self._clock, self._sleep, self._telemetry = clock, sleep, telemetry
        self._is_soft = False
        self._granted = self._settled = self._reserved = self._peak = self._low = NO_COST
        self._requests, self._reserved_ever = 0, NO_COST
        self._waiting: list[_Waiter] = []
        self._tranche_requests, self._is_scarce, self._turn = FIRST_REQUESTS, False, 0
        self._held_by_others: dict[str, Holding] = {}
        self._moved_at = self._looked_at = clock()
        self._poll_seconds = POLL_SECONDS[0]
        self._wake = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    async def reserve(self, cost_usd: Decimal) -> Reservation:
        if not self._waiting and self._fits(cost_usd):
            reservation = self._set_aside(cost_usd)
            if self._is_low or not self._is_kept:
                self._stir()
            return reservation
        waiter: _Waiter = (cost_usd, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        self._stir()
        try:
            return await waiter[1]
        except asyncio.CancelledError:
            self._forget(waiter)
            raise

    async def drain(self) -> None:
        """Gives back what is at hand, within seconds; what is reserved stays. A second call does nothing."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper

    def ended(self, reserved_usd: Decimal, settled_usd: Decimal) -> None:
        """One reservation has ended: whoever waits may have what is free again."""
        self._reserved -= reserved_usd
        self._settled += settled_usd
        self._moved_at = self._clock()
        self._serve()
        if not self._reserved or self._waiting:
            self._wake.set()

    @property
    def _free(self) -> Decimal:
        return self._granted - self._settled - self._reserved

    @property
    def _is_low(self) -> bool:
        return not self._is_soft and self._free < self._low

    @property
    def _is_kept(self) -> bool:
        return self._keeper is not None and not self._keeper.done()

    def _fits(self, cost_usd: Decimal) -> bool:
        return self._is_soft or cost_usd <= self._free

    def _set_aside(self, cost_usd: Decimal) -> Reservation:
        self._reserved += cost_usd
        self._peak = max(self._peak, self._reserved)
        self._requests, self._reserved_ever = self._requests + 1, self._reserved_ever + cost_usd
        return _Reserved(self, cost_usd)

    def _serve(self) -> None:
        """Lets everybody go whose cost fits, the oldest first."""
        for waiter in list(self._waiting):
            cost, future = waiter
            if self._fits(cost):
                self._waiting.remove(waiter)
                if not future.done():
                    future.set_result(self._set_aside(cost))

    def _forget(self, waiter: _Waiter) -> None:
        """The waiter was cancelled, perhaps after it had been served."""
        if waiter in self._waiting:
            self._waiting.remove(waiter)
        future = waiter[1]
        if future.done() and not future.cancelled() and future.exception() is None:
            future.result().release()

    def _stir(self) -> None:
        self._wake.set()
        if not self._is_kept:
            self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        """Draws while there is need, and gives the rest back when nothing is asked any more or the loop ends."""
        try:
            while await self._tend():
                pass
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._give_back(), GOODBYE_SECONDS)
            raise
        except Exception as error:  # whatever it is: who waits for money must not wait for ever
            self._telemetry.problem("budget_failed", run=self._run, reason=str(error))
            self._refuse(error)

    async def _tend(self) -> bool:
        """One turn: draws, looks or gives back, whatever is due. False when nothing is asked any more."""
        self._wake.clear()
        if self._waiting or self._is_low:
            await self._draw()
        elif self._seconds_to_look() <= 0:
            await self._look()
        elif await self._is_idle():
            await self._give_back()
            return bool(self._waiting)
        return True

    async def _give_back(self) -> None:
        try:
            await self._redraw(wants_more=False)
        except (StorageError, AccountSpoilt) as error:
            self._telemetry.problem("budget_not_given_back", run=self._run, reason=str(error))

    async def _is_idle(self) -> bool:
        """Waits until there is something to do; True when nothing was reserved for a while."""
        requests, is_busy = self._requests, bool(self._reserved)
        idle_seconds = SCARCE_IDLE_SECONDS if self._is_scarce else IDLE_SECONDS
        try:
            await asyncio.wait_for(
                self._wake.wait(), self._seconds_to_look() + TICK_SECONDS if is_busy else idle_seconds
            )
        except TimeoutError:
            return not is_busy and requests == self._requests and not self._reserved and not self._waiting
        return False

    def _seconds_to_look(self) -> float:
        seconds = SCARCE_LOOK_SECONDS if self._is_scarce else LOOK_SECONDS
        return max(0.0, self._looked_at + seconds - self._clock())

    async def _look(self) -> None:
        """Shares what is at hand with those who wait; they hear at least that we live and still need the rest."""
        self._looked_at = self._clock()
        try:
            account = await read_account(self._blobs, self._run)
            if account and account.has_others_waiting(self._worker):
                await self._redraw(wants_more=True)
        except StorageError as error:
            self._telemetry.problem("budget_unreachable", run=self._run, reason=str(error))

    async def _draw(self) -> None:
        try:
            account = await self._redraw(wants_more=True)
        except StorageError as error:
            self._telemetry.problem("budget_unreachable", run=self._run, reason=str(error))
            await self._sleep(SILENCE_SECONDS)
            return
        self._serve()
        if self._waiting:
            await self._wait_for_others(account)
        else:
            self._poll_seconds = POLL_SECONDS[0]
            self._grow()

    def _grow(self) -> None:
        if not self._is_scarce:
            self._tranche_requests = min(2 * self._tranche_requests, MOST_REQUESTS)

    async def _wait_for_others(self, account: Account) -> None:
        """Money may come back, of our own requests or of other workers; if none can, or none does, the run stops."""
        smallest = min(cost for cost, _ in self._waiting)
        reachable = account.limit_usd - account.spent_usd
        is_over = smallest > reachable or (not self._reserved and self._clock() - self._moved_at >= PATIENCE_SECONDS)
        if is_over:
            self._stop(account, smallest)
            return
        await self._sleep(self._poll_seconds)
        self._poll_seconds = min(self._poll_seconds * 1.5, POLL_SECONDS[1])

    def _stop(self, account: Account, smallest: Decimal) -> None:
        message = (
            f"Budget reached: the next request may cost {usd(smallest)} USD, and {usd(account.spent_usd)} of "
            f"{usd(account.limit_usd)} USD is spent"
        )
        self._refuse(BudgetUsedUp(message))

    def _refuse(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if not future.done():
                future.set_exception(error)

    async def _redraw(self, *, wants_more: bool) -> Account:
        """Reports to the account, and takes what it grants. Raises StorageError, AccountSpoilt."""

        def change(account: Account) -> Account:
            need = self._need(wants_more=wants_more)
            changed = redrawn(account, self._worker, need)
            # What is given back is not spent any more from now on, whether or not the change is known to be made.
            granted = changed.holdings[self._worker].granted_usd
            self._granted = min(self._granted, granted)
            self._is_scarce = 2 * (granted - need.settled_usd - need.reserved_usd) < need.wanted_usd
            return changed

        self._turn += bool(self._reserved)
        try:
            account = await change_account(self._blobs, self._run, change)
        except BlobMissing:
            await open_account(self._blobs, self._run, *self._terms)
            account = await change_account(self._blobs, self._run, change)
        self._granted = account.holdings[self._worker].granted_usd
        self._is_soft = account.mode == "soft"
        self._low = max(self._free, NO_COST) / LOW_WATER
        self._looked_at = self._clock()
        if (held := account.held_by_others(self._worker)) != self._held_by_others:
            self._held_by_others, self._moved_at = held, self._clock()
        return account

    def _need(self, *, wants_more: bool) -> Need:
        if not wants_more:
            return Need(self._settled, self._reserved, self._peak, turn=self._turn)
        waiting = [cost for cost, _ in self._waiting]
        return Need(
            self._settled,
            self._reserved,
            self._peak,
            smallest_usd=min(waiting, default=NO_COST),
            wanted_usd=sum(waiting, self._tranche_requests * self._mean_usd()),
            waiting_usd=sum(waiting, NO_COST),
            turn=self._turn,
        )

    def _mean_usd(self) -> Decimal:
        """What a request costs, about: as settled once there are enough to tell, before that as reserved."""
        if self._requests:
            return (self._settled or self._reserved_ever) / self._requests
        return sum((cost for cost, _ in self._waiting), NO_COST) / max(1, len(self._waiting))


class _Reserved:
    """A reservation of a `TrancheBudget`."""

    def __init__(self, budget: TrancheBudget, cost_usd: Decimal) -> None:
        self._budget, self._cost = budget, cost_usd
        self._is_open = True

    def settle(self, cost_usd: Decimal | None) -> None:
        self._end(self._cost if cost_usd is None else cost_usd)

    def release(self) -> None:
        self._end(NO_COST)

    def _end(self, settled_usd: Decimal) -> None:
        if self._is_open:
            self._is_open = False
            self._budget.ended(self._cost, settled_usd)
