"""Aggregators of numbers: `token_usage`, `latency` and `score_quantiles`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import ConfigDict, Field

from assay.scoring.base import Json
from assay.scoring.options import PluginOptions

if TYPE_CHECKING:
    from assay.scoring.views import ExperimentView, Floats

QUANTILES = (0.5, 0.9, 0.95, 0.99)

Share = Annotated[float, Field(ge=0, le=1)]


class QuantileOptions(PluginOptions):
    quantiles: tuple[Share, ...] = Field(
        QUANTILES, min_length=1, max_length=100, description="Shares of the trials, such as 0.95"
    )


class ScoreQuantileOptions(QuantileOptions):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"score": "helpfulness", "quantiles": [0.01, 0.5, 0.99]}]}
    )

    score: str | None = Field(None, min_length=1, description="The score; absent: every score")
    quantiles: tuple[Share, ...] = Field(
        tuple(at / 10 for at in range(1, 10)), min_length=1, max_length=100, description="Shares of the scores"
    )


@dataclass(frozen=True)
class TokenUsage:
    """Tokens and cost per trial: total, mean, extremes and quantiles; what was billed, failed trials with it."""

    options: QuantileOptions

    @property
    def name(self) -> str:
        return self.options.name or "token_usage"

    def aggregate(self, view: "ExperimentView") -> Mapping[str, Json]:
        columns = {
            "input_tokens": view.input_tokens,
            "output_tokens": view.output_tokens,
            "cost_usd": view.cost_usd,
        }
        return {
            key: {"total": _total(column), **distribution(column, self.options.quantiles)}
            for key, column in columns.items()
        }


@dataclass(frozen=True)
class Latency:
    """Seconds per trial, seconds to the first token (streamed answers) and output tokens per second, with quantiles.

    Tokens per second are over the whole time of the answers, so that streamed and other answers can be compared.
    """

    options: QuantileOptions

    @property
    def name(self) -> str:
        return self.options.name or "latency"

    def aggregate(self, view: "ExperimentView") -> Mapping[str, Json]:
        import numpy as np

        with np.errstate(divide="ignore", invalid="ignore"):
            speed = view.output_tokens / view.latency_seconds
        columns = {
            "latency_seconds": view.latency_seconds,
            "first_token_seconds": view.first_token_seconds,
            "output_tokens_per_second": speed,
        }
        return {key: distribution(column, self.options.quantiles) for key, column in columns.items()}


@dataclass(frozen=True)
class ScoreQuantiles:
    """Quantiles of scores, those that you choose, by linear interpolation (Hyndman and Fan's type 7)."""

    options: ScoreQuantileOptions

    @property
    def name(self) -> str:
        return self.options.name or "score_quantiles"

    def aggregate(self, view: "ExperimentView") -> Mapping[str, Json]:
        wanted = [self.options.score] if self.options.score else list(view.scores)
        return {score: distribution(view.scores[score], self.options.quantiles) for score in wanted}


def distribution(column: "Floats", quantiles: Sequence[float]) -> dict[str, Json]:
    """Number, mean, extremes and quantiles ("p95") of the finite values of an array; only the number when it is 0."""
    import numpy as np

    seen = column[np.isfinite(column)]
    if not len(seen):
        return {"n": 0}
    found = np.quantile(seen, quantiles)
    return {
        "n": len(seen),
        "mean": float(seen.mean()),
        "minimum": float(seen.min()),
        "maximum": float(seen.max()),
        **{quantile_name(at): float(value) for at, value in zip(quantiles, found, strict=True)},
    }


def quantile_name(share: float) -> str:
    """`p05` of 0.05, `p99.9` of 0.999."""
    whole = f"{share * 100:.10g}"
    return f"p{whole.zfill(2)}" if "." not in whole else f"p{whole}"


def _total(column: "Floats") -> float:
    import numpy as np

    return float(np.nansum(column))
