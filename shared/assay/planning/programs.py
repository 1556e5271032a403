"""Finds the Python code that `program:` of an experiment names, and says before a run what is wrong with it.

Preflight and the runtime call it. Modules are imported once per process.
"""

import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from assay.errors import UserError
from assay.llm.base import ChatMessage
from assay.references import BadReference, imported
from assay.registry import did_you_mean
from assay.suite.models import PROGRAM_CRITERION, Suite
from assay.suite.yaml_text import Path as Place
from assay.suite.yaml_text import SourceMap


class BadProgram(UserError):
    """What a suite names as program is not there, or cannot be one."""


@dataclass(frozen=True)
class Program:
    """A program, ready to be called with a row's fields and a model. `is_async`: what it returns is to be awaited."""

    reference: str
    call: Callable[[Mapping[str, Any], Any], Any]
    is_async: bool

    @property
    def package(self) -> str:
        """The outermost package or module that it stands in."""
        return self.reference.partition(":")[0].partition(".")[0]


@dataclass(frozen=True)
class AssumedCall:
    """What estimates take a program to ask, which nobody knows before the run: one call a row, the row its prompt."""

    criterion: str = PROGRAM_CRITERION
    schema: None = None

    def render(self, fields: Mapping[str, Any]) -> tuple[ChatMessage, ...]:
        return (ChatMessage("user", json.dumps(fields, ensure_ascii=False, default=str)),)

    counted = render


_opened: dict[Path, frozenset[str]] = {}
"""The folders that programs may be imported from, and the modules in them."""


def open_code(folders: Iterable[Path]) -> None:
    """Lets programs be imported from folders too, after everything that is installed; a second call does nothing.

    Raises UserError for what is no folder, and for a module that another one of the folders has too.
    """
    for folder in map(Path.resolve, folders):
        if not folder.is_dir():
            raise UserError(f"ASSAY_CODE names '{folder}', which is no folder")
        modules = _modules(folder)
        for other, known in _opened.items():
            if other != folder and (both := sorted(modules & known)):
                raise UserError(f"{other} and {folder} both have a module '{both[0]}'; rename one of them")
        _opened[folder] = modules
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def _modules(folder: Path) -> frozenset[str]:
    packages = (path.parent.name for path in folder.glob("*/__init__.py"))
    return frozenset((*(path.stem for path in folder.glob("*.py")), *packages))


def has_code(folder: Path) -> bool:
    """Whether a suite's folder holds Python modules of its own."""
    return any(folder.glob("*.py"))


def has_programs(suite: Suite) -> bool:
    """Whether some experiment is a program."""
    return any(experiment.program for experiment in suite.experiments)


def needs_code(suite: Suite) -> bool:
    """Whether some experiment, scorer, aggregator or comparer is code that the suite names."""
    plugins = (*suite.scorers, *suite.aggregators, *suite.comparers)
    return has_programs(suite) or any(one.plugin == "callable" for one in plugins)


def check_programs(suite: Suite, source: SourceMap) -> None:
    """Raises SuiteError with every program that cannot be used, and why. Imports their modules."""
    source.refuse(_complaints(suite))


def program_versions(suite: Suite) -> dict[str, str]:
    """SHA-256 of the file of every program, by `program package.module:callable`, for a run's provenance.

    What a program imports from elsewhere is not in it. For programs that have been checked.
    """
    named = dict.fromkeys(one.program for one in suite.experiments if one.program)
    return {f"program {reference}": f"sha256:{_digest(reference)}" for reference in named}


def _digest(reference: str) -> str:
    file = getattr(sys.modules[reference.partition(":")[0]], "__file__", None)
    return hashlib.sha256(Path(file).read_bytes() if file else b"").hexdigest()


def _complaints(suite: Suite) -> Iterator[tuple[Place, str]]:
    for index, experiment in enumerate(suite.experiments):
        if experiment.program is None:
            continue
        try:
            load_program(experiment.program)
        except BadProgram as error:
            yield ("experiments", index, "program"), f"experiment '{experiment.name}': {error}"


@cache
def load_program(reference: str) -> Program:
    """The program of that name, `package.module:callable`. Raises BadProgram."""
    try:
        found = imported(reference)
    except BadReference as error:
        raise BadProgram(_not_found(reference, error)) from error
    call = _of_dspy(reference, found) or found
    _check(reference, call)
    is_async = inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)
    return Program(reference, call, is_async)


def _not_found(reference: str, error: BadReference) -> str:
    module, _, name = reference.partition(":")
    cause = error.__cause__
    if isinstance(cause, ModuleNotFoundError) and cause.name and f"{module}.".startswith(f"{cause.name}."):
        return (
            f"program '{reference}': there is no module '{cause.name}'. Install it beside Assay, or name the folder "
            "that it is in with ASSAY_CODE"
        )
    if cause is None and module in sys.modules:
        found = vars(sys.modules[module])
        hint = did_you_mean(name, [one for one in found if not one.startswith("_")])
        return f"program {error}{hint}. The module is {found.get('__file__')}"
    return f"program {error}"


def _of_dspy(reference: str, found: Any) -> Callable[[Mapping[str, Any], Any], Any] | None:
    """A module of DSPy as a program; None when it is none. DSPy is imported only where the program has done so."""
    dspy = sys.modules.get("dspy")
    if dspy is None or not (isinstance(found, dspy.Module) or _is_subclass(found, dspy.Module)):
        return None
    from assay.programs.dspy import as_program

    try:
        made: Callable[[Mapping[str, Any], Any], Any] = as_program(found)
    except (Exception, SystemExit) as error:  # of the user's constructor, which may do anything
        raise BadProgram(f"program '{reference}': cannot be made: {type(error).__name__}: {error}") from error
    return made


def _is_subclass(found: Any, base: type) -> bool:
    return inspect.isclass(found) and issubclass(found, base)


def _check(reference: str, found: Any) -> None:
    """A mistake that every row would meet is found before the first one."""
    expected = "expected a function of two parameters, the row and the model"
    if inspect.isclass(found):
        raise BadProgram(f"program '{reference}' is a class; {expected}, or an object of the class that can be called")
    if not callable(found):
        raise BadProgram(f"program '{reference}' is of type {type(found).__name__}; {expected}")
    if inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
        raise BadProgram(f"program '{reference}' yields; {expected} that returns its answer")
    try:
        signature = inspect.signature(found)
    except ValueError:  # of a few callables written in C nobody knows
        return
    try:
        signature.bind({}, None)
    except TypeError:
        raise BadProgram(f"program '{reference}' takes {signature}; {expected}") from None
