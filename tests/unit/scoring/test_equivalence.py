"""Equivalence: two one-sided tests against a published example, SciPy, and the interval rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.scoring.results import BinaryPairs
from assay.scoring.statistics.equivalence import binary_equivalence, clustered_tost, tost

SLEEP_1 = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SLEEP_2 = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
CAVO = BinaryPairs(both=59, only_baseline=16, only_variant=6, neither=80)

examples = settings(max_examples=40, deadline=None)
spread_out = st.lists(st.integers(-20, 20), min_size=2, max_size=30).filter(lambda values: len(set(values)) > 1)


class TestTost:
    def test_agrees_with_the_sleep_data(self):
        """Vignette of R's TOSTER, paired sleep data, bounds -0.5 and 0.5: p = 0.989, 90 % CI -2.293 to -0.867."""
        result = tost(SLEEP_1 - SLEEP_2, 0.5)
        assert result.p_value == pytest.approx(0.989, abs=5e-4) and result.shown is False
        assert (result.interval.low, result.interval.high) == (
            pytest.approx(-2.293, abs=5e-4),
            pytest.approx(-0.867, abs=5e-4),
        )

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
        clustered = clustered_tost(differences, np.arange(len(differences)), margin)
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
    @given(*[st.integers(0, 60)] * 4, st.floats(0.01, 0.5))
    def test_the_p_value_and_the_interval_agree(self, both, before, after, neither, margin):
        """At most alpha when the interval at 1 - 2 alpha lies within the margin."""
        result = binary_equivalence(BinaryPairs(both, before, after, neither), margin)
        if result.p_value is None:
            assert both + before + after + neither == 0
            return
        within = max(abs(result.interval.low), abs(result.interval.high)) <= margin
        assert result.shown == within or result.p_value == pytest.approx(0.05, abs=1e-9)

    def test_a_difference_outside_the_margin_has_a_p_value_of_one(self):
        """However little is known of it."""
        assert binary_equivalence(BinaryPairs(0, 0, 9, 0), 0.1).p_value == 1.0
