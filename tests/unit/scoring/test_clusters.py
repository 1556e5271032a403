"""Clustered standard errors: a published survey example, the formula written out, and what they must reduce to."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.scoring.statistics.clusters import (
    clustered_mean,
    clustered_mean_interval,
    clustered_wilson_interval,
    group_codes,
)
from assay.scoring.statistics.intervals import mean_interval, wilson_interval
from assay.scoring.statistics.paired_tests import paired_t

# Lohr, Sampling: Design and Analysis (1999), example 5.2: grade point averages of 4 students in each of 5 suites.
GPA = np.array(
    [
        *(3.08, 2.60, 3.44, 3.04),
        *(2.36, 3.04, 3.28, 2.68),
        *(2.00, 2.56, 2.52, 1.88),
        *(3.00, 2.88, 3.44, 3.64),
        *(2.68, 1.92, 3.28, 3.20),
    ]
)
SUITES = np.repeat(np.arange(5), 4)

examples = settings(max_examples=40, deadline=None)
clustered_values = st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 6)), min_size=2, max_size=40).filter(
    lambda rows: len({value for value, _ in rows}) > 1 and len({cluster for _, cluster in rows}) > 1
)


def error_by_hand(values: np.ndarray, clusters: np.ndarray) -> float:
    """Second implementation: the cluster sums of the residuals, one by one (Cameron and Miller 2015, with k = 1)."""
    residuals = values - values.mean()
    sums = [residuals[clusters == cluster].sum() for cluster in set(clusters.tolist())]
    count = len(sums)
    return math.sqrt(count / (count - 1) * sum(total**2 for total in sums)) / len(values)


class TestClusteredMean:
    def test_agrees_with_lohr(self):
        """Total over 400 students 1,130.4, its standard error by Stata 67.16666 (vignette of R's SDaA)."""
        found = clustered_mean(GPA, SUITES)
        assert found.mean * 400 == pytest.approx(1_130.4, rel=1e-9)
        assert found.standard_error * 400 == pytest.approx(67.16666, abs=5e-6)
        assert (found.clusters, found.degrees_of_freedom) == (5, 4)

    @examples
    @given(clustered_values)
    def test_agrees_with_the_formula_written_out(self, rows):
        """statsmodels' sandwich and the sum over clusters are the same, to 1e-9 of the values' size."""
        values, clusters = (np.array(column) for column in zip(*rows, strict=True))
        assert clustered_mean(values, clusters).standard_error == pytest.approx(
            error_by_hand(values.astype(float), clusters), rel=1e-9, abs=1e-9
        )

    @examples
    @given(clustered_values)
    def test_interval_and_test_follow_from_the_standard_error(self, rows):
        """The t distribution with clusters - 1 degrees of freedom, by its own quantiles."""
        values, clusters = (np.array(column) for column in zip(*rows, strict=True))
        mean, error = values.mean(), error_by_hand(values.astype(float), clusters)
        if error < 1e-6:
            return
        degrees = len(set(clusters.tolist())) - 1
        interval, low = clustered_mean_interval(values, clusters), stats.t(degrees, mean, error).ppf(0.025)
        assert interval.low == pytest.approx(low, rel=1e-9, abs=1e-9)
        assert clustered_mean(values, clusters).t_test().p_value == pytest.approx(
            2 * stats.t.cdf(-abs(mean) / error, degrees), rel=1e-9
        )

    @examples
    @given(st.lists(st.integers(-50, 50), min_size=2, max_size=30).filter(lambda values: len(set(values)) > 1))
    def test_values_that_are_alone_get_the_ordinary_interval_and_test(self, values):
        """Clusters of one are no clusters."""
        alone = np.arange(len(values))
        interval, expected = clustered_mean_interval(values, alone), mean_interval(values)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-9, abs=1e-9)
        assert clustered_mean(values, alone).t_test().p_value == pytest.approx(paired_t(values).p_value, rel=1e-9)

    def test_repeats_of_every_row_are_worth_their_row_means(self):
        """As many repeats in each row: the clustered interval is the ordinary one of the rows' means."""
        values = np.random.default_rng(3).normal(size=(40, 5)) + np.arange(40)[:, None] / 10
        interval = clustered_mean_interval(values.ravel(), np.repeat(np.arange(40), 5))
        expected = mean_interval(values.mean(axis=1))
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-9)

    def test_copies_of_a_row_add_nothing(self):
        """Ten copies of each value in one cluster leave the standard error as it is with one."""
        copied = clustered_mean(np.repeat(GPA, 10), np.repeat(np.arange(20), 10))
        assert copied.standard_error == pytest.approx(stats.sem(GPA), rel=1e-9)

    @pytest.mark.parametrize(("values", "clusters"), [([], []), ([1.0, 2.0], [4, 4]), ([1.0, 1.0], [1, 2])])
    def test_one_cluster_or_no_spread_has_no_p_value_but_a_reason(self, values, clusters):
        """With one cluster nothing is known about the others."""
        result = clustered_mean(values, np.array(clusters, dtype=np.int64)).t_test()
        assert result.p_value is None and result.reason

    def test_as_many_clusters_as_values_are_expected(self):
        """One too few would shift them in silence."""
        with pytest.raises(ValueError, match="expected as many"):
            clustered_mean([1.0, 2.0], [1])


def clustered_wilson_by_hand(passes: np.ndarray, clusters: np.ndarray) -> tuple[float, float]:
    """Second implementation: Wilson's centre and reach for Korn and Graubard's effective sample size."""
    n, rate, degrees = len(passes), passes.mean(), len(set(clusters.tolist())) - 1
    t, z = stats.t.ppf(0.975, [n - 1, degrees]), stats.norm.ppf(0.975)
    size = rate * (1 - rate) / error_by_hand(passes, clusters) ** 2 * n / (n - 1) * (t[0] / t[1]) ** 2
    centre, half = rate + z**2 / (2 * size), z * math.sqrt(rate * (1 - rate) / size + z**2 / (4 * size**2))
    return (centre - half) / (1 + z**2 / size), (centre + half) / (1 + z**2 / size)


class TestClusteredWilson:
    @examples
    @given(
        st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=4, max_size=60).filter(
            lambda rows: len({one for one, _ in rows}) == 2 and len({cluster for _, cluster in rows}) > 1
        )
    )
    def test_agrees_with_the_formula_written_out(self, rows):
        """Where clusters differ at all; the effective size is then as the sources have it."""
        passes, clusters = np.array([one for one, _ in rows], dtype=float), np.array([cluster for _, cluster in rows])
        if error_by_hand(passes, clusters) > 1e-6:
            interval = clustered_wilson_interval(passes, clusters)
            expected = clustered_wilson_by_hand(passes, clusters)
            assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-9, abs=1e-12)

    @examples
    @given(st.lists(st.booleans(), min_size=2, max_size=60).filter(lambda passes: 0 < sum(passes) < len(passes)))
    def test_values_that_are_alone_get_wilsons_interval(self, passes):
        """The effective sample size is then the sample size."""
        interval = clustered_wilson_interval(np.array(passes, dtype=float), np.arange(len(passes)))
        expected = wilson_interval(sum(passes), len(passes))
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-9)

    def test_clusters_that_agree_within_count_once_each(self):
        """Forty groups of five equal answers: as wide as forty answers, a little wider for the degrees of freedom."""
        passes = np.repeat(np.arange(40) % 2, 5).astype(float)
        interval = clustered_wilson_interval(passes, np.repeat(np.arange(40), 5))
        expected = wilson_interval(20, 40)
        assert interval.low == pytest.approx(expected.low, abs=0.005) and interval.low < expected.low
        assert interval.method == "Wilson, effective sample size"

    def test_all_passes_count_each_cluster_once(self):
        """Without spread the design effect is unknown: the cautious answer."""
        interval = clustered_wilson_interval(np.ones(50), np.repeat(np.arange(10), 5))
        expected = wilson_interval(10, 10)
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_a_row_without_a_group_is_a_group_of_its_own():
    """Two rows that lack the value have nothing in common; 1 and "1" are two groups."""
    codes = group_codes(["a", None, "a", "", None, 1, "1"]).tolist()
    assert codes[0] == codes[2] and len(set(codes)) == 6
