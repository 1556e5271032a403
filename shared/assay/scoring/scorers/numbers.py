"""The scorers of numbers in answers: `json_score` and `numeric_tolerance`."""

import re
from collections.abc import Mapping
from math import inf, isfinite
from typing import Any

from pydantic import ConfigDict, Field, model_validator

from assay.scoring.options import ScorerOptions
from assay.scoring.scorers.answers import NotInAnswer, NotInRow, label, shown
from assay.scoring.scorers.frame import Measured, PassOrFail

_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?|[+-]?\.\d+")
_BEFORE, _AFTER = "$€£¥([{<\"'*_`~=", "%)]}>\"'*_`.,;:!?$€£¥"
_MINUS_SIGNS = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-"})


class JsonScoreOptions(ScorerOptions):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "helpfulness", "path": "score", "minimum": 0, "maximum": 10}]}
    )

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


class JsonScore(Measured[JsonScoreOptions]):
    """A number from the answer, checked against its range; or how near it comes to the right one."""

    plugin = "json_score"

    @property
    def value_range(self) -> tuple[float, float] | None:
        if self.options.expected is None:
            return (self.options.minimum, self.options.maximum)
        return (self.options.minimum - self.options.maximum, 0.0)

    def measure(self, answer: Any, fields: Mapping[str, Any]) -> float:
        found = self._within_bounds(answer)
        column = self.options.expected
        return found if column is None else 0.0 - abs(found - self._right(fields, column))

    def _within_bounds(self, found: Any) -> float:
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise NotInAnswer(f"expected a number; found {shown(found)}")
        if not self.options.minimum <= found <= self.options.maximum:
            raise NotInAnswer(f"{_brief(found)} is outside {self.options.minimum:g} to {self.options.maximum:g}")
        return float(found)

    def _right(self, fields: Mapping[str, Any], column: str) -> float:
        try:
            return self._within_bounds(number_in_row(fields, column))
        except NotInAnswer as problem:
            raise NotInRow(f"column '{column}': {problem}") from None


class NumericToleranceOptions(ScorerOptions):
    model_config = ConfigDict(json_schema_extra={"examples": [{"expected": "total", "relative": 0.01}]})

    expected: str = Field(min_length=1, description="Column that holds the right number")
    absolute: float = Field(0.0, ge=0, description="Distance from the right number up to which the answer passes")
    relative: float = Field(0.0, ge=0, description="The same as a share of the right number: 0.01 is 1 %")


class NumericTolerance(PassOrFail[NumericToleranceOptions]):
    """1 when the number in the answer is near enough to the right one, by whichever tolerance allows more, else 0.

    At a path it is the JSON number there, or text that is one. Without a path it is the answer, or the only word of it
    that is a number: "about $1,204.50 a month" is 1204.5, and "3 or 4" has no number.
    """

    plugin = "numeric_tolerance"

    def passes(self, answer: Any, fields: Mapping[str, Any]) -> bool:
        right = number_in_row(fields, self.options.expected)
        found = the_number(answer)
        allowed = max(self.options.absolute, self.options.relative * abs(right))
        # Written decimals are not exact in binary: 0.3 is within 0.1 of 0.2.
        return abs(found - right) <= allowed + 1e-12 * max(abs(found), abs(right))


def the_number(answer: Any) -> float:
    """A JSON number, or the only word of a text that is a number. Raises NotInAnswer."""
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        return _finite(answer, answer)
    if not isinstance(answer, str):
        raise NotInAnswer(f"expected a number; found {shown(answer)}")
    numbers = [word for one in answer.translate(_MINUS_SIGNS).split() if (word := _number_word(one))]
    if len(numbers) != 1:
        raise NotInAnswer(f"expected one number; found {len(numbers) or 'none'}: {shown(answer)}")
    return _finite(float(numbers[0]), answer)


def number_in_row(fields: Mapping[str, Any], column: str) -> float:
    """A cell as a finite number. Raises NotInRow."""
    written = fields.get(column)
    try:
        found = float(label(written) or "")
    except (ValueError, OverflowError):
        found = float("nan")
    if not isfinite(found):
        raise NotInRow(f"column '{column}' holds no number: {shown(written)}")
    return found


def _number_word(word: str) -> str | None:
    """The number that a word is, without currency signs, quotes and punctuation around it; commas group thousands."""
    sign = word[0] if word[0] in "+-" else ""
    bare = sign + word.removeprefix(sign).lstrip(_BEFORE).rstrip(_AFTER)
    return bare.replace(",", "") if _NUMBER.fullmatch(bare) else None


def _finite(number: float, answer: Any) -> float:
    try:
        found = float(number)
    except OverflowError:  # of a whole number with hundreds of digits
        found = inf
    if not isfinite(found):
        raise NotInAnswer(f"expected a finite number; found {shown(answer)}")
    return found


def _brief(number: float) -> str:
    return f"{number:g}" if isinstance(number, float) else str(number)[:40]
