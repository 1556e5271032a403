"""The limiter that never waits: for deployments without a quota, and for tests of what is around a limiter."""

from assay.quota.base import Charge, Permit


class _FreePermit:
    def sent(self) -> None:
        """Nothing stands behind this permit that could run out."""

    def refund(self) -> None:
        """Nothing was charged."""

    def throttled(self, retry_after_seconds: float | None) -> None:
        """There is no pace to slow down; the retry waits by itself."""


_PERMIT = _FreePermit()


class NoLimiter:
    """Grants every permit at once."""

    async def acquire(self, charge: Charge) -> Permit:
        return _PERMIT

    async def drain(self) -> None:
        """Nothing is held."""
