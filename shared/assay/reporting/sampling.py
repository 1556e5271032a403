"""Chooses the few telling trials of a report: by row numbers only, never by the order of arrival.

`evaluation.py` calls it: columns say which trials, and only their lines are then parsed.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from assay.records import Outcome, Row, TrialStatus
from assay.reporting.columns import ExperimentColumns
from assay.reporting.outcome_files import OutcomeFiles
from assay.reporting.samples import (
    MOST_DISAGREEMENTS,
    MOST_SAMPLES,
    Answer,
    Disagreement,
    Side,
    Trouble,
    TroubleSample,
    cut,
)
from assay.reporting.trials import Places, TrialBatch, Whole
from assay.scoring.views import STATUSES

SUCCEEDED = STATUSES.index(TrialStatus.SUCCEEDED)


def disagreements(
    outcomes: OutcomeFiles, differing: Mapping[str, Sequence[int]], score: str | None, right: Mapping[int, str]
) -> dict[str, tuple[Disagreement, ...]]:
    """By variant the rows on which it differs from the baseline; `right` says by row number what was expected."""
    baseline = outcomes.plan.experiments[0]
    wanted = sorted(set().union(*differing.values()))
    before = {one.row_number: one for one in outcomes.outcomes(baseline, wanted)}
    return {
        variant: tuple(
            Disagreement(
                row_id=one.row_id,
                row_number=one.row_number,
                expected=right.get(one.row_number),
                baseline=_side(before[one.row_number], score),
                variant=_side(one, score),
            )
            for one in outcomes.outcomes(variant, rows)
        )
        for variant, rows in differing.items()
    }


def expected_values(rows: Iterable[Row], numbers: Iterable[int], column: str) -> dict[int, str]:
    """What the column holds in the rows of these numbers, cut when long; reads no row after the last of them."""
    wanted, found = set(numbers), dict[int, str]()
    for row in rows if wanted else ():
        if row.number in wanted:
            wanted.discard(row.number)
            found[row.number] = cut(str(row.fields.get(column, "")))
        if not wanted:
            break
    return found


def differing_scores(baseline: ExperimentColumns, variant: ExperimentColumns, score: str) -> list[int]:
    """The numbers of the first rows whose first trials were both answered and have another score."""
    sides = [columns.scores[score][:: columns.repeats] for columns in (baseline, variant)]
    answered = [columns.statuses[:: columns.repeats] == SUCCEEDED for columns in (baseline, variant)]
    seen = answered[0] & answered[1] & ~np.isnan(sides[0] + sides[1])
    return [int(at) + 1 for at in np.flatnonzero(seen & (sides[0] != sides[1]))[:MOST_DISAGREEMENTS]]


class AnswerDifferences:
    """The first rows on which a variant's answers are not the baseline's, for suites that score nothing.

    The first repeat stands for all. Fed batches in the order of their rows.
    """

    def __init__(self, variants: Sequence[str]) -> None:
        self.rows: dict[str, list[int]] = {variant: [] for variant in variants}

    def add(self, batch: TrialBatch) -> None:
        if all(len(rows) >= MOST_DISAGREEMENTS for rows in self.rows.values()):
            return
        first, codes = int(batch.row.min(initial=1)), self._codes(batch)
        for at, rows in enumerate(self.rows.values(), start=1):
            differs = (codes[0] >= 0) & (codes[at] >= 0) & (codes[0] != codes[at])
            found = np.flatnonzero(differs) + first
            rows.extend(int(row) for row in found[: MOST_DISAGREEMENTS - len(rows)])

    def _codes(self, batch: TrialBatch) -> Whole:
        """By experiment and row the number of the answers given, the same for equal ones; -1 without an answer."""
        responses = batch.responses
        criteria, texts = (
            pc.dictionary_encode(responses.strings(name)).indices.to_numpy(False).astype(np.int64)
            for name in ("criterion", "text")
        )
        patterns, _ = responses.patterns(criteria * (int(texts.max(initial=0)) + 1) + texts)
        first, last = int(batch.row.min(initial=1)), int(batch.row.max(initial=0))
        codes = np.full((len(batch.experiments), last - first + 1), -1, dtype=np.int64)
        answered = (batch.repeat == 0) & (batch.status == SUCCEEDED)
        codes[batch.experiment[answered], batch.row[answered] - first] = patterns[answered]
        return codes


class TroubleSampler:
    """Counts what went wrong by kind, and keeps the first few trials of each; fed batches in the order of rows."""

    def __init__(self, experiments: Sequence[str]) -> None:
        self._experiments = tuple(experiments)
        self._counts: dict[str, dict[str, int]] = {}
        self._kept: dict[str, list[TroubleSample]] = {}

    def add(self, batch: TrialBatch, trials: Whole, kinds: pa.Array, messages: pa.Array, ids: pa.Array) -> None:
        """Takes in what went wrong in a batch: trials, with the kind, the message and the request id of each."""
        encoded = pc.dictionary_encode(kinds)
        codes, place = encoded.indices.to_numpy(zero_copy_only=False), np.argsort(batch.order)[trials]
        for code, kind in enumerate(encoded.dictionary.to_pylist()):
            of_kind = np.flatnonzero(codes == code)
            self._count(kind, batch.experiment[trials[of_kind]])
            kept = self._kept.setdefault(kind, [])
            for at in of_kind[np.argsort(place[of_kind], kind="stable")][: MOST_SAMPLES - len(kept)]:
                kept.append(self._sample(batch, int(trials[at]), messages[int(at)].as_py(), ids[int(at)].as_py()))

    def groups(self) -> tuple[Trouble, ...]:
        """The commonest kind first; kinds as common by name."""
        groups = [self._group(kind) for kind in self._counts]
        return tuple(sorted(groups, key=lambda group: (-group.count, group.kind)))

    def _count(self, kind: str, experiments: Places) -> None:
        counts = self._counts.setdefault(kind, {})
        for at, count in zip(*np.unique(experiments, return_counts=True), strict=True):
            name = self._experiments[at]
            counts[name] = counts.get(name, 0) + int(count)

    def _sample(self, batch: TrialBatch, trial: int, message: str, request_id: str | None) -> TroubleSample:
        return TroubleSample(
            row_id=batch.column("row_id")[trial].as_py(),
            row_number=int(batch.row[trial]),
            experiment=self._experiments[batch.experiment[trial]],
            repeat=int(batch.repeat[trial]),
            message=cut(message, 500),
            request_id=request_id,
        )

    def _group(self, kind: str) -> Trouble:
        counts = self._counts[kind]
        return Trouble(
            kind=kind,
            count=sum(counts.values()),
            by_experiment={name: counts[name] for name in self._experiments if name in counts},
            samples=tuple(self._kept[kind]),
        )


def _side(outcome: Outcome, name: str | None) -> Side:
    score = next((score for score in outcome.scores if score.name == name), None)
    return Side(
        score=score.value if score else None,
        reason=cut(score.reason) if score and score.reason else None,
        answers=tuple(Answer(criterion=one.criterion, text=cut(one.text)) for one in outcome.responses),
    )
