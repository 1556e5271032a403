"""How often early stop cries wolf, and what it saves: seeded simulations with the product's own sequence.

`python -m tests.bench early_stop` prints the figures of docs/early-stop.md (about two minutes on one core).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from assay.scoring.early_stop.betting import ConfidenceSequence
from assay.scoring.statistics.intervals import wilson_interval

SEED = 20_261_120
ROWS, CHUNK, ALPHA, POWER = 2_000, 50, 0.05, 0.8
NULL_RUNS, POWER_RUNS = 2_000, 300

Random = np.random.Generator
Draw = Callable[[Random, int], np.ndarray]
"""So many differences, in parts of the score's range."""


@dataclass(frozen=True)
class Simulated:
    """Of every run: after how many rows it was decided (0: never), and the side that was claimed."""

    rows: np.ndarray
    sides: np.ndarray

    @property
    def decided(self) -> int:
        return int(np.count_nonzero(self.rows))

    @property
    def median_rows(self) -> float:
        """Rows asked: all of them where nothing was decided."""
        return float(np.median(np.where(self.rows > 0, self.rows, ROWS)))


def binary(effect: float, discordant: float = 0.2) -> Draw:
    """Pass or fail: on `discordant` of the rows one side alone is right; the variant gains `effect`."""
    higher = (discordant + effect) / 2

    def draw(random: Random, rows: int) -> np.ndarray:
        luck = random.random(rows)
        return (luck < higher).astype(float) - ((luck >= higher) & (luck < discordant))

    return draw


def ratings(effect: float) -> Draw:
    """Ratings from 0 to 10 in tenths, most of them high; the variant's are `effect` higher before they are cut."""

    def draw(random: Random, rows: int) -> np.ndarray:
        quality = random.beta(5, 1, rows) * 10
        before, after = (quality + shift + random.normal(0, 1.5, rows) for shift in (0.0, effect))
        return (np.clip(np.round(after, 1), 0, 10) - np.clip(np.round(before, 1), 0, 10)) / 10

    return draw


def rare_losses(random: Random, rows: int) -> np.ndarray:
    """Mean 0, but lopsided: on half of the rows a little is gained, on one in twenty everything is lost."""
    luck = random.random(rows)
    return np.where(luck < 0.5, 0.1, 0.0) - (luck >= 0.95)


def simulate(draw: Draw, runs: int, rows: int = ROWS, chunk: int = CHUNK, alpha: float = ALPHA) -> Simulated:
    """Runs that look after every chunk and stop when a difference is shown."""
    ends = [_one(draw(np.random.default_rng([SEED, run]), rows), chunk, alpha) for run in range(runs)]
    return Simulated(*(np.array(column) for column in zip(*ends, strict=True)))


def _one(differences: np.ndarray, chunk: int, alpha: float) -> tuple[int, int]:
    sequence = ConfidenceSequence(alpha)
    for first in range(0, len(differences), chunk):
        sequence.add(differences[first : first + chunk].tolist())
        sequence.look()
        if sequence.direction:
            return sequence.pairs, sequence.direction
    return 0, 0


def peeking(draw: Draw, runs: int) -> int:
    """How many runs claim a difference by a t-test (normal, these are many rows) after every chunk."""
    needed = NormalDist().inv_cdf(1 - ALPHA / 2)
    counts = np.arange(CHUNK, ROWS + 1, CHUNK)
    claimed = 0
    for run in range(runs):
        values = draw(np.random.default_rng([SEED, run]), ROWS)
        sums, squares = np.cumsum(values)[counts - 1], np.cumsum(values**2)[counts - 1]
        variance = (squares - sums**2 / counts) / (counts - 1)
        claimed += bool(np.any(np.abs(sums) > needed * np.sqrt(counts * variance)))
    return claimed


def fixed_rows(draw: Draw) -> int:
    """Rows that a test at a size chosen beforehand needs for a power of 80 %, if the effect is known beforehand."""
    values = draw(np.random.default_rng(SEED), 1_000_000)
    total = NormalDist().inv_cdf(1 - ALPHA / 2) + NormalDist().inv_cdf(POWER)
    return int(np.ceil((total * values.std() / values.mean()) ** 2))


NULLS: dict[str, Draw] = {
    "pass or fail, 20 % discordant": binary(0.0),
    "ratings, skewed": ratings(0.0),
    "rare large losses, mean 0": rare_losses,
}
EFFECTS: dict[str, Draw] = {
    "pass or fail, +2 points": binary(0.02),
    "pass or fail, +3 points": binary(0.03),
    "pass or fail, +5 points": binary(0.05),
    "pass or fail, +10 points": binary(0.10),
    "ratings, +0.2 of 10": ratings(0.2),
    "ratings, +0.5 of 10": ratings(0.5),
}


def measure() -> dict[str, str]:
    """False alarms and savings, one line per case."""
    return dict([*_false_alarms(), *_savings()])


def _false_alarms() -> Iterator[tuple[str, str]]:
    for name, draw in NULLS.items():
        claimed, by_peeking = simulate(draw, NULL_RUNS).decided, peeking(draw, NULL_RUNS)
        interval = wilson_interval(claimed, NULL_RUNS, 0.95)
        assert interval.low is not None and interval.high is not None
        yield (
            f"false alarms: {name}",
            f"{claimed} of {NULL_RUNS:,} = {claimed / NULL_RUNS:.2%} (95 % interval {interval.low:.2%} to"
            f" {interval.high:.2%}); t-test after every chunk: {by_peeking / NULL_RUNS:.1%}",
        )


def _savings() -> Iterator[tuple[str, str]]:
    for name, draw in EFFECTS.items():
        found = simulate(draw, POWER_RUNS)
        yield (
            f"found: {name}",
            f"{found.decided / POWER_RUNS:.0%} of runs, median {found.median_rows:,.0f} of {ROWS:,} rows;"
            f" wrong side: {int(np.sum(found.sides < 0))}; a fixed size with 80 % power: {fixed_rows(draw):,} rows",
        )
