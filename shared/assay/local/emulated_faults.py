"""Seeded faults and answer times of the Azure OpenAI emulator.

Called by `openai_emulator` for each admitted request. Both depend on content and attempt, so a run is reproducible.
"""

from assay.local.emulated_draws import log_normal, uniform
from assay.local.emulator_deployment import Latency
from assay.local.emulator_mishaps import Fault, Faults, FaultShares


def choose_fault(faults: Faults, seed: int, digest: str, attempt: int) -> Fault | None:
    """The fault of the `attempt`th admission (from 1) of a content, or None. Another attempt is another draw."""
    if faults.first_attempts is not None and attempt > faults.first_attempts:
        return None
    return _draw(faults, seed, digest, attempt, "fault")


def choose_scheduled_fault(shares: FaultShares, seed: int, digest: str, attempt: int) -> Fault | None:
    """Like `choose_fault`, for the shares of a schedule: a draw of its own, which spares no attempt."""
    return _draw(shares, seed, digest, attempt, "scheduled fault")


def choose_told_fault(shares: FaultShares, seed: int, digest: str, attempt: int) -> Fault | None:
    """Like `choose_scheduled_fault`, for shares that were told at run time."""
    return _draw(shares, seed, digest, attempt, "told fault")


def _draw(shares: FaultShares, seed: int, digest: str, attempt: int, purpose: str) -> Fault | None:
    if not shares.played:
        return None
    left = uniform(seed, digest, attempt, purpose)
    for kind, share in shares.played:
        left -= share
        if left < 0:
            return kind
    return None


def latency_seconds(latency: Latency, seed: int, digest: str, attempt: int) -> float:
    """A log-normal answer time with the given median; the median itself when sigma is 0."""
    return log_normal(latency.median, latency.sigma, seed, digest, attempt, "latency") / 1000
