"""The limiter port: leave to send one request to one deployment, shared with every other worker.

A permit is granted locally, without a storage call; limiters differ in what stands behind it.
"""

from dataclasses import dataclass
from typing import Protocol

from assay.errors import AssayError


@dataclass(frozen=True, slots=True)
class Quota:
    """What a deployment grants per minute, over all workers."""

    requests_per_minute: int
    tokens_per_minute: int


@dataclass(frozen=True, slots=True)
class Charge:
    """What the service will count for one request: estimated prompt tokens plus `max_tokens`."""

    tokens: int


class PermitExpired(AssayError):
    """The lease behind a permit ran out before the request left; ask for another permit."""


class ChargeTooLarge(AssayError):
    """The request alone is above the deployment's limit: no wait can help."""


class Permit(Protocol):
    """Leave to send one request. Call `sent` right before it leaves and `throttled` after a 429.

    `refund` instead of `sent`, or after it when the service did not count the request.
    """

    def sent(self) -> None:
        """Call right before the bytes leave. Raises PermitExpired when the lease behind the permit has run out."""
        ...

    def refund(self) -> None:
        """The service did not count it: gives the charge back."""
        ...

    def throttled(self, retry_after_seconds: float | None) -> None:
        """The service answered 429: slow down as the limiter sees fit."""
        ...


class Limiter(Protocol):
    """Grants permits for one deployment."""

    async def acquire(self, charge: Charge) -> Permit:
        """Waits until the request may be sent. Raises ChargeTooLarge at once if that can never be."""
        ...

    async def drain(self) -> None:
        """Stops granting and gives back everything held; a second call does nothing."""
        ...
