"""What most scorers are: a judgement of one answer, as pass or fail or as a number. Each adds its own question."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, TypeVar

from assay.records import Response, Score
from assay.scoring.base import ScoreKind
from assay.scoring.options import AnswerOptions
from assay.scoring.scorers.answers import NotInAnswer, NotInRow, looked_up

Options = TypeVar("Options", bound=AnswerOptions)


class OneAnswer(ABC, Generic[Options]):
    """A scorer of one answer, or of the part of it at a path."""

    plugin: ClassVar[str]
    kind: ScoreKind

    def __init__(self, options: Options) -> None:
        self.options = options

    @property
    def name(self) -> str:
        return self.options.name or self.plugin

    @property
    def expected_column(self) -> str | None:
        column: str | None = getattr(self.options, "expected", None)
        return column

    def answer(self, responses: Mapping[str, Response]) -> Any:
        """What is judged. Raises NotInAnswer."""
        return looked_up(self.options.criterion, getattr(self.options, "path", None), responses)

    def no_score(self, problem: Exception) -> Score:
        return Score(name=self.name, value=None, reason=str(problem))


class PassOrFail(OneAnswer[Options]):
    """1 or 0. An answer with nothing to judge in it is wrong; a row that does not say what is right has no score."""

    kind = "binary"
    value_range: tuple[float, float] | None = (0.0, 1.0)

    @abstractmethod
    def passes(self, answer: Any, fields: Mapping[str, Any]) -> bool:
        """Whether the answer is right. Raises NotInAnswer, NotInRow."""

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        try:
            return Score(name=self.name, value=float(self.passes(self.answer(responses), fields)))
        except NotInAnswer as problem:
            return Score(name=self.name, value=0.0, reason=str(problem))
        except NotInRow as problem:
            return self.no_score(problem)


class Measured(OneAnswer[Options]):
    """A number; none where answer or row do not have what it is made of."""

    kind = "numeric"

    @property
    @abstractmethod
    def value_range(self) -> tuple[float, float] | None:
        """Smallest and largest value there can be, or None when unbounded."""

    @abstractmethod
    def measure(self, answer: Any, fields: Mapping[str, Any]) -> float:
        """The number. Raises NotInAnswer, NotInRow."""

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        try:
            return Score(name=self.name, value=self.measure(self.answer(responses), fields) + 0.0)  # never -0.0
        except (NotInAnswer, NotInRow) as problem:
            return self.no_score(problem)
