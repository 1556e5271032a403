"""The built-in aggregators and comparers: their figures, and that they can always be written."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from statsmodels.stats.inter_rater import cohens_kappa

from assay.scoring.experiments import AGGREGATORS, COMPARERS
from assay.scoring.summing_up import run_aggregators, run_comparers
from views_of import view


def aggregated(plugin: str, seen: Any, **options: Any) -> Any:
    return AGGREGATORS.make(plugin, options).aggregate(seen)


def compared(plugin: str, baseline: Any, variant: Any, **options: Any) -> Any:
    return COMPARERS.make(plugin, options).compare(baseline, variant)


class TestClassificationReport:
    PAIRS = (
        [("cat", "cat")] * 4
        + [("cat", "dog"), ("cat", "fish"), ("fish", "cat")] * 1
        + [("fish", "cat")] * 5
        + [("fish", "fish")] * 2
        + [("hen", "fish")] * 2
        + [("hen", "cat")] * 3
        + [("hen", "hen")] * 6
    )
    """25 animals; the matrix of a widely copied worked example, with one cat taken for a dog that nobody expects."""

    def test_figures_follow_from_the_matrix(self):
        """Precision TP/(TP+FP), recall TP/(TP+FN), F1 their harmonic mean: cat 4/13 and 4/6, fish 2/5 and 2/8."""
        found = aggregated("classification_report", view(labels={"correct": self.PAIRS}))
        cat, fish, hen = (found["labels"][name] for name in ("cat", "fish", "hen"))
        assert (cat["precision"], cat["recall"], cat["support"]) == (4 / 13, 4 / 6, 6)
        assert cat["f1"] == pytest.approx(2 * (4 / 13) * (4 / 6) / (4 / 13 + 4 / 6), rel=1e-12)
        assert (fish["precision"], fish["recall"], fish["support"]) == (2 / 5, 2 / 8, 8)
        assert (hen["precision"], hen["recall"], hen["support"]) == (1.0, 6 / 11, 11)
        assert (found["judged"], found["accuracy"], found["never_expected"]) == (25, 12 / 25, 1)
        assert found["macro"]["recall"] == pytest.approx((4 / 6 + 2 / 8 + 6 / 11) / 3, rel=1e-12)
        assert found["weighted"]["recall"] == pytest.approx(12 / 25, rel=1e-12)
        assert list(found["labels"]) == ["cat", "fish", "hen"]

    def test_kappa_agrees_with_cohens_example(self):
        """Two raters, 50 proposals, 20 times both yes and 15 times both no: (0.7 - 0.5) / (1 - 0.5) = 0.4."""
        pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
        kappa = aggregated("classification_report", view(labels={"s": pairs}))["kappa"]
        assert kappa["value"] == pytest.approx(0.4, rel=1e-12)
        assert kappa["low"] < 0.4 < kappa["high"]
        assert kappa["value"] == cohens_kappa(np.array([[15, 10], [5, 20]]), return_results=False)

    def test_an_interval_of_kappa_ends_at_1(self):
        """The normal distribution that it is taken from does not."""
        pairs = [("y", "y")] * 20 + [("n", "n")] * 20 + [("y", "n")]
        kappa = aggregated("classification_report", view(labels={"s": pairs}))["kappa"]
        assert kappa["value"] < kappa["high"] == 1.0

    def test_answers_without_a_label_are_wrong_and_counted(self):
        """They cost recall, and no label's precision."""
        found = aggregated("classification_report", view(labels={"s": [("a", "a"), ("a", None), None]}))
        assert (found["judged"], found["without_label"], found["accuracy"]) == (2, 1, 0.5)
        assert (found["labels"]["a"]["precision"], found["labels"]["a"]["recall"]) == (1.0, 0.5)

    def test_one_label_alone_has_no_kappa(self):
        """Chance would agree always."""
        assert aggregated("classification_report", view(labels={"s": [("a", "a")] * 3}))["kappa"] is None

    def test_the_first_score_of_labels_is_taken_unless_another_is_named(self):
        """Most suites have one."""
        both = view(labels={"queue": [("a", "a")], "mood": [("b", "c")]})
        assert aggregated("classification_report", both)["score"] == "queue"
        assert aggregated("classification_report", both, score="mood")["accuracy"] == 0.0

    @pytest.mark.parametrize(
        ("options", "problem"), [({}, "no score says any"), ({"score": "x"}, "score 'x' says any")]
    )
    def test_without_labels_there_is_no_report(self, options: dict[str, str], problem: str):
        """The report says so in its place."""
        found = run_aggregators([AGGREGATORS.make("classification_report", options)], view({"x": [1]}))
        assert problem in found["classification_report"]["error"]


class TestSpread:
    def test_tokens_and_cost_are_summed_and_spread(self):
        """Trials without usage do not count."""
        seen = view(input_tokens=[10, 20, np.nan], output_tokens=[1, 3, np.nan], cost_usd=[0.5, 0.25, np.nan])
        found = aggregated("token_usage", seen, quantiles=[0.5, 0.999])
        assert found["input_tokens"] == {
            "total": 30.0,
            "n": 2,
            "mean": 15.0,
            "minimum": 10.0,
            "maximum": 20.0,
            "p50": 15.0,
            "p99.9": pytest.approx(19.99),
        }
        assert found["cost_usd"]["total"] == 0.75

    def test_latency_has_seconds_first_tokens_and_speed(self):
        """Speed is output tokens over the whole time."""
        seen = view(latency_seconds=[2.0, 4.0], output_tokens=[100, 100], first_token_seconds=[np.nan, 0.5])
        found = aggregated("latency", seen)
        assert found["latency_seconds"]["p50"] == 3.0
        assert found["first_token_seconds"]["n"] == 1
        assert found["output_tokens_per_second"]["maximum"] == 50.0

    def test_answers_in_no_time_have_no_speed(self):
        """Nothing divides by nothing."""
        found = aggregated("latency", view(latency_seconds=[0.0, 0.0], output_tokens=[5, 0]))
        assert found["output_tokens_per_second"] == {"n": 0}

    def test_quantiles_of_one_score_or_of_all(self):
        """By linear interpolation, as metrics have them."""
        seen = view({"a": [0, 1, 2, 3, 4], "b": [1, 1, 1, 1, np.nan]})
        assert aggregated("score_quantiles", seen, score="a", quantiles=[0.05])["a"]["p05"] == pytest.approx(0.2)
        assert aggregated("score_quantiles", seen)["b"]["n"] == 4


class TestWinRate:
    def test_rows_are_won_lost_or_tied(self):
        """A tie is half a win; a row without a score on one side does not count."""
        before, after = view({"s": [1, 5, 3, 2, np.nan]}), view({"s": [2, 4, 3, np.nan, 1]})
        assert compared("win_rate", before, after, score="s") == {
            "rows": 3,
            "wins": 1,
            "losses": 1,
            "ties": 1,
            "rate": 0.5,
        }

    def test_a_small_difference_may_be_a_tie(self):
        """The bound itself is one."""
        before, after = view({"s": [0.0, 0.0, 0.0]}), view({"s": [0.5, 0.6, -0.5]})
        assert compared("win_rate", before, after, score="s", tie=0.5)["ties"] == 2

    def test_less_may_be_better(self):
        """Seconds, for one."""
        before, after = view({"s": [3.0]}), view({"s": [2.0]})
        assert compared("win_rate", before, after, score="s", goal="minimise")["wins"] == 1

    def test_repeats_of_a_row_count_by_their_mean(self):
        """And the sides need not have equally many."""
        before, after = view({"s": [[1.0, 2.0], [np.nan, 4.0]]}), view({"s": [1.6, 3.0]})
        assert compared("win_rate", before, after, score="s")["wins"] == 1

    def test_without_pairs_there_is_no_rate(self):
        """No rate rather than a wrong one."""
        assert compared("win_rate", view({"s": [np.nan]}), view({"s": [1]}), score="s")["rate"] is None


class TestLabelChanges:
    def test_changes_are_counted_by_pair_and_by_who_was_right(self):
        """Most frequent first; unchanged labels are not listed."""
        before = view(labels={"s": [("a", "b"), ("a", "b"), ("b", "b"), ("a", "a"), ("a", None), None]})
        after = view(labels={"s": [("a", "a"), ("a", "a"), ("b", "a"), ("a", "a"), ("a", "b"), None]})
        assert compared("label_changes", before, after) == {
            "score": "s",
            "trials": 5,
            "changed": 4,
            "mended": 2,
            "broken": 1,
            "changes": [
                {"from": "b", "to": "a", "changed": 3, "mended": 2, "broken": 1},
                {"from": None, "to": "b", "changed": 1, "mended": 0, "broken": 0},
            ],
        }


class TestRatios:
    def test_the_ratio_is_of_means_over_rows_that_both_have(self):
        """Below 1 the variant is cheaper."""
        before, after = view(cost_usd=[2.0, 4.0, 9.0]), view(cost_usd=[1.0, 2.0, np.nan])
        assert compared("cost_ratio", before, after) == {
            "rows": 2,
            "baseline_mean": 3.0,
            "variant_mean": 1.5,
            "ratio": 0.5,
        }
        assert compared("latency_ratio", before, after) == {"rows": 0, "ratio": None}

    def test_nothing_is_a_multiple_of_nothing(self):
        """A baseline from the cache cost nothing."""
        assert compared("cost_ratio", view(cost_usd=[0.0]), view(cost_usd=[1.0]))["ratio"] is None


FLOATS = st.floats(0, 1e6) | st.just(float("nan"))
LABELS = st.none() | st.tuples(st.sampled_from("abc"), st.none() | st.sampled_from("abcd"))


@settings(max_examples=50)
@example([(5e-324, 1.0, None, None)])
@given(st.lists(st.tuples(FLOATS, FLOATS, LABELS, LABELS), min_size=1, max_size=8))
def test_every_built_in_plugin_can_always_be_written(rows: list[Any]) -> None:
    """Whatever is missing: no NaN, no error, JSON."""
    first, second, labels, others = (list(column) for column in zip(*rows, strict=True))
    sides = [
        view({"s": column}, {"l": found}, name, latency_seconds=column, output_tokens=column, cost_usd=column)
        for name, column, found in (("plain", first, labels), ("short", second, others))
    ]
    named = {"win_rate": {"score": "s"}}
    aggregators = [AGGREGATORS.make(name, {}) for name in AGGREGATORS.names if name != "callable"]
    comparers = [COMPARERS.make(name, named.get(name, {})) for name in COMPARERS.names if name != "callable"]
    found = [*(run_aggregators(aggregators, side) for side in sides), run_comparers(comparers, *sides)]
    assert [one for results in found for one in results.values() if "error" in one] == []
    json.dumps(found, allow_nan=False)
