"""Turns suite YAML into a `Suite`: strict, every complaint with file and line, all complaints at once."""

import hashlib
from collections.abc import Iterator
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from assay.field_problems import field_expectation, field_path, field_problem
from assay.registry import did_you_mean
from assay.storage.bundle_names import SUITE_FILE
from assay.suite.datasets import dataset_complaints
from assay.suite.located import Node, plain, read_node, source_of
from assay.suite.matrix import expand
from assay.suite.models import (
    NAME_RULES,
    Criterion,
    Experiment,
    ModelSettings,
    Suite,
)
from assay.suite.packs import unpacked
from assay.suite.redacted_views import VIEW_NAME
from assay.suite.sink_options import SINK_RULES
from assay.suite.written import VARIABLE, CriterionFile, DefaultsFile, ExperimentFile, ModelFile, SuiteFile
from assay.suite.yaml_text import Path, SourceMap

T = TypeVar("T")

SuiteSource = str | SourceMap
"""The text of a suite, or where everything in it was written."""

EXPECTED = {
    "model_type": "expected a mapping of keys to values",
    "dict_type": "expected a mapping of keys to values",
    "tuple_type": "expected a list",
    "string_type": "expected text; put it in quotes if YAML takes it for something else",
    "int_type": "expected a whole number",
    "float_type": "expected a number",
    "float_parsing": "expected a number",
    "finite_number": "expected a finite number",
    "bool_type": "expected true or false",
    "bool_parsing": "expected true or false",
    "string_too_short": "expected some text",
    "too_short": "expected at least one",
}
"""Pydantic's names of common errors, in words for people who write suites; its own words serve for the others."""

PLUGINS = ("scorers", "aggregators", "comparers", "judges", "middleware", "sinks")

NAMED = ("experiments", "criteria", "quota", "packs", "templates", "views", *PLUGINS, "early_stop", "test", "margin")
"""Keys below which things have names of their own."""

WITH_OPTIONS = (*PLUGINS, "early_stop", "schema")
"""Keys below which other keys are for others to know."""

RULES = {
    **NAME_RULES,
    **SINK_RULES,
    VARIABLE: "a name that begins with ASSAY_SUITE_, of capital letters, digits and underscores",
    VIEW_NAME: "1 to 40 lower-case letters, digits and dashes, with no dash at the start",
}

INHERITED = {
    "system": "system",
    "user": "user",
    "examples": "examples",
    "history": "history",
    "images": "images",
    "schema": "answer_schema",
}
"""What criteria take from their experiment, and it from the defaults: its key, and the field that holds it."""


def load_suite(text: str, file: str = SUITE_FILE) -> Suite:
    """The suite of a YAML text. Raises SuiteError that lists every complaint, one a line, as `file:line: ...`."""
    return load_node(expanded(read_node(text, file)))


def load_node(suite: Node) -> Suite:
    """The suite that an expanded suite file means. Raises SuiteError as `load_suite` does."""
    written = _validated(suite)
    source_of(suite).refuse(_contradictions(written))
    return _resolved(written)


def expanded(suite: Node) -> Node:
    """A suite file without matrices and packs; what comes back is a suite file again. Raises SuiteError."""
    valid_as_written(suite)
    return unpacked(expand(suite.without("profiles", "environment")))


def valid_as_written(suite: Node) -> None:
    """Raises SuiteError with every unknown key and wrong value of a suite file."""
    written = _validated(suite)
    source_of(suite).refuse(_unreachable(written))


def source_map(text: SuiteSource, file: str = SUITE_FILE) -> SourceMap:
    """Where everything stands of a suite that has been loaded before; the experiments are the expanded ones."""
    if isinstance(text, SourceMap):
        return text
    return source_of(expanded(read_node(text, file)))


def suite_digest(suite: Suite) -> str:
    """SHA-256 of what the suite means; comments and layout do not count."""
    return hashlib.sha256(suite.model_dump_json(by_alias=True).encode()).hexdigest()


def prompt_path(source: SourceMap, experiment: int, criterion: int, role: str) -> Path:
    """Where a prompt is written: in the criterion, its experiment or the defaults."""
    own: Path = ("experiments", experiment, "criteria")
    criteria = own if source.knows(own) else ("defaults", "criteria")
    places: list[Path] = [(*criteria, criterion, role), ("experiments", experiment, role), ("defaults", role)]
    return next((place for place in places if source.knows(place)), ("experiments", experiment))


def _validated(suite: Node) -> SuiteFile:
    try:
        return SuiteFile.model_validate(plain(suite))
    except ValidationError as error:
        source_of(suite).refuse(_complaint(detail) for detail in error.errors() if not _follows(detail))
        raise


def _follows(detail: ErrorDetails) -> bool:
    """Whether a complaint only follows from others: Pydantic calls a list short when what is in it is wrong."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _complaint(detail: ErrorDetails) -> tuple[Path, str]:
    path: Path = detail["loc"]
    if not path:
        return path, f"expected a mapping with version, name and experiments; found {_shown(detail['input'])}"
    if detail["type"] == "extra_forbidden":
        known = _keys_at(path[:-1])
        hint = did_you_mean(str(path[-1]), known)
        return path, f"unknown key '{path[-1]}'{hint}. Known here: {', '.join(known)}"
    if detail["type"] == "missing":
        return path, f"'{path[-1]}' is missing{_below(path)}"
    return path, f"{field_path(detail)}: found {_shown(detail['input'])}; {_expected(detail)}"


def value_problem(detail: ErrorDetails) -> str:
    """What was found and what was expected; a validator of ours says it in its own words."""
    if detail["type"] == "value_error":
        return field_problem(detail)
    return f"found {_shown(detail['input'])}; {_expected(detail)}"


def _expected(detail: ErrorDetails) -> str:
    if detail["type"] == "string_pattern_mismatch":
        pattern = detail["ctx"]["pattern"]
        return f"expected {RULES.get(pattern, f'what matches {pattern}')}"
    if detail["loc"] == ("version",) and detail["type"] == "literal_error":
        return "expected 1, the only version there is"
    return EXPECTED.get(detail["type"], field_expectation(detail))


def _below(path: Path) -> str:
    parent = ".".join(str(part) for part in path[:-1])
    return f" in {parent}" if parent else ""


def _keys_at(path: Path) -> list[str]:
    """The keys that the suite format knows at `path`."""
    model: type[BaseModel] | None = SuiteFile
    for part in path:
        if isinstance(part, int) or model is None:
            continue
        field = next((f for name, f in model.model_fields.items() if part in (name, f.alias)), None)
        model = _model_in(field.annotation) if field else model
    return [field.alias or name for name, field in (model or SuiteFile).model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def _contradictions(written: SuiteFile) -> Iterator[tuple[Path, str]]:
    """Complaints that no single field shows."""
    yield from _repeated(("experiments",), [experiment.name for experiment in written.experiments], "experiment")
    baselines = [experiment.name for experiment in written.experiments if experiment.baseline]
    if len(baselines) != 1:
        found = f"found {len(baselines)}: {', '.join(baselines)}" if baselines else "found none"
        yield ("experiments",), f"exactly one experiment must have 'baseline: true'; {found}"
    for index, experiment in enumerate(written.experiments):
        yield from _incomplete(written.defaults, experiment, ("experiments", index))
        yield from _unused(written.defaults, experiment, ("experiments", index))
    yield from _idle_quotas(written)
    yield from dataset_complaints(written.dataset)


def _unreachable(written: SuiteFile) -> Iterator[tuple[Path, str]]:
    """Targets of environment variables that are no settings."""
    for variable, target in written.environment.items():
        parts = target.split(".")
        for at, part in enumerate(parts):
            known = _keys_at(tuple(parts[:at]))
            if not (at and parts[at - 1] in NAMED) and part not in known:
                hint = did_you_mean(part, known)
                yield ("environment", variable), f"'{target}': unknown key '{part}'{hint}. Known: {', '.join(known)}"
                break
            if part in WITH_OPTIONS:
                break


def _incomplete(defaults: DefaultsFile, experiment: ExperimentFile, path: Path) -> Iterator[tuple[Path, str]]:
    if _first(experiment.model.deployment, defaults.model.deployment) is None:
        yield path, f"experiment '{experiment.name}' has no model.deployment, and defaults have none"
    if experiment.program:
        yield from _beside_program(experiment, path)
        return
    criteria, at = _criteria(defaults, experiment), _criteria_path(experiment, path)
    yield from _repeated(at, [criterion.name for criterion in criteria], "criterion")
    fallback = _first(experiment.user, defaults.user)
    if not criteria and fallback is None:
        yield (
            path,
            f"experiment '{experiment.name}' has no prompt: give 'user', 'criteria' with a 'user' each, or a 'program'",
        )
    for index, criterion in enumerate(criteria):
        if _first(criterion.user, fallback) is None:
            yield (*at, index), f"criterion '{criterion.name}' has no 'user' prompt in experiment '{experiment.name}'"


def _beside_program(experiment: ExperimentFile, path: Path) -> Iterator[tuple[Path, str]]:
    """Prompts that would silently not be asked."""
    for key, name in (*INHERITED.items(), ("criteria", "criteria")):
        if getattr(experiment, name) is not None:
            yield (
                (*path, key),
                f"experiment '{experiment.name}' has a program, which asks in place of prompts; "
                f"take '{key}' or 'program' away",
            )


def _unused(defaults: DefaultsFile, experiment: ExperimentFile, path: Path) -> Iterator[tuple[Path, str]]:
    """A prompt of the experiment that the prompts of its criteria hide would silently not be asked."""
    if experiment.program:
        return
    criteria = _criteria(defaults, experiment)
    for role, name in INHERITED.items():
        hidden = criteria and all(getattr(criterion, name) is not None for criterion in criteria)
        if hidden and getattr(experiment, name) is not None:
            yield (
                (*path, role),
                f"'{role}' of experiment '{experiment.name}' is never used, because each of its criteria has its own; "
                "take one of them away",
            )


def _idle_quotas(written: SuiteFile) -> Iterator[tuple[Path, str]]:
    """A quota under a mistyped name would leave the deployment without a limiter."""
    experiments: list[ModelFile] = [written.defaults.model, *(one.model for one in written.experiments)]
    models: list[ModelFile | ModelSettings] = [*experiments, *(judge.model for judge in written.judges)]
    named = [(model.deployment, *(model.spread or ()), *(model.fallbacks or ())) for model in models]
    asked = list(dict.fromkeys(deployment for names in named for deployment in names if deployment))
    askers = "experiment or judge" if written.judges else "experiment"
    for deployment in written.quota:
        if deployment not in asked:
            hint = did_you_mean(deployment, asked)
            yield ("quota", deployment), f"no {askers} asks '{deployment}'{hint}. Deployments: {', '.join(asked)}"


def _criteria(defaults: DefaultsFile, experiment: ExperimentFile) -> tuple[CriterionFile, ...]:
    return experiment.criteria or defaults.criteria or ()


def _criteria_path(experiment: ExperimentFile, path: Path) -> Path:
    return (*path, "criteria") if experiment.criteria else ("defaults", "criteria")


def _repeated(path: Path, names: list[str], noun: str) -> Iterator[tuple[Path, str]]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield (*path, index), f"{noun} '{name}' stands twice"
        seen.add(name)


def _resolved(written: SuiteFile) -> Suite:
    shared = written.model_dump(include={name for name in Suite.model_fields if name != "experiments"})
    return Suite(**shared, experiments=tuple(_experiment(written, one) for one in written.experiments))


def _experiment(suite: SuiteFile, written: ExperimentFile) -> Experiment:
    defaults = suite.defaults
    model = {**_given(defaults.model), **_given(written.model)}
    criteria = () if written.program else _criteria(defaults, written) or (CriterionFile(name="answer"),)
    return Experiment(
        name=written.name,
        description=written.description,
        baseline=written.baseline,
        program=written.program,
        repeats=written.repeats or suite.repeats,
        model=ModelSettings(**model),
        criteria=tuple(
            Criterion(
                name=criterion.name,
                system=_first(criterion.system, written.system, defaults.system),
                user=_first(criterion.user, written.user, defaults.user) or "",
                examples=_first(criterion.examples, written.examples, defaults.examples) or (),
                history=_first(criterion.history, written.history, defaults.history),
                images=_first(criterion.images, written.images, defaults.images) or (),
                answer_schema=_first(criterion.answer_schema, written.answer_schema, defaults.answer_schema),
            )
            for criterion in criteria
        ),
    )


def _given(settings: BaseModel) -> dict[str, Any]:
    return settings.model_dump(exclude_none=True)


def _first(*values: T | None) -> T | None:
    return next((value for value in values if value is not None), None)


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "nothing"
    if isinstance(value, dict | list | tuple):
        return "a mapping" if isinstance(value, dict) else f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def schema() -> dict[str, Any]:
    """The JSON Schema of suite files, for editors."""
    described = SuiteFile.model_json_schema(by_alias=True)
    del described["title"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Assay suite", **described}
