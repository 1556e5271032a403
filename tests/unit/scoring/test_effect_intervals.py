"""Effect sizes with their intervals: published examples, second implementations, and what must always hold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from noncentral import noncentral_t_below
from scipy import stats

from assay.scoring.statistics.effect_sizes import cliffs_delta, cohens_d, cohens_dz, dominance, hedges_g

# Lakens, Frontiers in Psychology 4 (2013), 863, table 1: ratings of two movies by the same ten people.
MOVIE_1 = np.array([9, 7, 8, 9, 8, 9, 9, 10, 9, 9], dtype=float)
MOVIE_2 = np.array([9, 6, 7, 8, 7, 9, 8, 8, 8, 7], dtype=float)
SLEEP_1 = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SLEEP_2 = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])

examples = settings(max_examples=40, deadline=None)
sides = st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=2, max_size=20)


def with_moments(n: int, means: tuple[float, float], deviations: tuple[float, float], correlation: float):
    """Two columns with exactly these means, standard deviations and correlation."""
    first, second = stats.zscore(np.random.default_rng(1).normal(size=(2, n)), axis=1, ddof=1)
    second = stats.zscore(second - np.dot(first, second) / np.dot(first, first) * first, ddof=1)
    joined = correlation * first + math.sqrt(1 - correlation**2) * second
    return means[0] + deviations[0] * first, means[1] + deviations[1] * joined


def bonett_by_hand(baseline: np.ndarray, variant: np.ndarray) -> tuple[float, float]:
    """Second implementation: in the terms of R's statpsych."""
    sd1, sd2, degrees = variant.std(ddof=1), baseline.std(ddof=1), len(baseline) - 1
    correlation = np.corrcoef(variant, baseline)[0, 1]
    s = math.sqrt((sd1**2 + sd2**2) / 2)
    d = (variant.mean() - baseline.mean()) / s
    of_spread = d**2 * (sd1**4 + sd2**4 + 2 * correlation**2 * sd1**2 * sd2**2) / (8 * degrees * s**4)
    error = math.sqrt(of_spread + max(0.0, sd1**2 + sd2**2 - 2 * correlation * sd1 * sd2) / (degrees * s**2))
    return d - stats.norm.ppf(0.975) * error, d + stats.norm.ppf(0.975) * error


class TestCohensD:
    def test_agrees_with_lakens(self):
        """Two movies: d 1.13, g 1.08, d_z 1.50 (also in the tests of R's apa)."""
        assert cohens_d(MOVIE_2, MOVIE_1).value == pytest.approx(1.13, abs=0.005)
        assert hedges_g(MOVIE_2, MOVIE_1).value == pytest.approx(1.08, abs=0.005)
        assert cohens_dz(MOVIE_1 - MOVIE_2).value == pytest.approx(1.50, abs=0.005)

    def test_agrees_with_bonetts_package(self):
        """R's statpsych, ci.stdmean.ps(.05, 110.4, 102.1, 15.3, 14.6, .75, 25): 0.5550319, 0.2394905 to 0.8705732."""
        variant, baseline = with_moments(25, (110.4, 102.1), (15.3, 14.6), 0.75)
        effect = cohens_d(baseline, variant)
        assert effect.value == pytest.approx(0.5550319, abs=5e-8)
        assert (effect.interval.low, effect.interval.high) == (
            pytest.approx(0.2394905, abs=5e-8),
            pytest.approx(0.8705732, abs=5e-8),
        )

    @examples
    @given(sides.filter(lambda rows: len({b for b, _ in rows}) > 1 and len({v for _, v in rows}) > 1))
    def test_the_interval_agrees_with_bonetts_formula(self, rows):
        """Formula of ci.stdmean.ps, by standard deviations and correlation; Hedges' g shrinks estimate and bounds."""
        baseline, variant = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
        effect, n = cohens_d(baseline, variant), len(rows)
        low, high = bonett_by_hand(baseline, variant)
        assert (effect.interval.low, effect.interval.high) == pytest.approx((low, high), rel=1e-9, abs=1e-12)
        corrected, shrunk = hedges_g(baseline, variant).interval, 1 - 3 / (8 * n - 9)
        assert (corrected.low, corrected.high) == pytest.approx((low * shrunk, high * shrunk), rel=1e-9, abs=1e-12)

    @examples
    @given(sides.filter(lambda rows: len({b for b, _ in rows}) > 1 and len({v for _, v in rows}) > 1))
    def test_agrees_with_statsmodels_and_mirrors(self, rows):
        """statsmodels' pooled and corrected effect size, for as many on both sides; swapped sides turn the sign."""
        from statsmodels.stats.meta_analysis import effectsize_smd

        baseline, variant = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
        n = len(rows)
        g, _ = effectsize_smd(variant.mean(), variant.std(ddof=1), n, baseline.mean(), baseline.std(ddof=1), n)
        assert hedges_g(baseline, variant).value == pytest.approx(g, rel=1e-9, abs=1e-12)
        assert cohens_d(variant, baseline).value == pytest.approx(-cohens_d(baseline, variant).value, abs=1e-12)

    @pytest.mark.parametrize(("baseline", "variant"), [([], []), ([1.0], [2.0]), ([1.0, 1.0], [2.0, 2.0])])
    def test_degenerate_sides_have_no_effect_size_but_a_reason(self, baseline, variant):
        """No values, one pair, no spread on either side."""
        for effect in (cohens_d(baseline, variant), hedges_g(baseline, variant)):
            assert effect.value is None and effect.reason


class TestCohensDz:
    def test_interval_agrees_with_the_sleep_data(self):
        """Documentation of R's effectsize, cohens_d of the paired sleep data: -1.28, 95 % CI -2.12 to -0.41."""
        interval = cohens_dz(SLEEP_1 - SLEEP_2).interval
        assert (interval.low, interval.high) == (pytest.approx(-2.12, abs=0.005), pytest.approx(-0.41, abs=0.005))

    @pytest.mark.parametrize("n", [2, 5, 30, 1_000, 100_000])
    @pytest.mark.parametrize("shift", [0.0, 0.2, 3.0])
    def test_bounds_are_where_the_noncentral_t_puts_them(self, n, shift):
        """At either bound the t that was seen lies at the level's tail, by SciPy's distribution and by quadrature."""
        differences = np.random.default_rng(5).normal(shift, 1, n)
        effect, root = cohens_dz(differences), math.sqrt(n)
        t = stats.ttest_1samp(differences, 0).statistic
        for bound, share in ((effect.interval.low, 0.975), (effect.interval.high, 0.025)):
            assert stats.nct.cdf(t, n - 1, bound * root) == pytest.approx(share, rel=1e-9)
            assert noncentral_t_below(t, n - 1, bound * root) == pytest.approx(share, rel=1e-9)


def delta_by_hand(baseline: np.ndarray, variant: np.ndarray) -> tuple[float, float]:
    """Second implementation: all pairs compared one by one, and the standard error of the rows' projections."""
    signs = np.sign(variant[:, None] - baseline[None, :])
    rows = signs.mean(axis=1) + signs.mean(axis=0)
    return float(signs.mean()), float(rows.std(ddof=1) / math.sqrt(len(rows)))


class TestCliffsDelta:
    def test_agrees_with_effsize(self):
        """Tests of R's effsize, with the data of Hogarty and Kromrey (1999): -0.25."""
        treatment, control = [10, 10, 20, 20, 20, 30, 30, 30, 40, 50], [10, 20, 30, 40, 40, 50]
        above, below = dominance(control, treatment)
        assert above.mean() == pytest.approx(-0.25, rel=1e-9) and below.mean() == pytest.approx(-0.25, rel=1e-9)

    @examples
    @given(sides)
    def test_agrees_with_all_pairs_compared_and_with_mann_whitney(self, rows):
        """delta = 2 U / n^2 - 1; the bounds are tanh(atanh(delta) -+ t se / (1 - delta^2))."""
        baseline, variant = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
        effect, (delta, error) = cliffs_delta(baseline, variant), delta_by_hand(baseline, variant)
        u = stats.mannwhitneyu(variant, baseline).statistic
        assert effect.value == pytest.approx(delta, abs=1e-12)
        assert effect.value == pytest.approx(2 * u / len(rows) ** 2 - 1, abs=1e-12)
        if effect.interval.low is None:
            assert effect.interval.reason
            return
        reach = stats.t.isf(0.025, len(rows) - 1) * error / (1 - delta**2)
        assert effect.interval.low == pytest.approx(math.tanh(math.atanh(delta) - reach), rel=1e-9, abs=1e-12)
        assert -1 <= effect.interval.low <= effect.value <= effect.interval.high <= 1

    def test_sides_that_do_not_overlap_have_no_interval_but_a_reason(self):
        """Every variant above every baseline: delta is 1, and nothing says how far from it the truth may be."""
        effect = cliffs_delta([1.0, 2.0], [3.0, 4.0])
        assert (effect.value, effect.interval.low) == (1.0, None) and effect.interval.reason
        assert cliffs_delta([], []).value is None
