"""The judges that suites can name, and those of one suite: made, and with all that they have to judge."""

from assay.planning.judges.base import Judge, JudgeOptions
from assay.planning.judges.llm_judge import LlmJudge, LlmJudgeOptions
from assay.planning.judges.pairwise_judge import PairwiseJudge
from assay.planning.making import made
from assay.registry import Plugin, Registry
from assay.run_records import Judgement
from assay.suite.models import Suite

JUDGES: Registry[Judge] = Registry(
    "judge",
    Plugin("llm_judge", LlmJudgeOptions, LlmJudge),
    Plugin("pairwise_judge", JudgeOptions, PairwiseJudge),
)


def judges_of(suite: Suite) -> tuple[Judge, ...]:
    """The suite's judges, made. Raises UserError that names one that cannot be made here."""
    return tuple(made(JUDGES, settings) for settings in suite.judges)


def most_questions(suite: Suite) -> int:
    """How many questions a judge of the suite asks for one outcome at most; 0 without judges."""
    return max((judge.asks for judge in judges_of(suite)), default=0)


def preference_scores(suite: Suite) -> frozenset[str]:
    """The scores that say which of two answers is better: the baseline has none of these, and is their other half."""
    return frozenset(judge.name for judge in judges_of(suite) if judge.is_pairwise)


def judged_criteria(judge: Judge, suite: Suite) -> dict[str, str]:
    """Which criterion's answer a judge takes from each experiment, by the experiment's name."""
    return {one.name: judge.options.criterion or one.criterion_names[0] for one in suite.experiments}


def judgements_of(suite: Suite) -> tuple[Judgement, ...]:
    """What each judge has to judge: every experiment, or every variant against the baseline."""
    return tuple(found for judge in judges_of(suite) for found in judgements_by(judge, suite))


def judgements_by(judge: Judge, suite: Suite) -> tuple[Judgement, ...]:
    """What one judge has to judge, in the suite's order."""
    baseline, *variants = suite.ordered
    if not judge.is_pairwise:
        return tuple(Judgement(judge=judge.name, experiment=one.name) for one in suite.ordered)
    return tuple(Judgement(judge=judge.name, experiment=one.name, against=baseline.name) for one in variants)
