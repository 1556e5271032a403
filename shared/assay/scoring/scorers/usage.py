"""The scorers `token_usage` and `latency`: what an answer took, so that it is compared like any other score."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import ConfigDict, Field

from assay.records import Response, Score
from assay.scoring.base import ScoreKind
from assay.scoring.options import PluginOptions


class UsageOptions(PluginOptions):
    criterion: str | None = Field(None, description="Which criterion's answer counts; absent: the sum over all of them")


class TokenUsageOptions(UsageOptions):
    model_config = ConfigDict(json_schema_extra={"examples": [{"tokens": "output"}]})

    tokens: Literal["input", "output", "total"] = Field("total", description="Which tokens count")


class LatencyOptions(UsageOptions):
    model_config = ConfigDict(json_schema_extra={"examples": [{"until": "end"}]})

    until: Literal["end", "first_token"] = Field(
        "end", description="end: seconds until the whole answer; first_token: until a streamed answer began"
    )


class TokenUsageScore:
    """Tokens of a trial's answers; cached ones count as the first time. Say `goal: minimise` for it."""

    kind: ScoreKind = "numeric"
    value_range: tuple[float, float] | None = None
    expected_column: str | None = None

    def __init__(self, options: TokenUsageOptions) -> None:
        self._options = options
        self.name = options.name or "token_usage"

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        return _sum(self.name, self._options, [self._tokens(one) for one in _counted(self._options, responses)])

    def _tokens(self, response: Response) -> float:
        usage = response.usage
        counts = {"input": usage.input_tokens, "output": usage.output_tokens}
        return float(counts.get(self._options.tokens, usage.input_tokens + usage.output_tokens))


class LatencyScore:
    """Seconds that a trial's answers took; cached ones count as the first time. Say `goal: minimise` for it."""

    kind: ScoreKind = "numeric"
    value_range: tuple[float, float] | None = None
    expected_column: str | None = None

    def __init__(self, options: LatencyOptions) -> None:
        self._options = options
        self.name = options.name or "latency"

    def score(self, fields: Mapping[str, Any], responses: Mapping[str, Response]) -> Score:
        return _sum(self.name, self._options, [self._seconds(one) for one in _counted(self._options, responses)])

    def _seconds(self, response: Response) -> float | None:
        return response.latency_seconds if self._options.until == "end" else response.first_token_seconds


def _counted(options: UsageOptions, responses: Mapping[str, Response]) -> list[Response]:
    found: Iterable[Response | None] = (
        responses.values() if options.criterion is None else [responses.get(options.criterion)]
    )
    return [one for one in found if one is not None]


def _sum(name: str, options: UsageOptions, figures: list[float | None]) -> Score:
    known = [one for one in figures if one is not None]
    if not figures:
        return Score(name=name, value=None, reason=f"no answer to criterion '{options.criterion or 'first'}'")
    if len(known) < len(figures):
        return Score(name=name, value=None, reason="the answer was not streamed")
    return Score(name=name, value=sum(known))
