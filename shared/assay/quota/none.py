"""The limiter that never waits: for deployments without a quota, and for tests of what is around a limiter."""

from assay.quota.base import Charge, Permit, Throttling


class _FreePermit:
    def sent(self) -> None:
        """Nothing stands behind this permit that could run out."""

    def refund(self) -> None:
        """Nothing was charged."""

    def throttled(self, throttling: Throttling) -> None:
        """There is no pace to slow down; the retry waits by itself."""

    def settle(self, tokens: int) -> None:
        """Nothing was charged."""


_PERMIT = _FreePermit()


class NoLimiter:
    """Grants every permit at once."""

    async def acquire(self, charge: Charge) -> Permit:
        return _PERMIT

    def wait_seconds(self, charge: Charge) -> float:
        return 0.0

    def announced(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        """No limit is kept here."""

    async def drain(self) -> None:
        """Nothing is held."""
