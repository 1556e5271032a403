"""The scorer `text_similarity`, by RapidFuzz and sacreBLEU (the extra `text`), which are imported when it is used."""

from collections.abc import Callable, Mapping
from functools import cached_property
from importlib.util import find_spec
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from assay.scoring.options import ScorerOptions
from assay.scoring.scorers.answers import text_in_answer, text_in_row
from assay.scoring.scorers.frame import Measured

Method = Literal["ratio", "token_sort", "token_set", "bleu", "chrf"]
Alike = Callable[[str, str], float]

PACKAGES: dict[Method, str] = {
    "ratio": "rapidfuzz",
    "token_sort": "rapidfuzz",
    "token_set": "rapidfuzz",
    "bleu": "sacrebleu",
    "chrf": "sacrebleu",
}


class TextSimilarityOptions(ScorerOptions):
    model_config = ConfigDict(json_schema_extra={"examples": [{"expected": "summary", "method": "chrf"}]})

    expected: str = Field(min_length=1, description="Column that holds the text to compare with")
    method: Method = Field(
        "ratio",
        description="ratio: by inserted and deleted characters; token_sort: the same whatever the order of words; "
        "token_set: also whatever is repeated or added; bleu, chrf: of one sentence or text, by sacreBLEU",
    )
    ignore_case: bool = Field(False, description="Whether capitals do not count")

    @model_validator(mode="after")
    def _installed(self) -> "TextSimilarityOptions":
        package = PACKAGES[self.method]
        if find_spec(package) is None:
            raise ValueError(f"method '{self.method}' needs the package {package}: pip install 'assay-batch[text]'")
        return self


class TextSimilarity(Measured[TextSimilarityOptions]):
    """How much the answer is like the text of a column: from 0, nothing in common, to 1, the same."""

    plugin = "text_similarity"
    value_range = (0.0, 1.0)

    def measure(self, answer: Any, fields: Mapping[str, Any]) -> float:
        wanted = text_in_row(fields, self.options.expected, "text")
        found = text_in_answer(answer)
        if self.options.ignore_case:
            wanted, found = wanted.casefold(), found.casefold()
        return min(max(self._alike(found, wanted) / 100, 0.0), 1.0)

    @cached_property
    def _alike(self) -> Alike:
        """What compares answer and right text, from 0 to 100."""
        return (
            _by_sacrebleu(self.options.method)
            if self.options.method in ("bleu", "chrf")
            else _by_rapidfuzz(self.options.method)
        )


def _by_rapidfuzz(method: Method) -> Alike:
    from rapidfuzz import fuzz

    found: dict[str, Alike] = {
        "ratio": fuzz.ratio,
        "token_sort": fuzz.token_sort_ratio,
        "token_set": fuzz.token_set_ratio,
    }
    return found[method]


def _by_sacrebleu(method: Method) -> Alike:
    from sacrebleu.metrics import BLEU, CHRF

    # Without the effective order every text of fewer than four words would be unlike any other.
    metric = BLEU(effective_order=True) if method == "bleu" else CHRF()
    return lambda found, wanted: float(metric.sentence_score(found, [wanted]).score)
