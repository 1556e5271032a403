"""Seeded random numbers that depend only on what is drawn for, never on the order of the draws.

Called by the emulated model, faults and filler answers of the Azure OpenAI emulator.
"""

import math
from hashlib import blake2b
from statistics import NormalDist

_STANDARD_NORMAL = NormalDist()


def uniform(seed: int, *purpose: str | int) -> float:
    """A number in the open interval (0, 1): the same for the same seed and purpose, independent for any other."""
    text = "\0".join(map(str, (seed, *purpose)))
    bits = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
    # 52 bits plus a half fit a double exactly, so neither end of the interval can come out.
    return ((bits >> 12) + 0.5) / 2**52


def pick(count: int, seed: int, *purpose: str | int) -> int:
    """An index below `count`, drawn like `uniform`."""
    return int(uniform(seed, *purpose) * count)


def normal(seed: int, *purpose: str | int) -> float:
    """A draw from the standard normal distribution, drawn like `uniform`."""
    return _STANDARD_NORMAL.inv_cdf(uniform(seed, *purpose))


def log_normal(median: float, sigma: float, seed: int, *purpose: str | int) -> float:
    """A log-normal draw with the given median and sigma of the logarithm; the median itself when either is 0."""
    return median if median == 0 or sigma == 0 else median * math.exp(sigma * normal(seed, *purpose))
