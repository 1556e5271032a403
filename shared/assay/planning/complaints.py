"""Complaints about plugins that preflight and the judges' own checks have in common."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from assay.registry import Registry, UnknownName, did_you_mean
from assay.suite.loading import value_problem
from assay.suite.models import PluginSettings, Suite
from assay.suite.yaml_text import Path

Complaint = tuple[Path, str]


def option_complaints(registry: Registry[Any], plugin: str, error: ValidationError, path: Path) -> Iterator[Complaint]:
    """What is wrong with the options of a known plugin that stands at `path`."""
    known = list(registry.find(plugin).options.model_fields)
    for detail in error.errors():
        key = str(detail["loc"][-1]) if detail["loc"] else ""
        if detail["type"] == "extra_forbidden":
            problem = f"unknown option '{key}'{did_you_mean(key, known)}. Known: {', '.join(known) or 'none'}"
        elif detail["type"] == "missing":
            problem = f"option '{key}' is missing"
        else:
            problem = f"option '{key}': {value_problem(detail)}".replace("option '': ", "")
        yield (*path, key), f"{registry.kind} '{plugin}': {problem}"


def criterion_complaint(suite: Suite, criterion: str | None, path: Path) -> Iterator[Complaint]:
    """Every experiment that has no such criterion; no name is any criterion's."""
    if criterion is None:
        return
    for experiment in suite.experiments:
        known = list(experiment.criterion_names)
        if criterion not in known:
            hint = did_you_mean(criterion, known)
            yield (
                (*path, "criterion"),
                f"experiment '{experiment.name}' has no criterion '{criterion}'{hint}. It has: {', '.join(known)}",
            )


def made_plugins(
    settings: tuple[PluginSettings, ...], section: str, registry: Registry[Any]
) -> tuple[list[tuple[Path, PluginSettings, Any]], list[Complaint]]:
    """Every plugin of a section that can be made, with its path in the suite; and what is wrong with the others."""
    found: list[tuple[Path, PluginSettings, Any]] = []
    complaints: list[Complaint] = []
    for index, one in enumerate(settings):
        path: Path = (section, index)
        try:
            found.append((path, one, registry.make(one.plugin, one.options)))
        except UnknownName as error:
            complaints.append(((*path, "plugin"), str(error)))
        except ValidationError as error:
            complaints.extend(option_complaints(registry, one.plugin, error, path))
    return found, complaints
