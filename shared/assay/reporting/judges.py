"""What a report says of judges: what they judged, what that cost, how far they agree with people and with themselves.

The evaluation calls `judge_facts` with the judges' own outcomes; the scores themselves are scores like any other.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from assay.planning.judges.base import Judge
from assay.planning.judges.catalogue import judgements_by, judges_of
from assay.planning.judges.pairwise_judge import EQUAL_ANSWERS, POSITION_BIAS, VALUES
from assay.records import Row, Usage
from assay.reporting.columns import ExperimentColumns, RunColumns
from assay.reporting.gathering import gather
from assay.reporting.judge_records import JudgedExperiment, JudgeFacts, Positions
from assay.reporting.money import Cost
from assay.reporting.outcome_files import OutcomeFiles
from assay.reporting.samples import Trouble
from assay.reporting.trials import Floats
from assay.run_records import JUDGED, NOT_JUDGED, Judgement, Plan
from assay.scoring.results import Agreement
from assay.scoring.statistics.agreement import label_agreement, rating_agreement
from assay.scoring.statistics.intervals import wilson_interval
from assay.scoring.views import NO_LABEL
from assay.suite.models import Suite

_NAMES = {value: name for name, value in VALUES.items()}

_Human = dict[tuple[str, str], Floats]
"""What people said per row, NaN where they did not; by judge and experiment."""


def judging_plan(plan: Plan) -> Plan:
    """The judgements of a run as if they were its experiments: for whatever reads outcomes by a plan."""
    names = tuple(one.name for one in plan.judgements)
    repeats = tuple(plan.repeats_of(name) for name in names)
    return plan.model_copy(update={"experiments": names, "repeats": repeats, "judgements": ()})


def judge_facts(suite: Suite, judging: OutcomeFiles, rows: Iterable[Row] = ()) -> tuple[JudgeFacts, ...]:
    """The facts of every judge of a run, in the suite's order. `judging` are files of the `judging_plan`.

    `rows` are the dataset's, read once, and only when people have judged too.
    """
    judges = judges_of(suite)
    gathered = gather(judging, [one.name for one in judges])
    human = _human_values(judges, suite, judging.plan.rows, rows)
    troubles = (*gathered.failures.groups(), *gathered.blocked.groups())
    level = 1 - suite.comparison.alpha
    return tuple(
        _facts(
            judge,
            settings.plugin,
            [_Judged(judge, one, gathered.columns) for one in judgements_by(judge, suite)],
            human,
            level,
        ).model_copy(update={"failures": tuple(_of_judge(judge, troubles))})
        for judge, settings in zip(judges, suite.judges, strict=True)
    )


@dataclass(frozen=True)
class _Judged:
    """The outcomes of one judgement."""

    judge: Judge
    judgement: Judgement
    run: RunColumns

    @property
    def columns(self) -> ExperimentColumns:
        return self.run.experiments[self.judgement.name]

    @property
    def values(self) -> Floats:
        """The scores of the first repeat."""
        return self.columns.scores[self.judge.name][:: self.columns.repeats]

    @property
    def verdicts(self) -> Counter[str]:
        """How often which preference was given."""
        if self.judge.name not in self.columns.labels:
            return Counter()
        found, _ = self.columns.labels[self.judge.name]
        names = self.run.label_names[self.judge.name].names
        counts = np.bincount(found[found != NO_LABEL], minlength=len(names))
        return Counter({name: int(count) for name, count in zip(names, counts, strict=True)})


def _facts(judge: Judge, plugin: str, judged: Sequence[_Judged], human: _Human, level: float) -> JudgeFacts:
    pairs = [_both(one, human) for one in judged]
    told = [pair for pair in pairs if pair is not None]
    joined = (np.concatenate([one for one, _ in told]), np.concatenate([other for _, other in told])) if told else None
    tallies = [one.columns.tally for one in judged]
    return JudgeFacts(
        name=judge.name,
        plugin=plugin,
        deployment=judge.options.model.deployment,
        is_pairwise=judge.is_pairwise,
        usage=sum((one.usage for one in tallies), Usage()),
        money=sum((one.costs.total() for one in tallies), Cost()),
        models=dict(sorted(sum((one.models for one in tallies), Counter[str]()).items())),
        experiments=tuple(_experiment(one, pair, level) for one, pair in zip(judged, pairs, strict=True)),
        agreement=_agreement(judge, joined, level),
    )


def _of_judge(judge: Judge, troubles: Sequence[Trouble]) -> Iterable[Trouble]:
    """What went wrong in this judge's own questions; a row that had no answer is no trouble of the judge."""
    for trouble in troubles:
        mine = {
            name: count for name, count in trouble.by_experiment.items() if name.startswith(f"{judge.name}{JUDGED}")
        }
        samples = tuple(one for one in trouble.samples if one.experiment in mine)
        if mine and trouble.kind != NOT_JUDGED:
            yield trouble.model_copy(update={"count": sum(mine.values()), "by_experiment": mine, "samples": samples})


def _experiment(judged: _Judged, pair: tuple[Floats, Floats] | None, level: float) -> JudgedExperiment:
    judge, judgement, columns = judged.judge, judged.judgement, judged.columns
    missing = columns.missing(judge.name)
    return JudgedExperiment(
        experiment=judgement.experiment,
        against=judgement.against,
        judged=len(columns.statuses) - missing.total,
        failed=missing.failed,
        blocked=missing.blocked,
        skipped=missing.skipped,
        unusable=missing.unscored,
        human=judge.options.human_column(judgement.experiment),
        agreement=_agreement(judge, pair, level),
        positions=_positions(judged.verdicts, level) if judge.is_pairwise else None,
    )


def _positions(verdicts: Counter[str], level: float) -> Positions:
    pairs = verdicts.total() - verdicts[EQUAL_ANSWERS]
    return Positions(
        pairs=pairs,
        flipped=wilson_interval(verdicts[POSITION_BIAS], pairs, level),
        ties=wilson_interval(verdicts["tie"], pairs, level),
        equal=verdicts[EQUAL_ANSWERS],
    )


def _both(judged: _Judged, human: _Human) -> tuple[Floats, Floats] | None:
    """What people and the judge said of the rows that both judged; None when people were not asked."""
    people = human.get((judged.judge.name, judged.judgement.experiment))
    if people is None:
        return None
    both = ~np.isnan(people + judged.values)
    return people[both], judged.values[both]


def _agreement(judge: Judge, pair: tuple[Floats, Floats] | None, level: float) -> Agreement | None:
    if pair is None:
        return None
    people, judged = pair
    if judge.is_pairwise:
        return label_agreement([_NAMES[one] for one in people], [_NAMES[one] for one in judged], level)
    return rating_agreement(people, judged, level)


def _human_values(judges: Sequence[Judge], suite: Suite, count: int, rows: Iterable[Row]) -> _Human:
    wanted = [
        (judge, one.experiment, column)
        for judge in judges
        for one in judgements_by(judge, suite)
        if (column := judge.options.human_column(one.experiment))
    ]
    found = {(judge.name, experiment): np.full(count, np.nan) for judge, experiment, _ in wanted}
    for row in rows if wanted else ():
        for judge, experiment, column in wanted:
            value = judge.human_value(row.fields.get(column))
            if value is not None:
                found[judge.name, experiment][row.number - 1] = value
    return found
