"""The limiter of one process alone: the quota's sliding windows, shared with nobody and kept in no storage.

For a single worker without a storage account. Chosen by `runtime.py`.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from assay.quota.base import Charge, Permit, Quota
from assay.quota.bell import Sleep
from assay.quota.bucket import HEADROOM
from assay.quota.granting import Granting
from assay.telemetry import Telemetry


@dataclass(frozen=True, slots=True)
class Everlasting:
    """Ground that is never lost."""

    deadline: float = inf


def everlasting() -> Everlasting:
    """What every permit of a process alone stands on."""
    return _EVERLASTING


_EVERLASTING = Everlasting()


class LoneLimiter:
    """A limiter that shares its deployment with nobody it knows of; subclasses say what they keep to."""

    def __init__(self, granting: Granting, now: float) -> None:
        self._granting = granting
        granting.set_share(1.0, now, phase_seconds=0.0)

    async def acquire(self, charge: Charge) -> Permit:
        """Waits until the request may be sent. Raises ChargeTooLarge at once if that can never be, LimiterDrained."""
        return await self._granting.acquire(charge)

    def wait_seconds(self, charge: Charge) -> float:
        """About how long `acquire` would take now, whoever waits already included; infinite when it can never be."""
        return self._granting.wait_seconds(charge)

    def announced(self, requests_per_minute: int | None, tokens_per_minute: int | None) -> None:
        """Lower limits are kept from now on, see `Granting.announced`."""
        self._granting.announced(requests_per_minute, tokens_per_minute)

    def facts(self) -> dict[str, str]:
        """What this process learned and did: factors, limits, the last minute, the gate."""
        return self._granting.facts()

    async def drain(self) -> None:
        """Refuses whoever waits, and grants nothing any more; a second call does nothing."""
        await self._granting.stop()


class WindowLimiter(LoneLimiter):
    """Grants permits in turns, within the whole quota. Two processes with one quota send twice as much.

    It begins with nothing saved up: what an earlier process sent may still be in the service's windows.
    """

    def __init__(
        self,
        deployment: str,
        quota: Quota,
        *,
        telemetry: Telemetry,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        headroom: float = HEADROOM,
    ) -> None:
        granting = Granting(
            deployment,
            quota,
            refresh=lambda _: None,
            ground=everlasting,
            demanded=lambda _: None,
            telemetry=telemetry,
            clock=clock,
            sleep=sleep,
            headroom=headroom,
        )
        super().__init__(granting, clock())
