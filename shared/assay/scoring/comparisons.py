"""Sets a variant against the baseline, paired by row. Pure; the evaluation calls it per score and variant.

`adjust` then corrects all comparisons of a run for their number, and revises their verdicts.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from assay.scoring.base import ScoreKind
from assay.scoring.judging import Judgement, judge
from assay.scoring.paired_scores import Method, PairedScores
from assay.scoring.results import Bounds, Comparison, Effect, Equivalence, Goal, Interval, Verdict
from assay.scoring.statistics.corrections import CORRECTION_NAMES, CORRECTIONS, Correction
from assay.scoring.statistics.intervals import mean_interval
from assay.scoring.statistics.missing import missing_bounds


def minimum_pairs(alpha: float) -> int:
    """The fewest pairs with which an exact paired test can reach `alpha` at all: 2 x 0.5^n <= alpha; 6 for 0.05."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; expected a number between 0 and 1")
    return math.ceil(math.log2(2 / alpha))


def compare(
    scores: PairedScores,
    *,
    kind: ScoreKind,
    value_range: tuple[float, float] | None,
    method: Method,
    goal: Goal = "maximise",
) -> Comparison:
    """The variant's score less the baseline's, over the rows that both have; every other row is counted as missing.

    With repeats a row's score is the mean over those that have one, and no longer binary. The same scores, in the same
    order of rows, and the same seed (0 or more) give the same result. Raises ValueError for a binary score that is not
    0 or 1, and for a test that does not fit the scores.
    """
    rows, pairs = scores.by_row, scores.complete
    score_kind, kind = kind, "numeric" if scores.repeats > 1 else kind
    judgement = judge(pairs, kind, method)
    bounds = missing_bounds(scores.baseline, scores.variant, (0.0, 1.0) if kind == "binary" else value_range)
    verdict, reason = _verdict(judgement, len(pairs.baseline), method.alpha, goal)
    no_baseline, no_variant = np.isnan(rows.baseline), np.isnan(rows.variant)
    signs = np.sign(pairs.differences)
    return Comparison(
        kind=kind,
        goal=goal,
        alpha=method.alpha,
        n_rows=len(rows.baseline),
        n_pairs=len(pairs.baseline),
        missing_baseline=int(no_baseline.sum()),
        missing_variant=int(no_variant.sum()),
        missing_both=int((no_baseline & no_variant).sum()),
        baseline_mean=mean_interval(pairs.baseline).estimate,
        variant_mean=mean_interval(pairs.variant).estimate,
        difference=judgement.interval.estimate,
        interval=judgement.interval,
        test=judgement.significance.test,
        test_reason=judgement.chosen.reason,
        statistic=judgement.significance.statistic,
        p_value=judgement.significance.p_value,
        effect=judgement.effect,
        effects=judgement.effects,
        odds_ratio=judgement.odds_ratio,
        bounds=bounds,
        verdict=verdict,
        verdict_reason=reason,
        notes=tuple(_notes(judgement, bounds, len(rows.baseline) - len(pairs.baseline), method.alpha)),
        equivalence=judgement.equivalence,
        sensitivity=judgement.sensitivity,
        probability_higher=judgement.probability_higher,
        n_higher=int(np.sum(signs > 0)),
        n_lower=int(np.sum(signs < 0)),
        n_equal=int(np.sum(signs == 0)),
        n_clusters=judgement.n_clusters,
        n_repeats=scores.repeats,
        score_kind=score_kind,
    )


def adjust(comparisons: Sequence[Comparison], correction: Correction = "holm") -> tuple[Comparison, ...]:
    """The comparisons in the same order, each with its adjusted p-value and the verdict that follows from it.

    Give all comparisons of a run at once: together they are the family. Their equivalences are adjusted as a family of
    their own. A second call changes nothing.
    """
    adjusted = CORRECTIONS[correction]([comparison.p_value for comparison in comparisons])
    equivalences = _adjusted_equivalences(comparisons, correction)
    return tuple(
        _adjusted(comparison.model_copy(update={"equivalence": equivalence}), p, correction)
        for comparison, p, equivalence in zip(comparisons, adjusted, equivalences, strict=True)
    )


def _adjusted(comparison: Comparison, p_adjusted: float | None, correction: Correction) -> Comparison:
    name = CORRECTION_NAMES[correction]
    update = {"p_adjusted": p_adjusted, "correction": name}
    if comparison.verdict == "not enough data" or p_adjusted is None:
        return comparison.model_copy(update=update)
    verdict, reason = _significant_verdict(
        p_adjusted, f"{name}-adjusted p", comparison.alpha, comparison.difference, comparison.effect, comparison.goal
    )
    return comparison.model_copy(update={**update, "verdict": verdict, "verdict_reason": reason})


def _adjusted_equivalences(comparisons: Sequence[Comparison], correction: Correction) -> list[Equivalence | None]:
    asked = [comparison for comparison in comparisons if comparison.equivalence is not None]
    p_values = CORRECTIONS[correction]([one.equivalence.p_value for one in asked if one.equivalence is not None])
    adjusted = iter(p_values)
    return [
        None if one.equivalence is None else _with_adjusted(one.equivalence, next(adjusted), one.alpha)
        for one in comparisons
    ]


def _with_adjusted(equivalence: Equivalence, p_adjusted: float | None, alpha: float) -> Equivalence:
    return replace(equivalence, p_adjusted=p_adjusted, shown=None if p_adjusted is None else p_adjusted <= alpha)


def _verdict(judgement: Judgement, n_pairs: int, alpha: float, goal: Goal) -> tuple[Verdict, str]:
    if n_pairs < minimum_pairs(alpha):
        return "not enough data", f"{n_pairs} pairs; at least {minimum_pairs(alpha)} are needed at alpha {alpha:g}"
    p_value = judgement.significance.p_value
    if p_value is None:
        return "no difference shown", judgement.significance.reason or "there is nothing to test"
    return _significant_verdict(p_value, "p", alpha, judgement.interval.estimate, judgement.effect, goal)


def _significant_verdict(
    p_value: float, label: str, alpha: float, difference: float | None, effect: Effect, goal: Goal
) -> tuple[Verdict, str]:
    if p_value > alpha:
        return "no difference shown", f"{label} = {p_value:.3g} is above {alpha:g}"
    direction = np.sign(difference or 0.0)
    if direction == 0 or direction != np.sign(effect.value or 0.0):
        # A rank test can reject while a few large differences pull the mean the other way: then neither side has won.
        return "no difference shown", f"{label} = {p_value:.3g}, but mean difference and effect size disagree in sign"
    improved = (direction > 0) == (goal == "maximise")
    return "better" if improved else "worse", f"{label} = {p_value:.3g} is at most {alpha:g}"


def _notes(judgement: Judgement, bounds: Bounds, missing: int, alpha: float) -> Iterable[str]:
    interval, significance = judgement.interval, judgement.significance
    if interval.reason:
        yield f"Interval ({interval.method}): {interval.reason}."
    if significance.p_value is not None and _excludes_zero(interval) != (significance.p_value <= alpha):
        yield "Interval and test disagree, so the evidence is at its limit; the verdict follows the test."
    if missing and bounds.low is not None and bounds.high is not None:
        yield f"{missing} rows lack a score; with them the difference could be {bounds.low:.4g} to {bounds.high:.4g}."
        if bounds.low < 0 < bounds.high:
            yield "The missing scores could reverse the direction of the difference."
    elif missing:
        yield f"{missing} rows lack a score; how far they could move the difference is unknown: {bounds.reason}."


def _excludes_zero(interval: Interval) -> bool:
    return interval.low is not None and interval.high is not None and not interval.low <= 0 <= interval.high
