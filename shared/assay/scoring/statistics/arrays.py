"""What the statistics share: flat arrays of finite numbers, scaled so that squares neither over- nor underflow."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

NO_VALUES, ONE_VALUE, ALL_EQUAL = "there are no values", "one value has no spread", "all values are equal"

_TIE_DIGITS = 12
_CONSTANT_SPREAD = 1e-9


def finite(values: npt.ArrayLike) -> Floats:
    """A flat float array. Raises ValueError for NaN and infinity: whoever has the rows must count them as missing."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError("expected a flat sequence of finite numbers; count missing values apart")
    return array


def paired(baseline: npt.ArrayLike, variant: npt.ArrayLike) -> tuple[Floats, Floats]:
    """Two flat float arrays of the same length. Raises ValueError for any others."""
    before, after = finite(baseline), finite(variant)
    if len(before) != len(after):
        raise ValueError(
            f"paired values: {len(before)} of the baseline and {len(after)} of the variant; expected as many"
        )
    return before, after


def scaled(values: Floats) -> tuple[Floats, float]:
    """The values over the power of two near their largest magnitude, and that power: squares can then neither over- nor
    underflow, and as the division is exact, sums that are equal stay equal.
    """
    largest = float(np.max(np.abs(values), initial=0.0)) or 1.0
    scale = float(np.ldexp(1.0, max(-1021, min(1023, int(np.frexp(largest)[1])))))
    return values / scale, scale


def rounded(differences: npt.ArrayLike) -> Floats:
    """Differences with rounding noise removed, so that 0.3 - 0.2 and 0.2 - 0.1 tie; only order and sign matter."""
    return np.round(scaled(finite(differences))[0], _TIE_DIGITS)


def is_constant(values: Floats) -> bool:
    """Whether scaled values have no spread but rounding noise."""
    return float(np.ptp(values)) <= _CONSTANT_SPREAD


def too_few(values: Floats) -> str | None:
    """Why these values have no spread at all to speak of, or None when there are two or more."""
    if len(values) > 1:
        return None
    return ONE_VALUE if len(values) else NO_VALUES
