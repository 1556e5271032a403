"""The plugin `pairwise_judge`: a model says which of two answers is better, asked twice with their places swapped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from assay.llm.base import AnswerSchema
from assay.planning.judges.base import JudgeOptions, JudgeQuestion, NotJudged
from assay.planning.judges.wording import MATERIAL, TWO, quoted, read_verdict, schema_of, shortened
from assay.records import Response, Score
from assay.scoring.base import ScoreKind

BASELINE_FIRST, VARIANT_FIRST = "baseline-first", "variant-first"
POSITION_BIAS, EQUAL_ANSWERS = "position bias", "equal answers"
VALUES = {"variant": 1.0, "tie": 0.5, "baseline": 0.0}
"""What a verdict is worth: the variant's score."""

_MEANS = {
    BASELINE_FIRST: {"first": "baseline", "second": "variant", "tie": "tie"},
    VARIANT_FIRST: {"first": "variant", "second": "baseline", "tie": "tie"},
}
_CLOSING = 'Compare both answers by the rubric: first your reasoning, then "first", "second" or "tie".'


@dataclass(frozen=True)
class PairwiseJudge:
    """1 where the variant is better, 0 where the baseline is, one half for a tie.

    Both questions have to agree; where they do not, the judge went by the places, and the verdict is a tie too. The
    score's `label` is the verdict: variant, baseline, tie, position bias, or equal answers where nobody was asked.
    """

    options: JudgeOptions
    kind: ScoreKind = "numeric"
    value_range: tuple[float, float] = (0.0, 1.0)
    is_pairwise: bool = True
    asks: int = 2
    expected_column: None = None

    @property
    def name(self) -> str:
        return self.options.name or "pairwise_judge"

    def questions(self, answers: Sequence[str]) -> tuple[JudgeQuestion, ...]:
        baseline, variant = answers
        return (
            self._question(BASELINE_FIRST, baseline, variant),
            self._question(VARIANT_FIRST, variant, baseline),
        )

    def without_asking(self, answers: Sequence[str]) -> Score | None:
        """Equal answers are a tie, and no model is paid for saying so."""
        baseline, variant = (answer.strip() for answer in answers)
        return self._score(EQUAL_ANSWERS, "no model was asked") if baseline == variant else None

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        try:
            one, reasoning = self._verdict(BASELINE_FIRST, responses)
            other, _ = self._verdict(VARIANT_FIRST, responses)
        except NotJudged as problem:
            return Score(name=self.name, value=None, reason=str(problem))
        if one == other:
            return self._score(one, reasoning)
        found = f"{_said(one)} with the baseline first, {_said(other)} with the variant first"
        return self._score(POSITION_BIAS, found)

    def human_value(self, found: Any) -> float | None:
        """What `baseline`, `variant` or `tie` is worth; anything else is no preference."""
        return VALUES.get(str(found).strip().lower())

    def _question(self, criterion: str, first: str, second: str) -> JudgeQuestion:
        shown = f"# First answer\n\n{quoted('first', first)}\n\n# Second answer\n\n{quoted('second', second)}"
        return JudgeQuestion(criterion, TWO.format(material=MATERIAL), f"{shown}\n\n{_CLOSING}", self._schema)

    def _verdict(self, criterion: str, responses: Mapping[str, Response]) -> tuple[str, str]:
        found, reasoning = read_verdict(responses.get(criterion), "preferred")
        if found not in _MEANS[criterion]:
            raise NotJudged(f"the judge preferred neither 'first' nor 'second' nor 'tie': {str(found)[:80]!r}")
        return _MEANS[criterion][found], reasoning

    def _score(self, verdict: str, reason: str) -> Score:
        value = VALUES.get(verdict, VALUES["tie"])
        return Score(name=self.name, value=value, reason=shortened(f"{verdict}: {reason}"), label=verdict)

    @cached_property
    def _schema(self) -> AnswerSchema:
        return schema_of(self.name, "preferred", {"type": "string", "enum": ["first", "second", "tie"]})


def _said(verdict: str) -> str:
    return "a tie" if verdict == "tie" else f"the {verdict}"
