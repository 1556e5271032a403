"""Tests of "no difference" on the differences of paired numbers. The comparisons call the one that fits."""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from assay.scoring.results import Significance
from assay.scoring.statistics.arrays import NO_VALUES, Codes, Floats, finite, is_constant, rounded, scaled, too_few

PAIRED_T, WILCOXON = "paired t-test", "Wilcoxon signed-rank test"
SIGN, PERMUTATION = "sign test", "sign-flip permutation test"
PERMUTATION_RESAMPLES = 9_999

Zeros = Literal["wilcox", "pratt"]

_EXACT_WILCOXON_MAX = 50
_PERMUTATION_WILCOXON_MAX = 13
_EXACT_FLIPS_MAX = 16
_BATCH_VALUES = 2_000_000


def paired_t(differences: npt.ArrayLike) -> Significance:
    """Student's t-test that the mean difference is zero, two-sided (Student 1908). Constant differences: no p-value."""
    array, _ = scaled(finite(differences))
    n = len(array)
    if reason := too_few(array):
        return Significance(PAIRED_T, n, None, None, "t distribution", reason)
    if is_constant(array):
        return Significance(PAIRED_T, n, None, None, "t distribution", "all differences are equal: t is undefined")
    result = stats.ttest_1samp(array, 0.0)
    return Significance(PAIRED_T, n, float(result.statistic), float(result.pvalue), "t distribution")


def wilcoxon(differences: npt.ArrayLike, zeros: Zeros = "wilcox") -> Significance:
    """Wilcoxon's signed-rank test that the differences are symmetric about zero, two-sided.

    `zeros` says what becomes of zero differences: `wilcox` drops them before ranking (Wilcoxon's own rule), `pratt`
    ranks them and then drops their ranks (J. W. Pratt, JASA 54 (1959), 655-667). When all are zero there is no p-value.
    Ties share their mean rank; differences that agree to 12 digits of the largest are ties. Without ties (and, under
    `pratt`, zeros) the p-value is exact up to 50 non-zero differences; with them it is the exact permutation value up
    to 13; beyond, the normal approximation with tie and continuity correction. The statistic is the smaller rank sum,
    `n` counts the non-zero differences.
    Source: F. Wilcoxon, Biometrics Bulletin 1 (1945), 80-83; Hollander, Wolfe and Chicken (2014), 3.1.
    """
    ranked = rounded(differences)
    nonzero = ranked[ranked != 0]
    n = len(nonzero)
    if n == 0:
        return Significance(WILCOXON, 0, None, None, "none", "all differences are zero" if len(ranked) else NO_VALUES)
    if zeros == "wilcox":
        ranked = nonzero
    method, name = _wilcoxon_method(ranked)
    result = stats.wilcoxon(ranked, zero_method=zeros, correction=True, method=method)
    return Significance(WILCOXON, n, float(result.statistic), min(1.0, float(result.pvalue)), name)


def _wilcoxon_method(ranked: Floats) -> tuple[Any, str]:
    simple = len(np.unique(np.abs(ranked))) == len(ranked) and bool(np.all(ranked))
    if simple and len(ranked) <= _EXACT_WILCOXON_MAX:
        return "exact", "exact"
    if len(ranked) <= _PERMUTATION_WILCOXON_MAX:
        # 2**13 sign patterns are fewer than the resamples allowed, so all of them are counted: no randomness
        return stats.PermutationMethod(n_resamples=2**_PERMUTATION_WILCOXON_MAX), "exact permutation"
    return "asymptotic", "normal approximation"


def sign_test(differences: npt.ArrayLike) -> Significance:
    """Exact sign test that a difference is as likely above zero as below, two-sided; zero differences are dropped.

    The statistic is the rarer sign's count, `n` counts the non-zero differences.
    Source: W. J. Dixon and A. M. Mood, JASA 41 (1946), 557-566.
    """
    signs = np.sign(rounded(differences))
    above, below = int(np.sum(signs > 0)), int(np.sum(signs < 0))
    if above + below == 0:
        reason = "all differences are zero" if len(signs) else NO_VALUES
        return Significance(SIGN, 0, None, None, "exact binomial", reason)
    p_value = float(stats.binomtest(min(above, below), above + below, 0.5).pvalue)
    return Significance(SIGN, above + below, float(min(above, below)), p_value, "exact binomial")


def permutation_test(
    differences: npt.ArrayLike,
    seed: int,
    resamples: int = PERMUTATION_RESAMPLES,
    clusters: Codes | None = None,
) -> Significance:
    """Sign-flip permutation test of the mean difference, two-sided; the same seed gives the same p-value.

    Under "no difference" each difference could as well have the other sign: the p-value is the share of sign patterns
    whose mean is at least as extreme. Up to 16 differences all patterns are counted; beyond, `resamples` random ones
    and the one seen, so that the p-value is never 0 and the test keeps its level. With `clusters` the signs of a whole
    cluster flip together. The statistic is the mean difference.
    Source: R. A. Fisher, The Design of Experiments (1935), 21; B. Phipson and G. K. Smyth, SAGMB 9 (2010), 39.
    """
    array, scale = scaled(finite(differences))
    if not np.any(array):
        reason = "all differences are zero" if len(array) else NO_VALUES
        return Significance(PERMUTATION, len(array), None, None, "none", reason)
    # Only whole clusters flip, so their sums are all that the mean needs.
    p_value, method = _flips(array if clusters is None else cluster_sums(array, clusters), seed, resamples)
    return Significance(PERMUTATION, len(array), float(array.mean() * scale), p_value, method)


def cluster_sums(values: Floats, clusters: Codes) -> Floats:
    """The sum of the values of each cluster, in the order of the clusters' numbers."""
    return np.asarray(np.bincount(np.unique(clusters, return_inverse=True)[1], weights=values), dtype=np.float64)


def _flips(values: Floats, seed: int, resamples: int) -> tuple[float, str]:
    if len(values) == 1:
        return 1.0, "all 2 sign patterns"
    exact = len(values) <= _EXACT_FLIPS_MAX
    result = stats.permutation_test(
        (values,),
        np.sum,
        permutation_type="samples",
        n_resamples=2 ** len(values) if exact else resamples,
        batch=max(1, _BATCH_VALUES // len(values)),
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    method = f"all {2 ** len(values):,} sign patterns" if exact else f"{resamples:,} random sign patterns"
    return min(1.0, float(result.pvalue)), method
