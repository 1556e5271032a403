"""Corrections for many comparisons, and the probability to be better: published examples and second implementations."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from assay.scoring.results import BinaryPairs
from assay.scoring.statistics.binary import cohens_g, probability_better
from assay.scoring.statistics.corrections import benjamini_hochberg, holm

# Benjamini and Hochberg, JRSS B 57 (1995), section 3.2: fifteen endpoints after myocardial infarction.
ENDPOINTS = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240]
ENDPOINTS += [0.4262, 0.5719, 0.6528, 0.7590, 1.0000]

examples = settings(max_examples=40, deadline=None)
few_examples = settings(max_examples=10, deadline=None)  # statsmodels collects garbage in every correction


class TestBenjaminiHochberg:
    def test_agrees_with_benjamini_and_hochberg(self):
        """At 0.05 their procedure rejects the first four of fifteen, Bonferroni's and Holm's the first three."""
        assert sum(p <= 0.05 for p in benjamini_hochberg(ENDPOINTS)) == 4
        assert sum(p <= 0.05 for p in holm(ENDPOINTS)) == 3
        assert benjamini_hochberg(ENDPOINTS)[3] == pytest.approx(0.0095 * 15 / 4, rel=1e-9)

    @few_examples
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
    def test_agrees_with_scipy(self, p_values):
        """A second implementation gives the same values, and they are at most Holm's."""
        adjusted = benjamini_hochberg(p_values)
        assert adjusted == pytest.approx(stats.false_discovery_control(p_values), rel=1e-9, abs=1e-12)
        assert all(a <= h + 1e-12 for a, h in zip(adjusted, holm(p_values), strict=True))

    def test_a_comparison_without_p_value_still_counts(self):
        """As for Holm: the family does not shrink."""
        assert benjamini_hochberg([0.02, None]) == (pytest.approx(0.04), None)
        assert benjamini_hochberg([]) == ()


class TestProbability:
    def test_agrees_with_laplace(self):
        """Gelman et al. (2013), 2.4: 241,945 girls and 251,527 boys; the chance that girls are likelier is 1.15e-42."""
        births = BinaryPairs(0, only_baseline=251_527, only_variant=241_945, neither=0)
        assert probability_better(births) == pytest.approx(1.15e-42, rel=0.005)

    @examples
    @given(st.integers(0, 80), st.integers(0, 80), st.integers(0, 80))
    def test_agrees_with_the_binomial_tail_and_with_quadrature(self, only_baseline, only_variant, both):
        """Rows on which both sides agree tell nothing of who is better."""
        found = probability_better(BinaryPairs(both, only_baseline, only_variant, 1))
        tail = stats.binom.cdf(only_variant, only_baseline + only_variant + 1, 0.5)
        density = stats.beta(only_variant + 1, only_baseline + 1).pdf
        assert found == pytest.approx(tail, rel=1e-9)
        assert found == pytest.approx(integrate.quad(density, 0.5, 1, epsabs=1e-13)[0], rel=1e-7, abs=1e-10)

    def test_no_pairs_have_no_probability(self):
        """Not even odds: nothing was compared."""
        assert probability_better(BinaryPairs(0, 0, 0, 0)) is None


def test_the_interval_of_cohens_g_is_the_exact_one_of_the_share():
    """Clopper and Pearson by quantiles of the beta distribution, less one half."""
    interval = cohens_g(BinaryPairs(both=794, only_baseline=86, only_variant=150, neither=570)).interval
    assert interval.low == pytest.approx(stats.beta.ppf(0.025, 150, 87) - 0.5, rel=1e-9)
    assert interval.high == pytest.approx(stats.beta.ppf(0.975, 151, 86) - 0.5, rel=1e-9)
