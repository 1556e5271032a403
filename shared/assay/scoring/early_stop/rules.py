"""The built-in stopping rules: `sequential`, an always-valid test, and `threshold`, heuristics without a guarantee.

`STOPPING_RULES` is the list that suites name. Light: preflight reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assay.registry import Plugin, Registry
from assay.scoring.early_stop.base import Finding, StoppingRule

if TYPE_CHECKING:
    from assay.scoring.early_stop.betting import ConfidenceSequence
    from assay.scoring.early_stop.course import Course


class StoppingOptions(BaseModel):
    """Options every stopping rule takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    minimum_rows: int = Field(50, ge=1, strict=True, description="Rows before the first decision")
    look_every: int = Field(1, ge=1, strict=True, description="Row ranges (chunks of the variant) between two looks")


class SequentialOptions(StoppingOptions):
    alpha: float | None = Field(
        None, gt=0, lt=1, description="Chance of a false alarm over all variants; absent: comparison.alpha"
    )
    margin: float | None = Field(
        None, gt=0, description="Also stop once the difference is shown to lie within plus and minus this; absent: no"
    )


class ThresholdOptions(StoppingOptions):
    model_config = ConfigDict(json_schema_extra={"examples": [{"failure_rate": 0.2}]})

    failure_rate: float | None = Field(None, ge=0, lt=1, description="Stop above this share of failed trials")
    block_rate: float | None = Field(None, ge=0, lt=1, description="Stop above this share of blocked trials")
    cost_usd_per_trial: float | None = Field(None, gt=0, description="Stop above this mean cost of a trial")
    score: str | None = Field(None, min_length=1, description="Whose mean is watched; absent: the primary score")
    mean_below: float | None = Field(None, description="Stop when the variant's mean of the score is below this")
    mean_above: float | None = Field(None, description="Stop when the variant's mean of the score is above this")

    @model_validator(mode="after")
    def _says_something(self) -> ThresholdOptions:
        limits = ("failure_rate", "block_rate", "cost_usd_per_trial", "mean_below", "mean_above")
        if all(getattr(self, name) is None for name in limits):
            raise ValueError(f"it would never stop; give one or more of {', '.join(limits)}")
        return self


@dataclass(frozen=True)
class Sequential:
    """Stops a variant once its difference from the baseline is shown, or shown to be small: a test valid at every look.

    It tests the primary score by betting on the paired differences of rows, which needs a score with a known range.
    """

    options: SequentialOptions
    name: str = "sequential"

    @property
    def look_every(self) -> int:
        return self.options.look_every

    def decide(self, course: Course) -> Finding | None:
        """Looks at the sequence of the primary score."""
        primary = course.scores.get(course.primary)
        if primary is None or primary.sequence is None or not primary.width:
            return None
        if primary.sequence.pairs < self.options.minimum_rows:
            return None
        return self._found(course, primary.sequence, primary.width)

    def _found(self, course: Course, sequence: ConfidenceSequence, width: float) -> Finding | None:
        margin = self.options.margin
        if not sequence.direction and margin is None:
            return None
        sequence.tighten()
        low, high = sequence.low * width, sequence.high * width
        between = f"the difference in '{course.primary}' lies between {low:+.4g} and {high:+.4g}"
        if sequence.direction:
            better = (sequence.direction > 0) == (course.goal == "maximise")
            reason = f"{between}, anytime-valid p = {sequence.p_value:.3g}"
            return Finding(decision="better" if better else "worse", reason=reason, statistic=sequence.p_value)
        if margin is not None and -margin < low and high < margin:
            return Finding(decision="equivalent", reason=f"{between}, within the margin of {margin:g}", statistic=high)
        return None


@dataclass(frozen=True)
class Threshold:
    """Stops a variant that passes a limit: of failed or blocked trials, cost, or a mean. A heuristic, no test.

    It promises nothing about errors; use it to save money where a variant is plainly of no use.
    """

    options: ThresholdOptions
    name: str = "threshold"

    @property
    def look_every(self) -> int:
        return self.options.look_every

    def decide(self, course: Course) -> Finding | None:
        """The first limit that is passed, in the order of the options."""
        if course.rows < self.options.minimum_rows or not course.trials:
            return None
        options = self.options
        score = options.score or course.primary
        scored = course.scores.get(score)
        mean = scored.mean if scored and scored.rows >= options.minimum_rows else None
        return (
            _above("share of failed trials", course.failed / course.trials, options.failure_rate)
            or _above("share of blocked trials", course.blocked / course.trials, options.block_rate)
            or _above("mean cost of a trial in USD", float(course.cost_usd) / course.trials, options.cost_usd_per_trial)
            or _below(f"mean of '{score}'", mean, options.mean_below)
            or _above(f"mean of '{score}'", mean, options.mean_above)
        )


def _above(what: str, value: float | None, limit: float | None) -> Finding | None:
    return None if value is None or limit is None or value <= limit else _passed(what, value, "above", limit)


def _below(what: str, value: float | None, limit: float | None) -> Finding | None:
    return None if value is None or limit is None or value >= limit else _passed(what, value, "below", limit)


def _passed(what: str, value: float, side: str, limit: float) -> Finding:
    return Finding(decision="threshold", reason=f"the {what} is {value:.4g}, {side} {limit:g}", statistic=value)


STOPPING_RULES: Registry[StoppingRule] = Registry(
    "stopping rule",
    Plugin("sequential", SequentialOptions, Sequential),
    Plugin("threshold", ThresholdOptions, Threshold),
)
