"""Equivalence: whether a difference is shown to be smaller than a margin. The comparisons call it when one is given."""

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from assay.scoring.results import BinaryPairs, Equivalence, Interval
from assay.scoring.statistics.arrays import NO_VALUES, finite, is_constant, scaled, too_few
from assay.scoring.statistics.binary import newcombe_interval
from assay.scoring.statistics.clusters import ClusteredMean
from assay.scoring.statistics.intervals import mean_interval

TOST, CLUSTERED_TOST, NEWCOMBE_TOST = "two one-sided t-tests", "two one-sided clustered t-tests", "Newcombe interval"

_SMALLEST_ALPHA, _LARGEST_ALPHA = 1e-9, 0.499


def tost(differences: npt.ArrayLike, margin: float, alpha: float = 0.05) -> Equivalence:
    """Two one-sided paired t-tests that the mean difference lies within plus and minus `margin`.

    It is shown when the larger p-value is at most `alpha`, which is when the interval at 1 - 2 alpha lies within.
    Source: D. J. Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987), 657-680; D. Lakens, Social
    Psychological and Personality Science 8 (2017), 355-362.
    """
    from statsmodels.stats.weightstats import DescrStatsW  # takes over a second to import

    _check_margin(margin)
    array, scale = scaled(finite(differences))
    interval = mean_interval(differences, 1 - 2 * alpha)
    if reason := too_few(array):
        return Equivalence(margin, interval, None, None, TOST, reason)
    if is_constant(array):
        return Equivalence(margin, interval, None, None, TOST, "all differences are equal: t is undefined")
    p_value = float(DescrStatsW(array).ttost_mean(-margin / scale, margin / scale)[0])
    return Equivalence(margin, interval, p_value, p_value <= alpha, TOST)


def clustered_equivalence(found: ClusteredMean, margin: float, alpha: float = 0.05) -> Equivalence:
    """`tost` for rows that share groups, by their cluster-robust standard error and clusters - 1 degrees of freedom."""
    _check_margin(margin)
    interval = found.interval(1 - 2 * alpha)
    if found.mean is None or not found.standard_error:
        return Equivalence(margin, interval, None, None, CLUSTERED_TOST, found.reason or "all clusters agree")
    nearest = (margin - abs(found.mean)) / found.standard_error
    p_value = float(stats.t.sf(nearest, found.degrees_of_freedom))
    return Equivalence(margin, interval, p_value, p_value <= alpha, CLUSTERED_TOST)


def binary_equivalence(pairs: BinaryPairs, margin: float, alpha: float = 0.05) -> Equivalence:
    """Whether Newcombe's interval of the paired difference at 1 - 2 alpha lies within plus and minus `margin`.

    The p-value is the smallest `alpha` at which it does; 1 when the difference itself is outside.
    Source: the interval rule is Schuirmann's (1987), Newcombe's interval for it J.-P. Liu et al., Statistics in
    Medicine 21 (2002), 231-245.
    """
    _check_margin(margin)
    interval = newcombe_interval(pairs, 1 - 2 * alpha)
    if interval.estimate is None:
        return Equivalence(margin, interval, None, None, NEWCOMBE_TOST, NO_VALUES)
    p_value = _smallest_alpha(pairs, margin)
    return Equivalence(margin, interval, p_value, p_value <= alpha, NEWCOMBE_TOST)


def _smallest_alpha(pairs: BinaryPairs, margin: float) -> float:
    def room(alpha: float) -> float:
        return margin - _farthest(newcombe_interval(pairs, 1 - 2 * alpha))

    if room(_LARGEST_ALPHA) <= 0:
        return 1.0
    if room(_SMALLEST_ALPHA) >= 0:
        return _SMALLEST_ALPHA
    return float(optimize.brentq(room, _SMALLEST_ALPHA, _LARGEST_ALPHA, xtol=1e-15, rtol=1e-12))


def _farthest(interval: Interval) -> float:
    assert interval.low is not None and interval.high is not None
    return float(np.max(np.abs([interval.low, interval.high])))


def _check_margin(margin: float) -> None:
    if not 0 < margin < np.inf:
        raise ValueError(f"the margin of equivalence is {margin}; expected a number above 0")
