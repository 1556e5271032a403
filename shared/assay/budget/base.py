"""The budget port: leave to spend the highest cost of one request, out of what a run may cost.

Whoever sends a request reserves first; `NoBudget` is the default, `tranches.py` shares a budget among all workers.
"""

from decimal import Decimal
from typing import Protocol

from assay.errors import RunStopped


class BudgetUsedUp(RunStopped):
    """What is left of a run's budget is less than the highest cost of the next request."""


class Reservation(Protocol):
    """Money set aside for one request. Exactly one of `settle` and `release` ends it; later calls do nothing."""

    def settle(self, cost_usd: Decimal | None) -> None:
        """The request cost this; the rest is free again. None: nobody knows, so all of it counts as spent."""
        ...

    def release(self) -> None:
        """The request was not billed: everything is free again."""
        ...


class Budget(Protocol):
    """What one run may still spend."""

    async def reserve(self, cost_usd: Decimal) -> Reservation:
        """Sets the highest cost of one request aside, without a storage call while money is at hand.

        Raises BudgetUsedUp when the run has used its budget up.
        """
        ...


class _FreeReservation:
    def settle(self, cost_usd: Decimal | None) -> None:
        """Nothing was set aside."""

    def release(self) -> None:
        """Nothing was set aside."""


_FREE = _FreeReservation()


class NoBudget:
    """Sets nothing aside and never stops a run."""

    async def reserve(self, cost_usd: Decimal) -> Reservation:
        return _FREE
