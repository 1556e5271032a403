"""Faults, outages and cut quotas that the emulator plays at set times after its start.

Called by `openai_emulator`; what is in force does not depend on requests, so every limiter meets the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from assay.local.emulator_mishaps import FAULTS, FaultShares, ScheduleEntry


@dataclass(frozen=True, slots=True)
class Phase:
    """What is in force from `from_seconds` on, until the next phase begins.

    `faults` are the shares to add to a file's own (None: none). `quota_factor` is what is left of each limit, and
    `headers_tell` whether the `x-ratelimit-*` headers say so.
    """

    from_seconds: float = 0.0
    faults: FaultShares | None = None
    quota_factor: float = 1.0
    headers_tell: bool = True
    down: bool = False


class Schedule:
    """The phases of a server's life. It starts when it is made and can be started again. Without entries: one phase."""

    def __init__(self, entries: Iterable[ScheduleEntry], now: float) -> None:
        self._phases = _phases(list(entries))
        self.start(now)

    def start(self, now: float) -> None:
        """Play from the beginning, at `now` (monotonic seconds)."""
        self.started_at = now
        self._upcoming = list(reversed(self._phases))
        self.phase = Phase()
        self._next_at = now

    def advance(self, now: float) -> list[tuple[float, Phase]]:
        """The phases that began since the last call, each with its monotonic second, in order; `phase` is the last."""
        if now < self._next_at:
            return []
        begun = []
        while self._upcoming and self.started_at + self._upcoming[-1].from_seconds <= now:
            self.phase = self._upcoming.pop()
            begun.append((self.started_at + self.phase.from_seconds, self.phase))
        self._next_at = self.started_at + self._upcoming[-1].from_seconds if self._upcoming else float("inf")
        return begun


def _phases(entries: list[ScheduleEntry]) -> list[Phase]:
    ends = {bound for entry in entries for bound in (entry.from_seconds, entry.to_seconds)}
    bounds = sorted({0.0, *ends} - {float("inf")})
    return [_phase(begin, [one for one in entries if one.from_seconds <= begin < one.to_seconds]) for begin in bounds]


def _phase(begin: float, entries: list[ScheduleEntry]) -> Phase:
    """Entries at the same time add up: shares are added, factors multiplied; headers are silent when one says so."""
    shares = {name: min(1.0, sum(getattr(entry, name) for entry in entries)) for name in FAULTS}
    factor, told = 1.0, True
    for entry in entries:
        factor *= entry.quota_factor
        told = told and entry.headers_tell
    # Built without a check: when the shares exceed 1 together, the later kinds get what is left.
    faults = FaultShares.model_construct(**shares) if any(shares.values()) else None
    return Phase(begin, faults, factor, told, any(entry.down for entry in entries))
