"""Seeded faults and answer times of the Azure OpenAI emulator.

Called by `openai_emulator` for each admitted request. Both depend on content and attempt, so a run is reproducible.
"""

import math
from typing import Literal

from assay.local.emulated_draws import normal, uniform
from assay.local.emulator_config import Faults, FaultShares, Latency

Fault = Literal["error_500", "error_503", "timeout", "dropped", "malformed"]
FAULTS: tuple[Fault, ...] = ("error_500", "error_503", "timeout", "dropped", "malformed")


def choose_fault(faults: Faults, seed: int, digest: str, attempt: int) -> Fault | None:
    """The fault of the `attempt`th admission (from 1) of a content, or None. Another attempt is another draw."""
    if faults.first_attempts is not None and attempt > faults.first_attempts:
        return None
    return _draw(faults, seed, digest, attempt, "fault")


def choose_scheduled_fault(shares: FaultShares, seed: int, digest: str, attempt: int) -> Fault | None:
    """Like `choose_fault`, for the shares of a schedule: a draw of its own, which spares no attempt."""
    return _draw(shares, seed, digest, attempt, "scheduled fault")


def _draw(shares: FaultShares, seed: int, digest: str, attempt: int, purpose: str) -> Fault | None:
    left = uniform(seed, digest, attempt, purpose)
    for name in FAULTS:
        share: float = getattr(shares, name)
        left -= share
        if left < 0:
            return name
    return None


def latency_seconds(latency: Latency, seed: int, digest: str, attempt: int) -> float:
    """A log-normal answer time with the given median; the median itself when sigma is 0."""
    if latency.median == 0 or latency.sigma == 0:
        return latency.median / 1000
    return latency.median / 1000 * math.exp(latency.sigma * normal(seed, digest, attempt, "latency"))
