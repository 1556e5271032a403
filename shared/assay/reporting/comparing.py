"""Judges the columns of a run: a metric per experiment and score, a comparison per variant and score."""

from assay.reporting.columns import ExperimentColumns
from assay.reporting.contents import ComparedScore
from assay.reporting.early_ends import asked_pairs, family_size, settled_comparisons, summary_of_asked
from assay.reporting.finished_run import FinishedRun
from assay.reporting.gathering import Gathered
from assay.reporting.methods import method_of
from assay.reporting.wording import missing_sentence, verdict_sentence
from assay.scoring.aggregates import summarise
from assay.scoring.base import Scorer
from assay.scoring.comparisons import adjust, compare
from assay.scoring.paired_scores import PairedScores
from assay.scoring.results import Comparison, Metric
from assay.scoring.statistics.arrays import Codes


def metrics_of(
    run: FinishedRun, columns: ExperimentColumns, groups: Codes | None, never: frozenset[str] = frozenset()
) -> dict[str, Metric]:
    """A metric of every score; one over no trials for those that this experiment `never` has."""
    clusters, level = columns.clusters(groups), 1 - run.suite.comparison.alpha

    def metric(scorer: Scorer) -> Metric:
        if scorer.name in never:
            return summarise([], scorer.kind, level=level)
        if run.followed is not None:
            return summary_of_asked(columns, scorer, level, clusters)
        return summarise(columns.scores[scorer.name], scorer.kind, columns.missing(scorer.name), level, clusters)

    return {scorer.name: metric(scorer) for scorer in run.scorers}


def compared_scores(run: FinishedRun, gathered: Gathered, groups: Codes | None) -> tuple[ComparedScore, ...]:
    """Every variant on every score, the primary one first; together they are one family for the adjustment."""
    variants = run.plan.experiments[1:]
    in_order = sorted(run.scorers, key=lambda scorer: scorer.name != run.primary)
    pairs = [(scorer, variant) for scorer in in_order for variant in variants]
    places = [(scorer.name, variant) for scorer, variant in pairs]
    correction = run.suite.comparison.correction
    adjusted = adjust([_comparison(run, gathered, *pair, groups) for pair in pairs], correction)
    results = settled_comparisons(adjusted, places, run.primary, run.followed, correction)
    return tuple(
        _compared(run, variant, score, result, family_size(score, run.primary, len(pairs), run.followed))
        for (score, variant), result in zip(places, results, strict=True)
    )


def _comparison(run: FinishedRun, gathered: Gathered, scorer: Scorer, variant: str, groups: Codes | None) -> Comparison:
    comparisons = len(run.scorers) * (len(run.plan.experiments) - 1)
    paired = _paired(run, gathered, variant, scorer.name, groups)
    return compare(
        paired.as_preferences if scorer.name in run.preferences else paired,
        kind=scorer.kind,
        value_range=(0.0, 1.0) if scorer.kind == "binary" else scorer.value_range,
        method=method_of(run.suite, scorer.name, run.header.seed, comparisons),
        goal=run.suite.comparison.goal_of(scorer.name),
    )


def _paired(run: FinishedRun, gathered: Gathered, variant: str, score: str, groups: Codes | None) -> PairedScores:
    before, after = (gathered.columns.experiments[name] for name in (run.plan.experiments[0], variant))
    if run.followed is not None:
        return asked_pairs(before, after, score, groups)
    return PairedScores.of(before.lines(score), after.lines(score), groups)


def _compared(run: FinishedRun, variant: str, score: str, result: Comparison, family: int) -> ComparedScore:
    baseline = run.plan.experiments[0]
    return ComparedScore(
        variant=variant,
        score=score,
        primary=score == run.primary,
        sentence=verdict_sentence(variant, baseline, score, result, family),
        missing_sentence=missing_sentence(variant, baseline, result),
        higher=result.n_higher,
        lower=result.n_lower,
        result=result,
    )
