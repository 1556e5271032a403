"""What the evaluation does for runs that may end early: compares what was asked, by tests that hold at every look."""

from collections.abc import Mapping, Sequence

import numpy as np

from assay.reporting.columns import ExperimentColumns
from assay.scoring.aggregates import summarise
from assay.scoring.base import Scorer
from assay.scoring.early_stop.results import EarlyStops
from assay.scoring.early_stop.verdicts import Asked, Followed, early_stops, settle_verdicts
from assay.scoring.paired_scores import PairedScores
from assay.scoring.results import Comparison, Metric
from assay.scoring.statistics.arrays import Codes
from assay.scoring.statistics.corrections import Correction
from assay.scoring.views import NO_OUTCOME


def asked_pairs(
    baseline: ExperimentColumns, variant: ExperimentColumns, score: str, groups: Codes | None
) -> PairedScores:
    """The scores of the rows that both sides were asked about: what was not asked is not missing."""
    asked = _asked_rows(baseline) & _asked_rows(variant)
    before, after = (side.lines(score)[asked] for side in (baseline, variant))
    return PairedScores.of(before, after, None if groups is None else groups[asked])


def summary_of_asked(columns: ExperimentColumns, scorer: Scorer, level: float, clusters: Codes | None) -> Metric:
    """The metric of a score over the trials that were asked."""
    asked = columns.statuses != NO_OUTCOME
    missing = columns.missing(scorer.name).model_copy(update={"skipped": 0})
    values, of_group = columns.scores[scorer.name][asked], None if clusters is None else clusters[asked]
    return summarise(values, scorer.kind, missing, level, of_group)


def settled_comparisons(
    results: Sequence[Comparison],
    places: Sequence[tuple[str, str]],
    primary: str | None,
    followed: Followed | None,
    correction: Correction,
) -> tuple[Comparison, ...]:
    """The comparisons as they hold however the run ended; as they are when it could not end early."""
    if followed is None:
        return tuple(results)
    return settle_verdicts(results, places, primary, followed, correction)


def family_size(score: str, primary: str | None, comparisons: int, followed: Followed | None) -> int:
    """Over how many comparisons a p-value is corrected: in sequential runs the primary score's are apart."""
    if followed is None or followed.alpha is None:
        return comparisons
    variants = len(followed.courses)
    return variants if score == primary else comparisons - variants


def early_stop_of(followed: Followed | None, experiments: Mapping[str, ExperimentColumns]) -> EarlyStops | None:
    """What reports say of early stop; None for runs that could not end early. The baseline is the first."""
    if followed is None:
        return None
    asked = [
        Asked(name, len(one.statuses) - one.without_outcome, one.without_outcome, one.tally.costs.total().spent_usd)
        for name, one in experiments.items()
    ]
    return early_stops(followed, asked[0].experiment, asked)


def _asked_rows(columns: ExperimentColumns) -> np.ndarray:
    by_row = (columns.statuses != NO_OUTCOME).reshape(-1, columns.repeats)
    return np.asarray(by_row.any(axis=1))
