"""The noncentral t distribution by its definition, for tests: SciPy's own is what the statistics are made with."""

import math

from scipy import integrate, stats


def noncentral_t_below(t: float, degrees: int, noncentrality: float) -> float:
    """P((Z + noncentrality) / S <= t), averaged over the deviation S, which is chi over the root of its degrees."""
    spread = stats.chi(degrees, scale=1 / math.sqrt(degrees))
    low, high = spread.ppf(1e-15), spread.isf(1e-15)
    return integrate.quad(
        lambda s: stats.norm.cdf(t * s - noncentrality) * spread.pdf(s),
        low,
        high,
        epsabs=1e-14,
        epsrel=1e-11,
        limit=400,
    )[0]
