"""Prompts: Jinja2 templates in its sandbox, compiled once per process, rendered per row by the worker."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateSyntaxError, UndefinedError, meta, nodes

from assay.errors import AssayError
from assay.llm.base import ChatMessage
from assay.planning.sandbox import PromptSandbox, bounded
from assay.registry import did_you_mean
from assay.suite.models import Criterion, Experiment

OTHER_FILES: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
}
SHOWN_CHARACTERS = 200

_ENVIRONMENT = PromptSandbox()


class PromptError(AssayError):
    """A template that cannot be compiled or rendered. `line` counts from 1 within the template."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


@dataclass(frozen=True)
class Prompt:
    """The compiled prompts of one criterion."""

    criterion: str
    _templates: tuple[tuple[Any, Any], ...]

    def render(self, fields: Mapping[str, Any]) -> tuple[ChatMessage, ...]:
        """The messages for one row; white space around each is stripped. Raises PromptError."""
        with bounded():
            return tuple(ChatMessage(role, self._text(template, fields)) for role, template in self._templates)

    def _text(self, template: Any, fields: Mapping[str, Any]) -> str:
        try:
            text: str = template.render(fields).strip()
            text.encode()
        except UndefinedError as error:
            known = ", ".join(sorted(fields))[:SHOWN_CHARACTERS]
            raise PromptError(f"criterion '{self.criterion}': {error.message}. The row has: {known}") from error
        except Exception as error:  # a template can do whatever an expression can, so it can raise anything
            raise PromptError(f"criterion '{self.criterion}': {_said(error)}") from error
        return text


def compile_prompts(experiment: Experiment) -> tuple[Prompt, ...]:
    """The prompts of an experiment in the order of its criteria. Raises PromptError."""
    return tuple(_compile(criterion) for criterion in experiment.criteria)


def needed_columns(template: str) -> set[str]:
    """Columns without which the template cannot be rendered. Raises PromptError for a syntax error.

    A name that is only tested (`is defined`) or has a `default` is optional.
    """
    tree = _parsed(template)
    return meta.find_undeclared_variables(tree) - set(_optional_names(tree))


def check_template(template: str) -> None:
    """Raises PromptError for what can be seen to be wrong without a row."""
    tree = _parsed(template)
    for statement, name in OTHER_FILES.items():
        for node in tree.find_all(statement):
            raise PromptError(f"'{name}' is not possible; a prompt stands by itself", node.lineno)
    for used in tree.find_all(nodes.Filter):
        _check_name("filter", used, _ENVIRONMENT.filters)
    for asked in tree.find_all(nodes.Test):
        _check_name("test", asked, _ENVIRONMENT.tests)
    _compiled(template)


def _check_name(kind: str, node: nodes.Filter | nodes.Test, known: Iterable[str]) -> None:
    if node.name not in known:
        hint = did_you_mean(node.name, [name for name in known if not name.startswith("_")])
        raise PromptError(f"there is no {kind} '{node.name}'{hint}", node.lineno)


def _compile(criterion: Criterion) -> Prompt:
    written = [("system", criterion.system), ("user", criterion.user)]
    return Prompt(criterion.name, tuple((role, _compiled(text)) for role, text in written if text is not None))


def _compiled(template: str) -> Any:
    _parsed(template)
    try:
        return _ENVIRONMENT.from_string(template)
    except (SyntaxError, RecursionError, ValueError) as error:
        raise PromptError(f"the template is too deep: {_said(error)}") from error


def _parsed(template: str) -> nodes.Template:
    try:
        return _ENVIRONMENT.parse(template)
    except TemplateSyntaxError as error:
        raise PromptError(f"template syntax: {error.message}", error.lineno) from error
    except RecursionError as error:
        raise PromptError("the template is too deep: its brackets or its expressions are nested too often") from error


def _said(error: Exception) -> str:
    return str(error)[:SHOWN_CHARACTERS] or type(error).__name__


def _optional_names(tree: nodes.Template) -> Iterator[str]:
    softened = [node for node in tree.find_all(nodes.Filter) if node.name in ("default", "d")]
    tested = [node for node in tree.find_all(nodes.Test) if node.name in ("defined", "undefined")]
    for node in (*softened, *tested):
        if isinstance(node.node, nodes.Name):
            yield node.node.name
