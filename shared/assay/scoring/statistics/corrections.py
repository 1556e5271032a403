"""Corrections of p-values for the number of comparisons. `comparisons.adjust` calls them once per run."""

from collections.abc import Sequence
from typing import Literal

Correction = Literal["holm", "bh"]
CORRECTION_NAMES: dict[Correction, str] = {"holm": "Holm", "bh": "Benjamini-Hochberg"}

PValues = Sequence[float | None]


def holm(p_values: PValues) -> tuple[float | None, ...]:
    """Holm's step-down adjustment, in the given order: holds the chance of any false alarm in the family.

    None stays None and still counts in the size of the family, as 1: a family must not shrink because some of its
    data is missing. Source: S. Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    return _adjusted(p_values, "holm")


def benjamini_hochberg(p_values: PValues) -> tuple[float | None, ...]:
    """Benjamini and Hochberg's step-up adjustment, in the given order: holds the expected share of false alarms.

    None is treated as `holm` does. Source: Y. Benjamini and Y. Hochberg, JRSS B 57 (1995), 289-300.
    """
    return _adjusted(p_values, "fdr_bh")


CORRECTIONS = {"holm": holm, "bh": benjamini_hochberg}


def _adjusted(p_values: PValues, method: str) -> tuple[float | None, ...]:
    if not p_values:
        return ()
    from statsmodels.stats.multitest import multipletests  # takes over a second to import

    adjusted = multipletests([1.0 if p is None else p for p in p_values], method=method)[1]
    return tuple(None if p is None else float(a) for p, a in zip(p_values, adjusted, strict=True))
