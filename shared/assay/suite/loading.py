"""Turns suite YAML into a `Suite`: strict, every complaint with file and line, all complaints at once."""

import hashlib
from collections.abc import Iterator
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from assay.errors import SuiteError
from assay.registry import did_you_mean
from assay.suite.models import (
    Criterion,
    CriterionFile,
    DefaultsFile,
    Experiment,
    ExperimentFile,
    ModelSettings,
    Suite,
    SuiteFile,
)

Path = tuple[str | int, ...]
MAX_SUITE_BYTES = 1_000_000


class SourceMap:
    """Lines of a YAML text by path, to say where a complaint belongs."""

    def __init__(self, file: str, root: yaml.Node | None) -> None:
        self.file = file
        self._lines: dict[Path, int] = {(): 1}
        if root is not None:
            self._lines.update(_lines(root, ()))

    def line(self, path: Path) -> int:
        """The line of the longest known beginning of `path`."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]

    def knows(self, path: Path) -> bool:
        return path in self._lines

    def at(self, path: Path, complaint: str) -> str:
        return f"{self.file}:{self.line(path)}: {complaint}"


def load_suite(text: str, file: str = "suite.yaml") -> Suite:
    """The suite of a YAML text. Raises SuiteError that lists every complaint, one a line, as `file:line: ...`."""
    source, tree = _parse(text, file)
    try:
        written = SuiteFile.model_validate(tree)
    except ValidationError as error:
        raise SuiteError("\n".join(_complaint(source, detail) for detail in error.errors())) from None
    complaints = [source.at(path, complaint) for path, complaint in _contradictions(written)]
    if complaints:
        raise SuiteError("\n".join(complaints))
    return _resolved(written)


def source_map(text: str, file: str = "suite.yaml") -> SourceMap:
    """Where everything stands in a suite text that has been loaded before."""
    return SourceMap(file, yaml.compose(text, Loader=yaml.SafeLoader))


def suite_digest(suite: Suite) -> str:
    """SHA-256 of what the suite means; comments and layout do not count."""
    return hashlib.sha256(suite.model_dump_json(by_alias=True).encode()).hexdigest()


def prompt_path(source: SourceMap, experiment: int, criterion: int, role: str) -> Path:
    """Where a prompt is written: in the criterion, its experiment or the defaults."""
    places: list[Path] = [
        ("experiments", experiment, "criteria", criterion, role),
        ("experiments", experiment, role),
        ("defaults", "criteria", criterion, role),
        ("defaults", role),
    ]
    return next((place for place in places if source.knows(place)), ("experiments", experiment))


def _parse(text: str, file: str) -> tuple[SourceMap, Any]:
    if len(text) > MAX_SUITE_BYTES:
        raise SuiteError(f"{file}:1: the suite has {len(text):,} characters; at most {MAX_SUITE_BYTES:,} are read")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise SuiteError(f"{file}:{line}: not valid YAML: {getattr(error, 'problem', error)}") from None
    source = SourceMap(file, root)
    twice = [f"{file}:{line}: key '{key}' stands twice" for key, line in _duplicate_keys(root)]
    if twice:
        raise SuiteError("\n".join(twice))
    if not isinstance(tree, dict):
        raise SuiteError(f"{file}:1: expected a mapping with version, name and experiments; found {_kind(tree)}")
    return source, tree


def _lines(node: yaml.Node, path: Path) -> Iterator[tuple[Path, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = (*path, key.value)
            yield below, key.start_mark.line + 1
            yield from _lines(value, below)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*path, index), value.start_mark.line + 1
            yield from _lines(value, (*path, index))


def _duplicate_keys(node: yaml.Node | None) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                yield key.value, key.start_mark.line + 1
            seen.add(key.value)
            yield from _duplicate_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _duplicate_keys(value)


def _complaint(source: SourceMap, detail: ErrorDetails) -> str:
    path: Path = tuple(part for part in detail["loc"] if part not in ("int", "literal['auto']", "str"))
    where = ".".join(str(part) for part in path)
    if detail["type"] == "extra_forbidden":
        known = _keys_at(path[:-1])
        hint = did_you_mean(str(path[-1]), known)
        return source.at(path, f"unknown key '{path[-1]}'{hint}. Known here: {', '.join(known)}")
    if detail["type"] == "missing":
        return source.at(path, f"'{path[-1]}' is missing{_below(path)}")
    return source.at(path, f"{where}: found {_shown(detail['input'])}; {detail['msg'].removeprefix('Value error, ')}")


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


def _incomplete(defaults: DefaultsFile, experiment: ExperimentFile, path: Path) -> Iterator[tuple[Path, str]]:
    if _first(experiment.model.deployment, defaults.model.deployment) is None:
        yield path, f"experiment '{experiment.name}' has no model.deployment, and defaults have none"
    criteria = experiment.criteria or defaults.criteria or ()
    yield from _repeated((*path, "criteria"), [criterion.name for criterion in criteria], "criterion")
    fallback = _first(experiment.user, defaults.user)
    if not criteria and fallback is None:
        yield path, f"experiment '{experiment.name}' has no prompt: give 'user', or 'criteria' with a 'user' each"
    for index, criterion in enumerate(criteria):
        if _first(criterion.user, fallback) is None:
            yield (*path, "criteria", index), f"criterion '{criterion.name}' has no 'user' prompt"


def _repeated(path: Path, names: list[str], noun: str) -> Iterator[tuple[Path, str]]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield (*path, index), f"{noun} '{name}' stands twice"


def _resolved(written: SuiteFile) -> Suite:
    shared = written.model_dump(exclude={"version", "defaults", "experiments"})
    return Suite(**shared, experiments=tuple(_experiment(written.defaults, one) for one in written.experiments))


def _experiment(defaults: DefaultsFile, written: ExperimentFile) -> Experiment:
    model = {**_given(defaults.model), **_given(written.model)}
    criteria = written.criteria or defaults.criteria or (CriterionFile(name="answer"),)
    return Experiment(
        name=written.name,
        description=written.description,
        baseline=written.baseline,
        model=ModelSettings(**model),
        criteria=tuple(
            Criterion(
                name=criterion.name,
                system=_first(criterion.system, written.system, defaults.system),
                user=_first(criterion.user, written.user, defaults.user) or "",
            )
            for criterion in criteria
        ),
    )


def _given(settings: BaseModel) -> dict[str, Any]:
    return settings.model_dump(exclude_none=True)


def _first(*values: str | None) -> str | None:
    return next((value for value in values if value is not None), None)


def _kind(value: Any) -> str:
    kinds: dict[type, str] = {type(None): "nothing", list: "a list", str: "text"}
    return kinds.get(type(value), f"a {type(value).__name__}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def schema() -> dict[str, Any]:
    """The JSON Schema of suite files, for editors."""
    described = SuiteFile.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Assay suite",
        **_without(described, "title"),
    }


def _without(tree: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if name != key}
