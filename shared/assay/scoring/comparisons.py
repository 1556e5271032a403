"""Sets a variant against the baseline, paired by row id. Pure; the evaluation calls it per score and variant.

`adjust` then corrects all comparisons of a run for their number, and revises their verdicts.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from assay.scoring.base import ScoreKind
from assay.scoring.results import (
    Bounds,
    Comparison,
    Effect,
    Goal,
    Interval,
    Significance,
    Verdict,
)
from assay.scoring.statistics import (
    LARGE_SAMPLE,
    Floats,
    bootstrap_mean_interval,
    choose_test,
    cohens_dz,
    cohens_g,
    compare_binary,
    holm,
    mean_interval,
    missing_bounds,
    paired_t,
    rank_biserial,
    wilcoxon,
)


@dataclass(frozen=True, slots=True)
class PairedScores:
    """The scores of both sides, row by row in the order of the row ids; NaN where a side has none."""

    baseline: Floats
    variant: Floats

    @property
    def complete(self) -> "PairedScores":
        """Only the rows that both sides have."""
        pairs = ~np.isnan(self.baseline + self.variant)
        return PairedScores(self.baseline[pairs], self.variant[pairs])


@dataclass(frozen=True, slots=True)
class _Judgement:
    """What the statistics say about complete pairs."""

    interval: Interval
    significance: Significance
    test_reason: str
    effect: Effect
    odds_ratio: Interval | None = None


def minimum_pairs(alpha: float) -> int:
    """The fewest pairs with which an exact paired test can reach `alpha` at all: 2 x 0.5^n <= alpha; 6 for 0.05."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; expected a number between 0 and 1")
    return math.ceil(math.log2(2 / alpha))


def compare(
    baseline: Mapping[str, float | None],
    variant: Mapping[str, float | None],
    all_row_ids: Iterable[str],
    *,
    kind: ScoreKind,
    alpha: float,
    seed: int,
    value_range: tuple[float, float] | None,
    goal: Goal = "maximise",
) -> Comparison:
    """The variant's score less the baseline's, over the rows that both have; every other row is counted as missing.

    A score is missing when the row id is absent or its value is None, NaN or infinite. `all_row_ids` are the rows of
    the run; with several repeats, give the mean over a row's repeats, because repeats are no independent rows.
    The result does not depend on the order of the rows, and the same seed (0 or more) gives the same interval.
    Raises ValueError for a score of a row that the run does not have, and for a binary score that is not 0 or 1.
    """
    scores = _paired_scores(baseline, variant, all_row_ids)
    pairs = scores.complete
    judgement = _judge_binary(pairs, alpha) if kind == "binary" else _judge_numeric(pairs, alpha, seed)
    no_baseline, no_variant = np.isnan(scores.baseline), np.isnan(scores.variant)
    bounds = missing_bounds(scores.baseline, scores.variant, (0.0, 1.0) if kind == "binary" else value_range)
    verdict, reason = _verdict(judgement, len(pairs.baseline), alpha, goal)
    return Comparison(
        kind=kind,
        goal=goal,
        alpha=alpha,
        n_rows=len(scores.baseline),
        n_pairs=len(pairs.baseline),
        missing_baseline=int(no_baseline.sum()),
        missing_variant=int(no_variant.sum()),
        missing_both=int((no_baseline & no_variant).sum()),
        baseline_mean=mean_interval(pairs.baseline).estimate,
        variant_mean=mean_interval(pairs.variant).estimate,
        difference=judgement.interval.estimate,
        interval=judgement.interval,
        test=judgement.significance.test,
        test_reason=judgement.test_reason,
        statistic=judgement.significance.statistic,
        p_value=judgement.significance.p_value,
        effect=judgement.effect,
        odds_ratio=judgement.odds_ratio,
        bounds=bounds,
        verdict=verdict,
        verdict_reason=reason,
        notes=tuple(_notes(judgement, bounds, len(scores.baseline) - len(pairs.baseline), alpha)),
    )


def adjust(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """The comparisons in the same order, each with its Holm-adjusted p-value and the verdict that follows from it.

    Give all comparisons of a run at once: together they are the family. A second call changes nothing.
    """
    adjusted = holm([comparison.p_value for comparison in comparisons])
    return tuple(_adjusted(comparison, p) for comparison, p in zip(comparisons, adjusted, strict=True))


def _adjusted(comparison: Comparison, p_adjusted: float | None) -> Comparison:
    if comparison.verdict == "not enough data" or p_adjusted is None:
        return comparison.model_copy(update={"p_adjusted": p_adjusted})
    verdict, reason = _significant_verdict(
        p_adjusted, "Holm-adjusted p", comparison.alpha, comparison.difference, comparison.effect, comparison.goal
    )
    update = {"p_adjusted": p_adjusted, "verdict": verdict, "verdict_reason": reason}
    return comparison.model_copy(update=update)


def _paired_scores(
    baseline: Mapping[str, float | None], variant: Mapping[str, float | None], all_row_ids: Iterable[str]
) -> PairedScores:
    rows = sorted(set(all_row_ids))
    unknown = sorted((baseline.keys() | variant.keys()) - set(rows))
    if unknown:
        raise ValueError(f"row {unknown[0]!r} has a score, but is not one of the run's {len(rows)} rows")
    return PairedScores(_column(baseline, rows), _column(variant, rows))


def _column(scores: Mapping[str, float | None], rows: Sequence[str]) -> Floats:
    values = np.array([scores.get(row) for row in rows], dtype=np.float64)  # None becomes NaN
    return np.where(np.isfinite(values), values, np.nan)


def _judge_binary(pairs: PairedScores, alpha: float) -> _Judgement:
    result = compare_binary(pairs.baseline, pairs.variant, 1 - alpha)
    reason = choose_test("binary", []).reason
    return _Judgement(result.difference, result.significance, reason, cohens_g(result.pairs), result.odds_ratio)


def _judge_numeric(pairs: PairedScores, alpha: float, seed: int) -> _Judgement:
    """The interval goes with the test: t with t, and a bootstrap where the differences are few and not normal."""
    differences = pairs.variant - pairs.baseline
    chosen = choose_test("numeric", differences)
    if chosen.name == "paired_t":
        interval, effect = mean_interval(differences, 1 - alpha), cohens_dz(differences)
        return _Judgement(interval, paired_t(differences), chosen.reason, effect)
    if len(differences) < LARGE_SAMPLE:
        interval = bootstrap_mean_interval(differences, seed, 1 - alpha)
    else:
        interval = mean_interval(differences, 1 - alpha)
    return _Judgement(interval, wilcoxon(differences), chosen.reason, rank_biserial(differences))


def _verdict(judgement: _Judgement, n_pairs: int, alpha: float, goal: Goal) -> tuple[Verdict, str]:
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


def _notes(judgement: _Judgement, bounds: Bounds, missing: int, alpha: float) -> Iterable[str]:
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
