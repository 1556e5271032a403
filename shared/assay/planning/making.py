"""Makes the plugins of a suite that was checked before: perhaps elsewhere, where other packages are installed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from assay.errors import UserError
from assay.field_problems import field_problem
from assay.registry import Registry, UnknownName
from assay.scoring.base import Aggregator, Comparer, Json
from assay.scoring.experiments import AGGREGATORS, COMPARERS
from assay.suite.models import ComparisonSettings, PluginSettings

Made = TypeVar("Made")


def made(registry: Registry[Made], settings: PluginSettings) -> Made:
    """The plugin. Raises UserError that names it when it cannot be made here; in a worker that stops the run."""
    try:
        return registry.make(settings.plugin, settings.options)
    except UnknownName as error:
        raise UserError(str(error)) from error
    except ValidationError as error:
        said = field_problem(error.errors()[0])
        raise UserError(f"{registry.kind} '{settings.plugin}': {said}") from error


def made_aggregator(settings: PluginSettings) -> Aggregator:
    """The aggregator, or one that says why there is none: a run's answers are worth a report without it."""
    try:
        return made(AGGREGATORS, settings)
    except UserError as problem:
        return _Unusable(_name(settings), problem)


def made_comparer(settings: PluginSettings, comparison: ComparisonSettings) -> Comparer:
    """The comparer, or one that says why there is none. It has the suite's goal for its score, unless it says one."""
    try:
        return made(COMPARERS, _with_goal(settings, comparison))
    except UserError as problem:
        return _Unusable(_name(settings), problem)


def _with_goal(settings: PluginSettings, comparison: ComparisonSettings) -> PluginSettings:
    score, said = settings.options.get("score"), settings.options
    if not isinstance(score, str) or "goal" in said or "goal" not in _fields(settings.plugin):
        return settings
    return PluginSettings(plugin=settings.plugin, **said, goal=comparison.goal_of(score))


def _fields(plugin: str) -> Collection[str]:
    try:
        return COMPARERS.find(plugin).options.model_fields
    except UnknownName:
        return ()


def _name(settings: PluginSettings) -> str:
    return str(settings.options.get("name") or settings.plugin)


@dataclass(frozen=True)
class _Unusable:
    """Stands for a plugin that cannot be made, and raises what is wrong with it."""

    name: str
    problem: UserError

    def aggregate(self, view: Any) -> Mapping[str, Json]:
        raise self.problem

    def compare(self, baseline: Any, variant: Any) -> Mapping[str, Json]:
        raise self.problem
