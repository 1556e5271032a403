"""Seeded faults and answer times of the Azure OpenAI emulator.

Called by `openai_emulator` for each admitted request. Both depend on content and attempt, so a run is reproducible.
"""

import math
from typing import Literal

from assay.local.emulated_draws import normal, uniform
from assay.local.emulator_config import Faults, Latency

Fault = Literal["error_500", "error_503", "timeout", "dropped", "malformed"]
FAULTS: tuple[Fault, ...] = ("error_500", "error_503", "timeout", "dropped", "malformed")


def choose_fault(faults: Faults, seed: int, digest: str, attempt: int) -> Fault | None:
    """The fault of the `attempt`th admission (from 1) of a content, or None. Another attempt is another draw."""
    if faults.first_attempts is not None and attempt > faults.first_attempts:
        return None
    left = uniform(seed, digest, attempt, "fault")
    for name in FAULTS:
        share: float = getattr(faults, name)
        left -= share
        if left < 0:
            return name
    return None


def latency_seconds(latency: Latency, seed: int, digest: str, attempt: int) -> float:
    """A log-normal answer time with the given median; the median itself when sigma is 0."""
    if latency.median == 0 or latency.sigma == 0:
        return latency.median / 1000
    return latency.median / 1000 * math.exp(latency.sigma * normal(seed, digest, attempt, "latency"))
