"""Equivalence: two one-sided tests against a published example, SciPy, and the interval rule."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.scoring.results import BinaryPairs
from assay.scoring.statistics.binary import newcombe_interval
from assay.scoring.statistics.clusters import clustered_mean
from assay.scoring.statistics.equivalence import binary_equivalence, clustered_equivalence, tost

CAVO = BinaryPairs(both=59, only_baseline=16, only_variant=6, neither=80)

examples = settings(max_examples=40, deadline=None)
spread_out = st.lists(st.integers(-20, 20), min_size=2, max_size=30).filter(lambda values: len(set(values)) > 1)


class TestTost:
    def test_agrees_with_toster(self):
        """Vignette IntroTOSTt of R's TOSTER: 91 people's fear of bugs within 1.5 of 7, by its printed moments.

        Mean 7.379121, standard error 0.2640833: p = 2.658068e-05, 90 % CI 6.940225 to 7.818017.
        """
        fears = 7.379121 + 0.2640833 * math.sqrt(91) * stats.zscore(np.linspace(-1, 1, 91) ** 3, ddof=1)
        result = tost(fears - 7, 1.5)
        assert result.p_value == pytest.approx(2.658068e-05, rel=1e-5) and result.shown is True
        assert result.interval.low + 7 == pytest.approx(6.940225, abs=1e-6)
        assert result.interval.high + 7 == pytest.approx(7.818017, abs=1e-6)

    @examples
    @given(spread_out, st.floats(0.1, 30))
    def test_agrees_with_two_one_sided_tests_of_scipy(self, differences, margin):
        """The larger of both p-values."""
        low = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
        high = stats.ttest_1samp(differences, margin, alternative="less").pvalue
        assert tost(differences, margin).p_value == pytest.approx(max(low, high), rel=1e-9)

    @examples
    @given(spread_out, st.floats(0.1, 30))
    def test_is_shown_when_the_interval_lies_within_the_margin(self, differences, margin):
        """The test and the interval at 1 - 2 alpha are one rule; rows of their own give the clustered test the same."""
        result = tost(differences, margin)
        assert result.shown == (-margin < result.interval.low and result.interval.high < margin)
        clustered = clustered_equivalence(clustered_mean(differences, np.arange(len(differences))), margin)
        assert clustered.p_value == pytest.approx(result.p_value, rel=1e-7, abs=1e-12)

    @pytest.mark.parametrize("differences", [[], [1.0], [0.0, 0.0]])
    def test_degenerate_differences_show_nothing_and_say_why(self, differences):
        """Neither equivalent nor not."""
        result = tost(differences, 1.0)
        assert (result.p_value, result.shown) == (None, None) and result.reason

    @pytest.mark.parametrize("margin", [0.0, -1.0, float("inf")])
    def test_a_margin_must_be_a_number_above_zero(self, margin):
        """Nothing is smaller than no difference."""
        with pytest.raises(ValueError, match="margin"):
            tost([1.0, 2.0], margin)


class TestBinary:
    def test_agrees_with_fagerland_2017(self):
        """Cavo (2012): Newcombe's 95 % interval is -0.1186 to -0.0046: within 0.119, not within 0.118."""
        assert binary_equivalence(CAVO, 0.119, alpha=0.025).shown is True
        assert binary_equivalence(CAVO, 0.118, alpha=0.025).shown is False

    @examples
    @example(30, 33, 33, 49, 0.30078125)
    @given(*[st.integers(0, 60)] * 4, st.floats(0.01, 0.5))
    def test_the_p_value_and_the_interval_agree(self, both, before, after, neither, margin):
        """At most alpha when the interval at 1 - 2 alpha lies within the margin."""
        result = binary_equivalence(BinaryPairs(both, before, after, neither), margin)
        if result.p_value is None:
            assert both + before + after + neither == 0
            return
        if 1e-6 < result.p_value < 0.499:  # below, 1 - 2p has too few digits left for 1e-9
            at_p = newcombe_interval(BinaryPairs(both, before, after, neither), 1 - 2 * result.p_value)
            assert max(abs(at_p.low), abs(at_p.high)) == pytest.approx(margin, rel=1e-9)
        within = max(abs(result.interval.low), abs(result.interval.high)) <= margin
        assert result.shown == within or result.p_value == pytest.approx(0.05, abs=1e-9)

    def test_a_difference_outside_the_margin_has_a_p_value_of_one(self):
        """However little is known of it."""
        assert binary_equivalence(BinaryPairs(0, 0, 9, 0), 0.1).p_value == 1.0
