"""Each statistic against published worked examples, a second implementation, and properties that must always hold."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from assay.scoring.results import BinaryPairs
from assay.scoring.statistics.binary import (
    cohens_g,
    count_pairs,
    mcnemar_exact,
    newcombe_interval,
    odds_ratio,
)
from assay.scoring.statistics.choice import choose_test
from assay.scoring.statistics.corrections import holm
from assay.scoring.statistics.effect_sizes import cohens_dz, rank_biserial
from assay.scoring.statistics.intervals import bootstrap_mean_interval, mean_interval, wilson_interval
from assay.scoring.statistics.missing import missing_bounds
from assay.scoring.statistics.paired_tests import paired_t, wilcoxon

# Cushny and Peebles' sleep data, used by Student (1908): extra hours of sleep under two drugs, the same ten patients.
SLEEP_1 = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
SLEEP_2 = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
# Hollander and Wolfe (1973), p. 29: depression scores before and after a tranquilizer; the example of R's wilcox.test.
DEPRESSION_BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
DEPRESSION_AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
# Darwin's cross- and self-fertilised plants, in eighths of an inch; Fisher, The Design of Experiments (1935).
DARWIN = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48])
# Fagerland, Lydersen and Laake (2017), chapter 8: Cavo (2012) complete response, Ezra (2010) eye surgery.
CAVO = BinaryPairs(both=59, only_baseline=16, only_variant=6, neither=80)
EZRA_DISCORDANT = BinaryPairs(both=0, only_baseline=2, only_variant=25, neither=0)

# Davison and Hinkley, Bootstrap Methods (1997), example 1.1: hours between failures of an air-conditioning unit.
AIR_CONDITIONING = np.array([3, 5, 7, 18, 43, 85, 91, 98, 100, 130, 230, 487.0])

examples = settings(max_examples=40, deadline=None)
few_examples = settings(max_examples=10, deadline=None)  # statsmodels collects garbage in every correction
numbers = st.floats(-1e6, 1e6, allow_nan=False, width=32)
samples = st.lists(numbers, max_size=40)
counts = st.integers(0, 60)
tables = st.builds(BinaryPairs, counts, counts, counts, counts)


class TestWilson:
    @pytest.mark.parametrize(
        ("successes", "n", "low", "high"),
        [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
    )
    def test_agrees_with_newcombe_1998_table_1(self, successes, n, low, high):
        """Newcombe, Statistics in Medicine 17, 857-872, table I, method 3."""
        interval = wilson_interval(successes, n)
        assert (interval.low, interval.high) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))

    @examples
    @given(st.integers(1, 500), st.floats(0, 1), st.sampled_from([0.8, 0.95, 0.99]))
    def test_agrees_with_statsmodels_and_holds_the_estimate(self, n, share, level):
        """A second implementation gives the same bounds, and the interval lies within 0 and 1 around the estimate."""
        successes = round(share * n)
        interval = wilson_interval(successes, n, level)
        expected = proportion_confint(successes, n, alpha=1 - level, method="wilson")
        assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-9, abs=1e-15)
        assert 0 <= interval.low <= interval.estimate <= interval.high <= 1

    def test_no_trials_is_a_result_with_a_reason(self):
        """Nothing to summarise is not an error."""
        interval = wilson_interval(0, 0)
        assert (interval.estimate, interval.low, interval.high) == (None, None, None)
        assert interval.reason == "there are no values"


class TestMeanInterval:
    def test_agrees_with_students_sleep_data(self):
        """R documentation of t.test: mean difference -1.58, 95 % interval -2.4598858 to -0.7001142."""
        interval = mean_interval(SLEEP_1 - SLEEP_2)
        assert interval.estimate == pytest.approx(-1.58)
        assert (interval.low, interval.high) == (
            pytest.approx(-2.4598858, abs=1e-7),
            pytest.approx(-0.7001142, abs=1e-7),
        )

    def test_agrees_with_the_nist_handbook(self):
        """NIST e-Handbook 1.3.5.2, heat flow: n 195, mean 9.261460, sd 0.022789, interval 9.258242 to 9.264679."""
        shape = np.linspace(-1, 1, 195)
        interval = mean_interval(9.261460 + 0.022789 * shape / shape.std(ddof=1))
        assert (interval.low, interval.high) == (pytest.approx(9.258242, abs=1e-6), pytest.approx(9.264679, abs=1e-6))

    @examples
    @given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=40).filter(lambda v: len(set(v)) > 1))
    def test_agrees_with_statsmodels(self, values):
        """A second implementation gives the same bounds."""
        interval = mean_interval(values)
        expected = DescrStatsW(np.array(values, dtype=float)).tconfint_mean()
        assert (interval.low, interval.high) == pytest.approx(expected, rel=1e-9, abs=1e-11)

    @examples
    @given(samples)
    def test_never_raises_and_holds_the_mean(self, values):
        """Any finite values give an interval around their mean, or none and a reason."""
        interval = mean_interval(values)
        if interval.low is None:
            assert interval.reason and len(values) < 2
        else:
            assert interval.low <= interval.estimate <= interval.high

    def test_huge_and_tiny_values_do_not_overflow(self):
        """Squares of such values leave the range of a float; the interval does not."""
        assert mean_interval([1e200, 3e200]).estimate == pytest.approx(2e200)
        assert mean_interval([1e-200, 3e-200]).low < 0


class TestPairedT:
    def test_agrees_with_students_sleep_data(self):
        """R documentation of t.test, paired: t = -4.0621, df = 9, p = 0.002833."""
        result = paired_t(SLEEP_1 - SLEEP_2)
        assert (result.statistic, result.p_value) == (
            pytest.approx(-4.0621, abs=5e-5),
            pytest.approx(0.002833, abs=5e-7),
        )

    @examples
    @given(st.lists(st.integers(-50, 50), min_size=2, max_size=40).filter(lambda v: len(set(v)) > 1))
    def test_agrees_with_the_hand_formula(self, differences):
        """t = mean / (sd / sqrt n), p from the t distribution with n - 1 degrees of freedom."""
        values = np.array(differences, dtype=float)
        t = values.mean() / (values.std(ddof=1) / math.sqrt(len(values)))
        result = paired_t(differences)
        assert result.statistic == pytest.approx(t, rel=1e-9, abs=1e-12)
        assert result.p_value == pytest.approx(2 * stats.t.sf(abs(t), len(values) - 1), rel=1e-9)

    @pytest.mark.parametrize("differences", [[], [1.5], [2.0, 2.0, 2.0], [0.0] * 40, [0.3 - 0.2, 0.2 - 0.1, 0.1]])
    def test_degenerate_differences_have_no_p_value_but_a_reason(self, differences):
        """Too few values, or no spread (rounding noise is not spread)."""
        result = paired_t(differences)
        assert result.p_value is None and result.reason

    @examples
    @given(samples)
    def test_the_sign_of_the_differences_does_not_change_the_p_value(self, differences):
        """A two-sided test is symmetric."""
        assert paired_t(differences).p_value == paired_t([-d for d in differences]).p_value


def signed_rank_p_value(differences: np.ndarray) -> float:
    """Second implementation: the exact two-sided p-value by trying every pattern of signs."""
    nonzero = differences[differences != 0]
    ranks = stats.rankdata(np.abs(nonzero))
    seen = ranks[nonzero > 0].sum()
    sums = np.array([np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=len(ranks))])
    return min(1.0, 2 * min((sums <= seen + 1e-9).mean(), (sums >= seen - 1e-9).mean()))


class TestWilcoxon:
    def test_agrees_with_hollander_and_wolfe(self):
        """R documentation of wilcox.test: V = 40 of 45, one-sided p = 0.01953, so two-sided 0.0390625."""
        result = wilcoxon(DEPRESSION_BEFORE - DEPRESSION_AFTER)
        assert (result.statistic, result.p_value, result.method) == (5.0, pytest.approx(0.0390625, rel=1e-9), "exact")

    def test_agrees_with_darwins_plants(self):
        """SciPy's documented example: statistic 24, p = 0.041259765625."""
        result = wilcoxon(DARWIN)
        assert (result.statistic, result.p_value) == (24.0, pytest.approx(0.041259765625, rel=1e-9))

    @examples
    @given(st.lists(st.integers(-4, 4), min_size=1, max_size=9).filter(any))
    def test_small_samples_with_ties_and_zeros_agree_with_full_enumeration(self, differences):
        """With ties up to 13 differences the p-value is the exact permutation value; zeros are dropped."""
        result = wilcoxon(differences)
        assert result.p_value == pytest.approx(signed_rank_p_value(np.array(differences)), rel=1e-9)
        assert result.n == sum(d != 0 for d in differences)

    @examples
    @given(st.lists(st.integers(-9, 9).filter(bool), min_size=14, max_size=60))
    def test_larger_samples_with_ties_use_the_corrected_normal_approximation(self, values):
        """Hand formula: z = (|W+ - mean| - 1/2) / sd, variance reduced by sum(t^3 - t) / 48."""
        differences = np.array(values)
        ranks = stats.rankdata(np.abs(differences))
        n, (_, ties) = len(differences), np.unique(np.abs(differences), return_counts=True)
        variance = n * (n + 1) * (2 * n + 1) / 24 - np.sum(ties**3 - ties) / 48
        away = abs(ranks[differences > 0].sum() - n * (n + 1) / 4)
        z = max(0.0, away - 0.5) / math.sqrt(variance)
        result = wilcoxon(differences)
        assert result.method == "normal approximation"
        assert result.p_value == pytest.approx(min(1.0, 2 * stats.norm.sf(z)), rel=1e-9)

    def test_rounding_noise_does_not_break_ties(self):
        """0.3 - 0.2 and 0.2 - 0.1 are the same difference."""
        assert wilcoxon([0.3 - 0.2, 0.2 - 0.1, 0.1, 0.5]).p_value == wilcoxon([1, 1, 1, 5]).p_value

    @pytest.mark.parametrize(("differences", "reason"), [([], "no values"), ([0.0, 0.0], "all differences are zero")])
    def test_nothing_to_rank_has_no_p_value_but_a_reason(self, differences, reason):
        """All differences zero: there is nothing to test."""
        result = wilcoxon(differences)
        assert result.p_value is None and reason in result.reason

    @examples
    @given(samples)
    def test_never_raises_and_ignores_the_order(self, differences):
        """The same differences in another order give the same p-value, within 0 and 1."""
        p_value = wilcoxon(differences).p_value
        assert p_value is None or 0 <= p_value <= 1
        assert p_value == pytest.approx(wilcoxon(differences[::-1]).p_value)


class TestMcNemar:
    def test_agrees_with_fagerland_2017(self):
        """Cavo (2012): the exact conditional test gives P = 0.052479."""
        assert mcnemar_exact(CAVO).p_value == pytest.approx(0.052479, abs=5e-7)

    def test_agrees_with_bentur_2009(self):
        """Airway hyper-responsiveness, 1 against 7 discordant: 2 (1 + 8) / 2^8 = 0.0703125 by hand."""
        assert mcnemar_exact(BinaryPairs(1, 1, 7, 12)).p_value == pytest.approx(0.0703125, rel=1e-9)

    @examples
    @given(tables)
    def test_agrees_with_statsmodels(self, pairs):
        """A second implementation gives the same p-value; without discordant pairs there is none."""
        result = mcnemar_exact(pairs)
        if pairs.discordant == 0:
            assert result.p_value is None and result.reason
            return
        table = [[pairs.both, pairs.only_baseline], [pairs.only_variant, pairs.neither]]
        assert result.p_value == pytest.approx(statsmodels_mcnemar(table, exact=True).pvalue, rel=1e-9)


def newcombe_by_hand(pairs: BinaryPairs) -> tuple[float, float]:
    """Second implementation of method 10, in the words of the paper, on statsmodels' Wilson intervals."""
    e, f, g, h, n = pairs.both, pairs.only_variant, pairs.only_baseline, pairs.neither, pairs.n
    p1, p2 = (e + f) / n, (e + g) / n
    l1, u1 = proportion_confint(e + f, n, method="wilson")
    l2, u2 = proportion_confint(e + g, n, method="wilson")
    product = (e + f) * (g + h) * (e + g) * (f + h)
    cross = e * h - f * g
    phi = 0.0 if product == 0 else (max(cross - n / 2, 0) if cross > 0 else cross) / math.sqrt(product)
    below = (p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2
    above = (u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2
    return p1 - p2 - math.sqrt(max(below, 0)), p1 - p2 + math.sqrt(max(above, 0))


class TestNewcombe:
    def test_agrees_with_fagerland_2017(self):
        """Cavo (2012): difference -0.0621, square-and-add interval -0.1186 to -0.0046."""
        interval = newcombe_interval(CAVO)
        assert interval.estimate == pytest.approx(-0.0621, abs=5e-5)
        assert (interval.low, interval.high) == (pytest.approx(-0.1186, abs=5e-5), pytest.approx(-0.0046, abs=5e-5))

    @examples
    @given(tables.filter(lambda pairs: pairs.n > 0))
    def test_agrees_with_a_second_implementation(self, pairs):
        """The paper's formula, written out, gives the same bounds, and they hold the difference."""
        interval = newcombe_interval(pairs)
        low, high = newcombe_by_hand(pairs)
        assert (interval.low, interval.high) == (
            pytest.approx(max(-1, low), rel=1e-9, abs=1e-12),
            pytest.approx(min(1, high), rel=1e-9, abs=1e-12),
        )
        assert -1 <= interval.low <= interval.estimate <= interval.high <= 1

    @examples
    @given(tables)
    def test_swapping_baseline_and_variant_mirrors_the_interval(self, pairs):
        """The difference changes its sign and nothing else."""
        mirrored = newcombe_interval(BinaryPairs(pairs.both, pairs.only_variant, pairs.only_baseline, pairs.neither))
        interval = newcombe_interval(pairs)
        if pairs.n:
            assert (interval.low, interval.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-12)
        else:
            assert interval.low is None and interval.reason


class TestOddsRatio:
    def test_agrees_with_fagerland_2017(self):
        """Ezra (2010): 25 / 2 = 12.5, exact conditional interval 3.1169 to 108.8892."""
        interval = odds_ratio(EZRA_DISCORDANT)
        assert interval.estimate == 12.5
        assert (interval.low, interval.high) == (pytest.approx(3.1169, abs=5e-5), pytest.approx(108.8892, abs=5e-5))

    @examples
    @given(st.integers(1, 60), st.integers(1, 60))
    def test_bounds_are_where_the_binomial_tails_put_them(self, only_baseline, only_variant):
        """At either bound the count that was seen, or a more extreme one, has a probability of 2.5 %."""
        interval, n = odds_ratio(BinaryPairs(0, only_baseline, only_variant, 0)), only_baseline + only_variant
        low, high = (bound / (1 + bound) for bound in (interval.low, interval.high))
        assert stats.binom.sf(only_variant - 1, n, low) == pytest.approx(0.025, rel=1e-9)
        assert stats.binom.cdf(only_variant, n, high) == pytest.approx(0.025, rel=1e-9)

    @examples
    @given(st.integers(1, 60), st.integers(1, 60))
    def test_agrees_with_statsmodels(self, only_baseline, only_variant):
        """statsmodels' Clopper-Pearson interval of the share, as odds."""
        low, high = proportion_confint(only_variant, only_baseline + only_variant, method="beta")
        interval = odds_ratio(BinaryPairs(0, only_baseline, only_variant, 0))
        assert (interval.low, interval.high) == pytest.approx((low / (1 - low), high / (1 - high)), rel=1e-9)

    def test_one_sided_pairs_are_unbounded_and_say_so(self):
        """No pair for the baseline: the ratio is infinite, which JSON cannot hold."""
        interval = odds_ratio(BinaryPairs(5, 0, 7, 5))
        assert (
            interval.estimate is None
            and interval.high is None
            and interval.low > 0
            and "no upper bound" in interval.reason
        )
        none = odds_ratio(BinaryPairs(5, 7, 0, 5))
        assert (none.estimate, none.low) == (0.0, 0.0) and none.high is not None
        assert odds_ratio(BinaryPairs(5, 0, 0, 5)).estimate is None


class TestBinaryVectors:
    def test_counts_come_from_the_vectors(self):
        """Each pair is counted once, by what both said."""
        pairs = count_pairs([1, 1, 0, 0, 0], [1, 0, 1, 1, 0])
        assert pairs == BinaryPairs(both=1, only_baseline=1, only_variant=2, neither=1)
        assert newcombe_interval(pairs).estimate == pytest.approx(0.2) and odds_ratio(pairs).estimate == 2.0

    def test_no_pairs_give_an_empty_result(self):
        """Two empty vectors are a result, not an error."""
        pairs = count_pairs([], [])
        assert newcombe_interval(pairs).estimate is None and mcnemar_exact(pairs).p_value is None

    @pytest.mark.parametrize(("baseline", "variant"), [([0, 1], [1]), ([0.5], [1]), ([math.nan], [1])])
    def test_other_values_are_refused(self, baseline, variant):
        """A half or a missing pass is a mistake of the caller."""
        with pytest.raises(ValueError, match=r"paired values|binary values|finite"):
            count_pairs(baseline, variant)


def bca_by_hand(values: np.ndarray, seed: int, resamples: int) -> tuple[float, float]:
    """Second implementation: Efron and Tibshirani (1993), 14.3, with the closed form of the mean's acceleration."""
    n, mean = len(values), values.mean()
    means = values[np.random.default_rng(seed).integers(0, n, (resamples, n))].mean(axis=1)
    bias = stats.norm.ppf(((means < mean).mean() + (means <= mean).mean()) / 2)
    centred = values - mean
    acceleration = np.sum(centred**3) / (6 * np.sum(centred**2) ** 1.5)
    z = stats.norm.ppf([0.025, 0.975]) + bias
    low, high = np.quantile(means, stats.norm.cdf(bias + z / (1 - acceleration * z)))
    return float(low), float(high)


class TestBootstrap:
    @pytest.mark.parametrize("values", [SLEEP_2 - SLEEP_1, DARWIN.astype(float), np.exp(np.linspace(-2, 2, 25))])
    def test_agrees_with_a_second_implementation(self, values):
        """Other random draws, the same method: bounds within the noise of resampling."""
        interval = bootstrap_mean_interval(values, seed=1, resamples=20_000)
        low, high = bca_by_hand(values, seed=2, resamples=20_000)
        tolerance = 0.04 * (high - low)
        assert interval.method == "BCa bootstrap"
        assert (interval.low, interval.high) == (pytest.approx(low, abs=tolerance), pytest.approx(high, abs=tolerance))

    def test_agrees_with_a_second_implementation_on_the_same_draws(self):
        """The same resamples, the same bounds: the closed form of the acceleration is SciPy's jackknife."""
        values = AIR_CONDITIONING / AIR_CONDITIONING.max()  # scaled, so that rounding breaks ties with the mean alike
        interval = bootstrap_mean_interval(values, seed=1, resamples=9_999)
        assert (interval.low, interval.high) == pytest.approx(bca_by_hand(values, 1, 9_999), rel=1e-9)

    def test_skewed_values_shift_the_interval_towards_the_long_tail(self):
        """What BCa is for: the percentile interval is not corrected for skewness."""
        values = np.array([0.0] * 20 + [1.0, 2.0, 4.0, 8.0, 16.0])
        interval = bootstrap_mean_interval(values, seed=3)
        draws = np.random.default_rng(4).choice(values, (20_000, len(values))).mean(axis=1)
        assert interval.low > np.quantile(draws, 0.025) and interval.high > np.quantile(draws, 0.975)

    def test_the_same_seed_gives_the_same_interval(self):
        """Results are reproducible from the run's seed."""
        assert bootstrap_mean_interval(DARWIN, seed=5) == bootstrap_mean_interval(DARWIN, seed=5)
        assert bootstrap_mean_interval(DARWIN, seed=5) != bootstrap_mean_interval(DARWIN, seed=6)

    def test_equal_values_fall_back_to_percentiles_and_say_so(self):
        """BCa divides by the spread; without one the result names the method that was used instead."""
        interval = bootstrap_mean_interval([0.25] * 8, seed=1)
        assert (interval.low, interval.high, interval.method) == (0.25, 0.25, "percentile bootstrap")
        assert "BCa is undefined" in interval.reason

    @pytest.mark.parametrize("values", [[], [2.0]])
    def test_too_few_values_have_no_bounds(self, values):
        """One value has no spread to resample."""
        interval = bootstrap_mean_interval(values, seed=1)
        assert interval.low is None and interval.reason

    @examples
    @given(samples, st.integers(0, 2**32 - 1))
    def test_never_raises_and_stays_within_the_values(self, values, seed):
        """A resampled mean cannot leave the range of the values."""
        interval = bootstrap_mean_interval(values, seed=seed, resamples=200)
        if interval.low is not None:
            slack = 1e-9 * max(map(abs, values))
            assert min(values) - slack <= interval.low <= interval.high <= max(values) + slack


class TestEffectSizes:
    def test_d_z_agrees_with_the_sleep_data(self):
        """Documentation of R's effectsize, cohens_d of the paired sleep data: -1.28."""
        effect = cohens_dz(SLEEP_1 - SLEEP_2)
        assert effect.value == pytest.approx(-1.28, abs=0.005)
        assert effect.value == pytest.approx(paired_t(SLEEP_1 - SLEEP_2).statistic / math.sqrt(10), rel=1e-9)

    def test_rank_biserial_agrees_with_hollander_and_wolfe(self):
        """Tests of R's effectsize, rank_biserial of the depression data: 0.777, that is (40 - 5) / 45."""
        assert rank_biserial(DEPRESSION_BEFORE - DEPRESSION_AFTER).value == pytest.approx(35 / 45, rel=1e-9)

    @examples
    @given(st.lists(st.integers(-9, 9), min_size=1, max_size=40).filter(any))
    def test_rank_biserial_agrees_with_scipys_rank_sums(self, differences):
        """The sum of positive ranks, as SciPy's one-sided Wilcoxon test has it, against all ranks."""
        n = sum(one != 0 for one in differences)
        positive = stats.wilcoxon(differences, alternative="greater", method="approx").statistic
        assert rank_biserial(differences).value == pytest.approx(4 * positive / (n * (n + 1)) - 1, rel=1e-9, abs=1e-12)

    def test_cohens_g_agrees_with_agresti(self):
        """Agresti's approval ratings (R's mcnemar.test; tests of R's effectsize): g = 0.136, interval 0.072 to 0.194.

        Its interval is Wilson's of the share, ours the exact one, 0.0015 to 0.003 wider on either side.
        """
        effect = cohens_g(BinaryPairs(both=794, only_baseline=86, only_variant=150, neither=570))
        assert effect.value == pytest.approx(0.136, abs=5e-4)
        assert effect.value == pytest.approx(150 / 236 - 0.5, rel=1e-9)
        assert 0.069 < effect.interval.low < 0.072 and 0.194 < effect.interval.high < 0.198

    @pytest.mark.parametrize(
        "effect",
        [
            cohens_dz([]),
            cohens_dz([1.0]),
            cohens_dz([1.0, 1.0]),
            rank_biserial([]),
            rank_biserial([0.0, 0.0]),
            cohens_g(BinaryPairs(0, 0, 0, 0)),
            cohens_g(BinaryPairs(3, 0, 0, 3)),
        ],
    )
    def test_degenerate_values_have_no_effect_size_but_a_reason(self, effect):
        """No spread, no ranks, no discordant pairs."""
        assert effect.value is None and effect.reason

    @examples
    @given(samples, tables)
    def test_effects_change_sign_with_the_differences_and_stay_in_their_range(self, differences, pairs):
        """Positive means the variant is higher; rank-biserial within 1, Cohen's g within one half."""
        mirrored = [-d for d in differences]
        ranks, g = rank_biserial(differences).value, cohens_g(pairs).value
        assert ranks is None or (abs(ranks) <= 1 + 1e-12 and ranks == pytest.approx(-rank_biserial(mirrored).value))
        assert g is None or abs(g) <= 0.5
        dz = cohens_dz(differences).value
        assert dz is None or dz == pytest.approx(-cohens_dz(mirrored).value)


def holm_by_hand(p_values: list[float]) -> list[float]:
    """Second implementation: the running maximum of (m - rank) p in ascending order."""
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted


class TestHolm:
    def test_agrees_with_the_textbook_example(self):
        """0.01, 0.04, 0.03, 0.005 become 0.03, 0.06, 0.06, 0.02 (R's p.adjust)."""
        assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02), rel=1e-9)

    @few_examples
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
    def test_agrees_with_the_hand_formula_and_never_lowers_a_p_value(self, p_values):
        """Adjusted values are at least the raw ones, at most 1, and at most Bonferroni's."""
        adjusted = holm(p_values)
        assert adjusted == pytest.approx(holm_by_hand(p_values), rel=1e-9, abs=1e-15)
        bonferroni = multipletests(p_values, method="bonferroni")[1]
        assert all(p - 1e-12 <= a <= b + 1e-12 for p, a, b in zip(p_values, adjusted, bonferroni, strict=True))

    def test_a_comparison_without_p_value_still_counts(self):
        """A family must not shrink, and its other members gain, because one of them has no data."""
        assert holm([0.02, None]) == (pytest.approx(0.04), None)
        assert holm([None, None]) == (None, None)
        assert holm([]) == ()


class TestMissingBounds:
    def test_each_missing_value_is_set_to_the_worst_and_the_best_case(self):
        """By hand: (0.5 + (0 - 1) + (0 - 0.5)) / 3 and (0.5 + (1 - 0) + (1 - 0.5)) / 3, after Manski (1990)."""
        bounds = missing_bounds([0.0, math.nan, 0.5], [0.5, math.nan, math.nan], (0.0, 1.0))
        assert (bounds.low, bounds.high) == (pytest.approx(-1 / 3, rel=1e-9), pytest.approx(2 / 3, rel=1e-9))

    @examples
    @given(st.lists(st.tuples(*[st.one_of(st.none(), st.integers(0, 1))] * 2), min_size=1, max_size=5))
    def test_agrees_with_every_completion_of_the_missing_values(self, rows):
        """Second implementation: try all ways to fill the gaps of binary scores and take the extremes."""
        options = [(0, 1) if value is None else (value,) for row in rows for value in row]
        means = [np.mean(np.diff(np.reshape(fill, (-1, 2)))) for fill in itertools.product(*options)]
        baseline = [math.nan if b is None else b for b, _ in rows]
        variant = [math.nan if v is None else v for _, v in rows]
        bounds = missing_bounds(baseline, variant, (0.0, 1.0))
        assert (bounds.low, bounds.high) == pytest.approx((min(means), max(means)), rel=1e-9, abs=1e-12)

    def test_nothing_missing_leaves_no_room(self):
        """Both bounds are the mean difference, whether the range is known or not."""
        bounds = missing_bounds([1.0, 2.0], [2.0, 4.0], None)
        assert (bounds.low, bounds.high) == (1.5, 1.5)

    @pytest.mark.parametrize(("baseline", "variant"), [([], []), ([1.0], [math.nan])])
    def test_unknown_range_or_no_rows_has_no_bounds_but_a_reason(self, baseline, variant):
        """A score without limits can be anything."""
        bounds = missing_bounds(baseline, variant, None)
        assert bounds.low is None and bounds.reason


class TestChoice:
    @pytest.mark.parametrize(
        ("kind", "differences", "name"),
        [
            ("binary", [1.0, 0.0, -1.0], "mcnemar_exact"),
            ("numeric", list(np.exp(np.linspace(0, 8, 30))), "paired_t"),
            ("numeric", list(np.exp(np.linspace(0, 8, 29))), "wilcoxon"),
            ("numeric", list(range(12)), "paired_t"),
            ("numeric", [0.5] * 40, "wilcoxon"),
            ("numeric", [1.0, 9.0], "paired_t"),
            ("numeric", [], "paired_t"),
        ],
    )
    def test_follows_the_written_rule(self, kind, differences, name):
        """Binary, no spread, 30 or more, fewer than 3, not normal, otherwise: in this order."""
        chosen = choose_test(kind, differences)
        assert chosen.name == name and chosen.reason

    @examples
    @given(samples)
    def test_is_deterministic_and_never_raises(self, differences):
        """The same differences always give the same test and the same reason."""
        assert choose_test("numeric", differences) == choose_test("numeric", differences)
