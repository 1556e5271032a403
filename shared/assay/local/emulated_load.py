"""The arrivals at one emulated deployment and its limits over time, kept compactly and within bounds.

Called by `emulator_referee` for each request, so recording is cheap; `emulated_measures` judges a snapshot when asked.
"""

from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from assay.local.emulated_quota import Axis

MICROSECONDS = 1_000_000
KEPT_SECONDS = 6 * 3600.0
KEPT_ARRIVALS = 5_000_000
BLOCK_ARRIVALS = 65_536

Outcome = Literal["admitted", "requests", "tokens", "down"]
OUTCOMES: tuple[Outcome, ...] = ("admitted", "requests", "tokens", "down")
"""What became of an arrival: admitted, or rejected by an axis of the quota or because the deployment was down."""

OUTCOME_CODES = {outcome: code for code, outcome in enumerate(OUTCOMES)}


@dataclass(frozen=True, slots=True)
class Limits:
    """A quota as it is in force from `since` (monotonic seconds) on; None is no limit."""

    since: float
    requests_per_minute: int | None
    tokens_per_minute: int | None

    def of(self, axis: Axis) -> int | None:
        return self.requests_per_minute if axis == "requests" else self.tokens_per_minute


@dataclass(slots=True)
class _Block:
    """A run of arrivals: 17 bytes each. A full block never grows, so that old ones can be dropped whole."""

    times: "array[int]" = field(default_factory=lambda: array("q"))
    charges: "array[int]" = field(default_factory=lambda: array("q"))
    outcomes: "array[int]" = field(default_factory=lambda: array("B"))


@dataclass(frozen=True)
class LoadSnapshot:
    """A record at one moment, in order of time: microseconds, tokens and outcome codes by arrival, in blocks.

    The first of the limits holds from the beginning of time. `forgotten` arrivals were too old or too many to keep.
    """

    times: Sequence["array[int]"]
    charges: Sequence["array[int]"]
    outcomes: Sequence["array[int]"]
    limits: Sequence[Limits]
    forgotten: int


class LoadRecord:
    """All arrivals at one deployment since the start or the last `reset`, and its limits over time.

    The oldest are forgotten, in blocks, when they are older than `kept_seconds` or more than `kept_arrivals`.
    """

    def __init__(
        self,
        limits: Limits,
        *,
        kept_seconds: float = KEPT_SECONDS,
        kept_arrivals: int = KEPT_ARRIVALS,
        block_arrivals: int = BLOCK_ARRIVALS,
    ) -> None:
        self._kept_microseconds = microseconds(kept_seconds)
        self._kept_blocks = max(1, kept_arrivals // block_arrivals)
        self._block_arrivals = block_arrivals
        self._limits = [limits]
        self._blocks: deque[_Block] = deque()
        self._open = _Block()
        self._first = self._next = self._last_time = 0
        self.reset()

    @property
    def limits(self) -> Limits:
        """The limits in force."""
        return self._limits[-1]

    def reset(self) -> None:
        """Forget all arrivals, and all limits but those in force."""
        self._blocks.clear()
        self._limits = self._limits[-1:]
        self._first = self._next
        self._open_block()
        self._forgotten = 0

    def set_limits(self, limits: Limits) -> None:
        """Other limits from `limits.since` on, which is not before any arrival or limits recorded so far."""
        self._limits.append(limits)

    def add(self, now: float, charge: int, outcome: Outcome) -> int:
        """Record an arrival at `now` (monotonic seconds) and give its number, for `correct`."""
        if len(self._open.times) >= self._block_arrivals:
            self._open_block()
            self._forget()
        block = self._open
        # A clock that steps back would leave the times unsorted.
        self._last_time = max(self._last_time, microseconds(now))
        block.times.append(self._last_time)
        block.charges.append(charge)
        block.outcomes.append(OUTCOME_CODES[outcome])
        self._next += 1
        return self._next - 1

    def correct(self, number: int, charge: int) -> None:
        """Set an arrival's tokens to what it really used; without effect when it is no longer kept."""
        if number >= self._first:
            block, place = divmod(number - self._first, self._block_arrivals)
            self._blocks[block].charges[place] = charge

    def snapshot(self) -> LoadSnapshot:
        """What may be measured in another thread. Full blocks are shared: only `correct` still touches them."""
        blocks = [*self._blocks][:-1]
        blocks.append(_Block(self._open.times[:], self._open.charges[:], self._open.outcomes[:]))
        return LoadSnapshot(
            [block.times for block in blocks],
            [block.charges for block in blocks],
            [block.outcomes for block in blocks],
            tuple(self._limits),
            self._forgotten,
        )

    def _open_block(self) -> None:
        self._open = _Block()
        self._blocks.append(self._open)

    def _forget(self) -> None:
        oldest_kept = self._last_time - self._kept_microseconds
        while len(self._blocks) > self._kept_blocks or self._is_past(self._blocks[0], oldest_kept):
            gone = len(self._blocks.popleft().times)
            self._first += gone
            self._forgotten += gone

    @staticmethod
    def _is_past(block: _Block, oldest_kept: int) -> bool:
        return len(block.times) > 0 and block.times[-1] < oldest_kept


def microseconds(seconds: float) -> int:
    """Monotonic seconds as the record keeps them: whole, so that windows can be compared exactly."""
    return round(seconds * MICROSECONDS)
