"""A trial with its span, counted by its outcome. `worker.py` tries every row through it."""

from dataclasses import dataclass

from assay.execution.job import RowTrial
from assay.records import Outcome, Row
from assay.telemetry import Telemetry
from assay.telemetry_names import KIND, OUTCOME, REPEAT, ROW, SUITE, TRIAL_SPAN, TRIALS

_NO_FAILURE = "none"


@dataclass(frozen=True, slots=True)
class MeasuredTrial:
    """Tries rows as `trial` does."""

    telemetry: Telemetry
    suite: str
    repeat: int
    trial: RowTrial

    async def run(self, row: Row) -> Outcome:
        """The row's outcome. RunStopped, QuotaElsewhere and cancellation pass, and are not counted: it comes again."""
        with self.telemetry.span(TRIAL_SPAN, {ROW: row.number, REPEAT: self.repeat}) as span:
            outcome = await self.trial.run(row)
            kind = outcome.failure.kind if outcome.failure else _NO_FAILURE
            span.set({OUTCOME: outcome.status.value, KIND: kind})
        self.telemetry.count(TRIALS, 1, {SUITE: self.suite, OUTCOME: outcome.status.value, KIND: kind})
        return outcome
