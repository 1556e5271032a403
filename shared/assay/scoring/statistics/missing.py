"""How far missing scores could move a difference: worst case and best case. The comparisons call it."""

import numpy as np
import numpy.typing as npt

from assay.scoring.results import Bounds
from assay.scoring.statistics.arrays import NO_VALUES, Floats


def missing_bounds(baseline: npt.ArrayLike, variant: npt.ArrayLike, value_range: tuple[float, float] | None) -> Bounds:
    """The lowest and highest mean difference over all rows, whatever the missing values (NaN) would have been.

    Each missing value is set to the end of `value_range` that moves the difference most. Nothing missing: both bounds
    are the mean difference. A side with repeats has a line per row; its missing repeats are set one by one.
    Source: C. F. Manski, American Economic Review 80 (1990), 319-323.
    """
    before, after = np.asarray(baseline, dtype=np.float64), np.asarray(variant, dtype=np.float64)
    if len(before) == 0:
        return Bounds(None, None, NO_VALUES)
    if value_range is None and (np.isnan(before).any() or np.isnan(after).any()):
        return Bounds(None, None, "values are missing and the score's range is not known")
    lowest, highest = value_range if value_range is not None else (0.0, 0.0)
    low = _mean_filled(after, lowest) - _mean_filled(before, highest)
    high = _mean_filled(after, highest) - _mean_filled(before, lowest)
    return Bounds(low, high)


def _mean_filled(values: Floats, missing: float) -> float:
    return float(np.where(np.isnan(values), missing, values).mean())
