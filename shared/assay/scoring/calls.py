"""Users' own functions as plugins: `plugin: callable` with `call: package.module:function`, for each kind."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ConfigDict, Field, field_validator, model_validator

from assay.records import Response, Score
from assay.references import REFERENCE, BadReference, imported_callable
from assay.scoring.base import Json, ScoreKind
from assay.scoring.options import PluginOptions
from assay.scoring.plain_json import shown

if TYPE_CHECKING:
    from assay.scoring.views import ExperimentView

MOST_REASON = 500


class CallOptions(PluginOptions):
    """Options of a function that sums up."""

    parameters: ClassVar[tuple[str, ...]] = ("view",)
    """What the function is called with, in this order."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "figures", "call": "my_figures:sum_up"}]})

    call: str = Field(pattern=REFERENCE, description="The function, as package.module:function")

    @field_validator("call")
    @classmethod
    def _usable(cls, reference: str) -> str:
        try:
            function = imported_callable(reference)
        except BadReference as problem:
            raise ValueError(str(problem)) from problem
        if misfit := _misfit(function, cls.parameters):
            raise ValueError(f"'{reference}' {misfit}")
        return reference


class ComparerCallOptions(CallOptions):
    parameters = ("baseline", "variant")


class ScorerCallOptions(CallOptions):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "polite", "call": "my_scorers:is_polite", "kind": "binary"}]}
    )

    parameters = ("fields", "answers")

    kind: ScoreKind = Field("numeric", description="binary: the function tells pass or fail; numeric: any number")
    minimum: float | None = Field(None, description="Smallest number it returns; absent: there is none")
    maximum: float | None = Field(None, description="Largest number it returns; absent: there is none")

    @model_validator(mode="after")
    def _bounds_fit(self) -> "ScorerCallOptions":
        bounded = self.minimum is not None or self.maximum is not None
        if self.kind == "binary" and bounded:
            raise ValueError("minimum and maximum are for numeric scores")
        if self.minimum is not None and self.maximum is not None and self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum:g} is not below maximum {self.maximum:g}")
        return self


def _misfit(function: Callable[..., Any], parameters: tuple[str, ...]) -> str | None:
    """Why a function cannot be called with these parameters, or None: every row would meet the same mistake."""
    expected = f"expected a function of {', '.join(parameters)}"
    if inspect.iscoroutinefunction(function):
        return f"is async; {expected} that returns what it finds"
    try:
        signature = inspect.signature(function)
    except ValueError:  # of a few callables written in C nobody knows
        return None
    try:
        signature.bind(*parameters)
    except TypeError:
        return f"takes {signature}; {expected}"
    return None


class NotAScore(ValueError):
    """What a function returned is no score; the text says what it is."""


class CallableScorer:
    """Your own function, `function(fields, answers)`: the row as a dict, the answers as texts by criterion.

    It returns True or False (binary), a finite number (numeric), None where it cannot tell, or a pair of one of these
    and a reason. What is anything else is no score, with the reason that says so.
    """

    expected_column: str | None = None

    def __init__(self, options: ScorerCallOptions) -> None:
        self._options = options
        self._function: Callable[..., Any] = imported_callable(options.call)
        self.name = options.name or "callable"
        self.kind: ScoreKind = options.kind

    @property
    def value_range(self) -> tuple[float, float] | None:
        minimum, maximum = self._options.minimum, self._options.maximum
        if self.kind == "binary":
            return (0.0, 1.0)
        return None if minimum is None or maximum is None else (minimum, maximum)

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        answers = {criterion: response.text for criterion, response in responses.items()}
        returned = self._function(dict(fields), answers)
        is_pair = isinstance(returned, tuple) and len(returned) == 2
        value, reason = returned if is_pair else (returned, None)
        said = None if reason is None else str(reason)[:MOST_REASON]
        if value is None:
            return Score(name=self.name, value=None, reason=said or f"{self._options.call} returned no score")
        try:
            return Score(name=self.name, value=self._number(value), reason=said)
        except NotAScore as problem:
            return Score(name=self.name, value=None, reason=f"score '{self.name}': {problem}")

    def _number(self, value: Any) -> float:
        value = value.item() if hasattr(value, "item") and not getattr(value, "shape", ()) else value  # NumPy's
        if not isinstance(value, bool | int | float):
            raise NotAScore(f"expected a number; {self._options.call} returned {shown(value)}")
        if not isfinite(value):
            raise NotAScore(f"expected a finite number; {self._options.call} returned {value}")
        if self.kind == "binary" and value not in (0, 1):
            raise NotAScore(f"expected true or false; {self._options.call} returned {shown(value)}")
        low, high = self._options.minimum, self._options.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            raise NotAScore(f"{self._options.call} returned {value:g}, which is outside its range")
        return float(value) + 0.0  # no score is -0.0


@dataclass(frozen=True)
class CallableAggregator:
    """Your own function, `function(view)`: a mapping for the report from what an `ExperimentView` shows."""

    options: CallOptions

    @property
    def name(self) -> str:
        return self.options.name or "callable"

    def aggregate(self, view: "ExperimentView") -> Mapping[str, Json]:
        figures: Mapping[str, Json] = imported_callable(self.options.call)(view)
        return figures


@dataclass(frozen=True)
class CallableComparer:
    """Your own function, `function(baseline, variant)`: a mapping for the report from two views."""

    options: ComparerCallOptions

    @property
    def name(self) -> str:
        return self.options.name or "callable"

    def compare(self, baseline: "ExperimentView", variant: "ExperimentView") -> Mapping[str, Json]:
        figures: Mapping[str, Json] = imported_callable(self.options.call)(baseline, variant)
        return figures
