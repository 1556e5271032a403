"""Confidence intervals of one proportion and of one mean. The summaries and the comparisons call them."""

import math
import warnings

import numpy as np
import numpy.typing as npt
from scipy import stats

from assay.scoring.results import Interval
from assay.scoring.statistics.arrays import ALL_EQUAL, NO_VALUES, finite, is_constant, scaled, too_few

BOOTSTRAP_RESAMPLES = 9_999
MOST_BOOTSTRAPPED = 5_000

_BATCH_VALUES = 2_000_000


def wilson_interval(successes: int, n: int, level: float = 0.95) -> Interval:
    """Score interval of a proportion, within 0 and 1.

    Simulated coverage of 95 %: 94 to 96 % over pass rates of 5 to 95 % at n = 30, 100 and 1,000; at a single rate it
    swings by some points for small n.
    Source: E. B. Wilson, JASA 22 (1927), 209-212; method 3 of R. G. Newcombe, Statistics in Medicine 17 (1998), 857.
    """
    if n == 0:
        return Interval(None, None, None, level, "Wilson", NO_VALUES)
    interval = stats.binomtest(successes, n).proportion_ci(level, "wilson")
    return Interval(successes / n, float(interval.low), float(interval.high), level, "Wilson")


def mean_interval(values: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Student's t interval of a mean (Student, Biometrika 6 (1908), 1-25).

    No bounds below two values; both bounds are the value itself when all values are equal. Simulated coverage of 95 %:
    94 to 96 % for a judge's grades (skewness -0.6) and for paired differences of skewed scores at n = 30, 100 and
    1,000, for exponential scores (skewness 2) from n = 100; with 30 of those 93 %. Nothing is used in its place there:
    verdicts go by differences, and the bootstrap does no better.
    """
    array, scale = scaled(finite(values))
    if reason := too_few(array):
        return Interval(float(array[0] * scale) if len(array) else None, None, None, level, "t", reason)
    mean = float(array.mean() * scale)
    if is_constant(array):
        return Interval(mean, mean, mean, level, "t", ALL_EQUAL)
    interval = stats.ttest_1samp(array, 0.0).confidence_interval(level)
    return Interval(mean, float(interval.low * scale), float(interval.high * scale), level, "t")


def standard_deviation(values: npt.ArrayLike) -> float | None:
    """Sample standard deviation (n - 1 in the denominator); None below two values."""
    array, scale = scaled(finite(values))
    return float(array.std(ddof=1) * scale) if len(array) > 1 else None


def bootstrap_mean_interval(
    values: npt.ArrayLike, seed: int, level: float = 0.95, resamples: int = BOOTSTRAP_RESAMPLES
) -> Interval:
    """Bias-corrected and accelerated bootstrap interval of a mean; the same seed gives the same interval.

    Where BCa is undefined (all values equal), the interval is the percentile one, and `method` and `reason` say so.
    Above 5,000 values it is the t interval, which BCa then equals to three digits and which needs no resampling.
    Simulated coverage of 95 %: 94 to 96 % for a judge's grades at n = 30, 100 and 1,000, for exponential scores from
    n = 100; with 30 of those 93 %.
    Source: B. Efron, JASA 82 (1987), 171-185; Efron and Tibshirani, An Introduction to the Bootstrap (1993), 14.3.
    """
    array, scale = scaled(finite(values))
    if reason := too_few(array):
        estimate = float(array[0] * scale) if len(array) else None
        return Interval(estimate, None, None, level, "BCa bootstrap", reason)
    if len(array) > MOST_BOOTSTRAPPED:
        return mean_interval(values, level)
    mean = float(array.mean() * scale)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy warns where BCa is undefined; the NaN below says the same
        result = stats.bootstrap(
            (array,),
            np.mean,
            n_resamples=resamples,
            batch=max(1, _BATCH_VALUES // len(array)),
            confidence_level=level,
            method="BCa",
            rng=np.random.default_rng(seed),
        )
    low, high = (float(bound) * scale for bound in result.confidence_interval)
    if math.isfinite(low) and math.isfinite(high):
        return Interval(mean, low, high, level, "BCa bootstrap")
    tail = (1 - level) / 2
    low, high = (float(bound) * scale for bound in np.quantile(result.bootstrap_distribution, [tail, 1 - tail]))
    reason = f"{ALL_EQUAL}: BCa is undefined" if is_constant(array) else "BCa is undefined for these values"
    return Interval(mean, low, high, level, "percentile bootstrap", reason)
