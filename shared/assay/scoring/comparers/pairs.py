"""Comparers of rows: `win_rate`, `label_changes`, `cost_ratio` and `latency_ratio`."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, Field

from assay.scoring.base import Json
from assay.scoring.options import PluginOptions

if TYPE_CHECKING:
    from assay.scoring.views import ExperimentView, Floats, LabelColumn

MOST_CHANGES = 50

Triples = Counter[tuple[str, str | None, str | None]]
"""What was right, the baseline's label and the variant's -> trials."""


class WinRateOptions(PluginOptions):
    model_config = ConfigDict(json_schema_extra={"examples": [{"score": "helpfulness", "tie": 0.5}]})

    score: str = Field(min_length=1, description="The score that decides who wins a row")
    tie: float = Field(0.0, ge=0, description="Difference up to which a row is a tie")
    goal: Literal["maximise", "minimise"] = Field(
        "maximise", description="Whether more or less of the score is better; absent: as `comparison.goal` says"
    )


class LabelChangeOptions(PluginOptions):
    model_config = ConfigDict(json_schema_extra={"examples": [{"score": "correct"}]})

    score: str | None = Field(None, min_length=1, description="The score of labels; absent: the first that has some")


@dataclass(frozen=True)
class WinRate:
    """On how many rows the variant has the better score, the worse one, or a tie; `rate` counts ties as half a win.

    With repeats a row's score is their mean. Rows without a score on either side are left out.
    """

    options: WinRateOptions

    @property
    def name(self) -> str:
        return self.options.name or "win_rate"

    def compare(self, baseline: "ExperimentView", variant: "ExperimentView") -> Mapping[str, Json]:
        before, after = complete_pairs(baseline.scores[self.options.score], variant.scores[self.options.score])
        gains = after - before if self.options.goal == "maximise" else before - after
        wins, losses = int((gains > self.options.tie).sum()), int((gains < -self.options.tie).sum())
        ties = len(gains) - wins - losses
        rate = (wins + ties / 2) / len(gains) if len(gains) else None
        return {"rows": len(gains), "wins": wins, "losses": losses, "ties": ties, "rate": rate}


@dataclass(frozen=True)
class LabelChanges:
    """Which labels the variant finds in place of the baseline's: counts of from -> to, most frequent first.

    Trial by trial, for the repeats that both have. `mended` of them became right, `broken` were right before; a label
    of null is an answer without one.
    """

    options: LabelChangeOptions

    @property
    def name(self) -> str:
        return self.options.name or "label_changes"

    def compare(self, baseline: "ExperimentView", variant: "ExperimentView") -> Mapping[str, Json]:
        score = self.options.score or next(iter(baseline.labels), None)
        if score is None or score not in baseline.labels or score not in variant.labels:
            raise ValueError(f"no labels: {'no score' if score is None else f'score {score!r}'} says any")
        triples = _triples(baseline.labels[score], variant.labels[score])
        changed = Counter({one: trials for one, trials in triples.items() if one[1] != one[2]})
        return {"score": score, "trials": triples.total(), **_counts(changed), "changes": _by_pair(changed)}


@dataclass(frozen=True)
class CostRatio:
    """What a trial of the variant costs, as a multiple of the baseline's; rows with a known cost on both sides."""

    options: PluginOptions

    @property
    def name(self) -> str:
        return self.options.name or "cost_ratio"

    def compare(self, baseline: "ExperimentView", variant: "ExperimentView") -> Mapping[str, Json]:
        return ratio(baseline.cost_usd, variant.cost_usd)


@dataclass(frozen=True)
class LatencyRatio:
    """How long a trial of the variant takes, as a multiple of the baseline's; rows that were answered on both sides."""

    options: PluginOptions

    @property
    def name(self) -> str:
        return self.options.name or "latency_ratio"

    def compare(self, baseline: "ExperimentView", variant: "ExperimentView") -> Mapping[str, Json]:
        return ratio(baseline.latency_seconds, variant.latency_seconds)


def _counts(changed: Triples) -> dict[str, int]:
    """How many trials changed, how many became right, and how many were right before."""
    return {
        "changed": changed.total(),
        "mended": sum(trials for (right, _, after), trials in changed.items() if after == right),
        "broken": sum(trials for (right, before, _), trials in changed.items() if before == right),
    }


def _by_pair(changed: Triples) -> list[Json]:
    pairs: dict[tuple[str | None, str | None], Triples] = {}
    for (right, before, after), trials in changed.items():
        pairs.setdefault((before, after), Counter())[right, before, after] = trials
    in_order = sorted(pairs, key=lambda pair: (-pairs[pair].total(), pair[0] or "", pair[1] or ""))
    return [{"from": before, "to": after, **_counts(pairs[before, after])} for before, after in in_order[:MOST_CHANGES]]


def ratio(baseline: "Floats", variant: "Floats") -> dict[str, Json]:
    """Means over the rows that have values on both sides, and the variant's over the baseline's; None over nothing."""
    before, after = complete_pairs(baseline, variant)
    if not len(before):
        return {"rows": 0, "ratio": None}
    means = float(before.mean()), float(after.mean())
    multiple = means[1] / means[0] if means[0] else inf
    return {
        "rows": len(before),
        "baseline_mean": means[0],
        "variant_mean": means[1],
        "ratio": multiple if isfinite(multiple) else None,
    }


def complete_pairs(baseline: "Floats", variant: "Floats") -> tuple["Floats", "Floats"]:
    """The row means of both sides, for the rows that have one on each."""
    import numpy as np

    before, after = row_means(baseline), row_means(variant)
    both = np.isfinite(before) & np.isfinite(after)
    return before[both], after[both]


def row_means(column: "Floats") -> "Floats":
    """The mean of each row's repeats, without those that have no value; NaN where none has."""
    import numpy as np

    seen = np.isfinite(column)
    counts = seen.sum(axis=1)
    sums = np.where(seen, column, 0.0).sum(axis=1)
    means: Floats = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means


def _triples(baseline: "LabelColumn", variant: "LabelColumn") -> Triples:
    """(right, the baseline's label, the variant's) -> trials, where both sides were judged."""
    import numpy as np

    repeats = min(baseline.expected.shape[1], variant.expected.shape[1])
    expected, before = baseline.expected[:, :repeats], baseline.found[:, :repeats]
    after = variant.found[:, :repeats]
    judged = (expected >= 0) & (variant.expected[:, :repeats] >= 0)
    codes, counts = np.unique(np.stack([expected[judged], before[judged], after[judged]]), axis=1, return_counts=True)
    return Counter(
        {
            (baseline.names[right], _label(baseline, first), _label(variant, second)): int(count)
            for (right, first, second), count in zip(codes.T, counts, strict=True)
        }
    )


def _label(column: "LabelColumn", code: int) -> str | None:
    return column.names[code] if code >= 0 else None
