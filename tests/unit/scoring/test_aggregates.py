"""Metrics: every trial is counted, none is averaged in without a score."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.scoring.aggregates import summarise
from assay.scoring.results import Metric, MissingCounts

SCORES = st.lists(st.none() | st.floats(-1e6, 1e6), max_size=30)


class TestNumeric:
    def test_agrees_with_the_standard_library(self):
        """Mean, sample standard deviation and quartiles as Python's statistics module has them."""
        values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]
        metric = summarise(values, "numeric")
        assert metric.mean == statistics.fmean(values)
        assert metric.standard_deviation == pytest.approx(statistics.stdev(values))
        quartiles = [metric.quantiles[name] for name in ("p25", "p50", "p75")]
        assert quartiles == pytest.approx(statistics.quantiles(values, n=4, method="inclusive"))
        assert (metric.minimum, metric.maximum, metric.interval.method) == (2.0, 9.0, "t")

    def test_missing_scores_do_not_move_the_mean(self):
        """None, NaN and infinity are no scores: they are counted and left out."""
        metric = summarise([1.0, None, 3.0, math.nan, math.inf], "numeric", MissingCounts(failed=1, blocked=1))
        assert (metric.mean, metric.n_trials, metric.n_scored) == (2.0, 5, 2)
        assert metric.missing == MissingCounts(failed=1, blocked=1, unscored=1)
        assert (metric.failure_rate, metric.block_rate) == (0.2, 0.2)

    def test_very_large_scores_do_not_overflow(self):
        """A scorer may return anything a float can hold; its square cannot."""
        assert summarise([1e200, 3e200], "numeric").standard_deviation == pytest.approx(math.sqrt(2) * 1e200)

    def test_scores_further_apart_than_a_float_can_tell_have_quantiles(self):
        """What lies between them is infinite, which no report can hold."""
        metric = summarise([-1e308, 1e308] * 20, "numeric")
        assert metric.quantiles == {"p05": -1e308, "p25": -1e308, "p50": 0, "p75": 1e308, "p95": 1e308}
        assert Metric.model_validate_json(metric.model_dump_json()) == metric

    @settings(max_examples=60, deadline=None)
    @given(SCORES)
    def test_never_raises_and_counts_every_trial(self, values):
        """Scored and missing trials add up, the quantiles rise, and the record survives JSON."""
        metric = summarise(values, "numeric")
        assert metric.n_scored + metric.missing.total == metric.n_trials == len(values)
        assert list(metric.quantiles.values()) == sorted(metric.quantiles.values())
        assert Metric.model_validate_json(metric.model_dump_json()) == metric


class TestBinary:
    def test_gives_the_pass_rate_with_its_wilson_interval(self):
        """15 of 148, as in Newcombe (1998), table I."""
        metric = summarise([1.0] * 15 + [0.0] * 133, "binary")
        assert metric.mean == pytest.approx(15 / 148)
        assert (metric.interval.low, metric.interval.high) == (
            pytest.approx(0.0624, abs=6e-5),
            pytest.approx(0.1605, abs=6e-5),
        )
        assert metric.standard_deviation is None and metric.quantiles == {}

    def test_other_values_are_refused(self):
        """A pass rate of halves has no meaning."""
        with pytest.raises(ValueError, match="0 or 1"):
            summarise([0.5], "binary")


class TestClusters:
    @pytest.mark.parametrize(
        ("kind", "method"), [("binary", "Wilson, effective sample size"), ("numeric", "clustered t")]
    )
    def test_trials_of_a_cluster_are_one_piece_of_evidence(self, kind, method):
        """Five repeats that agree tell no more than one; a missing trial takes its cluster's number along."""
        values = np.append(np.repeat([0.0, 1.0, 1.0, 0.0, 1.0, 1.0], 5), np.nan)
        metric = summarise(values, kind, clusters=np.append(np.repeat(np.arange(6), 5), 6))
        alone = summarise(values, kind)
        assert (metric.interval.method, metric.n_clusters, alone.n_clusters) == (method, 6, None)
        assert metric.interval.low < alone.interval.low and metric.mean == alone.mean


class TestMissing:
    @pytest.mark.parametrize("kind", ["binary", "numeric"])
    @pytest.mark.parametrize("values", [[], [None, None]])
    def test_no_scores_give_an_empty_metric(self, kind, values):
        """An experiment whose trials all failed still has its line in the report."""
        metric = summarise(values, kind)
        assert metric.mean is None and metric.interval.reason == "there are no values"
        assert metric.missing.unscored == len(values)
        assert metric.failure_rate == (0.0 if values else None)

    def test_more_missing_trials_than_gaps_are_refused(self):
        """Counts that do not fit the values are a mistake of the caller."""
        with pytest.raises(ValueError, match="2 trials are said to be missing, but only 1"):
            summarise([1.0, None], "numeric", MissingCounts(failed=2))

    def test_numpy_values_become_plain_numbers(self):
        """The record is JSON, whatever numbers came in."""
        assert '"mean":1.5' in summarise([np.float64(1), np.int64(2)], "numeric").model_dump_json()
