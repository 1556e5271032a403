"""The aggregator `classification_report`: how well each label is found."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from pydantic import ConfigDict, Field

from assay.scoring.base import Json
from assay.scoring.options import PluginOptions

if TYPE_CHECKING:
    from assay.scoring.views import ExperimentView

Pairs = Counter[tuple[str, str | None]]


class ClassificationOptions(PluginOptions):
    model_config = ConfigDict(json_schema_extra={"examples": [{"score": "correct"}]})

    score: str | None = Field(None, min_length=1, description="The score of labels; absent: the first that has some")


@dataclass(frozen=True)
class LabelFigures:
    """Precision TP / (TP + FP), recall TP / (TP + FN), their harmonic mean; 0 where there is nothing to divide by."""

    precision: float
    recall: float
    f1: float
    support: int

    @classmethod
    def of(cls, right: int, found: int, expected: int) -> "LabelFigures":
        precision, recall = _share(right, found), _share(right, expected)
        return cls(precision, recall, _share(2 * right, found + expected), expected)

    def plain(self) -> dict[str, Json]:
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1, "support": self.support}


@dataclass(frozen=True)
class ClassificationReport:
    """Precision, recall, F1 and support of every label; their averages, accuracy and Cohen's kappa.

    Counts trials whose row says what is right. `labels` are those that some row expects, and `macro` (each label alike)
    and `weighted` (by support) average over them. `without_label` are answers that hold no label, `never_expected`
    those with a label that no row expects; both are wrong. `kappa` is agreement beyond chance (Cohen 1960) with its
    95 % interval, from statsmodels; it takes trials for independent, and is absent where all labels are the same.
    """

    options: ClassificationOptions

    @property
    def name(self) -> str:
        return self.options.name or "classification_report"

    def aggregate(self, view: "ExperimentView") -> Mapping[str, Json]:
        score = self.options.score or next(iter(view.labels), None)
        if score is None or score not in view.labels:
            raise ValueError(f"no labels: {'no score' if score is None else f'score {score!r}'} says any")
        return {"score": score, **report(view.label_pairs(score))}


def report(pairs: Pairs) -> dict[str, Json]:
    """The figures of a confusion matrix given as (expected, found) -> trials; found None is no label."""
    expected, found = Counter[str](), Counter[str | None]()
    for (right, answered), trials in pairs.items():
        expected[right] += trials
        found[answered] += trials
    figures = {label: LabelFigures.of(pairs[label, label], found[label], expected[label]) for label in sorted(expected)}
    judged = expected.total()
    strange = sum(trials for label, trials in found.items() if label is not None and label not in expected)
    return {
        "judged": judged,
        "without_label": found[None],
        "never_expected": strange,
        "accuracy": _share(sum(pairs[label, label] for label in expected), judged) if judged else None,
        "macro": _average(figures, dict.fromkeys(figures, 1)),
        "weighted": _average(figures, expected),
        "kappa": _kappa(pairs),
        "labels": {label: one.plain() for label, one in figures.items()},
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _average(figures: Mapping[str, LabelFigures], weights: Mapping[str, int]) -> Json:
    total = sum(weights.values())
    if not total:
        return None
    return {
        key: sum(weights[label] * getattr(one, key) for label, one in figures.items()) / total
        for key in ("precision", "recall", "f1")
    }


def _kappa(pairs: Pairs) -> Json:
    import numpy as np
    from statsmodels.stats.inter_rater import cohens_kappa

    labels = sorted({label for pair in pairs for label in pair}, key=lambda label: (label is None, label or ""))
    if len(labels) < 2:
        return None
    table = np.array([[pairs[row, column] if row is not None else 0 for column in labels] for row in labels])
    with np.errstate(divide="ignore", invalid="ignore"):  # where all is chance, its bounds are NaN
        found = cohens_kappa(table)
    figures = {"value": found.kappa, "low": found.kappa_low, "high": found.kappa_upp}
    # The interval is that of a normal distribution, which knows no end at 1.
    return {key: float(np.clip(value, -1, 1)) for key, value in figures.items() if isfinite(value)} or None
