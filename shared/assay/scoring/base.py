"""The scorer port: a row plugin that judges one trial."""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from assay.records import Response, Score

ScoreKind = Literal["binary", "numeric"]


class Scorer(Protocol):
    """Judges one trial by the row's fields and the responses, keyed by criterion."""

    @property
    def name(self) -> str:
        """The score's name, unique in a suite."""
        ...

    @property
    def kind(self) -> ScoreKind:
        """`binary` scores are 0 or 1; `numeric` ones any number."""
        ...

    @property
    def value_range(self) -> tuple[float, float] | None:
        """Smallest and largest value there can be, or None when unbounded."""
        ...

    @property
    def expected_column(self) -> str | None:
        """The column that says what is right, or None when the answer alone is judged."""
        ...

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        """The verdict. Never raises for a bad answer: then the value is None and the reason says why."""
        ...
