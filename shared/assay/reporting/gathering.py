"""Goes once through all outcomes of a run: fills the columns, keeps samples, writes the result files.

Reading and rendering take most of the time and run outside Python's lock, two batches at a time; what depends on the
order of the batches is done by one thread in that order, so that the same outcomes always give the same bytes.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from assay.records import TrialStatus
from assay.reporting.columns import BatchFigures, RunColumns
from assay.reporting.outcome_files import OutcomeFiles, RawBatch
from assay.reporting.sampling import AnswerDifferences, TroubleSampler
from assay.reporting.tables import Rendered, Renderer, ResultFiles
from assay.reporting.tallies import add_batch
from assay.reporting.trials import TrialBatch
from assay.run_records import Plan
from assay.scoring.views import STATUSES

AT_ONCE = 2
"""Batches that are prepared side by side; as many more are held at most."""

MOST_HELD_BYTES = 64_000_000
"""Row ranges of huge answers, which alone are more than that, are prepared one after the other."""


@dataclass(frozen=True)
class Writing:
    """How results are rendered, and where they go."""

    renderer: Renderer
    files: ResultFiles


class Gathered:
    """What is kept of the outcomes: columns of numbers, and a few samples."""

    def __init__(self, plan: Plan, scores: Sequence[str]) -> None:
        self.columns = RunColumns(plan, scores)
        self.answers = AnswerDifferences(plan.experiments[1:])
        self.failures = TroubleSampler(plan.experiments)
        self.blocked = TroubleSampler(plan.experiments)
        self.unscored = TroubleSampler(plan.experiments)

    def add(self, batch: TrialBatch, figures: BatchFigures) -> None:
        """Takes a batch in; batches come in the order of their rows."""
        self.columns.add(batch, figures)
        add_batch([one.tally for one in self.columns.experiments.values()], batch)
        self.answers.add(batch)
        self._add_failures(batch)
        self._add_unscored(batch)

    def _add_failures(self, batch: TrialBatch) -> None:
        is_blocked = batch.status[batch.failed] == STATUSES.index(TrialStatus.BLOCKED)
        for sampler, chosen in ((self.blocked, is_blocked), (self.failures, ~is_blocked)):
            kinds, messages, ids = (
                batch.failures(name).filter(pa.array(chosen)) for name in ("kind", "message", "request_id")
            )
            sampler.add(batch, batch.failed[chosen], kinds, messages, ids)

    def _add_unscored(self, batch: TrialBatch) -> None:
        scores = batch.scores
        gaps = np.isnan(scores.floats("value"))
        names, reasons = (scores.strings(name).filter(pa.array(gaps)) for name in ("name", "reason"))
        nobody = pa.nulls(len(names), pa.string())
        self.unscored.add(batch, scores.trial[gaps], names, reasons.fill_null("no reason given"), nobody)


def gather(outcomes: OutcomeFiles, scores: Sequence[str], writing: Writing | None = None) -> Gathered:
    """What a report is computed from; with `writing` the result files get every trial on the way.

    Raises CheckFailed for lines that are no outcomes, LookupError for outcomes that are not planned.
    """
    gathered = Gathered(outcomes.plan, scores)
    for one in _prepared(outcomes, scores, writing.renderer if writing else None):
        gathered.add(one.batch, one.figures)
        if writing and one.rendered:
            writing.files.write(one.rendered)
    return gathered


class _Prepared(NamedTuple):
    batch: TrialBatch
    figures: BatchFigures
    rendered: Rendered | None


def _prepared(outcomes: OutcomeFiles, scores: Sequence[str], renderer: Renderer | None) -> Iterator[_Prepared]:
    waiting: deque[tuple[int, Future[_Prepared]]] = deque()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for raw in outcomes.batches():
            while len(waiting) > AT_ONCE or (waiting and raw.size + sum(size for size, _ in waiting) > MOST_HELD_BYTES):
                yield waiting.popleft()[1].result()
            waiting.append((raw.size, pool.submit(_prepare, raw, scores, renderer)))
        while waiting:
            yield waiting.popleft()[1].result()


def _prepare(raw: RawBatch, scores: Sequence[str], renderer: Renderer | None) -> _Prepared:
    batch = raw.parsed()
    figures = BatchFigures.of(batch, scores)
    return _Prepared(batch, figures, renderer.render(batch, figures) if renderer else None)
