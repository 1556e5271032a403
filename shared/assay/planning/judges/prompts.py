"""The prompts of a judge: its rubric, rendered for the row, and the answers, quoted. The worker and estimates ask here.

They are to a trial what an experiment's prompts are: something with a criterion, a schema and messages for a row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assay.llm.base import AnswerSchema, ChatMessage, counted
from assay.planning.judges.base import Judge, JudgeQuestion
from assay.planning.judges.catalogue import judgements_by, judges_of
from assay.planning.prompts import Prompt, compile_prompt
from assay.run_records import Judgement
from assay.suite.models import Criterion, Experiment, Suite


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """One question to a judge, for one row."""

    rubric: Prompt
    question: JudgeQuestion

    @property
    def criterion(self) -> str:
        return self.question.criterion

    @property
    def schema(self) -> AnswerSchema:
        """What the judge's answer must look like."""
        return self.question.schema

    def render(self, fields: Mapping[str, Any]) -> tuple[ChatMessage, ...]:
        """The messages for one row. Raises PromptError when the rubric cannot be rendered."""
        rubric = self.rubric.render(fields)[-1].content
        asked = f"# Rubric\n\n{rubric}\n\n{self.question.material}"
        return (ChatMessage("system", self.question.system), ChatMessage("user", asked))

    def counted(self, fields: Mapping[str, Any]) -> tuple[ChatMessage, ...]:
        """What counts as prompt when tokens are estimated. Raises PromptError."""
        return counted(self.render(fields), self.schema)


@dataclass(frozen=True)
class CompiledJudge:
    """A judge with its rubric compiled."""

    judge: Judge
    rubric: Prompt

    def prompts(self, answers: Sequence[str]) -> tuple[JudgePrompt, ...]:
        """The questions about the answers of one row, in order."""
        return tuple(JudgePrompt(self.rubric, one) for one in self.judge.questions(answers))


def compile_judge(judge: Judge, templates: Mapping[str, str] | None = None) -> CompiledJudge:
    """The judge, ready to ask; `templates` are the suite's. Raises PromptError."""
    rubric = Criterion(name=judge.name, user=judge.options.rubric)
    return CompiledJudge(judge, compile_prompt(rubric, templates))


def judging_experiments(suite: Suite) -> tuple[Experiment, ...]:
    """All that the judges of a suite ask, each as one way of asking."""
    return tuple(asked_as(judge, one) for judge in judges_of(suite) for one in judgements_by(judge, suite))


def asked_as(judge: Judge, judgement: Judgement) -> Experiment:
    """A judge at work as one way of asking, which trials and askers take for an experiment.

    Made without checks: no suite can give an experiment this name, or none of a prompt.
    """
    return Experiment.model_construct(
        name=judgement.name,
        description="",
        baseline=False,
        model=judge.options.model,
        criteria=(),
        program=None,
        repeats=1,
    )
