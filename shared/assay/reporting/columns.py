"""The numbers of all trials of a run in columns, one slot per row: what `contents.py` computes with.

A million trials fit into some ten megabytes per score and experiment; answers are not kept.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from assay.records import Outcome, Row, TrialStatus, Usage
from assay.reporting.money import CostCounts
from assay.reporting.shortcuts import ShortcutCounts
from assay.scoring.results import MissingCounts

Floats = npt.NDArray[np.float64]

_STATUSES = tuple(TrialStatus)
_CODES = {status: code for code, status in enumerate(_STATUSES)}
_NO_OUTCOME = -1


@dataclass
class ExperimentColumns:
    """One experiment's trials: a slot per row, or one per repeat of each. Without a score or an answer it is NaN."""

    statuses: npt.NDArray[np.int8]
    latencies_seconds: Floats
    scores: dict[str, Floats]
    usage: Usage = field(default_factory=Usage)
    costs: CostCounts = field(default_factory=CostCounts)
    models: Counter[str] = field(default_factory=Counter)
    deployments: Counter[str] = field(default_factory=Counter)
    unpriced_models: set[str] = field(default_factory=set)
    shortcuts: ShortcutCounts = field(default_factory=ShortcutCounts)
    repeats: int = 1

    @classmethod
    def empty(cls, rows: int, scores: Sequence[str], repeats: int = 1) -> "ExperimentColumns":
        slots = rows * repeats
        return cls(
            statuses=np.full(slots, _NO_OUTCOME, dtype=np.int8),
            latencies_seconds=np.full(slots, np.nan),
            scores={name: np.full(slots, np.nan) for name in scores},
            repeats=repeats,
        )

    def add(self, outcome: Outcome) -> bool:
        """Takes a trial in; False, and no change, when this row's outcome of this repeat is already known."""
        if outcome.repeat >= self.repeats:
            raise LookupError(f"{outcome.experiment}: row {outcome.row_number} has no repeat {outcome.repeat}")
        slot = (outcome.row_number - 1) * self.repeats + outcome.repeat
        if self.statuses[slot] != _NO_OUTCOME:
            return False
        self.statuses[slot] = _CODES[outcome.status]
        for score in outcome.scores:
            if score.value is not None and score.name in self.scores:
                self.scores[score.name][slot] = score.value
        self.usage += outcome.usage
        self.costs.add(outcome)
        if outcome.responses:
            self._add_responses(outcome, slot)
        return True

    def lines(self, score: str) -> Floats:
        """The scores, one slot per row, or with repeats a line of slots per row."""
        column = self.scores[score]
        return column.reshape(-1, self.repeats) if self.repeats > 1 else column

    def clusters(self, groups: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64] | None:
        """A number per trial, the same for those that are not independent; None when all are. `groups`: per row."""
        if self.repeats == 1:
            return groups
        rows = len(self.statuses) // self.repeats
        return np.repeat(np.arange(rows, dtype=np.int64) if groups is None else groups, self.repeats)

    def count(self, status: TrialStatus) -> int:
        return int(np.count_nonzero(self.statuses == _CODES[status]))

    @property
    def without_outcome(self) -> int:
        return int(np.count_nonzero(self.statuses == _NO_OUTCOME))

    def missing(self, score: str) -> MissingCounts:
        """Why trials lack this score. A trial without any outcome was not done: it counts as skipped."""
        gaps = self.statuses[np.isnan(self.scores[score])]
        by_status = {status: int(np.count_nonzero(gaps == code)) for status, code in _CODES.items()}
        return MissingCounts(
            failed=by_status[TrialStatus.FAILED],
            blocked=by_status[TrialStatus.BLOCKED],
            skipped=by_status[TrialStatus.SKIPPED] + int(np.count_nonzero(gaps == _NO_OUTCOME)),
            unscored=by_status[TrialStatus.SUCCEEDED],
        )

    def latency_quantile(self, quantile: float) -> float | None:
        """Seconds that this share of the answered trials took at most; None when there is none."""
        seen = self.latencies_seconds[~np.isnan(self.latencies_seconds)]
        return float(np.quantile(seen, quantile)) if len(seen) else None

    def has_scores(self, score: str) -> bool:
        """Whether any trial has this score."""
        return not bool(np.isnan(self.scores[score]).all())

    def _add_responses(self, outcome: Outcome, slot: int) -> None:
        self.latencies_seconds[slot] = sum(response.latency_seconds for response in outcome.responses)
        self.shortcuts.add(outcome.responses)
        self.models.update(response.model for response in outcome.responses)
        self.deployments.update(response.deployment for response in outcome.responses)
        self.unpriced_models.update(response.model for response in outcome.responses if response.cost_usd is None)


class GroupColumn:
    """Hands on the rows of a dataset and notes which of them share a group, by the value of a column."""

    def __init__(self, rows: Iterable[Row], column: str, count: int) -> None:
        self._rows, self._column = iter(rows), column
        self._known: dict[str, int] = {}
        self._codes = -1 - np.arange(count, dtype=np.int64)  # a row without a group is one of its own

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            group = row.fields.get(self._column)
            if group not in (None, ""):
                self._codes[row.number - 1] = self._known.setdefault(repr(group), len(self._known))
            yield row

    def codes(self) -> npt.NDArray[np.int64]:
        """A number per row, the same for rows of a group; reads the rows that nobody has read yet."""
        for _ in self:
            pass
        return self._codes
