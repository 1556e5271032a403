"""Power and the smallest difference that can be detected, before a run (from assumptions) and after (from its spread).

After a run this never uses the difference that was seen: the power at that is the p-value in other words.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize, stats

from assay.scoring.results import Sensitivity

PAIRED_POWER, CLUSTERED_POWER, MCNEMAR_POWER = "paired t-test", "clustered t-test", "exact McNemar test"

_TAIL_SDS = 9.0
_LARGEST_EFFECT_SDS = 50.0
_MOST_PAIRS = 100_000_000


def paired_power(difference: float, spread: float, pairs: int, alpha: float = 0.05) -> float:
    """Chance that the two-sided paired t-test finds a true mean `difference`; `spread` is the differences' deviation.

    Also for repeats and clusters, with clusters for pairs and the spread of their means.
    Source: J. Cohen, Statistical Power Analysis (1988), 2.3.5, by the noncentral t distribution.
    """
    degrees, noncentrality = pairs - 1, abs(difference) / spread * math.sqrt(pairs)
    critical = stats.t.isf(alpha / 2, degrees)
    above, below = stats.nct.sf(critical, degrees, noncentrality), stats.nct.cdf(-critical, degrees, noncentrality)
    # SciPy has no number for the far tails, where the chance is 1 on this side and 0 on the other.
    return (1.0 if math.isnan(above) else float(above)) + (0.0 if math.isnan(below) else float(below))


def paired_minimum(spread: float, pairs: int, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """The smallest true mean difference that the paired t-test finds with this power; None below two pairs."""
    if pairs < 2 or spread == 0:
        return None
    found = _root(lambda size: paired_power(size, 1.0, pairs, alpha) - power, 1e-9, _LARGEST_EFFECT_SDS)
    return None if found is None else found * spread


def paired_pairs_needed(difference: float, spread: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """The fewest pairs with which the paired t-test finds a true mean `difference` with this power."""
    return _fewest(lambda pairs: paired_power(difference, spread, pairs, alpha) >= power, 2)


def mcnemar_power(difference: float, discordant_share: float, pairs: int, alpha: float = 0.05) -> float:
    """Chance that the exact two-sided McNemar test finds a true difference of two pass rates.

    `discordant_share` is the share of rows on which both sides differ; a difference cannot exceed it. The power is the
    conditional one of the binomial test, averaged over the number of discordant pairs.
    Source: S. W. Duffy, Biometrics 40 (1984), 1005-1015; R. G. O'Brien (2002) and the manual of G*Power 3, chapter 5.
    """
    if not abs(difference) <= discordant_share <= 1:
        raise ValueError(
            f"difference {difference} and discordant share {discordant_share}; expected 0 to 1, share above"
        )
    if discordant_share == 0:
        return 0.0
    discordant = _likely_counts(pairs, discordant_share)
    favourable = (discordant_share + abs(difference)) / 2 / discordant_share
    lost = stats.binom.ppf(alpha / 2, discordant, 0.5)
    critical = np.where(stats.binom.cdf(lost, discordant, 0.5) <= alpha / 2, lost, lost - 1)
    found = stats.binom.cdf(critical, discordant, favourable) + stats.binom.sf(
        discordant - critical - 1, discordant, favourable
    )
    return float(np.sum(stats.binom.pmf(discordant, pairs, discordant_share) * found))


def mcnemar_minimum(discordant_share: float, pairs: int, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """The smallest true difference of pass rates that McNemar's test finds with this power; None when none is found."""
    return _root(lambda size: mcnemar_power(size, discordant_share, pairs, alpha) - power, 0.0, discordant_share)


def mcnemar_pairs_needed(difference: float, discordant_share: float, alpha: float = 0.05, power: float = 0.8) -> int:
    """The fewest pairs with which McNemar's test finds a true difference of pass rates with this power.

    Exact power falls a little at some larger counts; this is the first count by bisection, a few pairs from the first.
    """
    return _fewest(lambda pairs: mcnemar_power(difference, discordant_share, pairs, alpha) >= power, 1)


def paired_sensitivity(spread: float | None, pairs: int, alpha: float, power: float, method: str) -> Sensitivity:
    """After a run: what its spread and its pairs (or clusters) could have found."""
    found = None if spread is None else paired_minimum(spread, pairs, alpha, power)
    reason = None if found is not None else "there is no spread to judge by"
    return Sensitivity(power, alpha, found, method, reason)


def mcnemar_sensitivity(discordant: int, pairs: int, alpha: float, power: float) -> Sensitivity:
    """After a run: what its discordant share and its pairs could have found."""
    if discordant == 0:
        return Sensitivity(power, alpha, None, MCNEMAR_POWER, "no pair differs")
    found = mcnemar_minimum(discordant / pairs, pairs, alpha, power)
    reason = None if found is not None else "too few pairs differ for any difference to be found"
    return Sensitivity(power, alpha, found, MCNEMAR_POWER, reason)


def _likely_counts(pairs: int, share: float) -> np.ndarray:
    """The counts of discordant pairs that have any weight in double precision."""
    reach = _TAIL_SDS * np.sqrt(pairs * share * (1 - share)) + _TAIL_SDS**2
    return np.arange(max(0, int(pairs * share - reach)), min(pairs, int(pairs * share + reach)) + 1)


def _root(excess: Callable[[float], float], low: float, high: float) -> float | None:
    if excess(high) < 0:
        return None
    return float(optimize.brentq(excess, low, high, xtol=1e-12, rtol=1e-10))


def _fewest(enough: Callable[[int], bool], start: int) -> int:
    high = start
    while not enough(high):
        high *= 2
        if high > _MOST_PAIRS:
            raise ValueError(f"more than {_MOST_PAIRS:,} pairs would be needed; expected a larger difference")
    low = max(start - 1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
