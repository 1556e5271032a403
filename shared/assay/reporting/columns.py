"""The numbers of all trials of a run in columns, one slot per row and repeat: what `evaluation.py` computes with.

A million trials take some sixty megabytes per experiment and ten more per score; answers are not kept.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from assay.records import Row, TrialStatus
from assay.reporting.tallies import ExperimentTally
from assay.reporting.trials import Floats, Lists, TrialBatch, Whole, numbers
from assay.run_records import Plan
from assay.scoring.results import MissingCounts
from assay.scoring.views import NO_LABEL, NO_OUTCOME, STATUSES, ExperimentView, LabelColumn, LabelNames

Labels = npt.NDArray[np.int32]

VIEWED = ("latency_seconds", "first_token_seconds", "input_tokens", "output_tokens", "cost_usd")
"""Numbers that every trial may have; `scoring/views.py` says what they are."""

MEASURES = (*VIEWED, "tokens_per_second")
"""`tokens_per_second` is the first answer's, from its first token on, where it was streamed."""


@dataclass(frozen=True)
class BatchFigures:
    """The numbers of a batch, one slot per trial as it was read. Labels, found and expected, as results show trials."""

    measures: Mapping[str, Floats]
    scores: Mapping[str, Floats]
    labels: Mapping[str, tuple[pa.DictionaryArray, pa.DictionaryArray]]

    @classmethod
    def of(cls, batch: TrialBatch, scores: Sequence[str]) -> "BatchFigures":
        """Takes them out of a batch; changes nothing, so that batches can be prepared side by side."""
        items = {name: batch.score_items(name) for name in scores}
        order = batch.order  # labels get their numbers in it, which must not depend on where batches begin
        values, found, expected = (
            batch.scores.floats("value"),
            batch.scores.strings("label"),
            batch.scores.strings("expected"),
        )
        return cls(
            _measures(batch),
            {name: _at(values, places) for name, places in items.items()},
            {name: (_labels(found, at[order]), _labels(expected, at[order])) for name, at in items.items()},
        )


@dataclass
class ExperimentColumns:
    """One experiment's trials: a slot per row, or one per repeat of each. Without a score or an answer it is NaN."""

    statuses: npt.NDArray[np.int8]
    measures: dict[str, Floats]
    scores: dict[str, Floats]
    repeats: int = 1
    labels: dict[str, tuple[Labels, Labels]] = field(default_factory=dict)
    tally: ExperimentTally = field(default_factory=ExperimentTally)

    @classmethod
    def empty(cls, rows: int, scores: Sequence[str], repeats: int = 1) -> "ExperimentColumns":
        slots = rows * repeats
        return cls(
            statuses=np.full(slots, NO_OUTCOME, dtype=np.int8),
            measures={name: np.full(slots, np.nan) for name in MEASURES},
            scores={name: np.full(slots, np.nan) for name in scores},
            repeats=repeats,
        )

    def lines(self, score: str) -> Floats:
        """The scores, one slot per row, or with repeats a line of slots per row."""
        column = self.scores[score]
        return column.reshape(-1, self.repeats) if self.repeats > 1 else column

    def clusters(self, groups: Whole | None) -> Whole | None:
        """A number per trial, the same for those that are not independent; None when all are. `groups`: per row."""
        if self.repeats == 1:
            return groups
        rows = len(self.statuses) // self.repeats
        return np.repeat(np.arange(rows, dtype=np.int64) if groups is None else groups, self.repeats)

    def count(self, status: TrialStatus) -> int:
        return int(np.count_nonzero(self.statuses == STATUSES.index(status)))

    @property
    def without_outcome(self) -> int:
        return int(np.count_nonzero(self.statuses == NO_OUTCOME))

    def missing(self, score: str) -> MissingCounts:
        """Why trials lack this score. A trial without any outcome was not done: it counts as skipped."""
        gaps = self.statuses[np.isnan(self.scores[score])]
        by_status = {status: int(np.count_nonzero(gaps == code)) for code, status in enumerate(STATUSES)}
        return MissingCounts(
            failed=by_status[TrialStatus.FAILED],
            blocked=by_status[TrialStatus.BLOCKED],
            skipped=by_status[TrialStatus.SKIPPED] + int(np.count_nonzero(gaps == NO_OUTCOME)),
            unscored=by_status[TrialStatus.SUCCEEDED],
        )

    def quantiles(self, measure: str, shares: Sequence[float]) -> list[float]:
        """What these shares of the trials that have the measure have at most; none when no trial has it."""
        values = self.measures[measure]
        seen = values[~np.isnan(values)]
        return [float(value) for value in np.quantile(seen, shares)] if len(seen) else []

    def has_scores(self, score: str) -> bool:
        """Whether any trial has this score."""
        return not bool(np.isnan(self.scores[score]).all())

    def view(self, name: str, baseline: bool, labels: Mapping[str, LabelNames]) -> ExperimentView:
        """The experiment as aggregators and comparers see it."""
        shape = (-1, self.repeats)
        measures = {measure: self.measures[measure].reshape(shape) for measure in VIEWED}
        return ExperimentView(
            experiment=name,
            baseline=baseline,
            statuses=self.statuses.reshape(shape),
            scores={score: values.reshape(shape) for score, values in self.scores.items()},
            labels={
                score: LabelColumn(labels[score].names, expected.reshape(shape), found.reshape(shape))
                for score, (found, expected) in self.labels.items()
            },
            **measures,
        )


class RunColumns:
    """All experiments' columns, filled batch by batch; the order of the batches does not matter for the numbers."""

    def __init__(self, plan: Plan, scores: Sequence[str]) -> None:
        repeats = {name: plan.repeats_of(name) for name in plan.experiments}
        self.experiments = {name: ExperimentColumns.empty(plan.rows, scores, repeats[name]) for name in repeats}
        self.label_names = {name: LabelNames() for name in scores}

    def add(self, batch: TrialBatch, figures: BatchFigures) -> None:
        """Puts the numbers of a batch into their slots."""
        for at, columns in enumerate(self.experiments.values()):
            chosen = np.flatnonzero(batch.experiment == at)
            slots = (batch.row[chosen] - 1) * columns.repeats + batch.repeat[chosen]
            columns.statuses[slots] = batch.status[chosen]
            for name, values in figures.measures.items():
                columns.measures[name][slots] = values[chosen]
            for name, values in figures.scores.items():
                columns.scores[name][slots] = values[chosen]
        for name, labels in figures.labels.items():
            if any(len(one.dictionary) for one in labels):
                self._add_labels(name, batch, labels)

    def views(self) -> list[ExperimentView]:
        """The experiments as aggregators and comparers see them, the baseline first."""
        return [
            columns.view(name, at == 0, self.label_names) for at, (name, columns) in enumerate(self.experiments.items())
        ]

    def _add_labels(self, score: str, batch: TrialBatch, labels: tuple[pa.DictionaryArray, pa.DictionaryArray]) -> None:
        codes = [self._codes(score, one)[np.argsort(batch.order)] for one in labels]
        for at, columns in enumerate(self.experiments.values()):
            chosen = np.flatnonzero(batch.experiment == at)
            slots = (batch.row[chosen] - 1) * columns.repeats + batch.repeat[chosen]
            if score not in columns.labels:
                found, expected = (np.full(len(columns.statuses), NO_LABEL, dtype=np.int32) for _ in labels)
                columns.labels[score] = found, expected
            for column, values in zip(columns.labels[score], codes, strict=True):
                column[slots] = values[chosen]

    def _codes(self, score: str, labels: pa.DictionaryArray) -> Labels:
        """The numbers that these labels have in the whole run."""
        names = self.label_names[score]
        known = np.array([*(names.code(label) for label in labels.dictionary.to_pylist()), NO_LABEL], dtype=np.int32)
        codes: Labels = known[labels.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)]
        return codes


def _measures(batch: TrialBatch) -> dict[str, Floats]:
    responses = batch.responses
    answered = responses.counts > 0
    first, speed = np.full(len(batch), np.nan), np.full(len(batch), np.nan)
    first[answered] = responses.floats("first_token_seconds")[responses.starts[answered]]
    speed[answered] = _tokens_per_second(responses)[responses.starts[answered]]
    return {
        "latency_seconds": np.where(answered, responses.sums(responses.floats("latency_seconds")), np.nan),
        "first_token_seconds": first,
        "input_tokens": _billed(batch, "input_tokens"),
        "output_tokens": _billed(batch, "output_tokens"),
        "cost_usd": _costs(batch),
        "tokens_per_second": speed,
    }


def _tokens_per_second(responses: Lists) -> Floats:
    """As `Response.tokens_per_second`; NaN where that is None."""
    seconds = responses.floats("latency_seconds") - responses.floats("first_token_seconds")
    return responses.whole("usage", "output_tokens") / np.where(seconds > 0, seconds, np.nan)


def _billed(batch: TrialBatch, name: str) -> Floats:
    """Tokens per trial as they were billed, failures included; NaN where nothing was answered or billed."""
    responses = batch.responses
    fresh = np.where(responses.flags("cached"), 0, responses.whole("usage", name))
    tokens = responses.sums(fresh + responses.whole("discarded", name))
    tokens[batch.failed] += batch.failed_tokens(name)
    return np.where((responses.counts > 0) | (tokens > 0), tokens, np.nan)


def _costs(batch: TrialBatch) -> Floats:
    """What a trial cost, failures included; NaN where nothing was answered or billed, or a price is not known."""
    responses = batch.responses
    costs = responses.sums(numbers(responses.strings("cost_usd")))
    costs[batch.failed] += numbers(batch.failures("cost_usd"))
    return np.where((responses.counts > 0) | (costs > 0), costs, np.nan)


def _at(values: Floats, places: Whole) -> Floats:
    """The values at these places, NaN for -1."""
    return np.concatenate([values, [np.nan]])[places]


def _labels(column: pa.Array, places: Whole) -> pa.DictionaryArray:
    if column.null_count == len(column):
        return pa.nulls(len(places), pa.string()).dictionary_encode()
    return pc.dictionary_encode(column.take(pa.array(places, mask=places < 0)))


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
