"""Power and smallest detectable differences: the manual of G*Power, statsmodels, and enumeration."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noncentral import noncentral_t_below
from scipy import stats
from statsmodels.stats.power import TTestPower as StatsmodelsPower

from assay.scoring.statistics.power import (
    mcnemar_minimum,
    mcnemar_pairs_needed,
    mcnemar_power,
    mcnemar_sensitivity,
    paired_minimum,
    paired_pairs_needed,
    paired_power,
    paired_sensitivity,
)

examples = settings(max_examples=30, deadline=None)


class TestPaired:
    def test_agrees_with_the_manual_of_g_power(self):
        """Two dependent means, d_z 0.421637, 50 pairs, alpha 0.05 two-sided: power 0.832114."""
        assert paired_power(0.421637, 1.0, 50) == pytest.approx(0.832114, abs=5e-7)

    @examples
    @given(st.floats(0.01, 1.0), st.integers(5, 300), st.sampled_from([0.01, 0.05, 0.1]))
    def test_agrees_with_statsmodels(self, effect, pairs, alpha):
        """A second implementation gives the same power, where it gives a number at all."""
        expected = StatsmodelsPower().power(effect, pairs, alpha)
        assert math.isnan(expected) or paired_power(2 * effect, 2.0, pairs, alpha) == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize(("effect", "pairs", "alpha"), [(0.421637, 50, 0.05), (0.05, 30, 0.01), (0.3, 400, 0.001)])
    def test_agrees_with_quadrature(self, effect, pairs, alpha):
        """SciPy and statsmodels share the noncentral t distribution; the integral over the deviation does not."""
        critical, noncentrality = stats.t.ppf(1 - alpha / 2, pairs - 1), effect * math.sqrt(pairs)
        missed = noncentral_t_below(critical, pairs - 1, noncentrality)
        missed -= noncentral_t_below(-critical, pairs - 1, noncentrality)
        assert paired_power(effect, 1.0, pairs, alpha) == pytest.approx(1 - missed, rel=1e-9)

    @pytest.mark.parametrize("pairs", [2, 3, 10, 100, 10_000, 1_000_000])
    def test_the_smallest_detectable_difference_has_the_power_asked_for(self, pairs):
        """And scales with the spread."""
        found = paired_minimum(3.0, pairs)
        assert paired_power(found, 3.0, pairs) == pytest.approx(0.8, abs=1e-9)
        assert paired_minimum(1.0, pairs) == pytest.approx(found / 3, rel=1e-9)

    @pytest.mark.parametrize("difference", [2.0, 0.5, 0.1, 0.01])
    def test_the_pairs_needed_are_the_fewest(self, difference):
        """One pair fewer is not enough. For d_z 0.5 it takes 34 (manual of G*Power 3)."""
        needed = paired_pairs_needed(difference, 1.0)
        assert paired_power(difference, 1.0, needed) >= 0.8 > paired_power(difference, 1.0, needed - 1)
        assert difference != 0.5 or needed == 34

    def test_huge_effects_are_found_for_certain(self):
        """Where SciPy's noncentral t has no number, the power is 1."""
        assert paired_power(40.0, 1.0, 100) == 1.0


def power_by_enumeration(difference: float, share: float, pairs: int, alpha: float) -> float:
    """Second implementation: every number of discordant pairs and every split of them, each tested by SciPy."""
    favourable, total = (share + difference) / 2 / share, 0.0
    for discordant in range(1, pairs + 1):
        weight = stats.binom.pmf(discordant, pairs, share)
        for wins in range(discordant + 1):
            if stats.binomtest(wins, discordant).pvalue <= alpha:
                total += weight * stats.binom.pmf(wins, discordant, favourable)
    return total


class TestMcNemar:
    def test_agrees_with_obrien(self):
        """O'Brien (2002): 8 % against 32 % discordant, 50 pairs, one-sided 0.05, which is two-sided 0.10 but for 1e-6.

        Tests of R's pwrss have 0.839356985; the manual of G*Power 3 has 0.839343, because it drops unlikely counts.
        """
        assert mcnemar_power(-0.24, 0.4, 50, alpha=0.1) == pytest.approx(0.839356985, abs=2e-6)

    @pytest.mark.parametrize(("difference", "share", "pairs"), [(0.1, 0.3, 14), (0.25, 0.5, 25), (0.0, 0.4, 20)])
    def test_agrees_with_full_enumeration(self, difference, share, pairs):
        """Without a difference this is the true level of the test, at most 0.05."""
        power = mcnemar_power(difference, share, pairs)
        assert power == pytest.approx(power_by_enumeration(difference, share, pairs, 0.05), rel=1e-9)
        assert difference or power <= 0.05

    @pytest.mark.parametrize("pairs", [40, 1_000, 1_000_000])
    def test_the_smallest_detectable_difference_has_the_power_asked_for(self, pairs):
        """Large runs too: only likely counts of discordant pairs are added up."""
        assert mcnemar_power(mcnemar_minimum(0.3, pairs), 0.3, pairs) == pytest.approx(0.8, abs=1e-8)

    def test_too_few_discordant_pairs_find_nothing(self):
        """With a thousand pairs of which five differ no split of them can reach 0.05."""
        assert mcnemar_minimum(0.005, 1_000) is None
        assert mcnemar_sensitivity(5, 1_000, 0.05, 0.8).reason and mcnemar_sensitivity(0, 10, 0.05, 0.8).reason

    @pytest.mark.parametrize(("difference", "share"), [(0.24, 0.4), (0.1, 0.3), (0.3, 0.3)])
    def test_the_pairs_needed_are_enough(self, difference, share):
        """And near the first count that is: the exact test's power falls a little at some larger counts."""
        needed = mcnemar_pairs_needed(difference, share)
        first = next(pairs for pairs in range(1, needed + 1) if mcnemar_power(difference, share, pairs) >= 0.8)
        assert mcnemar_power(difference, share, needed) >= 0.8 and 0 <= needed - first <= 6

    def test_a_difference_above_the_discordant_share_is_refused(self):
        """Rows on which both agree cannot make one."""
        with pytest.raises(ValueError, match="discordant share"):
            mcnemar_power(0.3, 0.2, 50)


def test_sensitivity_says_when_there_is_nothing_to_judge_by():
    """No spread, no pairs: no number, but a reason."""
    assert paired_sensitivity(None, 1, 0.05, 0.8, "paired t-test").reason
    assert paired_sensitivity(1.0, 50, 0.05, 0.8, "paired t-test").minimum_difference == pytest.approx(0.404, abs=5e-4)
