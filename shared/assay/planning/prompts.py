"""Prompts: Jinja2 templates in its sandbox, compiled once per process, rendered per row by the worker."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from assay.errors import AssayError
from assay.llm.base import ChatMessage
from assay.suite.models import Criterion, Experiment

_ENVIRONMENT = ImmutableSandboxedEnvironment(
    undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True, auto_reload=False
)


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
        try:
            return tuple(ChatMessage(role, template.render(fields).strip()) for role, template in self._templates)
        except UndefinedError as error:
            known = ", ".join(sorted(fields))
            raise PromptError(f"criterion '{self.criterion}': {error.message}. The row has: {known}") from error
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise PromptError(f"criterion '{self.criterion}': {error}") from error


def compile_prompts(experiment: Experiment) -> tuple[Prompt, ...]:
    """The prompts of an experiment in the order of its criteria. Raises PromptError."""
    return tuple(_compile(criterion) for criterion in experiment.criteria)


def needed_columns(template: str) -> set[str]:
    """Columns without which the template cannot be rendered. Raises PromptError for a syntax error.

    A name that is only tested (`is defined`) or has a `default` is optional.
    """
    tree = _parsed(template)
    return meta.find_undeclared_variables(tree) - set(_optional_names(tree))


def _compile(criterion: Criterion) -> Prompt:
    written = [("system", criterion.system), ("user", criterion.user)]
    for _, text in written:
        _parsed(text or "")
    compiled = tuple((role, _ENVIRONMENT.from_string(text)) for role, text in written if text is not None)
    return Prompt(criterion.name, compiled)


def _parsed(template: str) -> nodes.Template:
    try:
        return _ENVIRONMENT.parse(template)
    except TemplateSyntaxError as error:
        raise PromptError(f"template syntax: {error.message}", error.lineno) from error


def _optional_names(tree: nodes.Template) -> Iterator[str]:
    softened = [node for node in tree.find_all(nodes.Filter) if node.name in ("default", "d")]
    tested = [node for node in tree.find_all(nodes.Test) if node.name in ("defined", "undefined")]
    for node in (*softened, *tested):
        if isinstance(node.node, nodes.Name):
            yield node.node.name
