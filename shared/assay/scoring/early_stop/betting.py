"""Testing by betting: an always-valid test and confidence sequence for the mean of bounded differences.

Source: I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random variables by betting", J. R. Stat. Soc. B 86
(2024), 1-27: capital processes with a mixture of constant bets (their "diversified Kelly"), hedged over both sides.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FRACTIONS = np.geomspace(0.005, 0.8, 12)
"""Shares of the capital that are bet, in equal parts. Small ones find small differences, large ones quick decisions."""

STEPS = 5040
"""Differences are kept in steps of 1/5040 of the range: exact for halves to tenths, and so for ratings and repeats."""

_EXACT = 1e-6
_BISECTIONS = 24


def log_capital(counts: Mapping[int, int], mean: float) -> float:
    """Log of what 1 has become by betting that values are higher than `mean` (above 0, at most 1).

    `counts` has how often each value came, in steps from -5040 to 5040, which stand for 0 to 1. If the true mean is
    `mean`, the capital is a nonnegative martingale that begins at 1, and so exceeds c ever with chance 1/c at most
    (Ville's inequality). It falls as `mean` grows. The order of values does not matter, as the bets are constant.
    """
    values = np.fromiter(counts.keys(), dtype=np.float64, count=len(counts))
    times = np.fromiter(counts.values(), dtype=np.float64, count=len(counts))
    return _log_mixture(np.log1p(np.outer(FRACTIONS, _unit(values) / mean - 1)) @ times)


def _unit(steps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return (steps / STEPS + 1) / 2


def _log_mixture(logs: npt.NDArray[np.float64]) -> float:
    highest = float(logs.max())
    return highest + math.log(float(np.exp(logs - highest).mean()))


@dataclass
class ConfidenceSequence:
    """Where the mean of differences lies, in parts of their range (-1 to 1), at all looks at once with 1 - `alpha`.

    A difference between two steps counts as the lower one for bets on "higher" and as the upper one for bets on
    "lower": that can only weaken them, so the guarantee stays exact. `low` and `high` only ever come closer.
    """

    alpha: float
    pairs: int = 0
    total: float = 0.0
    low: float = -1.0
    high: float = 1.0
    log_higher: float = 0.0
    log_lower: float = 0.0
    floors: dict[int, int] = field(default_factory=dict)
    negated_ceilings: dict[int, int] = field(default_factory=dict)

    def add(self, differences: Iterable[float]) -> None:
        """Takes differences in, each in parts of the range."""
        for difference in differences:
            steps = difference * STEPS
            floor, negated = math.floor(steps + _EXACT), math.floor(-steps + _EXACT)
            self.floors[floor] = self.floors.get(floor, 0) + 1
            self.negated_ceilings[negated] = self.negated_ceilings.get(negated, 0) + 1
            self.pairs += 1
            self.total += difference

    def look(self) -> None:
        """Brings evidence and bounds up to what was taken in; a second look changes nothing."""
        if not self.pairs:
            return
        self.log_higher = max(self.log_higher, log_capital(self.floors, 0.5) - math.log(2))
        self.log_lower = max(self.log_lower, log_capital(self.negated_ceilings, 0.5) - math.log(2))
        low = max(self.low, self._bound(self.floors, self.low, self.log_higher))
        high = min(self.high, -self._bound(self.negated_ceilings, -self.high, self.log_lower))
        if low <= high:  # empty with chance alpha at most: then the last one that was not stays
            self.low, self.high = low, high

    @property
    def p_value(self) -> float:
        """Anytime-valid: under "no difference" it is ever at most p with chance p at most, however often one looks."""
        return math.exp(-max(self.log_higher, self.log_lower, 0.0))

    @property
    def estimate(self) -> float | None:
        return self.total / self.pairs if self.pairs else None

    @property
    def direction(self) -> int:
        """1: shown to be higher; -1: shown to be lower; 0: neither."""
        if max(self.log_higher, self.log_lower) < self._needed:
            return 0
        return 1 if self.log_higher >= self.log_lower else -1

    @property
    def _needed(self) -> float:
        return math.log(1 / self.alpha)

    def _bound(self, counts: Mapping[int, int], known: float, log_evidence: float) -> float:
        """The highest mean of differences that bets on "higher" have refuted so far."""
        needed = self._needed + math.log(2)
        refuted = max((known + 1) / 2, 1e-12)
        if log_capital(counts, refuted) < needed:
            return known
        steps = np.fromiter(counts.keys(), dtype=np.float64, count=len(counts))
        times = np.fromiter(counts.values(), dtype=np.float64, count=len(counts))
        if log_evidence >= self._needed:
            refuted = max(refuted, 0.5)
        held = max(float(_unit(steps) @ times / times.sum()), refuted)
        for _ in range(_BISECTIONS):
            middle = (refuted + held) / 2
            if log_capital(counts, middle) >= needed:
                refuted = middle
            else:
                held = middle
        return 2 * refuted - 1
