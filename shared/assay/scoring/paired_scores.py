"""What a comparison compares: the scores of both sides in columns, and the method. The evaluation fills them."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from assay.scoring.results import TestName
from assay.scoring.statistics.arrays import Codes, Floats
from assay.scoring.statistics.choice import DEMANDED
from assay.scoring.statistics.intervals import BOOTSTRAP_RESAMPLES
from assay.scoring.statistics.paired_tests import Zeros

IntervalName = Literal["t", "bootstrap"]


@dataclass(frozen=True, slots=True)
class Method:
    """How a run compares. `test` and `interval` None: by the rule. `margin` None: equivalence is not asked.

    `test_reason` says why there is a `test`. `comparisons` is the size of the family, for the sensitivity; `zeros` is
    Wilcoxon's treatment of zero differences.
    """

    alpha: float = 0.05
    seed: int = 0
    test: TestName | None = None
    test_reason: str = DEMANDED
    interval: IntervalName | None = None
    margin: float | None = None
    power: float = 0.8
    resamples: int = BOOTSTRAP_RESAMPLES
    zeros: Zeros = "wilcox"
    comparisons: int = 1

    @property
    def level(self) -> float:
        return 1 - self.alpha


@dataclass(frozen=True)
class PairedScores:
    """The scores of both sides: one slot per row, or a line of slots, one per repeat; NaN where a side has none.

    Rows are in the run's order. `groups` has a number per row, the same for rows that are not independent of each
    other; None when all are.
    """

    baseline: Floats
    variant: Floats
    groups: Codes | None = None

    def __post_init__(self) -> None:
        rows = {len(self.baseline), len(self.variant)} | (set() if self.groups is None else {len(self.groups)})
        if len(rows) > 1:
            raise ValueError(f"scores and groups of {sorted(rows)} rows; expected as many on each side")

    @classmethod
    def of(cls, baseline: npt.ArrayLike, variant: npt.ArrayLike, groups: Codes | None = None) -> "PairedScores":
        """The same from any sequences; None and infinity become NaN."""
        return cls(_column(baseline), _column(variant), groups)

    @property
    def as_preferences(self) -> "PairedScores":
        """The same for scores from 0 to 1 that say how far the variant is preferred; the rest to 1 is the baseline's.

        With p as the mean preference the mean difference is 2p - 1, and no preference at all is no difference.
        """
        return PairedScores(1.0 - self.variant, self.variant, self.groups)

    @property
    def repeats(self) -> int:
        """How many slots a row has at most."""
        return max(side.shape[1] if side.ndim > 1 else 1 for side in (self.baseline, self.variant))

    @cached_property
    def by_row(self) -> "PairedScores":
        """One score per row and side: the mean over the repeats that have one, because repeats are no new rows."""
        return PairedScores(_row_means(self.baseline), _row_means(self.variant), self.groups)

    @cached_property
    def complete(self) -> "PairedScores":
        """Only the rows that both sides have, by row."""
        rows = self.by_row
        pairs = ~np.isnan(rows.baseline + rows.variant)
        groups = None if rows.groups is None else rows.groups[pairs]
        return PairedScores(rows.baseline[pairs], rows.variant[pairs], groups)

    @cached_property
    def differences(self) -> Floats:
        return self.variant - self.baseline


def _column(values: npt.ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)  # None becomes NaN
    return array if np.isfinite(array).all() else np.where(np.isfinite(array), array, np.nan)


def _row_means(values: Floats) -> Floats:
    if values.ndim == 1:
        return values
    seen = ~np.isnan(values)
    counts = seen.sum(axis=1)
    sums = np.where(seen, values, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
