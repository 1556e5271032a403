"""What judges would be asked, before there is an answer: estimates put texts of a likely length in its place."""

from collections.abc import Callable

from assay.planning.judges.base import Judge
from assay.planning.judges.catalogue import judgements_by, judges_of
from assay.planning.judges.prompts import asked_as, compile_judge
from assay.planning.rendered import Sample
from assay.run_records import Judgement
from assay.suite.models import Experiment, Suite
from assay.tokens.estimate import CHARACTERS_PER_TOKEN

_WORD = "word"


class JudgeSamples:
    """What one judge is asked about the rendered rows: a sample per judgement, and how often its rows are judged."""

    def __init__(self, judge: Judge, suite: Suite, likely_tokens: Callable[[Experiment], int]) -> None:
        self.judge = judge
        self.by_judgement: list[tuple[Sample, int]] = []
        compiled = compile_judge(judge, suite.templates)
        for judgement in judgements_by(judge, suite):
            judged = _judged(judgement, suite)
            prompts = compiled.prompts([_stand_in(likely_tokens(one)) for one in judged])
            more = sum(one.model.max_tokens - likely_tokens(one) for one in judged)
            sample = Sample(asked_as(judge, judgement), prompts, suite.quota, more)
            self.by_judgement.append((sample, min(one.repeats for one in judged)))


def judge_samples(suite: Suite, likely_tokens: Callable[[Experiment], int]) -> list[JudgeSamples]:
    """One for each judge of the suite; `likely_tokens` says how long an experiment's answer is taken to be."""
    return [JudgeSamples(judge, suite, likely_tokens) for judge in judges_of(suite)]


def _judged(judgement: Judgement, suite: Suite) -> list[Experiment]:
    names = (judgement.against, judgement.experiment)
    return [suite.experiment(name) for name in names if name]


def _stand_in(tokens: int) -> str:
    """A text of so many tokens, as the quota counts them."""
    return (_WORD * (tokens * CHARACTERS_PER_TOKEN // len(_WORD) + 1))[: tokens * CHARACTERS_PER_TOKEN]
