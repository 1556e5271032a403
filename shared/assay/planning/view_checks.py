"""What is wrong with the redacted views of a suite and with the sinks that ask for them. Preflight calls it."""

from collections.abc import Iterator

from pydantic import ValidationError

from assay.planning.complaints import Complaint
from assay.planning.plugin_checks import score_names
from assay.registry import UnknownName, did_you_mean
from assay.suite.levels import LEVELS, is_above
from assay.suite.models import Suite
from assay.suite.redacted_views import FIXED_COLUMN, View, matching
from assay.suite.sink_options import SINKS, BlobOptions, SinkOptions, SqlOptions
from assay.suite.yaml_text import Path


def view_complaints(suite: Suite) -> Iterator[Complaint]:
    """Names that stand twice, views that hide nothing, columns and experiments that are none; then what sinks want."""
    names: list[str] = []
    for index, view in enumerate(suite.views):
        path: Path = ("views", index)
        if view.name in names:
            yield (*path, "name"), f"view '{view.name}' stands twice; give one of them another name"
        names.append(view.name)
        yield from _level_complaint(suite, view, path)
        yield from _column_complaints(suite, view, path)
        yield from _experiment_complaints(suite, view, path)
    yield from _sink_complaints(suite, names)


def result_columns(suite: Suite) -> list[str]:
    """The columns of `results.parquet`, and so all that `results.csv` can have, in order."""
    criteria = dict.fromkeys(name for one in suite.ordered for name in one.criterion_names)
    scores = score_names(suite)
    return [
        *("row_id", "row", "experiment", "repeat", "status"),
        *(f"answer.{name}" for name in criteria),
        *(f"{field}.{name}" for field in ("score", "reason", "label", "expected") for name in scores),
        *("input_tokens", "output_tokens", "cost_usd", "model", "deployment", "finish_reason", "failure"),
    ]


def _level_complaint(suite: Suite, view: View, path: Path) -> Iterator[Complaint]:
    whole = suite.bundle_level
    if not view.columns and not view.experiments:
        yield (*path, "name"), f"view '{view.name}' is of everything; name 'columns' to change, or 'experiments'"
    if is_above(view.level, whole):
        allowed = " or ".join(LEVELS[: LEVELS.index(whole) + 1])
        yield (
            (*path, "level"),
            f"view '{view.name}' is {view.level}, and the whole bundle is {whole}; expected {allowed}",
        )
    elif view.level == whole and view.columns and not view.is_smaller:
        advice = "a lower level, a column to drop, hash or mask, or 'experiments'"
        yield (*path, "level"), f"view '{view.name}' is {whole}, as the whole bundle is, and hides nothing; {advice}"


def _column_complaints(suite: Suite, view: View, path: Path) -> Iterator[Complaint]:
    known = result_columns(suite)
    for pattern in view.columns:
        if pattern == FIXED_COLUMN:
            yield (*path, "columns", pattern), f"the column '{FIXED_COLUMN}' stays: every page of a report names it"
        elif not any(matching(pattern, known)):
            hint = did_you_mean(pattern, known)
            yield (
                (*path, "columns", pattern),
                f"no column of the results is called '{pattern}'{hint}. They are: {', '.join(known)}",
            )


def _experiment_complaints(suite: Suite, view: View, path: Path) -> Iterator[Complaint]:
    known = [one.name for one in suite.ordered]
    for index, name in enumerate(view.experiments):
        if name not in known:
            yield (
                (*path, "experiments", index),
                f"there is no experiment '{name}'{did_you_mean(name, known)}. They are: {', '.join(known)}",
            )


def _sink_complaints(suite: Suite, views: list[str]) -> Iterator[Complaint]:
    for index, settings in enumerate(suite.sinks):
        try:
            options = SINKS.make(settings.plugin, settings.options)
        except (UnknownName, ValidationError):
            continue  # the sinks' own checks say so
        if options.view is not None:
            for problem in _view_problems(options, options.view, views):
                yield ("sinks", index, "view"), f"sink '{settings.plugin}': {problem}"


def _view_problems(options: SinkOptions, view: str, views: list[str]) -> Iterator[str]:
    if view not in views:
        yield f"there is no view '{view}'{did_you_mean(view, views)}. Views: {', '.join(views) or 'none'}"
    if isinstance(options, BlobOptions):
        yield "the run's own container takes the whole bundle; take 'view' away"
    if isinstance(options, SqlOptions) and options.outcomes:
        yield "a view has no outcomes to write; say 'outcomes: false'"
