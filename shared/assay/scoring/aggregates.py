"""Summarises the scores of one experiment into a metric. Pure; the evaluation calls it once per score."""

import math
from collections.abc import Sequence

import numpy as np

from assay.scoring.base import ScoreKind
from assay.scoring.results import Interval, Metric, MissingCounts
from assay.scoring.statistics import mean_interval, standard_deviation, wilson_interval

QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def summarise(
    values: Sequence[float | None], kind: ScoreKind, missing: MissingCounts | None = None, level: float = 0.95
) -> Metric:
    """The metric of one score: `values` has one entry per trial, None (or NaN, or infinity) where there is no score.

    `missing` says why; what it does not explain counts as unscored. Binary: pass rate with Wilson interval. Numeric:
    mean with t interval, sample standard deviation and quantiles by linear interpolation (Hyndman and Fan's type 7).
    Raises ValueError when `missing` counts more than there is, and for a binary value that is neither 0 nor 1.
    """
    scored = [float(value) for value in values if value is not None and math.isfinite(value)]
    reasons = _explain(len(values) - len(scored), missing or MissingCounts())
    interval = _binary_interval(scored, level) if kind == "binary" else mean_interval(scored, level)
    metric = Metric(
        kind=kind,
        n_trials=len(values),
        n_scored=len(scored),
        missing=reasons,
        mean=interval.estimate,
        interval=interval,
        failure_rate=_share(reasons.failed, len(values)),
        block_rate=_share(reasons.blocked, len(values)),
    )
    return metric if kind == "binary" or not scored else _with_distribution(metric, scored)


def _explain(gaps: int, missing: MissingCounts) -> MissingCounts:
    if missing.total > gaps:
        raise ValueError(f"{missing.total} trials are said to be missing, but only {gaps} have no score")
    return missing.model_copy(update={"unscored": missing.unscored + gaps - missing.total})


def _binary_interval(scored: Sequence[float], level: float) -> Interval:
    if not set(scored) <= {0.0, 1.0}:
        raise ValueError("a binary score is 0 or 1; summarise other scores as numeric")
    return wilson_interval(int(sum(scored)), len(scored), level)


def _with_distribution(metric: Metric, scored: Sequence[float]) -> Metric:
    quantiles = np.quantile(scored, list(QUANTILES.values()))
    distribution = {
        "standard_deviation": standard_deviation(scored),
        "minimum": min(scored),
        "maximum": max(scored),
        "quantiles": dict(zip(QUANTILES, (float(quantile) for quantile in quantiles), strict=True)),
    }
    return metric.model_copy(update=distribution)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
