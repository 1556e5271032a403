"""A run's budget as one worker sees it: it draws tranches from the account ahead of need, and spends them locally.

One per run and worker process, shared by all its requests. `account.py` holds the rules of sharing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal

from assay.errors import BlobMissing, StorageError
from assay.quota.account import Account, AccountSpoilt, Need, change_account, open_account, redrawn
from assay.quota.budget import BudgetUsedUp, Reservation
from assay.records import NO_COST, BudgetMode
from assay.storage.base import Blobs
from assay.telemetry import Telemetry

TRANCHE_REQUESTS = 400
LOW_WATER = 4
"""A tranche is drawn when what is at hand has fallen to a quarter of what it was after the last one."""

IDLE_SECONDS = 10.0
PATIENCE_SECONDS = 120.0
"""How long a request waits for money that others hold and neither spend nor give back."""
POLL_SECONDS = (1.0, 3.0)
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
        self._seen: Account | None = None
        self._moved_at, self._poll_seconds = clock(), POLL_SECONDS[0]
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
            while True:
                self._wake.clear()
                if self._waiting or self._is_low:
                    await self._draw()
                elif await self._is_idle():
                    await self._give_back()
                    if not self._waiting:
                        return
        except asyncio.CancelledError:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._give_back(), GOODBYE_SECONDS)
            raise
        except Exception as error:  # whatever it is: who waits for money must not wait for ever
            self._telemetry.problem("budget_failed", run=self._run, reason=str(error))
            self._refuse(lambda: error)

    async def _give_back(self) -> None:
        try:
            await self._redraw(wants_more=False)
        except (StorageError, AccountSpoilt) as error:
            self._telemetry.problem("budget_not_given_back", run=self._run, reason=str(error))

    async def _is_idle(self) -> bool:
        """Waits until there is something to do; True when nothing was reserved for a while."""
        requests = self._requests
        try:
            await asyncio.wait_for(self._wake.wait(), None if self._reserved else IDLE_SECONDS)
        except TimeoutError:
            return requests == self._requests and not self._reserved and not self._waiting
        return False

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
            f"Budget reached: the next request may cost {smallest.normalize():f} USD, and {account.spent_usd:.4f} of "
            f"{account.limit_usd:.2f} USD is spent"
        )
        self._refuse(lambda: BudgetUsedUp(message))

    def _refuse(self, error: Callable[[], Exception]) -> None:
        waiting, self._waiting = self._waiting, []
        for _, future in waiting:
            if not future.done():
                future.set_exception(error())

    async def _redraw(self, *, wants_more: bool) -> Account:
        """Reports to the account, and takes what it grants. Raises StorageError, AccountSpoilt."""

        def change(account: Account) -> Account:
            changed = redrawn(account, self._worker, self._need(wants_more=wants_more))
            # What is given back is not spent any more from now on, whether or not the change is known to be made.
            self._granted = min(self._granted, changed.holdings[self._worker].granted_usd)
            return changed

        try:
            account = await change_account(self._blobs, self._run, change)
        except BlobMissing:
            await open_account(self._blobs, self._run, *self._terms)
            account = await change_account(self._blobs, self._run, change)
        self._granted = account.holdings[self._worker].granted_usd
        self._is_soft = account.mode == "soft"
        self._low = max(self._free, NO_COST) / LOW_WATER
        if account != self._seen:
            self._seen, self._moved_at = account, self._clock()
        return account

    def _need(self, *, wants_more: bool) -> Need:
        if not wants_more:
            return Need(self._settled, self._reserved, self._peak)
        waiting = [cost for cost, _ in self._waiting]
        return Need(
            self._settled,
            self._reserved,
            self._peak,
            smallest_usd=min(waiting, default=NO_COST),
            wanted_usd=sum(waiting, TRANCHE_REQUESTS * self._mean_usd()),
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
