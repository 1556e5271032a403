"""The built-in row plugins: label match and JSON score extraction. `SCORERS` is the list that suites name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assay.records import MOST_LABEL, Response, Score
from assay.registry import Plugin, Registry
from assay.scoring.base import ScoreKind, Scorer


class ScorerOptions(BaseModel):
    """Options every row plugin takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field("", description="The score's name; absent: the plugin's")
    criterion: str | None = Field(None, description="Which criterion's answer is judged; absent: the first")
    path: str | None = Field(None, min_length=1, description="Dotted path into the JSON answer, such as 'result.label'")


class LabelMatchOptions(ScorerOptions):
    expected: str = Field(min_length=1, description="Column that holds the right label")
    ignore_case: bool = Field(True, description="Whether 'Billing' equals 'billing'")


class JsonScoreOptions(ScorerOptions):
    path: str = Field("score", min_length=1, description="Dotted path into the JSON answer")
    minimum: float = Field(0.0, description="Smallest value that counts")
    maximum: float = Field(10.0, description="Largest value that counts")
    expected: str | None = Field(
        None,
        min_length=1,
        description="Column with the right number; the score is then minus the distance to it, and 0 is exact",
    )

    @model_validator(mode="after")
    def _ordered(self) -> "JsonScoreOptions":
        if self.minimum >= self.maximum:
            raise ValueError(f"minimum {self.minimum} is not below maximum {self.maximum}")
        return self


class NotInAnswer(Exception):
    """What was looked for is not in the answer; the text says what was found instead."""


@dataclass(frozen=True)
class LabelMatch:
    """1 when the answer equals the expected label, else 0; white space around both is ignored.

    A JSON value is compared as JSON writes it: 7 equals '7' and 7.0, true equals 'true'.
    """

    options: LabelMatchOptions
    kind: ScoreKind = "binary"
    value_range: tuple[float, float] | None = (0.0, 1.0)

    @property
    def name(self) -> str:
        return self.options.name or "label_match"

    @property
    def expected_column(self) -> str | None:
        return self.options.expected

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        expected = _label(fields.get(self.options.expected))
        if not expected:
            return Score(name=self.name, value=None, reason=f"column '{self.options.expected}' holds no label")
        expected = self._compared(expected)
        try:
            found = self._compared(_found_label(_looked_up(self.options, responses)))
        except NotInAnswer as problem:
            return Score(name=self.name, value=0.0, reason=str(problem), expected=expected[:MOST_LABEL])
        return Score(
            name=self.name,
            value=float(expected == found),
            label=found[:MOST_LABEL] or None,
            expected=expected[:MOST_LABEL],
        )

    def _compared(self, label: str) -> str:
        return label.casefold() if self.options.ignore_case else label


@dataclass(frozen=True)
class JsonScore:
    """A number from the answer, checked against its range; or how near it comes to the right one."""

    options: JsonScoreOptions
    kind: ScoreKind = "numeric"

    @property
    def name(self) -> str:
        return self.options.name or "json_score"

    @property
    def expected_column(self) -> str | None:
        return self.options.expected

    @property
    def value_range(self) -> tuple[float, float] | None:
        if self.options.expected is None:
            return (self.options.minimum, self.options.maximum)
        return (self.options.minimum - self.options.maximum, 0.0)

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        column = self.options.expected
        try:
            found = self._within_bounds(_looked_up(self.options, responses))
            value = found if column is None else 0.0 - abs(found - self._right(fields, column))
        except NotInAnswer as problem:
            return Score(name=self.name, value=None, reason=str(problem))
        return Score(name=self.name, value=value)

    def _within_bounds(self, found: Any) -> float:
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise NotInAnswer(f"expected a number; found {_shown(found)}")
        if not self.options.minimum <= found <= self.options.maximum:
            raise NotInAnswer(f"{_brief(found)} is outside {self.options.minimum:g} to {self.options.maximum:g}")
        return float(found) + 0.0  # no score is -0.0

    def _right(self, fields: Mapping[str, Any], column: str) -> float:
        written = fields.get(column)
        try:
            return self._within_bounds(float(_label(written) or ""))
        except ValueError:
            raise NotInAnswer(f"column '{column}' holds no number: {_shown(written)}") from None
        except NotInAnswer as problem:
            raise NotInAnswer(f"column '{column}': {problem}") from None


def _looked_up(options: ScorerOptions, responses: Mapping[str, Response]) -> Any:
    """The judged answer, or the part of it at `path`. Raises NotInAnswer."""
    response = responses.get(options.criterion) if options.criterion else next(iter(responses.values()), None)
    if response is None:
        raise NotInAnswer(f"no answer to criterion '{options.criterion or 'first'}'")
    if options.path is None:
        return response.text
    try:
        found: Any = json.loads(response.text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise NotInAnswer(f"the answer is not JSON: {_shown(response.text)}") from None
    for part in options.path.split("."):
        if not isinstance(found, dict) or part not in found:
            raise NotInAnswer(f"the answer has no '{options.path}': {_shown(response.text)}")
        found = found[part]
    return found


def _no_constant(name: str) -> None:
    """Python reads NaN and Infinity, JSON does not know them, and no score can be made of them."""
    raise ValueError(f"{name} is not JSON")


def _label(value: Any) -> str | None:
    """A cell or a part of an answer as a label, or None when it is nothing, a list or an object."""
    if value is None or isinstance(value, list | dict):
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()


def _found_label(answer: Any) -> str:
    found = _label(answer)
    if found is None:
        raise NotInAnswer(f"expected a label; found {_shown(answer)}")
    return found


def _brief(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)[:40]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


SCORERS: Registry[Scorer] = Registry(
    "scorer",
    Plugin("label_match", LabelMatchOptions, LabelMatch),
    Plugin("json_score", JsonScoreOptions, JsonScore),
)
