"""Judging: a chunk of answers is read, and each is put to a judge's model as a trial puts a row to an experiment's.

`runtime.py` has one `Judging` made per judgement of a run; the worker takes it for one more way of trying rows.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from assay.errors import BlobMissing
from assay.execution.job import ChunkTrial, NotYetAnswered
from assay.execution.ledger import read_outcomes
from assay.execution.trial import Trial
from assay.planning.judges.base import Judge
from assay.planning.judges.catalogue import judged_criteria, judgements_by, judges_of
from assay.planning.judges.prompts import CompiledJudge, asked_as, compile_judge
from assay.records import ChunkMessage, Failure, Outcome, Row, Score, TrialStatus
from assay.run_records import NOT_JUDGED, Judgement
from assay.storage import layout
from assay.storage.base import Blobs
from assay.suite.models import Experiment, Suite


@dataclass(frozen=True, slots=True)
class Answered:
    """What an experiment said to one row: its answer to the judged criterion, or why there is none."""

    text: str = ""
    missing: str | None = None


Answers = Mapping[int, Answered]
"""By row number."""


@dataclass(frozen=True)
class Judging:
    """How one judge judges one experiment. `trial` is how its questions are asked, whatever they are about.

    `criteria` says of each experiment in question which criterion's answer is judged.
    """

    blobs: Blobs
    judgement: Judgement
    judge: CompiledJudge
    criteria: Mapping[str, str]
    trial: Trial

    async def of_chunk(self, message: ChunkMessage) -> "JudgedChunk":
        """The answers of the chunk's rows, read once. Raises NotYetAnswered."""
        judgement = self.judgement
        of = [one for one in (judgement.against, judgement.experiment) if one]
        answers = await asyncio.gather(*(self._answers(one, message) for one in of))
        return JudgedChunk(self.judge, tuple(answers), self.trial.of_repeat(message.repeat))

    async def _answers(self, experiment: str, message: ChunkMessage) -> Answers:
        try:
            found = await self.blobs.read(layout.outcome(message.run, experiment, message.chunk))
        except BlobMissing:
            raise NotYetAnswered(f"chunk {message.chunk} of experiment '{experiment}' is not done") from None
        criterion = self.criteria[experiment]
        return {one.row_number: _answered(one, criterion) for one in read_outcomes(found)}


@dataclass(frozen=True)
class JudgedChunk:
    """The answers of one chunk's rows, those of the baseline first where two are set against each other."""

    judge: CompiledJudge
    answers: tuple[Answers, ...]
    trial: Trial

    async def run(self, row: Row) -> Outcome:
        """The judge's outcome for a row: skipped where there is no answer, else as a trial's."""
        answered = [answers.get(row.number, Answered(missing="the row has no outcome")) for answers in self.answers]
        missing = next((one.missing for one in answered if one.missing), None)
        if missing is not None:
            failure = Failure(kind=NOT_JUDGED, message=f"There is no answer to judge: {missing}.")
            return self._outcome(row, TrialStatus.SKIPPED, failure=failure)
        texts = [one.text for one in answered]
        score = self.judge.judge.without_asking(texts)
        if score is not None:
            return self._outcome(row, TrialStatus.SUCCEEDED, (score,))
        return await replace(self.trial, prompts=self.judge.prompts(texts)).run(row)

    def _outcome(
        self, row: Row, status: TrialStatus, scores: tuple[Score, ...] = (), failure: Failure | None = None
    ) -> Outcome:
        return Outcome(
            row_id=row.row_id,
            row_number=row.number,
            experiment=self.trial.experiment.name,
            repeat=self.trial.repeat,
            status=status,
            scores=scores,
            failure=failure,
        )


def judgings_of(suite: Suite, blobs: Blobs, trial_of: Callable[[Judge, Experiment], Trial]) -> dict[str, ChunkTrial]:
    """How the suite's judges judge, by the name of each judgement; `trial_of` says how one asks its questions."""
    found: dict[str, ChunkTrial] = {}
    for judge in judges_of(suite):
        compiled, criteria = compile_judge(judge, suite.templates), judged_criteria(judge, suite)
        for judgement in judgements_by(judge, suite):
            trial = trial_of(judge, asked_as(judge, judgement))
            found[judgement.name] = Judging(blobs, judgement, compiled, criteria, trial)
    return found


def _answered(outcome: Outcome, criterion: str) -> Answered:
    if outcome.status is not TrialStatus.SUCCEEDED:
        why = f" ({outcome.failure.kind})" if outcome.failure else ""
        return Answered(missing=f"the trial of experiment '{outcome.experiment}' {outcome.status.value}{why}")
    found = next((one.text for one in outcome.responses if one.criterion == criterion), None)
    if found is None:
        return Answered(missing=f"experiment '{outcome.experiment}' has no answer to criterion '{criterion}'")
    return Answered(found)
