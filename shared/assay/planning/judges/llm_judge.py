"""The plugin `llm_judge`: a model gives every answer a score by a rubric."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import Field, model_validator

from assay.llm.base import AnswerSchema
from assay.planning.judges.base import JudgeOptions, JudgeQuestion, NotJudged
from assay.planning.judges.wording import MATERIAL, ONE, quoted, read_verdict, schema_of, shortened
from assay.records import Response, Score
from assay.scoring.base import ScoreKind

MOST_STEPS = 100


class LlmJudgeOptions(JudgeOptions):
    """Options of a judge that gives scores."""

    minimum: float = Field(1.0, description="The lowest score")
    maximum: float = Field(5.0, description="The highest score, which is the best")
    whole: bool = Field(True, description="Whether only whole numbers are given")

    @model_validator(mode="after")
    def _scale(self) -> "LlmJudgeOptions":
        if self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is not below maximum {self.maximum:g}")
        if self.whole and not (self.minimum.is_integer() and self.maximum.is_integer()):
            raise ValueError("minimum and maximum must be whole numbers, or say 'whole: false'")
        if self.whole and self.maximum - self.minimum > MOST_STEPS:
            raise ValueError(f"a scale of whole numbers has at most {MOST_STEPS} steps; say 'whole: false'")
        return self


@dataclass(frozen=True)
class LlmJudge:
    """A score for every answer. A scale of whole numbers from 0 to 1 is one of pass or fail."""

    options: LlmJudgeOptions
    is_pairwise: bool = False
    asks: int = 1
    expected_column: None = None

    @property
    def name(self) -> str:
        return self.options.name or "llm_judge"

    @property
    def kind(self) -> ScoreKind:
        return "binary" if self.options.whole and self.value_range == (0.0, 1.0) else "numeric"

    @property
    def value_range(self) -> tuple[float, float]:
        return (self.options.minimum, self.options.maximum)

    def questions(self, answers: Sequence[str]) -> tuple[JudgeQuestion, ...]:
        (answer,) = answers
        material = f"# Answer to judge\n\n{quoted('answer', answer)}\n\n{self._closing}"
        return (JudgeQuestion(self.name, self._system, material, self._schema),)

    def without_asking(self, answers: Sequence[str]) -> Score | None:
        """Every answer is put to the model."""
        return None

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        try:
            found, reasoning = read_verdict(responses.get(self.name), "score")
            return Score(name=self.name, value=self._within_scale(found), reason=shortened(reasoning) or None)
        except NotJudged as problem:
            return Score(name=self.name, value=None, reason=str(problem))

    def human_value(self, found: Any) -> float | None:
        """A number on the scale; anything else is no score."""
        try:
            value = float(str(found).strip())
        except ValueError:
            return None
        return value if self.options.minimum <= value <= self.options.maximum else None

    def _within_scale(self, found: Any) -> float:
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise NotJudged(f"the judge gave no number: {str(found)[:80]!r}")
        if not self.options.minimum <= found <= self.options.maximum:
            raise NotJudged(f"the judge gave {found:g}, which is not from {self._bounds}")
        return float(found) + 0.0  # no score is -0.0

    @property
    def _bounds(self) -> str:
        return f"{self.options.minimum:g} to {self.options.maximum:g}"

    @property
    def _scale(self) -> str:
        return f"a {'whole ' if self.options.whole else ''}number from {self._bounds}"

    @cached_property
    def _system(self) -> str:
        best = f"{self.options.maximum:g}"
        return ONE.format(material=MATERIAL, scale=self._scale, highest=best, example=best)

    @cached_property
    def _closing(self) -> str:
        return f"Judge this answer by the rubric: first your reasoning, then its score, {self._scale}."

    @cached_property
    def _schema(self) -> AnswerSchema:
        # Services differ in whether they know minimum and maximum; all of them know enum.
        low, high = int(self.options.minimum), int(self.options.maximum)
        steps = {"type": "integer", "enum": list(range(low, high + 1))}
        return schema_of(self.name, "score", steps if self.options.whole else {"type": "number"})
