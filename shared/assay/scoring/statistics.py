"""Intervals, paired tests and effect sizes: arrays in, frozen results out. Only the evaluation imports this module.

SciPy and statsmodels do the arithmetic. Values are finite (missing ones are the caller's to count) and a difference is
variant minus baseline. Too few or constant values are a result without a p-value and with a reason, never an error.
"""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from assay.scoring.base import ScoreKind
from assay.scoring.results import (
    BinaryComparison,
    BinaryPairs,
    Bounds,
    ChosenTest,
    Effect,
    Interval,
    Significance,
)

Floats = npt.NDArray[np.float64]

PAIRED_T, WILCOXON, MCNEMAR = "paired t-test", "Wilcoxon signed-rank test", "McNemar exact test"
LARGE_SAMPLE = 30
NORMALITY_ALPHA = 0.05
BOOTSTRAP_RESAMPLES = 9_999

_EXACT_WILCOXON_MAX = 50
_PERMUTATION_WILCOXON_MAX = 13
_BOOTSTRAP_BATCH_VALUES = 2_000_000
_TIE_DIGITS = 12
_CONSTANT_SPREAD = 1e-9
_NO_VALUES, _ONE_VALUE, _ALL_EQUAL = "there are no values", "one value has no spread", "all values are equal"


def wilson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Score interval of a proportion, within 0 and 1.

    Source: E. B. Wilson, JASA 22 (1927), 209-212; method 3 of R. G. Newcombe, Statistics in Medicine 17 (1998), 857.
    """
    if n == 0:
        return Interval(None, None, None, level, "Wilson", _NO_VALUES)
    interval = stats.binomtest(successes, n).proportion_ci(level, "wilson")
    return Interval(successes / n, float(interval.low), float(interval.high), level, "Wilson")


def mean_interval(values: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Student's t interval of a mean (Student, Biometrika 6 (1908), 1-25).

    No bounds below two values; both bounds are the value itself when all values are equal.
    """
    scaled, scale = _scaled(_finite(values))
    if len(scaled) < 2:
        estimate = float(scaled[0] * scale) if len(scaled) else None
        return Interval(estimate, None, None, level, "t", _ONE_VALUE if len(scaled) else _NO_VALUES)
    mean = float(scaled.mean() * scale)
    if _is_constant(scaled):
        return Interval(mean, mean, mean, level, "t", _ALL_EQUAL)
    interval = stats.ttest_1samp(scaled, 0.0).confidence_interval(level)
    return Interval(mean, float(interval.low * scale), float(interval.high * scale), level, "t")


def standard_deviation(values: npt.ArrayLike) -> float | None:
    """Sample standard deviation (n - 1 in the denominator); None below two values."""
    scaled, scale = _scaled(_finite(values))
    return float(scaled.std(ddof=1) * scale) if len(scaled) > 1 else None


def bootstrap_mean_interval(
    values: npt.ArrayLike, seed: int, level: float = 0.95, resamples: int = BOOTSTRAP_RESAMPLES
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval of a mean; the same seed gives the same interval.

    Where BCa is undefined (all values equal), the interval is the percentile one, and `method` and `reason` say so.
    Source: B. Efron, JASA 82 (1987), 171-185; Efron and Tibshirani, An Introduction to the Bootstrap (1993), 14.3.
    """
    scaled, scale = _scaled(_finite(values))
    n = len(scaled)
    if n < 2:
        estimate = float(scaled[0] * scale) if n else None
        return Interval(estimate, None, None, level, "BCa bootstrap", _ONE_VALUE if n else _NO_VALUES)
    mean = float(scaled.mean() * scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy warns where BCa is undefined; the NaN below says the same
        result = stats.bootstrap(
            (scaled,),
            np.mean,
            n_resamples=resamples,
            batch=max(1, _BOOTSTRAP_BATCH_VALUES // n),
            confidence_level=level,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    low, high = (float(bound) * scale for bound in result.confidence_interval)
    if math.isfinite(low) and math.isfinite(high):
        return Interval(mean, low, high, level, "BCa bootstrap")
    tail = (1 - level) / 2
    low, high = (float(bound) * scale for bound in np.quantile(result.bootstrap_distribution, [tail, 1 - tail]))
    reason = f"{_ALL_EQUAL}: BCa is undefined" if _is_constant(scaled) else "BCa is undefined for these values"
    return Interval(mean, low, high, level, "percentile bootstrap", reason)


def paired_t(differences: npt.ArrayLike) -> Significance:
    """Student's t-test that the mean difference is zero, two-sided (Student 1908). Constant differences: no p-value."""
    scaled, _ = _scaled(_finite(differences))
    n = len(scaled)
    if n < 2:
        return Significance(PAIRED_T, n, None, None, "t distribution", _ONE_VALUE if n else _NO_VALUES)
    if _is_constant(scaled):
        return Significance(PAIRED_T, n, None, None, "t distribution", "all differences are equal: t is undefined")
    result = stats.ttest_1samp(scaled, 0.0)
    return Significance(PAIRED_T, n, float(result.statistic), float(result.pvalue), "t distribution")


def wilcoxon(differences: npt.ArrayLike) -> Significance:
    """Wilcoxon's signed-rank test that the differences are symmetric about zero, two-sided.

    Zero differences are dropped (Wilcoxon's own rule); when all are zero there is no p-value. Ties share their mean
    rank; differences that agree to 12 digits of the largest are ties. Without ties the p-value is exact up to 50
    non-zero differences; with ties it is the exact permutation value up to 13; beyond, the normal approximation with
    tie and continuity correction. The statistic is the smaller rank sum, `n` counts the non-zero differences.
    Source: F. Wilcoxon, Biometrics Bulletin 1 (1945), 80-83; Hollander, Wolfe and Chicken (2014), 3.1.
    """
    rounded = _rounded(differences)
    nonzero = rounded[rounded != 0]
    n = len(nonzero)
    if n == 0:
        reason = "all differences are zero" if len(rounded) else _NO_VALUES
        return Significance(WILCOXON, 0, None, None, "none", reason)
    method, name = _wilcoxon_method(nonzero)
    result = stats.wilcoxon(nonzero, correction=True, method=method)
    return Significance(WILCOXON, n, float(result.statistic), min(1.0, float(result.pvalue)), name)


def _wilcoxon_method(nonzero: Floats) -> tuple[Any, str]:
    has_ties = len(np.unique(np.abs(nonzero))) < len(nonzero)
    if not has_ties and len(nonzero) <= _EXACT_WILCOXON_MAX:
        return "exact", "exact"
    if len(nonzero) <= _PERMUTATION_WILCOXON_MAX:
        # 2**13 sign patterns are fewer than the resamples allowed, so all of them are counted: no randomness
        return stats.PermutationMethod(n_resamples=2**_PERMUTATION_WILCOXON_MAX), "exact permutation"
    return "asymptotic", "normal approximation"


def mcnemar_exact(pairs: BinaryPairs) -> Significance:
    """Exact McNemar test: a binomial test with one half on the discordant pairs, two-sided. None of those: no p-value.

    The statistic is the smaller discordant count. Source: Q. McNemar, Psychometrika 12 (1947), 153-157; exact
    conditional form in Fagerland, Lydersen and Laake, Statistical Analysis of Contingency Tables (2017), chapter 8.
    """
    if pairs.discordant == 0:
        reason = "no pair differs" if pairs.n else _NO_VALUES
        return Significance(MCNEMAR, pairs.n, None, None, "exact binomial", reason)
    smaller = min(pairs.only_baseline, pairs.only_variant)
    p_value = float(stats.binomtest(smaller, pairs.discordant, 0.5).pvalue)
    return Significance(MCNEMAR, pairs.n, float(smaller), p_value, "exact binomial")


def count_pairs(baseline: npt.ArrayLike, variant: npt.ArrayLike) -> BinaryPairs:
    """The four counts of two equally long vectors of 0 and 1. Raises ValueError for any other value or length."""
    before, after = _finite(baseline), _finite(variant)
    if len(before) != len(after):
        raise ValueError(
            f"paired values: {len(before)} of the baseline and {len(after)} of the variant; expected as many"
        )
    if not np.isin(np.concatenate([before, after]), (0.0, 1.0)).all():
        raise ValueError("binary values are 0 or 1; compare other values as numeric")
    both, union = int(np.sum(before * after)), int(np.sum(np.maximum(before, after)))
    return BinaryPairs(both, int(before.sum()) - both, int(after.sum()) - both, len(before) - union)


def compare_binary(baseline: npt.ArrayLike, variant: npt.ArrayLike, level: float = 0.95) -> BinaryComparison:
    """Two paired vectors of 0 and 1: counts, Newcombe interval of the difference, exact McNemar, matched odds ratio."""
    pairs = count_pairs(baseline, variant)
    return BinaryComparison(pairs, newcombe_interval(pairs, level), mcnemar_exact(pairs), odds_ratio(pairs, level))


def newcombe_interval(pairs: BinaryPairs, level: float = 0.95) -> Interval:
    """Interval of the difference of two paired proportions (variant minus baseline), within -1 and 1.

    Wilson intervals of both, combined by square-and-add with a correction for their correlation.
    Source: method 10 of R. G. Newcombe, Statistics in Medicine 17 (1998), 2635-2650.
    """
    if pairs.n == 0:
        return Interval(None, None, None, level, "Newcombe paired", _NO_VALUES)
    baseline = wilson_interval(pairs.both + pairs.only_baseline, pairs.n, level)
    variant = wilson_interval(pairs.both + pairs.only_variant, pairs.n, level)
    correlation = _newcombe_correlation(pairs)
    difference = (pairs.only_variant - pairs.only_baseline) / pairs.n
    below = _combine(_reach(variant)[0], _reach(baseline)[1], correlation)
    above = _combine(_reach(variant)[1], _reach(baseline)[0], correlation)
    low, high = max(-1.0, difference - below), min(1.0, difference + above)
    return Interval(difference, low, high, level, "Newcombe paired")


def _reach(interval: Interval) -> tuple[float, float]:
    """How far the interval goes below and above its estimate."""
    assert interval.estimate is not None and interval.low is not None and interval.high is not None
    return interval.estimate - interval.low, interval.high - interval.estimate


def _combine(one: float, other: float, correlation: float) -> float:
    return math.sqrt(max(0.0, one**2 + other**2 - 2 * correlation * one * other))


def _newcombe_correlation(pairs: BinaryPairs) -> float:
    """Newcombe's estimate of the correlation, pulled towards zero by n / 2 when it is positive."""
    margins = (
        (pairs.both + pairs.only_baseline)
        * (pairs.only_variant + pairs.neither)
        * (pairs.both + pairs.only_variant)
        * (pairs.only_baseline + pairs.neither)
    )
    if margins == 0:
        return 0.0
    cross = pairs.both * pairs.neither - pairs.only_baseline * pairs.only_variant
    return (max(cross - pairs.n / 2, 0.0) if cross > 0 else cross) / math.sqrt(margins)


def odds_ratio(pairs: BinaryPairs, level: float = 0.95) -> Interval:
    """Matched odds ratio, only-variant over only-baseline, with its exact conditional interval.

    A side without a discordant pair makes estimate or bound infinite: it is None, and `reason` says so.
    Source: Clopper and Pearson's interval of the discordant share, transformed; Fagerland, Lydersen and Laake,
    Statistical Analysis of Contingency Tables (2017), chapter 8.
    """
    if pairs.discordant == 0:
        return Interval(None, None, None, level, "exact conditional", "no pair differs")
    share = stats.binomtest(pairs.only_variant, pairs.discordant).proportion_ci(level, "exact")
    low, high = float(share.low), float(share.high)
    if pairs.only_baseline == 0:
        reason = "no pair favours the baseline alone: the ratio has no upper bound"
        return Interval(None, low / (1 - low), None, level, "exact conditional", reason)
    estimate = pairs.only_variant / pairs.only_baseline
    return Interval(estimate, low / (1 - low), high / (1 - high), level, "exact conditional")


def cohens_dz(differences: npt.ArrayLike) -> Effect:
    """Mean difference over the standard deviation of the differences.

    Source: J. Cohen, Statistical Power Analysis (1988), 2.3.5; D. Lakens, Frontiers in Psychology 4 (2013), 863.
    """
    scaled, _ = _scaled(_finite(differences))
    if len(scaled) < 2:
        return Effect("Cohen's d_z", None, _ONE_VALUE if len(scaled) else _NO_VALUES)
    if _is_constant(scaled):
        return Effect("Cohen's d_z", None, "all differences are equal")
    return Effect("Cohen's d_z", float(scaled.mean() / scaled.std(ddof=1)))


def rank_biserial(differences: npt.ArrayLike) -> Effect:
    """Matched-pairs rank-biserial correlation, -1 to 1: positive less negative rank sum, over both; zeros dropped.

    Source: D. S. Kerby, Comprehensive Psychology 3 (2014), 1.
    """
    rounded = _rounded(differences)
    nonzero = rounded[rounded != 0]
    if len(nonzero) == 0:
        return Effect("rank-biserial correlation", None, "all differences are zero" if len(rounded) else _NO_VALUES)
    ranks = stats.rankdata(np.abs(nonzero))
    return Effect("rank-biserial correlation", float(np.sum(np.sign(nonzero) * ranks) / np.sum(ranks)))


def cohens_g(pairs: BinaryPairs) -> Effect:
    """Share of the discordant pairs that favour the variant, less one half: -0.5 to 0.5 (J. Cohen, 1988, chapter 5)."""
    if pairs.discordant == 0:
        return Effect("Cohen's g", None, "no pair differs" if pairs.n else _NO_VALUES)
    return Effect("Cohen's g", pairs.only_variant / pairs.discordant - 0.5)


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's step-down adjustment, in the given order. None stays None and still counts in the size of the family.

    Counting it (as 1) is on the safe side: a family must not shrink because some of its data is missing.
    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    if not p_values:
        return ()
    from statsmodels.stats.multitest import multipletests  # takes over a second to import

    adjusted = multipletests([1.0 if p is None else p for p in p_values], method="holm")[1]
    return tuple(None if p is None else float(a) for p, a in zip(p_values, adjusted, strict=True))


def missing_bounds(baseline: npt.ArrayLike, variant: npt.ArrayLike, value_range: tuple[float, float] | None) -> Bounds:
    """The lowest and highest mean difference over all rows, whatever the missing values (NaN) would have been.

    Each missing value is set to the end of `value_range` that moves the difference most. Nothing missing: both bounds
    are the mean difference. Source: C. F. Manski, American Economic Review 80 (1990), 319-323.
    """
    before, after = np.asarray(baseline, dtype=np.float64), np.asarray(variant, dtype=np.float64)
    if len(before) == 0:
        return Bounds(None, None, _NO_VALUES)
    if value_range is None and np.isnan(before + after).any():
        return Bounds(None, None, "values are missing and the score's range is not known")
    lowest, highest = value_range if value_range is not None else (0.0, 0.0)
    low = np.where(np.isnan(after), lowest, after) - np.where(np.isnan(before), highest, before)
    high = np.where(np.isnan(after), highest, after) - np.where(np.isnan(before), lowest, before)
    return Bounds(float(low.mean()), float(high.mean()))


def choose_test(kind: ScoreKind, differences: npt.ArrayLike) -> ChosenTest:
    """Which test to use, by a rule fixed before anyone has seen a p-value; the first line that applies:

    1. binary values: exact McNemar;
    2. all differences equal: Wilcoxon (a t statistic needs a spread);
    3. 30 differences or more: paired t (their mean is close to normal, whatever their shape);
    4. fewer than 3: paired t (nothing can be said about their shape);
    5. Shapiro-Wilk rejects normality at 0.05: Wilcoxon;
    6. otherwise: paired t.
    """
    if kind == "binary":
        return ChosenTest("mcnemar_exact", "the score is pass or fail")
    scaled, _ = _scaled(_finite(differences))
    n = len(scaled)
    if n >= 2 and _is_constant(scaled):
        return ChosenTest("wilcoxon", "all differences are equal, and a t-test needs a spread")
    if n >= LARGE_SAMPLE:
        return ChosenTest("paired_t", f"{n} pairs, {LARGE_SAMPLE} or more: their mean is close to normal")
    if n < 3:
        return ChosenTest("paired_t", f"{n} pairs are too few to judge the shape of their differences")
    p_value = float(stats.shapiro(scaled).pvalue)
    if p_value < NORMALITY_ALPHA:
        return ChosenTest("wilcoxon", f"{n} pairs, differences not normal (Shapiro-Wilk p = {p_value:.3g})")
    return ChosenTest("paired_t", f"{n} pairs, differences not clearly non-normal (Shapiro-Wilk p = {p_value:.3g})")


def _finite(values: npt.ArrayLike) -> Floats:
    """A flat float array. Raises ValueError for NaN and infinity: whoever has the rows must count them as missing."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError("expected a flat sequence of finite numbers; count missing values apart")
    return array


def _scaled(values: Floats) -> tuple[Floats, float]:
    """The values over their largest magnitude, and that magnitude: squares can then neither over- nor underflow."""
    scale = float(np.max(np.abs(values), initial=0.0)) or 1.0
    return values / scale, scale


def _rounded(differences: npt.ArrayLike) -> Floats:
    """Differences with rounding noise removed, so that 0.3 - 0.2 and 0.2 - 0.1 tie; only order and sign matter."""
    return np.round(_scaled(_finite(differences))[0], _TIE_DIGITS)


def _is_constant(scaled: Floats) -> bool:
    return float(np.ptp(scaled)) <= _CONSTANT_SPREAD
