"""Comparisons: paired by row id, nothing dropped in silence, and a verdict that follows from the corrected test."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from assay.scoring.comparisons import adjust, compare, minimum_pairs
from assay.scoring.paired_scores import Method, PairedScores
from assay.scoring.results import Comparison

RNG = np.random.default_rng(20261120)


def compared(baseline, variant, *, groups=None, kind="numeric", value_range=None, goal="maximise", seed=1, **method):
    """`compare`, with the scores given in the order of the rows; None is a missing score."""
    scores = PairedScores.of(baseline, variant, None if groups is None else np.array(groups))
    return compare(scores, kind=kind, value_range=value_range, method=Method(seed=seed, **method), goal=goal)


def cavo():
    """Fagerland, Lydersen and Laake (2017): 59 both, 16 only the first, 6 only the second, 80 neither."""
    first, second = [1.0] * 75 + [0.0] * 86, [1.0] * 59 + [0.0] * 16 + [1.0] * 6 + [0.0] * 80
    return compared(first, second, kind="binary", value_range=(0, 1))


class TestPairing:
    def test_the_same_scores_give_the_same_comparison(self):
        """Bootstrap included: the seed decides it."""
        baseline = np.arange(12.0)
        variant = baseline + np.exp(baseline / 2)
        one, other = (compared(baseline, variant, seed=3) for _ in range(2))
        assert one == other and one.interval.method == "BCa bootstrap"

    def test_counts_what_is_missing_on_each_side(self):
        """None, NaN and infinite scores are missing; a row missing on both sides counts for both."""
        result = compared([1.0, None, math.nan, 2.0, 5.0, None], [2.0, 1.0, None, math.inf, None, None])
        assert (result.n_rows, result.n_pairs) == (6, 1)
        assert (result.missing_baseline, result.missing_variant, result.missing_both) == (3, 4, 2)
        assert result.n_rows == result.n_pairs + result.missing_baseline + result.missing_variant - result.missing_both

    def test_means_and_difference_are_over_the_pairs(self):
        """A row that one side lacks moves neither mean."""
        result = compared([1.0, 2.0, 9.0], [2.0, 4.0, None])
        assert (result.baseline_mean, result.variant_mean, result.difference) == (1.5, 3.0, 1.5)

    @pytest.mark.parametrize("groups", [None, [0, 0, 1]])
    def test_sides_of_different_lengths_are_refused(self, groups):
        """Rows are paired by their place; a side or a group too few would shift them in silence."""
        with pytest.raises(ValueError, match="expected as many"):
            compared([1.0, 2.0], [1.0] if groups is None else [1.0, 2.0], groups=groups)


class TestBinary:
    def test_agrees_with_the_published_example(self):
        """Cavo (2012): P = 0.052479, Newcombe interval of -0.0621 is -0.1186 to -0.0046, odds ratio 0.375."""
        result = cavo()
        assert result.test == "McNemar exact test" and result.p_value == pytest.approx(0.052479, abs=5e-7)
        assert result.difference == pytest.approx(-0.0621, abs=5e-5)
        assert result.interval.high == pytest.approx(-0.0046, abs=5e-5)
        assert result.odds_ratio.estimate == 0.375
        assert result.effect.name == "Cohen's g" and result.effect.value == pytest.approx(6 / 22 - 0.5)

    def test_a_disagreement_of_interval_and_test_is_noted(self):
        """In that example the interval excludes zero and the exact test does not reject: the test decides."""
        result = cavo()
        assert result.verdict == "no difference shown"
        assert any("disagree" in note for note in result.notes)

    def test_missing_scores_are_bounded_by_pass_and_fail(self):
        """One row of four has no variant score: it could add a pass or take one away."""
        result = compared([0.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, None], kind="binary")
        assert (result.bounds.low, result.bounds.high) == (0.25, 0.5)

    def test_other_values_are_refused(self):
        """The mean of repeats is numeric."""
        with pytest.raises(ValueError, match="0 or 1"):
            compared([0.5], [1.0], kind="binary")


class TestNumeric:
    def test_many_pairs_are_tested_by_paired_t_with_its_interval(self):
        """SciPy's own paired test gives the same p-value and bounds."""
        baseline = RNG.normal(0, 1, 40)
        variant = baseline + RNG.normal(0.5, 1, 40)
        result, expected = compared(baseline, variant), stats.ttest_rel(variant, baseline)
        assert (result.test, result.interval.method, result.effect.name) == ("paired t-test", "t", "Cohen's d_z")
        assert result.p_value == pytest.approx(expected.pvalue)
        assert (result.interval.low, result.interval.high) == pytest.approx(tuple(expected.confidence_interval()))

    def test_few_skewed_pairs_are_tested_by_wilcoxon_with_a_bootstrap_interval(self):
        """SciPy's own test on both samples gives the same p-value; the reason is in the result."""
        variant = np.exp(np.linspace(0, 5, 12)) * [1, -1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
        result = compared(np.zeros(12), variant)
        assert result.test == "Wilcoxon signed-rank test" and "Shapiro-Wilk" in result.test_reason
        assert result.p_value == pytest.approx(stats.wilcoxon(variant).pvalue)
        assert (result.interval.method, result.effect.name) == ("BCa bootstrap", "rank-biserial correlation")

    def test_the_seed_decides_the_bootstrap_and_nothing_else(self):
        """Two seeds, two intervals, one p-value."""
        variant = np.exp(np.linspace(0, 5, 12))
        one, other = (compared(np.zeros(12), variant, seed=seed) for seed in (1, 2))
        assert one.interval != other.interval and one.p_value == other.p_value
        assert one == compared(np.zeros(12), variant, seed=1)

    def test_a_score_without_limits_has_no_bounds_when_rows_are_missing(self):
        """The note says so instead of a number."""
        result = compared([1.0, 2.0, None], [1.0, 3.0, 4.0])
        assert result.bounds.low is None and any("unknown" in note for note in result.notes)

    def test_complete_rows_need_no_note(self):
        """Notes are for what a reader must know beside the numbers."""
        assert compared(np.zeros(10), 1 + np.linspace(-0.2, 0.2, 10), value_range=(0, 2)).notes == ()

    def test_missing_scores_that_could_reverse_the_result_are_noted(self):
        """Ten clear wins, ten rows unknown: on a scale of 0 to 10 the truth could be the other way round."""
        result = compared(
            [4.0 + i / 10 for i in range(20)], [6.0 + i / 7 for i in range(10)] + [None] * 10, value_range=(0, 10)
        )
        assert result.verdict == "better" and result.bounds.low < 0 < result.bounds.high
        assert any("reverse" in note for note in result.notes)


class TestVerdict:
    @pytest.mark.parametrize(
        ("shift", "goal", "verdict"),
        [
            (1.0, "maximise", "better"),
            (-1.0, "maximise", "worse"),
            (-1.0, "minimise", "better"),
            (1.0, "minimise", "worse"),
        ],
    )
    def test_follows_the_direction_and_the_goal(self, shift, goal, verdict):
        """A lower cost is better, a lower score is worse."""
        noise = np.linspace(-0.2, 0.2, 10)
        assert compared(np.zeros(10), shift + noise, goal=goal).verdict == verdict

    def test_equal_scores_show_no_difference(self):
        """All differences zero: nothing to test, and not for want of data."""
        for kind in ("binary", "numeric"):
            result = compared([1.0, 0.0] * 10, [1.0, 0.0] * 10, kind=kind)
            assert (result.verdict, result.p_value, result.difference) == ("no difference shown", None, 0.0)

    def test_a_constant_gain_is_a_difference(self):
        """Every row gains the same: no t statistic, but ten signs out of ten."""
        result = compared([1.0] * 10, [1.5] * 10)
        assert result.verdict == "better" and result.p_value == pytest.approx(2 / 2**10)

    def test_too_few_pairs_are_not_enough_data(self):
        """With five pairs no exact paired test can reach 0.05, however clear the scores are."""
        assert minimum_pairs(0.05) == 6 and 2 * 0.5**6 <= 0.05 < 2 * 0.5**5
        assert compared([0.0] * 5, [1.0] * 5, kind="binary").verdict == "not enough data"
        assert compared([0.0] * 6, [1.0] * 6, kind="binary").verdict == "better"

    def test_a_mean_against_its_ranks_is_no_win(self):
        """Nineteen small gains are significant by rank, one huge loss turns the mean: nobody has won."""
        result = compared([0.0] * 20, [1.0 + i / 100 for i in range(19)] + [-1000.0])
        assert result.p_value < 0.05 and result.difference < 0 < result.effect.value
        assert result.verdict == "no difference shown" and "disagree in sign" in result.verdict_reason

    @pytest.mark.parametrize("alpha", [0.0, 1.0, -1.0])
    def test_an_impossible_alpha_is_refused(self, alpha):
        """It is a probability between 0 and 1."""
        with pytest.raises(ValueError, match="alpha"):
            minimum_pairs(alpha)


class TestAdjust:
    def test_corrects_for_the_number_of_comparisons_and_revises_the_verdict(self):
        """One p of 0.03125 is a difference; beside a second comparison it is 0.0625, and none."""
        close, equal = compared([0.0] * 6, [1.0] * 6, kind="binary"), compared([1.0] * 9, [1.0] * 9, kind="binary")
        first, second = adjust([close, equal])
        assert close.verdict == "better" and close.p_value == 0.03125
        assert (first.p_adjusted, first.verdict) == (pytest.approx(0.0625), "no difference shown")
        assert "Holm-adjusted p = 0.0625 is above 0.05" in first.verdict_reason
        assert (second.p_adjusted, second.verdict) == (None, "no difference shown")

    def test_a_second_call_changes_nothing(self):
        """Adjusted values come from the raw ones."""
        comparisons = [compared([0.0] * 6, [1.0] * 6, kind="binary"), cavo(), compared([0.0] * 3, [1.0] * 3)]
        once = adjust(comparisons)
        assert adjust(once) == once
        assert once[2].verdict == "not enough data"

    def test_a_clear_difference_survives(self):
        """A tiny p-value stays below alpha among few comparisons."""
        clear = compared([0.0] * 30, [1.0] * 30, kind="binary")
        assert [c.verdict for c in adjust([clear, cavo()])] == ["better", "no difference shown"]
        assert adjust([]) == ()


class TestRecord:
    @settings(max_examples=80, deadline=None)
    @given(
        st.lists(st.tuples(*[st.none() | st.floats(-1e3, 1e3)] * 2), max_size=12),
        st.sampled_from([None, (-1e3, 1e3)]),
    )
    def test_never_raises_is_deterministic_and_survives_json(self, rows, value_range):
        """Whatever is missing or constant; and the bounds hold the difference over the pairs' share."""
        sides = [side for side in zip(*rows, strict=True)] or [(), ()]
        result = compared(*sides, value_range=value_range)
        assert result == compared(*sides, value_range=value_range)
        assert Comparison.model_validate_json(result.model_dump_json()) == result
        assert result.n_rows == len(rows)
        if result.n_pairs == result.n_rows > 0:
            assert result.bounds.low == result.bounds.high == pytest.approx(result.difference)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, None])] * 2), max_size=30))
    def test_swapping_the_sides_mirrors_a_binary_comparison(self, rows):
        """The difference and the verdict change sides, the p-value stays."""
        one = compared([b for b, _ in rows], [v for _, v in rows], kind="binary")
        other = compared([v for _, v in rows], [b for b, _ in rows], kind="binary")
        mirror = {"better": "worse", "worse": "better"}
        assert one.p_value == other.p_value
        assert one.verdict == mirror.get(other.verdict, other.verdict)
        assert (one.difference is None) or one.difference == pytest.approx(-other.difference)


class TestGroups:
    GROUPS = np.repeat(np.arange(10), 4)

    def test_rows_that_share_groups_are_tested_by_cluster(self):
        """Interval, test, sensitivity and equivalence allow for it; effect sizes then have no interval."""
        variant = np.repeat(np.linspace(-0.2, 1.0, 10), 4)
        result = compared(np.zeros(40), variant, groups=self.GROUPS, margin=0.1)
        expected = stats.ttest_1samp(variant[::4], 0)
        assert (result.test, result.n_clusters) == ("clustered t-test", 10) and "10 groups" in result.test_reason
        assert result.p_value == pytest.approx(expected.pvalue, rel=1e-9)
        assert (result.interval.low, result.interval.high) == pytest.approx(tuple(expected.confidence_interval()))
        assert result.sensitivity.method == "clustered t-test" and result.equivalence.shown is False
        assert all(effect.interval is None for effect in result.effects)

    def test_binary_scores_too(self):
        """Forty passes in ten groups are ten pieces of evidence, not forty: McNemar's test would see forty."""
        result = compared(np.zeros(40), self.GROUPS < 4, groups=self.GROUPS, kind="binary")
        alone = compared(np.zeros(40), self.GROUPS < 4, kind="binary")
        assert alone.p_value < 0.001 < 0.01 < result.p_value
        assert (alone.test, result.odds_ratio, result.probability_higher) == ("McNemar exact test", None, None)

    def test_groups_of_incomplete_pairs_do_not_count(self):
        """A group that lacks all its pairs is no evidence."""
        variant = np.where(self.GROUPS == 0, np.nan, self.GROUPS)
        assert compared(np.zeros(40), variant, groups=self.GROUPS).n_clusters == 9

    def test_a_test_that_needs_independent_rows_is_refused(self):
        """It would call forty copies evidence; and clusters cannot be tested without any."""
        with pytest.raises(ValueError, match="clustered_t or permutation"):
            compared(np.zeros(40), np.ones(40), groups=self.GROUPS, test="wilcoxon")
        with pytest.raises(ValueError, match="needs groups"):
            compared(np.zeros(40), np.ones(40), test="clustered_t")


class TestRepeats:
    def test_a_row_counts_once_with_the_mean_of_its_repeats(self):
        """Five repeats of twelve rows are twelve pairs, whatever their kind."""
        passes = np.random.default_rng(1).integers(0, 2, (12, 5))
        result = compared(passes, np.ones((12, 5)), kind="binary")
        assert (result.kind, result.n_rows, result.n_pairs, result.n_repeats) == ("numeric", 12, 12, 5)
        assert result.difference == pytest.approx(1 - passes.mean())

    def test_missing_repeats_leave_the_others_and_widen_the_bounds(self):
        """A row lacks a score only when all its repeats do."""
        baseline = np.array([[0.0, 1.0], [1.0, math.nan], [math.nan, math.nan]])
        result = compared(baseline, np.ones((3, 2)), kind="binary", value_range=(0, 1))
        assert (result.n_pairs, result.missing_baseline, result.difference) == (2, 1, pytest.approx(0.25))
        assert (result.bounds.low, result.bounds.high) == (pytest.approx(1 / 6), pytest.approx(4 / 6))


class TestDemands:
    @pytest.mark.parametrize(
        ("test", "name"),
        [
            ("paired_t", "paired t-test"),
            ("wilcoxon", "Wilcoxon signed-rank test"),
            ("sign", "sign test"),
            ("permutation", "sign-flip permutation test"),
        ],
    )
    @pytest.mark.parametrize("kind", ["binary", "numeric"])
    def test_the_suite_may_demand_a_test(self, test, name, kind):
        """And the result says that it did."""
        variant = np.array([0.0, 1.0] * 10 + [1.0] * 5)
        result = compared(np.zeros(25), variant, kind=kind, test=test)
        assert (result.test, result.test_reason) == (name, "the suite demands it")
        assert result.verdict == "better" and result.effect.value > 0

    def test_sign_and_permutation_tests_of_binary_scores_agree_with_mcnemar(self):
        """Three roads to the same p-value; the permutation has every pattern up to 16 discordant pairs."""
        baseline, variant = [0.0] * 11 + [1.0] * 3, [1.0] * 11 + [0.0] * 3
        mcnemar, sign, flips = (
            compared(baseline, variant, kind="binary", test=test) for test in (None, "sign", "permutation")
        )
        assert sign.p_value == pytest.approx(mcnemar.p_value) == pytest.approx(flips.p_value)

    def test_the_suite_may_demand_an_interval(self):
        """A bootstrap where the rule would take t, and t where it would take Newcombe's."""
        variant = np.random.default_rng(4).exponential(1, 40)
        assert compared(np.zeros(40), variant, interval="bootstrap").interval.method == "BCa bootstrap"
        assert compared(np.zeros(40), variant > 1, kind="binary", interval="t").interval.method == "t"

    def test_permutation_gives_way_to_t_where_both_are_one(self):
        """Above 20,000 pairs, and the reason says so."""
        result = compared(np.zeros(20_001), np.linspace(-1, 2, 20_001), test="permutation")
        assert result.test == "paired t-test" and "20000" in result.test_reason


class TestMore:
    def test_equivalence_is_tested_when_a_margin_is_given(self):
        """And corrected over all comparisons of the run that have a margin."""
        noise = np.linspace(-0.1, 0.1, 40)
        close = compared(np.zeros(40), noise, margin=0.05)
        assert close.equivalence.shown and compared(np.zeros(40), noise).equivalence is None
        first, second, third = adjust([close, close, compared(np.zeros(40), noise)])
        assert first.equivalence.p_adjusted == pytest.approx(2 * close.equivalence.p_value)
        assert second.equivalence.p_adjusted == first.equivalence.p_adjusted and third.equivalence is None
        assert adjust([first, second, third]) == (first, second, third)

    def test_binary_equivalence_takes_newcombes_interval(self):
        """Equal answers everywhere: equivalent, though McNemar's test has nothing to say."""
        result = compared(np.ones(400), np.ones(400), kind="binary", margin=0.02)
        assert result.equivalence.shown and result.p_value is None

    def test_the_sensitivity_allows_for_the_number_of_comparisons(self):
        """With ten comparisons a larger difference is needed than with one."""
        noise = np.linspace(-1, 1, 50)
        one, ten = (compared(np.zeros(50), noise, comparisons=n).sensitivity for n in (1, 10))
        assert one.minimum_difference < ten.minimum_difference and ten.alpha == pytest.approx(0.005)

    def test_wins_follow_the_goal_and_ties_count_half(self):
        """Two higher, one lower, one equal."""
        result = compared([0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 1.0])
        assert (result.n_higher, result.n_lower, result.n_equal, result.win_rate) == (2, 1, 1, 0.625)
        assert compared([0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 0.0, 1.0], goal="minimise").win_rate == 0.375
        assert compared([], []).win_rate is None

    def test_numeric_scores_have_all_effect_sizes(self):
        """The one that goes with the test stands first."""
        result = compared(RNG.normal(0, 1, 40), RNG.normal(0.5, 1, 40))
        names = [effect.name for effect in result.effects]
        assert (
            names == ["Cohen's d_z", "Cohen's d", "Hedges' g", "Cliff's delta"] and result.effect == result.effects[0]
        )
        assert all(one.interval.low < one.value < one.interval.high for one in result.effects)

    def test_benjamini_hochberg_is_named_in_verdict_and_result(self):
        """Which correction decided must be readable from the result alone."""
        clear = compared([0.0] * 30, [1.0] * 30, kind="binary")
        first, _ = adjust([clear, cavo()], "bh")
        assert first.correction == "Benjamini-Hochberg" and "Benjamini-Hochberg-adjusted p" in first.verdict_reason
        assert adjust([clear, cavo()])[0].correction == "Holm"
