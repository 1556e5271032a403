"""The ports of judging: what scorers, aggregators and comparers are. The views that the last two get: `views.py`.

A plugin object is made for one run (scorers: in each worker) and one experiment, and shares nothing with others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from assay.records import Response, Score

if TYPE_CHECKING:  # it brings numpy, which a worker does not need
    from assay.scoring.views import ExperimentView

ScoreKind = Literal["binary", "numeric"]

Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"
"""What a plugin may return: JSON with finite numbers."""


class Scorer(Protocol):
    """A row plugin. Judges one trial by the row's fields and the responses, keyed by criterion."""

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


class Aggregator(Protocol):
    """Sums up one experiment, after all its rows."""

    @property
    def name(self) -> str:
        """Where reports keep what it returns: `aggregates[experiment][name]`; unique among a suite's aggregators."""
        ...

    def aggregate(self, view: ExperimentView) -> Mapping[str, Json]:
        """The figures of one experiment, JSON with finite numbers. Called once per experiment, the baseline too."""
        ...


class Comparer(Protocol):
    """Sets one variant against the baseline, after all rows of both."""

    @property
    def name(self) -> str:
        """Where reports keep what it returns: `comparers[variant][name]`; unique among a suite's comparers."""
        ...

    def compare(self, baseline: ExperimentView, variant: ExperimentView) -> Mapping[str, Json]:
        """The figures of one variant, JSON with finite numbers. Called once per variant; the views have equal rows."""
        ...
