"""Sign test, permutation test and Pratt's zeros: published examples and the enumeration of every case."""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.descriptivestats import sign_test as statsmodels_sign_test

from assay.scoring.statistics.paired_tests import permutation_test, sign_test, wilcoxon

# Zar, Biostatistical Analysis: lengths of hind and fore legs of ten deer, in centimetres.
HIND = np.array([142, 140, 144, 144, 142, 146, 149, 150, 142, 148])
FORE = np.array([138, 136, 147, 139, 143, 141, 143, 145, 136, 146])
# Darwin's plants; Fisher, The Design of Experiments (1935), section 21.
DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48])

examples = settings(max_examples=40, deadline=None)
small = st.lists(st.integers(-5, 5), min_size=1, max_size=9).filter(any)


class TestSign:
    def test_agrees_with_zar(self):
        """Eight of ten deer have longer hind legs: P = 0.10938, two-sided."""
        result = sign_test(HIND - FORE)
        assert (result.statistic, result.n, result.p_value) == (2.0, 10, pytest.approx(0.10938, abs=6e-6))

    @examples
    @given(st.lists(st.integers(-3, 3), min_size=1, max_size=60).filter(any))
    def test_agrees_with_statsmodels(self, differences):
        """A second implementation gives the same p-value."""
        expected = statsmodels_sign_test(np.array(differences))[1]
        assert sign_test(differences).p_value == pytest.approx(expected, rel=1e-9)

    @pytest.mark.parametrize("differences", [[], [0.0, 0.0]])
    def test_nothing_but_zeros_has_no_p_value_but_a_reason(self, differences):
        """There is no sign to count."""
        assert sign_test(differences).p_value is None and sign_test(differences).reason


def share_of_patterns(values: np.ndarray) -> float:
    """Second implementation: every pattern of signs, counted."""
    sums = np.array([np.dot(signs, np.abs(values)) for signs in itertools.product((-1, 1), repeat=len(values))])
    return float((np.abs(sums) >= abs(values.sum()) - 1e-9).mean())


class TestPermutation:
    def test_agrees_with_fisher(self):
        """Of 32,768 arrangements 863 are at least as high as the one seen and as many as low: P = 0.05267."""
        result = permutation_test(DARWIN, seed=1)
        assert result.p_value == pytest.approx(2 * 863 / 2**15, rel=1e-9)
        assert result.method == "all 32,768 sign patterns" and result.statistic == pytest.approx(DARWIN.mean())

    @examples
    @given(small)
    @example([0, 0, 0, 0, 0, 1, 3, -2, -2])
    def test_small_samples_agree_with_full_enumeration(self, differences):
        """Every pattern of signs is tried, whatever the seed."""
        values = np.array(differences, dtype=float)
        p_value = permutation_test(values, seed=1).p_value
        assert p_value == pytest.approx(share_of_patterns(values), rel=1e-9)
        assert p_value == permutation_test(values, seed=2).p_value

    @examples
    @given(st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 4)), min_size=2, max_size=12))
    def test_clusters_flip_as_a_whole(self, rows):
        """The same as flipping the sums of the clusters."""
        values, clusters = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
        sums = np.array([values[clusters == cluster].sum() for cluster in sorted(set(clusters.tolist()))])
        if values.any():
            expected = share_of_patterns(sums.astype(float))
            assert permutation_test(values, seed=1, clusters=clusters).p_value == pytest.approx(expected, rel=1e-9)

    def test_random_patterns_come_near_the_t_test_and_never_to_zero(self):
        """Forty normal differences: close to Student. Fifty clear wins: one pattern of a thousand, on either side."""
        differences = np.random.default_rng(8).normal(0.3, 1, 40)
        assert permutation_test(differences, seed=1).p_value == pytest.approx(
            stats.ttest_1samp(differences, 0).pvalue, abs=0.01
        )
        assert permutation_test(np.ones(50), seed=1, resamples=999).p_value == pytest.approx(2 / 1000)

    def test_the_seed_decides_which_patterns_are_drawn(self):
        """The same seed, the same p-value."""
        differences = np.random.default_rng(8).normal(0.3, 1, 40)
        one, same, other = (permutation_test(differences, seed, 999) for seed in (1, 1, 2))
        assert one == same and one != other

    @pytest.mark.parametrize("differences", [[], [0.0, 0.0]])
    def test_nothing_but_zeros_has_no_p_value_but_a_reason(self, differences):
        """Every pattern is the one seen."""
        result = permutation_test(differences, seed=1)
        assert result.p_value is None and result.reason


def pratt_by_hand(differences: np.ndarray) -> float:
    """Second implementation: rank with the zeros, drop their ranks, try every pattern of signs."""
    ranks = stats.rankdata(np.abs(differences))[differences != 0]
    seen = ranks[differences[differences != 0] > 0].sum()
    sums = np.array([np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=len(ranks))])
    return min(1.0, 2 * min((sums <= seen + 1e-9).mean(), (sums >= seen - 1e-9).mean()))


class TestPratt:
    @examples
    @given(small)
    def test_agrees_with_full_enumeration(self, differences):
        """Zeros take the lowest ranks and are then left out."""
        values = np.array(differences)
        assert wilcoxon(values, "pratt").p_value == pytest.approx(pratt_by_hand(values), rel=1e-9)

    def test_without_zeros_both_treatments_agree(self):
        """The two rules differ in what they do with zeros only."""
        assert wilcoxon(DARWIN, "pratt") == wilcoxon(DARWIN)
