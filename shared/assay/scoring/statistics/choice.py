"""Which test fits a comparison: by a rule fixed before anyone has seen a p-value, or as the suite says."""

import numpy.typing as npt
from scipy import stats

from assay.scoring.base import ScoreKind
from assay.scoring.results import ChosenTest, TestName
from assay.scoring.statistics.arrays import finite, is_constant, scaled

LARGE_SAMPLE = 30
NORMALITY_ALPHA = 0.05
MOST_PERMUTED = 20_000
DEMANDED = "the suite demands it"


def choose_test(kind: ScoreKind, differences: npt.ArrayLike) -> ChosenTest:
    """Which test to use for independent rows; the first line that applies:

    1. binary values: exact McNemar;
    2. all differences equal: Wilcoxon (a t statistic needs a spread);
    3. 30 differences or more: paired t (their mean is close to normal, whatever their shape);
    4. fewer than 3: paired t (nothing can be said about their shape);
    5. Shapiro-Wilk rejects normality at 0.05: Wilcoxon;
    6. otherwise: paired t.
    """
    if kind == "binary":
        return ChosenTest("mcnemar_exact", "the score is pass or fail")
    array, _ = scaled(finite(differences))
    n = len(array)
    if n >= 2 and is_constant(array):
        return ChosenTest("wilcoxon", "all differences are equal, and a t-test needs a spread")
    if n >= LARGE_SAMPLE:
        return ChosenTest("paired_t", f"{n} pairs, {LARGE_SAMPLE} or more: their mean is close to normal")
    if n < 3:
        return ChosenTest("paired_t", f"{n} pairs are too few to judge the shape of their differences")
    p_value = float(stats.shapiro(array).pvalue)
    if p_value < NORMALITY_ALPHA:
        return ChosenTest("wilcoxon", f"{n} pairs, differences not normal (Shapiro-Wilk p = {p_value:.3g})")
    return ChosenTest("paired_t", f"{n} pairs, differences not clearly non-normal (Shapiro-Wilk p = {p_value:.3g})")


def choose_clustered_test(clusters: int) -> ChosenTest:
    """Rows that share groups are no independent evidence: the clustered t-test, whatever the kind of score."""
    return ChosenTest("clustered_t", f"rows share {clusters} groups, so rows of a group count as one piece of evidence")


def demanded_test(test: TestName, pairs: int, reason: str = DEMANDED) -> ChosenTest:
    """The test that is demanded, by the suite or for another reason.

    Above 20,000 pairs the t-test in place of permutation, which then gives the same.
    """
    if test == "permutation" and pairs > MOST_PERMUTED:
        reason = f"the suite demands permutation; {pairs} pairs are above {MOST_PERMUTED}, where t gives the same"
        return ChosenTest("paired_t", reason)
    return ChosenTest(test, reason)
