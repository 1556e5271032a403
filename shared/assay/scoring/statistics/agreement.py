"""Agreement of two raters: exact share, Cohen's kappa, correlations. Reports use it for a judge and people."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from assay.scoring.results import Agreement, Interval
from assay.scoring.statistics.arrays import ALL_EQUAL, NO_VALUES, Floats, is_constant, paired, scaled, too_few
from assay.scoring.statistics.intervals import wilson_interval

MOST_LEVELS = 200
"""Different values up to which a kappa is computed: with more of them they are measurements rather than ratings."""

_FEWEST_FOR_FISHER = 4


def rating_agreement(first: npt.ArrayLike, second: npt.ArrayLike, level: float = 0.95) -> Agreement:
    """Agreement on numbers, such as grades: two vectors of one rating each per thing, in the same order.

    Kappa has quadratic weights by the distance of the values: a grade beside the other's is a small disagreement.
    Raises ValueError for values that are not finite, and for vectors of different lengths.
    Source: J. Cohen, Psychological Bulletin 70 (1968), 213-220; weights: J. L. Fleiss and J. Cohen, Educational and
    Psychological Measurement 33 (1973), 613-619.
    """
    one, other = paired(first, second)
    return Agreement(
        n=len(one),
        exact=_exact(int(np.sum(one == other)), len(one), level),
        kappa=_kappa(one, other, level, is_weighted=True),
        weights="quadratic",
        pearson=_pearson(one, other, level),
        spearman=_spearman(one, other),
        mean_difference=float(np.mean(other) - np.mean(one)) if len(one) else None,
    )


def label_agreement(first: Sequence[str], second: Sequence[str], level: float = 0.95) -> Agreement:
    """Agreement on names, such as which of two answers is better: every disagreement counts alike.

    Raises ValueError for sequences of different lengths.
    Source: J. Cohen, Educational and Psychological Measurement 20 (1960), 37-46.
    """
    codes = {name: code for code, name in enumerate(sorted({*first, *second}))}
    one, other = paired([codes[name] for name in first], [codes[name] for name in second])
    return Agreement(
        n=len(one),
        exact=_exact(int(np.sum(one == other)), len(one), level),
        kappa=_kappa(one, other, level, is_weighted=False),
        weights="none",
    )


def _exact(equal: int, n: int, level: float) -> Interval:
    return wilson_interval(equal, n, level)


def _kappa(one: Floats, other: Floats, level: float, *, is_weighted: bool) -> Interval:
    """Kappa with its large-sample interval (Fleiss, Cohen and Everitt, Psychological Bulletin 72 (1969), 323-327)."""
    method = "weighted kappa, asymptotic" if is_weighted else "kappa, asymptotic"
    levels, codes = np.unique(np.concatenate([one, other]), return_inverse=True)
    if reason := _why_no_kappa(levels):
        return Interval(None, None, None, level, method, reason)
    table = np.zeros((len(levels), len(levels)))
    np.add.at(table, (codes[: len(one)], codes[len(one) :]), 1.0)
    weights = {"weights": levels, "wt": "quadratic"} if is_weighted else {}
    with np.errstate(invalid="ignore", divide="ignore"):  # of a z-value that nobody needs
        found = cohens_kappa(table, **weights)
    kappa, reach = float(found.kappa), float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(max(0.0, found.var_kappa))
    return Interval(kappa, max(-1.0, kappa - reach), min(1.0, kappa + reach), level, method)


def _why_no_kappa(levels: Floats) -> str | None:
    if not len(levels):
        return NO_VALUES
    if len(levels) == 1:
        return ALL_EQUAL
    return f"there are more than {MOST_LEVELS} different values" if len(levels) > MOST_LEVELS else None


def _pearson(one: Floats, other: Floats, level: float) -> Interval:
    """Pearson's correlation with Fisher's interval (R. A. Fisher, Metron 1 (1921), 3-32)."""
    if reason := _why_no_correlation(one, other):
        return Interval(None, None, None, level, "Fisher", reason)
    found = stats.pearsonr(scaled(one)[0], scaled(other)[0])
    estimate = float(found.statistic)
    if len(one) < _FEWEST_FOR_FISHER:
        reason = f"{len(one)} values; at least {_FEWEST_FOR_FISHER} are needed"
        return Interval(estimate, None, None, level, "Fisher", reason)
    interval = found.confidence_interval(level)
    return Interval(estimate, float(interval.low), float(interval.high), level, "Fisher")


def _spearman(one: Floats, other: Floats) -> float | None:
    """Spearman's rank correlation (C. Spearman, American Journal of Psychology 15 (1904), 72-101)."""
    return None if _why_no_correlation(one, other) else float(stats.spearmanr(one, other).statistic)


def _why_no_correlation(one: Floats, other: Floats) -> str | None:
    if reason := too_few(one):
        return reason
    constant = is_constant(scaled(one)[0]) or is_constant(scaled(other)[0])
    return ALL_EQUAL if constant else None
