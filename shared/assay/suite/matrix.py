"""Expands the matrices of a suite into experiments. `loading.py` calls it with a suite that is valid as written.

A combination's name depends on nothing but the experiment's and its own values, so that adding a value renames nothing.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

from assay.registry import did_you_mean
from assay.suite.located import Node, merged, plain
from assay.suite.models import MOST_EXPERIMENTS, Limits
from assay.suite.yaml_text import Place, refuse

PARAMETERS = {"temperature": "t", "reasoning_effort": "effort-", "max_tokens": "max", "seed": "seed", "json": "json"}
"""The parameters of a matrix, and how they begin in the names of experiments."""

LONGEST_NAME = 40
_DIGEST_CHARACTERS = 8


@dataclass(frozen=True)
class _Value:
    """A value of an axis: how a choice of the baseline calls it, its part of names, what it says of its experiments."""

    axis: str
    key: Any
    part: str
    says: Node


@dataclass(frozen=True)
class _Combination:
    """One value of each axis of a matrix."""

    values: tuple[_Value, ...] = ()

    def name(self, experiment: str) -> str:
        """Unique within the experiment; what does not fit ends in a digest."""
        name = "-".join((experiment, *(value.part for value in self.values)))
        if len(name) <= LONGEST_NAME:
            return name
        digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_CHARACTERS]
        return f"{name[: LONGEST_NAME - _DIGEST_CHARACTERS - 1]}-{digest}"

    def has(self, choice: dict[str, Any]) -> bool:
        """Whether it has all the values of a choice."""
        mine = {value.axis: value.key for value in self.values}
        return all(axis in mine and mine[axis] == wanted for axis, wanted in choice.items())


@dataclass
class _Expansion:
    """One experiment with the matrix that counts for it."""

    experiment: Node
    matrix: Node | None
    is_own: bool
    axes: list[list[_Value]] = field(init=False)

    def __post_init__(self) -> None:
        self.axes = list(_axes(self.matrix)) if self.matrix else []

    @property
    def name(self) -> str:
        return str(self.experiment.value["name"].value)

    @property
    def size(self) -> int:
        return prod(map(len, self.axes))

    @property
    def choice(self) -> Node | None:
        """The combination that is to be the baseline, where the experiment may be it."""
        chosen = self.matrix.get("baseline") if self.matrix else None
        return chosen if self.is_own or self.says_baseline else None

    @property
    def says_baseline(self) -> bool:
        said = self.experiment.get("baseline")
        return bool(said and said.value)

    def combinations(self) -> list[_Combination]:
        return [_Combination(values) for values in product(*self.axes)]

    def experiments(self) -> Iterator[Node]:
        """The experiments it becomes, in the order of the axes; itself when there is no matrix."""
        if not self.axes:
            yield self.experiment.without("matrix")
            return
        assert self.matrix is not None
        base = self.experiment.without("matrix", "baseline")
        for one in self.combinations():
            is_baseline = one.has(plain(self.choice)) if self.choice else self.says_baseline
            made = base
            for value in one.values:
                made = merged(made, value.says)  # criteria are a list: those of a prompt replace the experiment's
            place = made.value["name"].place
            name = Node(one.name(self.name), place)
            yield Node(made.having(name=name, baseline=Node(is_baseline, place)).value, self.experiment.place)


def expand(suite: Node) -> Node:
    """The suite without matrices. Raises SuiteError when they make too many experiments, or not one baseline."""
    shared = suite.get("matrix")
    expansions = []
    for experiment in suite.value["experiments"].items:
        own = experiment.get("matrix")
        expansions.append(_Expansion(experiment, own or shared, own is not None))
    refuse([*_too_many(suite, expansions), *_repeated(expansions), *_said_twice(expansions)])
    refuse(_baseline_complaints(expansions))
    made = [experiment for expansion in expansions for experiment in expansion.experiments()]
    return suite.without("matrix").having(experiments=Node(made, suite.value["experiments"].place))


def _axes(matrix: Node) -> Iterator[list[_Value]]:
    """The axes that a matrix has, in the order in which they stand in names."""
    if models := matrix.get("models"):
        yield [_model(one) for one in models.items]
    for parameter, sign in PARAMETERS.items():
        if values := matrix.at("parameters", parameter):
            yield [_parameter(parameter, sign, one) for one in values.items]
    if prompts := matrix.get("prompts"):
        yield [_prompt(one) for one in prompts.items]


def _model(node: Node) -> _Value:
    settings = node if node.is_mapping else Node({"deployment": node}, node.place)
    named = settings.get("name") or settings.get("deployment")
    name = str(named.value) if named else "model"
    return _Value("model", name, _part(name), Node({"model": settings.without("name")}, node.place))


def _parameter(parameter: str, sign: str, node: Node) -> _Value:
    value = node.value
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    part = ("json" if value else "text") if parameter == "json" else f"{sign}{shown}"
    return _Value(parameter, value, _part(part), Node({"model": Node({parameter: node}, node.place)}, node.place))


def _prompt(node: Node) -> _Value:
    name = str(node.value["name"].value)
    return _Value("prompt", name, name, node.without("name"))


def _part(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)


def _too_many(suite: Node, expansions: list[_Expansion]) -> Iterator[tuple[Place, str]]:
    said = suite.at("limits", "experiments")
    most = said.value if said else Limits().experiments
    total = sum(one.size for one in expansions)
    largest = max(expansions, key=lambda one: one.size)
    if largest.matrix is None:
        if total > MOST_EXPERIMENTS:
            place = suite.value["experiments"].place
            yield place, f"the suite has {total:,} experiments; at most {MOST_EXPERIMENTS:,} are allowed"
        return
    if total <= most:
        return
    sizes = " x ".join(str(len(axis)) for axis in largest.axes)
    yield (
        largest.matrix.place,
        f"the suite would have {total:,} experiments, {largest.size:,} of them ({sizes}) from '{largest.name}'; "
        f"at most {most:,} are allowed. Take values away, or raise limits.experiments",
    )


def _repeated(expansions: list[_Expansion]) -> Iterator[tuple[Place, str]]:
    for axis in (axis for expansion in expansions for axis in expansion.axes):
        seen: list[Any] = []
        for value in axis:
            if value.key in seen:
                yield value.says.place, f"{value.axis} '{value.key}' stands twice in the matrix"
            seen.append(value.key)


def _said_twice(expansions: list[_Expansion]) -> Iterator[tuple[Place, str]]:
    """Model settings of two axes: one would win, and the names of experiments would lie."""
    for expansion in expansions:
        by: dict[str, str] = {}
        for axis, key, node in _model_settings(expansion):
            if by.setdefault(key, axis) != axis:
                yield node.place, f"model.{key} is said by two axes of the matrix, {by[key]} and {axis}"


def _model_settings(expansion: _Expansion) -> Iterator[tuple[str, str, Node]]:
    """What values of the matrix say of the model: axis of the value, name of the setting, what is said."""
    for value in (value for axis in expansion.axes for value in axis):
        model = value.says.get("model")
        for key, node in model.value.items() if model else ():
            yield value.axis, key, node


def _baseline_complaints(expansions: list[_Expansion]) -> Iterator[tuple[Place, str]]:
    if not any(one.says_baseline or one.choice is not None for one in expansions):
        yield from _no_baseline(expansions)
    for one in expansions:
        if one.choice is not None:
            yield from _choice_complaints(one, one.choice)
        elif one.says_baseline and one.size > 1:
            assert one.matrix is not None
            yield (
                one.matrix.place,
                f"experiment '{one.name}' is the baseline, and its matrix makes {one.size} experiments of it; "
                f"say which of them is it, such as baseline: {{{_example(one)}}} in the matrix",
            )


def _no_baseline(expansions: list[_Expansion]) -> Iterator[tuple[Place, str]]:
    """Told at the first matrix that could say it; without one, the suite's own check tells."""
    for one in expansions:
        if one.is_own and one.matrix is not None and one.size > 1:
            example = f"baseline: {{{_example(one)}}} in the matrix"
            yield one.matrix.place, f"no experiment is the baseline; say which one is it, such as {example}"
            return


def _choice_complaints(expansion: _Expansion, choice: Node) -> Iterator[tuple[Place, str]]:
    wanted = plain(choice)
    known = {axis[0].axis: [value.key for value in axis] for axis in expansion.axes}
    unknown = [(axis, value) for axis, value in wanted.items() if value not in known.get(axis, [])]
    for axis, value in unknown:
        yield choice.value[axis].place, _not_there(axis, value, [str(one) for one in known.get(axis, [])])
    if not unknown and (problem := _choice_problem(expansion, wanted)):
        yield choice.place, problem


def _not_there(axis: str, value: Any, there: list[str]) -> str:
    found = f"{did_you_mean(str(value), there)}. It has: {', '.join(there) or f'no {axis}'}"
    return f"matrix.baseline: the matrix has no {axis} '{value}'{found}"


def _choice_problem(expansion: _Expansion, wanted: Any) -> str | None:
    """What is wrong with a choice that does not fit exactly one combination."""
    matching = [one.name(expansion.name) for one in expansion.combinations() if one.has(wanted)]
    if len(matching) == 1:
        return None
    open_axes = [axis[0].axis for axis in expansion.axes if axis[0].axis not in wanted and len(axis) > 1]
    shown = ", ".join([*matching[:3], *["..."][: len(matching) > 3]])
    return f"matrix.baseline fits {len(matching)} combinations ({shown}); say the {' and the '.join(open_axes)} too"


def _example(expansion: _Expansion) -> str:
    return ", ".join(f"{axis[0].axis}: {json.dumps(axis[0].key)}" for axis in expansion.axes)
