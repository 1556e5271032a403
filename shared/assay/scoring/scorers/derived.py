"""Scorers that make their score of another one: `threshold` and `normalised`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from assay.records import Response, Score
from assay.scoring.base import ScoreKind
from assay.scoring.options import PluginOptions


class DerivedOptions(PluginOptions):
    score: str = Field(min_length=1, description="The score of another scorer that this one is made of")


class ThresholdOptions(DerivedOptions):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "helpful", "score": "helpfulness", "at_least": 7}]}
    )

    at_least: float | None = Field(None, description="Passes from this value up")
    at_most: float | None = Field(None, description="Passes up to this value")

    @model_validator(mode="after")
    def _some_bound(self) -> "ThresholdOptions":
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least:g} is above at_most {self.at_most:g}")
        return self


class NormalisedOptions(DerivedOptions):
    model_config = ConfigDict(json_schema_extra={"examples": [{"score": "helpfulness", "minimum": 0, "maximum": 10}]})

    minimum: float = Field(description="The value that becomes 0")
    maximum: float = Field(description="The value that becomes 1; below the minimum where less is better")
    outside: Literal["clip", "refuse"] = Field(
        "refuse", description="clip: values beyond become 0 or 1; refuse: they are no score"
    )

    @model_validator(mode="after")
    def _some_width(self) -> "NormalisedOptions":
        if self.minimum == self.maximum:
            raise ValueError(f"minimum and maximum are both {self.minimum:g}")
        return self


class Derived(ABC):
    """A scorer whose score is made of another one, that of `source`."""

    value_range: tuple[float, float] | None = (0.0, 1.0)
    expected_column: str | None = None

    @property
    @abstractmethod
    def name(self) -> str: ...

    @property
    @abstractmethod
    def kind(self) -> ScoreKind: ...

    @property
    @abstractmethod
    def source(self) -> str:
        """The score that this one is made of."""

    @abstractmethod
    def value_of(self, value: float) -> tuple[float | None, str | None]:
        """The value made of a value, and a reason where there is none."""

    def derive(self, score: Score) -> Score:
        """The score made of another one; none of none."""
        if score.value is None:
            return Score(name=self.name, value=None, reason=f"'{self.source}' has no value: {score.reason}")
        value, reason = self.value_of(score.value)
        return Score(name=self.name, value=value, reason=reason)

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        """No score: `derive` makes it."""
        return Score(name=self.name, value=None, reason=f"there is no score '{self.source}'")


@dataclass(frozen=True)
class Threshold(Derived):
    """1 when another score lies within bounds, else 0: makes pass or fail of a number."""

    options: ThresholdOptions
    kind: ClassVar[ScoreKind] = "binary"

    @property
    def name(self) -> str:
        return self.options.name or "threshold"

    @property
    def source(self) -> str:
        return self.options.score

    def value_of(self, value: float) -> tuple[float | None, str | None]:
        low, high = self.options.at_least, self.options.at_most
        return float((low is None or value >= low) and (high is None or value <= high)), None


@dataclass(frozen=True)
class Normalised(Derived):
    """Another score on a scale from 0 to 1: (value - minimum) / (maximum - minimum)."""

    options: NormalisedOptions
    kind: ClassVar[ScoreKind] = "numeric"

    @property
    def name(self) -> str:
        return self.options.name or "normalised"

    @property
    def source(self) -> str:
        return self.options.score

    def value_of(self, value: float) -> tuple[float | None, str | None]:
        low, high = self.options.minimum, self.options.maximum
        share = (value - low) / (high - low)
        if 0 <= share <= 1:
            return share + 0.0, None
        if self.options.outside == "clip":
            return min(max(share, 0.0), 1.0), None
        return None, f"{value:g} is outside {min(low, high):g} to {max(low, high):g}"
