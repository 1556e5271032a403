"""What is known of a variant while it is asked: a few sums over its complete row ranges, in the plan's order.

The orchestrator adds row range after row range (`orchestration/early_stop.py`); stopping rules read it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from assay.records import NO_COST
from assay.scoring.early_stop.betting import ConfidenceSequence
from assay.scoring.results import Goal


@dataclass(frozen=True)
class TrialSummary:
    """What early stop needs of an outcome: the row, how it ended, what it cost, its scores that have a value."""

    row: int
    status: str
    cost_usd: Decimal
    scores: Mapping[str, float]


@dataclass
class ScoreCourse:
    """One score: the variant's mean over rows, and the sequence of differences if the score's range is known."""

    rows: int = 0
    total: float = 0.0
    width: float | None = None
    sequence: ConfidenceSequence | None = None

    @property
    def mean(self) -> float | None:
        return self.total / self.rows if self.rows else None

    def add(self, baseline: Mapping[int, float], variant: Mapping[int, float]) -> None:
        """Takes in the scores of both sides by row; rows that only one side has are left out of the differences."""
        self.rows += len(variant)
        self.total += sum(variant.values())
        if self.sequence is not None and self.width:
            pairs = (row for row in variant if row in baseline)
            parts = ((variant[row] - baseline[row]) / self.width for row in pairs)
            # A value beyond the range that its scorer promised is no score here: the bets would not be fair.
            self.sequence.add(part for part in parts if abs(part) <= 1)
            self.sequence.look()


@dataclass
class Course:
    """A variant over its first `ranges` row ranges. `trials`, `failed`, `blocked` and `cost_usd` are its own.

    `goal` is which side of the primary score is the better one.
    """

    experiment: str
    primary: str
    goal: Goal = "maximise"
    ranges: int = 0
    rows: int = 0
    trials: int = 0
    failed: int = 0
    blocked: int = 0
    cost_usd: Decimal = NO_COST
    scores: dict[str, ScoreCourse] = field(default_factory=dict)

    def add(self, rows: int, baseline: Sequence[TrialSummary], variant: Sequence[TrialSummary]) -> None:
        """Takes in the next row range: all its trials of both sides, every repeat."""
        self.ranges += 1
        self.rows += rows
        self.trials += len(variant)
        self.failed += sum(one.status == "failed" for one in variant)
        self.blocked += sum(one.status == "blocked" for one in variant)
        self.cost_usd += sum((one.cost_usd for one in variant), NO_COST)
        for name, score in self.scores.items():
            score.add(row_scores(baseline, name), row_scores(variant, name))


def row_scores(trials: Sequence[TrialSummary], name: str) -> dict[int, float]:
    """A score by row: the mean over the repeats that have one, as the comparisons take it."""
    values: dict[int, list[float]] = {}
    for trial in trials:
        if name in trial.scores:
            values.setdefault(trial.row, []).append(trial.scores[name])
    return {row: sum(found) / len(found) for row, found in values.items()}
