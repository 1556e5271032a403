"""The judge port: what is asked of a model about answers, and how a score is made of what it says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field

from assay.llm.base import AnswerSchema
from assay.records import Response, Score
from assay.scoring.base import ScoreKind
from assay.suite.models import ModelSettings, Template

Human = str | dict[str, str] | None


class JudgeOptions(BaseModel):
    """Options every judge takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field("", description="The score's name; absent: the plugin's")
    model: ModelSettings = Field(description="Which deployment judges, and how")
    rubric: Template = Field(description="What makes an answer good, a Jinja2 template over the row's columns")
    criterion: str | None = Field(None, description="Which criterion's answer is judged; absent: the first")
    human: Human = Field(
        None,
        description="Column in which people have judged the same; a mapping of experiments to columns where each has "
        "its own. Reports then say how far judge and people agree",
    )

    def human_column(self, experiment: str) -> str | None:
        """The column in which people have judged the answers of an experiment, or None."""
        return self.human.get(experiment) if isinstance(self.human, dict) else self.human


@dataclass(frozen=True, slots=True)
class JudgeQuestion:
    """One question to a judge: `material` holds the answers, quoted, and stands behind the rubric."""

    criterion: str
    system: str
    material: str
    schema: AnswerSchema


class Judge(Protocol):
    """Has a model judge one answer, or two at once. Scores what that model says as a scorer does."""

    @property
    def name(self) -> str:
        """The score's name, unique in a suite."""
        ...

    @property
    def options(self) -> JudgeOptions:
        """What the suite says of it."""
        ...

    @property
    def kind(self) -> ScoreKind:
        """`binary` scores are 0 or 1; `numeric` ones any number."""
        ...

    @property
    def value_range(self) -> tuple[float, float]:
        """Smallest and largest value there can be."""
        ...

    @property
    def is_pairwise(self) -> bool:
        """Whether it sets a variant's answer against the baseline's; else it judges every answer by itself."""
        ...

    @property
    def expected_column(self) -> None:
        """Judges need no column: what people said is compared with them afterwards."""
        ...

    @property
    def asks(self) -> int:
        """How many questions it has about what it judges at once."""
        ...

    def questions(self, answers: Sequence[str]) -> tuple[JudgeQuestion, ...]:
        """What is asked about the answers: one answer, or the baseline's and the variant's."""
        ...

    def without_asking(self, answers: Sequence[str]) -> Score | None:
        """The score where no model need be asked, or None."""
        ...

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        """The score of what the judge's model said. No value where that cannot be used; the reason says why."""
        ...

    def human_value(self, found: Any) -> float | None:
        """What a cell of the `human` column says on the scale of the score, or None."""
        ...


class NotJudged(Exception):
    """What the judge's model said is no judgement; the text says why."""
