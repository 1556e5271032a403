"""Testing by betting: an always-valid test and confidence sequence for the mean of bounded differences.

Source: I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random variables by betting", J. R. Stat. Soc. B 86
(2024), 1-27: capital processes with a mixture of constant bets (their "diversified Kelly"), hedged over both sides.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from assay.scoring.statistics.arrays import Floats

FRACTIONS = np.geomspace(0.005, 0.8, 12)
"""Shares of the capital that are bet, in equal parts. Small ones find small differences, large ones quick decisions."""

STEPS = 5040
"""Differences are kept in steps of 1/5040 of the range: exact for halves to tenths, and so for ratings and repeats."""

_EXACT = 1e-6
_TOLERANCE = 1e-7

Counts = Mapping[int, int]
"""How often each value came, in steps from -5040 to 5040, which stand for 0 to 1."""


def log_capital(counts: Counts, mean: float) -> float:
    """Log of what 1 has become by betting that values are higher than `mean` (above 0, at most 1).

    If `mean` is the true one, the capital is a nonnegative martingale that begins at 1, and so ever reaches c with
    chance 1/c at most (Ville's inequality). It falls as `mean` grows. As the bets are constant, the order of the
    values does not matter.
    """
    values, times = _columns(counts)
    return _log_mixture(np.log1p(np.outer(FRACTIONS, values / mean - 1)) @ times)


def _columns(counts: Counts) -> tuple[Floats, Floats]:
    """Values between 0 and 1, and how often each came."""
    steps = np.fromiter(counts.keys(), dtype=np.float64, count=len(counts))
    return (steps / STEPS + 1) / 2, np.fromiter(counts.values(), dtype=np.float64, count=len(counts))


def _mean(counts: Counts) -> float:
    values, times = _columns(counts)
    return float(values @ times / times.sum())


def _log_mixture(logs: Floats) -> float:
    highest = float(logs.max())
    return highest + math.log(float(np.exp(logs - highest).mean()))


@dataclass
class ConfidenceSequence:
    """Where the mean of differences lies, in parts of their range (-1 to 1), at all looks at once with 1 - `alpha`.

    A difference between two steps counts as the lower one for bets on "higher" and as the upper one for bets on
    "lower": that can only weaken them, so the guarantee stays exact. `low` and `high` only ever come closer; the
    evidence, two logs of capital, only ever grows.
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
        """Brings the evidence up to what was taken in; a second look changes nothing."""
        if self.pairs:
            self.log_higher = max(self.log_higher, log_capital(self.floors, 0.5) - math.log(2))
            self.log_lower = max(self.log_lower, log_capital(self.negated_ceilings, 0.5) - math.log(2))

    def tighten(self) -> None:
        """Looks, and brings the bounds up to date as well, which takes longer; they agree with `direction`."""
        self.look()
        if not self.pairs:
            return
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

    def _bound(self, counts: Counts, known: float, log_evidence: float) -> float:
        """The highest mean of differences that bets on "higher" have refuted so far."""
        needed = self._needed + math.log(2)
        # Evidence that was enough once stays enough, also where later differences speak against it.
        refuted = max((known + 1) / 2, 0.5 if log_evidence >= self._needed else 1e-12)
        if log_capital(counts, refuted + _TOLERANCE) < needed:
            return 2 * refuted - 1 if log_evidence >= self._needed else known
        held = max(_mean(counts), refuted)
        while held - refuted > _TOLERANCE / 2:
            middle = (refuted + held) / 2
            if log_capital(counts, middle) >= needed:
                refuted = middle
            else:
                held = middle
        return 2 * refuted - 1
