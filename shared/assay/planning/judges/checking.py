"""What can be found wrong with a suite's judges before a model is asked, and which columns they use."""

from collections.abc import Iterator

from pydantic import ValidationError

from assay.planning.complaints import Complaint, criterion_complaint, option_complaints
from assay.planning.judges.base import Judge
from assay.planning.judges.catalogue import JUDGES, judgements_by, judges_of
from assay.planning.templates import PromptError, Templates
from assay.registry import UnknownName, did_you_mean
from assay.suite.models import Suite
from assay.suite.yaml_text import Path


def judge_complaints(suite: Suite) -> Iterator[Complaint]:
    """Everything that is wrong with the judges, each complaint with its place in the suite."""
    names = [str(settings.options.get("name") or settings.plugin) for settings in suite.scorers]
    for index, settings in enumerate(suite.judges):
        path: Path = ("judges", index)
        if settings.score in names:
            yield path, f"score '{settings.score}' stands twice; give one of them another 'name'"
        names.append(settings.score)
        try:
            judge = JUDGES.make(settings.plugin, settings.options)
        except UnknownName as error:
            yield (*path, "plugin"), str(error)
        except ValidationError as error:
            yield from option_complaints(JUDGES, settings.plugin, error, path)
        else:
            yield from _judge_complaints(judge, suite, path)


def judged_uses(suite: Suite) -> Iterator[tuple[Path, str, str]]:
    """Where judges use which column: path in the suite, by whom, which."""
    templates = Templates(suite.templates)
    for index, judge in enumerate(judges_of(suite)):
        path: Path = ("judges", index)
        for column in sorted(templates.needed_columns(judge.options.rubric)):
            yield (*path, "rubric"), f"the rubric of judge '{judge.name}'", column
        human = [judge.options.human_column(one.experiment) for one in judgements_by(judge, suite)]
        for named in dict.fromkeys(column for column in human if column):
            yield (*path, "human"), f"judge '{judge.name}'", named


def _judge_complaints(judge: Judge, suite: Suite, path: Path) -> Iterator[Complaint]:
    try:
        Templates(suite.templates).check(judge.options.rubric)
    except PromptError as error:
        yield (*path, "rubric"), f"judge '{judge.name}': line {error.line} of the rubric: {error}"
    yield from criterion_complaint(suite, judge.options.criterion, path)
    judged = [one.experiment for one in judgements_by(judge, suite)]
    if not judged:
        yield path, f"judge '{judge.name}' sets variants against the baseline, and the suite has no variant"
    for experiment in judge.options.human if isinstance(judge.options.human, dict) else ():
        if experiment not in judged:
            hint = did_you_mean(experiment, judged)
            known = ", ".join(judged) or "none"
            yield (*path, "human"), f"judge '{judge.name}' does not judge '{experiment}'{hint}. It judges: {known}"
