"""Summarises the scores of one experiment into a metric. Pure; the evaluation calls it once per score."""

from collections.abc import Sequence

import numpy as np

from assay.scoring.base import ScoreKind
from assay.scoring.results import Interval, Metric, MissingCounts
from assay.scoring.statistics.arrays import Codes, Floats, scaled
from assay.scoring.statistics.clusters import clustered_mean_interval, clustered_wilson_interval
from assay.scoring.statistics.intervals import mean_interval, standard_deviation, wilson_interval

QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


def summarise(
    values: Sequence[float | None] | Floats,
    kind: ScoreKind,
    missing: MissingCounts | None = None,
    level: float = 0.95,
    clusters: Codes | None = None,
) -> Metric:
    """The metric of one score: `values` has one entry per trial, None (or NaN, or infinity) where there is no score.

    `missing` says why; what it does not explain counts as unscored. Binary: pass rate with Wilson interval. Numeric:
    mean with t interval, sample standard deviation and quantiles by linear interpolation (Hyndman and Fan's type 7).
    `clusters` has a number per trial, the same for trials that are not independent (rows of a group, repeats of a
    row): the interval then allows for that. Raises ValueError when `missing` counts more than there is, and for a
    binary value that is neither 0 nor 1.
    """
    column = np.asarray(values, dtype=np.float64)  # None becomes NaN
    seen = np.isfinite(column)
    scored = column[seen]
    reasons = _explain(len(column) - len(scored), missing or MissingCounts())
    interval = _interval(scored, kind, level, None if clusters is None else clusters[seen])
    metric = Metric(
        kind=kind,
        n_trials=len(column),
        n_scored=len(scored),
        missing=reasons,
        mean=interval.estimate,
        interval=interval,
        failure_rate=_share(reasons.failed, len(column)),
        block_rate=_share(reasons.blocked, len(column)),
        n_clusters=None if clusters is None else len(np.unique(clusters[seen])),
    )
    return metric if kind == "binary" or not len(scored) else _with_distribution(metric, scored)


def _explain(gaps: int, missing: MissingCounts) -> MissingCounts:
    if missing.total > gaps:
        raise ValueError(f"{missing.total} trials are said to be missing, but only {gaps} have no score")
    return missing.model_copy(update={"unscored": missing.unscored + gaps - missing.total})


def _interval(scored: Floats, kind: ScoreKind, level: float, clusters: Codes | None) -> Interval:
    if kind == "binary" and not np.isin(scored, (0.0, 1.0)).all():
        raise ValueError("a binary score is 0 or 1; summarise other scores as numeric")
    if clusters is not None:
        clustered = clustered_wilson_interval if kind == "binary" else clustered_mean_interval
        return clustered(scored, clusters, level)
    return wilson_interval(int(scored.sum()), len(scored), level) if kind == "binary" else mean_interval(scored, level)


def _with_distribution(metric: Metric, scored: Floats) -> Metric:
    array, scale = scaled(scored)  # what lies between two quantiles may be more than a float holds
    quantiles = np.quantile(array, list(QUANTILES.values())) * scale
    distribution = {
        "standard_deviation": standard_deviation(scored),
        "minimum": float(scored.min()),
        "maximum": float(scored.max()),
        "quantiles": dict(zip(QUANTILES, (float(quantile) for quantile in quantiles), strict=True)),
    }
    return metric.model_copy(update=distribution)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
