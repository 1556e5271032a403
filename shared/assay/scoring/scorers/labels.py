"""The scorers `label_match` and `json_valid`."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field

from assay.records import MOST_LABEL, Response, Score
from assay.scoring.base import ScoreKind
from assay.scoring.options import AnswerOptions, ScorerOptions
from assay.scoring.scorers.answers import NotInAnswer, NotInRow, part_of, read_json, shown, text_in_row
from assay.scoring.scorers.answers import label as label_of
from assay.scoring.scorers.frame import OneAnswer, PassOrFail


class LabelMatchOptions(ScorerOptions):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "correct", "path": "queue", "expected": "queue"}]}
    )

    expected: str = Field(min_length=1, description="Column that holds the right label")
    ignore_case: bool = Field(True, description="Whether 'Billing' equals 'billing'")


class LabelMatch(OneAnswer[LabelMatchOptions]):
    """1 when the answer equals the expected label, else 0; white space around both is ignored.

    A JSON value is compared as JSON writes it: 7 equals '7' and 7.0, true equals 'true'. The score keeps both labels,
    for confusion matrices.
    """

    plugin = "label_match"
    kind: ScoreKind = "binary"
    value_range: tuple[float, float] | None = (0.0, 1.0)

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        try:
            expected = self._compared(text_in_row(fields, self.options.expected, "label"))
        except NotInRow as problem:
            return self.no_score(problem)
        try:
            found = self._compared(_found_label(self.answer(responses)))
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


class JsonValidOptions(AnswerOptions):
    model_config = ConfigDict(json_schema_extra={"examples": [{"type": "object", "has": ["queue"]}]})

    type: Literal["any", "object", "array"] = Field("any", description="What kind of JSON the answer must be")
    has: tuple[str, ...] = Field((), description="Dotted paths that must lead to something, null included")


class JsonValid(PassOrFail[JsonValidOptions]):
    """1 when the whole answer is JSON with all that it must have, else 0; for more, give the criterion a `schema`."""

    plugin = "json_valid"

    def passes(self, answer: Any, fields: Mapping[str, Any]) -> bool:
        found = read_json(answer)
        kind = "object" if isinstance(found, dict) else "array" if isinstance(found, list) else "value"
        if self.options.type not in ("any", kind):
            raise NotInAnswer(f"the answer is not a JSON {self.options.type}: {shown(answer)}")
        for path in self.options.has:
            part_of(found, path, answer)
        return True


def _found_label(answer: Any) -> str:
    found = label_of(answer)
    if found is None:
        raise NotInAnswer(f"expected a label; found {shown(answer)}")
    return found
