"""What a suite's `early_stop` means: its rules, and what they follow. Orchestrator and evaluation ask here."""

from collections.abc import Iterable, Mapping

from assay.planning.making import made
from assay.planning.preflight import primary_score, scorers_of
from assay.scoring.base import Scorer
from assay.scoring.early_stop.base import Settled, StoppingRule
from assay.scoring.early_stop.betting import ConfidenceSequence
from assay.scoring.early_stop.course import Course, ScoreCourse
from assay.scoring.early_stop.rules import STOPPING_RULES, Sequential
from assay.scoring.early_stop.verdicts import Followed
from assay.suite.models import Suite


def stopping_rules(suite: Suite) -> tuple[StoppingRule, ...]:
    """The suite's rules, made, in its order. Raises UserError."""
    return tuple(made(STOPPING_RULES, settings) for settings in suite.early_stop)


def sequential_rule(suite: Suite) -> Sequential | None:
    """The rule with the guarantee, or None."""
    return next((rule for rule in stopping_rules(suite) if isinstance(rule, Sequential)), None)


def sequential_alpha(suite: Suite, rule: Sequential) -> float:
    """The chance of a false alarm of one variant: all of them share alpha in equal parts (Bonferroni)."""
    return (rule.options.alpha or suite.comparison.alpha) / max(1, len(suite.experiments) - 1)


def begin_courses(suite: Suite, variants: Iterable[str]) -> dict[str, Course]:
    """A course per variant before its first row; with sequences of the scores whose range is known, if a rule tests."""
    rule, primary = sequential_rule(suite), primary_score(suite) or ""
    alpha = sequential_alpha(suite, rule) if rule else None
    scorers, goal = scorers_of(suite), suite.comparison.goal_of(primary)
    return {
        name: Course(name, primary, goal, scores={one.name: _score_course(range_of(one), alpha) for one in scorers})
        for name in variants
    }


def range_of(scorer: Scorer) -> tuple[float, float] | None:
    """Smallest and largest value of a score, or None when it has no such bounds."""
    return (0.0, 1.0) if scorer.kind == "binary" else scorer.value_range


def _score_course(value_range: tuple[float, float] | None, alpha: float | None) -> ScoreCourse:
    if value_range is None or alpha is None:
        return ScoreCourse()
    return ScoreCourse(width=value_range[1] - value_range[0], sequence=ConfidenceSequence(alpha))


def followed(suite: Suite, courses: Mapping[str, Course], settled: Iterable[Settled]) -> Followed:
    """What the evaluation needs of early stop, from what the orchestrator has seen."""
    rule = sequential_rule(suite)
    alpha = (rule.options.alpha or suite.comparison.alpha) if rule else None
    names = tuple(dict.fromkeys(one.name for one in stopping_rules(suite)))
    return Followed(courses, {one.experiment: one for one in settled}, names, alpha)
