"""Verdicts of runs that may end early: from sequences that hold at every look, not from tests for a fixed size.

The evaluation gives what `compare` made, and what was followed; a p-value for a fixed number of rows does not decide.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from assay.scoring.early_stop.base import Settled
from assay.scoring.early_stop.betting import ConfidenceSequence
from assay.scoring.early_stop.course import Course
from assay.scoring.early_stop.results import Anytime, EarlyStop, EarlyStops
from assay.scoring.results import Comparison, Equivalence, Interval, Verdict
from assay.scoring.statistics.corrections import CORRECTION_NAMES, CORRECTIONS, Correction

TEST = "anytime-valid betting test"
_METHOD = "betting confidence sequence"
_REASON = "the run may end early, and this test holds at every look"
_NO_TEST = "the run may end early, and this score has no known range, so no test of it holds at every look"
_NOT_SEQUENTIAL = "this variant was stopped by a heuristic, so its p-value and interval do not hold as they stand"


@dataclass(frozen=True)
class Followed:
    """What early stop has seen of a run: a course per variant, and those that were settled.

    `rules` are the names of the suite's rules; `alpha` is the sequential rule's over all variants, None without it.
    """

    courses: Mapping[str, Course]
    settled: Mapping[str, Settled]
    rules: tuple[str, ...]
    alpha: float | None

    def anytime(self, variant: str, score: str) -> Anytime | None:
        """A score's difference by the sequential test; None for a score without a known range, or without the test."""
        course = self.courses[variant].scores.get(score)
        if course is None or course.sequence is None or not course.width:
            return None
        return _anytime(course.sequence, course.width)


@dataclass(frozen=True)
class Asked:
    """How many trials of an experiment were asked and were not, and what those that were cost."""

    experiment: str
    asked: int
    skipped: int
    cost_usd: Decimal


def early_stops(followed: Followed, baseline: str, asked: Sequence[Asked]) -> EarlyStops:
    """What reports say of early stop. `asked` has every experiment, the baseline first."""
    return EarlyStops(
        rules=followed.rules,
        alpha=followed.alpha,
        experiments=tuple(
            EarlyStop(
                experiment=one.experiment,
                baseline=one.experiment == baseline,
                settled=followed.settled.get(one.experiment),
                asked_trials=one.asked,
                saved_trials=one.skipped,
                saved_usd=one.cost_usd * one.skipped / one.asked if one.asked else Decimal(0),
                sequences=_sequences(followed, one.experiment),
            )
            for one in asked
        ),
    )


def settle_verdicts(
    comparisons: Sequence[Comparison],
    places: Sequence[tuple[str, str]],
    primary: str | None,
    followed: Followed,
    correction: Correction,
) -> tuple[Comparison, ...]:
    """The comparisons in the same order, with p-values, intervals and verdicts that hold however the run ended.

    `places` has the score and the variant of each, and all comparisons of the run are given. Those of the primary
    score share alpha in equal parts, as the rule does; those of the other scores are a family of their own, corrected
    as the suite says. Without the sequential rule only a note is added where a heuristic has stopped the variant.
    """
    if followed.alpha is None:
        return tuple(
            _noted(one) if variant in followed.settled else one
            for one, (_, variant) in zip(comparisons, places, strict=True)
        )
    tested = [
        _tested(one, followed.anytime(variant, score), followed.alpha)
        for one, (score, variant) in zip(comparisons, places, strict=True)
    ]
    others = iter(
        CORRECTIONS[correction]([one.p_value for one, place in zip(tested, places, strict=True) if place[0] != primary])
    )
    return tuple(
        _decided(one, _shared(one.p_value, len(followed.courses)), "Bonferroni")
        if score == primary
        else _decided(one, next(others), CORRECTION_NAMES[correction])
        for one, (score, _) in zip(tested, places, strict=True)
    )


def _anytime(sequence: ConfidenceSequence, width: float) -> Anytime:
    sequence.tighten()
    estimate = None if sequence.estimate is None else sequence.estimate * width
    level = 1 - sequence.alpha
    return Anytime(
        pairs=sequence.pairs,
        interval=Interval(estimate, sequence.low * width, sequence.high * width, level, _METHOD),
        p_value=sequence.p_value,
        direction=sequence.direction,
        capital_log10=max(sequence.log_higher, sequence.log_lower) / math.log(10),
    )


def _sequences(followed: Followed, experiment: str) -> dict[str, Anytime]:
    course = followed.courses.get(experiment)
    found = {name: followed.anytime(experiment, name) for name in (course.scores if course else ())}
    return {name: one for name, one in found.items() if one is not None}


def _tested(comparison: Comparison, seen: Anytime | None, alpha: float) -> Comparison:
    """A comparison with the always-valid test in the place of the one for a fixed number of rows."""
    common = {"alpha": alpha, "sensitivity": None, "test_reason": _REASON, "test": TEST, "statistic": None}
    if seen is None:
        notes = (*comparison.notes, f"The interval is for a fixed number of rows: {_NO_TEST}.")
        return comparison.model_copy(update={**common, "p_value": None, "equivalence": None, "notes": notes})
    return comparison.model_copy(
        update={
            **common,
            "p_value": seen.p_value,
            "interval": seen.interval,
            "equivalence": _equivalence(comparison.equivalence, seen.interval),
            "notes": tuple(_notes(comparison, seen)),
        }
    )


def _decided(comparison: Comparison, p_adjusted: float | None, correction: str) -> Comparison:
    verdict, reason = _verdict(comparison, p_adjusted, correction)
    return comparison.model_copy(
        update={"p_adjusted": p_adjusted, "correction": correction, "verdict": verdict, "verdict_reason": reason}
    )


def _verdict(comparison: Comparison, p_value: float | None, correction: str) -> tuple[Verdict, str]:
    if p_value is None:
        return "no difference shown", _NO_TEST
    said = f"anytime-valid p = {p_value:.3g} ({correction})"
    side = _side(comparison.interval)
    if p_value > comparison.alpha or not side:
        if comparison.verdict == "not enough data":
            return comparison.verdict, comparison.verdict_reason
        return "no difference shown", f"{said} is above {comparison.alpha:g}"
    improved = (side > 0) == (comparison.goal == "maximise")
    return "better" if improved else "worse", f"{said} is at most {comparison.alpha:g}"


def _side(interval: Interval) -> int:
    """Which side the evidence is for: that of the estimate of the sequence's own pairs."""
    estimate = interval.estimate or 0.0
    if interval.low is not None and interval.low >= 0:
        return 1
    if interval.high is not None and interval.high <= 0:
        return -1
    return (estimate > 0) - (estimate < 0)


def _shared(p_value: float | None, variants: int) -> float | None:
    return None if p_value is None else min(1.0, p_value * variants)


def _equivalence(asked: Equivalence | None, interval: Interval) -> Equivalence | None:
    if asked is None or interval.low is None or interval.high is None:
        return asked
    shown = -asked.margin < interval.low and interval.high < asked.margin
    return Equivalence(asked.margin, interval, None, shown, _METHOD)


def _notes(comparison: Comparison, seen: Anytime) -> list[str]:
    kept = [note for note in comparison.notes if "missing scores" in note or "lack a score" in note]
    beyond = comparison.n_pairs - seen.pairs
    if beyond > 0:
        kept.append(f"{beyond} more pairs that were asked count in the means, not in the interval and the test.")
    return kept


def _noted(comparison: Comparison) -> Comparison:
    return comparison.model_copy(update={"notes": (*comparison.notes, f"Mind that {_NOT_SEQUENTIAL}.")})
