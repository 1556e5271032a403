"""The limiter port: leave to send one request to one deployment, shared with every other worker.

A permit is granted locally, without a storage call; limiters differ in what stands behind it.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from assay.errors import AssayError
from assay.model_settings import Accounting


@dataclass(frozen=True, slots=True)
class Quota:
    """What a deployment grants per minute, over all workers."""

    requests_per_minute: int
    tokens_per_minute: int
    accounting: Accounting = "standard"
    """Whether the service keeps the charge it made at arrival, or corrects it when it has answered (provisioned)."""
    request_window_seconds: float = 10.0
    """Over how long the service counts requests."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What the service will count for one request: estimated prompt tokens plus `max_tokens`.

    Charges of one `flow` (an experiment of a run) are granted in order; flows take turns by tokens granted.
    """

    tokens: int
    flow: str = ""


@dataclass(frozen=True, slots=True)
class Throttling:
    """What the service said with a 429. Without an `axis` it did not say which limit was hit.

    `is_capacity`: the service as a whole is busy, which says nothing of the deployment's limits.
    """

    retry_after_seconds: float | None = None
    axis: Literal["requests", "tokens"] | None = None
    is_capacity: bool = False


class PermitExpired(AssayError):
    """The lease behind a permit ran out before the request left; ask for another permit."""


class ChargeTooLarge(AssayError):
    """The request alone is above the deployment's limit: no wait can help."""


class QuotaElsewhere(AssayError):
    """Other workers hold the whole quota, and this one is not needed: leave the work to them.

    After `retry_after_seconds` this worker will have looked again whether there is quota for it.
    """

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Permit(Protocol):
    """Leave to send one request. `sent` right before it leaves, then `throttled` after a 429, `settle` after an answer.

    `refund` instead of `sent`, or after it when the service did not count the request.
    """

    def sent(self) -> None:
        """Call right before the bytes leave. Raises PermitExpired when the lease behind the permit has run out."""
        ...

    def refund(self) -> None:
        """The service did not count it: gives the charge back."""
        ...

    def throttled(self, throttling: Throttling) -> None:
        """The service answered 429: slow down as the limiter sees fit."""
        ...

    def settle(self, tokens: int) -> None:
        """The service answered, and so many tokens were used: credited only where the service credits them too."""
        ...


@runtime_checkable
class HasFacts(Protocol):
    """What tells what it learned and did: limits per minute, what it granted in the last minute."""

    def facts(self) -> dict[str, str]:
        """The present state in words."""
        ...


class Limiter(Protocol):
    """Grants permits for one deployment."""

    async def acquire(self, charge: Charge) -> Permit:
        """Waits until the request may be sent. Raises ChargeTooLarge at once if that can never be, QuotaElsewhere."""
        ...

    def wait_seconds(self, charge: Charge) -> float:
        """About how long `acquire` would take now, whoever waits already included; infinite when it would raise."""
        ...

    def announced(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        """What the service says the deployment grants now; None where it says nothing."""
        ...

    async def drain(self) -> None:
        """Stops granting and gives back everything held; a second call does nothing."""
        ...
