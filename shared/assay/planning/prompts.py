"""Prompts: Jinja2 templates in its sandbox, compiled once per process, rendered per row by the worker."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from jinja2 import UndefinedError

from assay.llm.base import AnswerSchema, ChatImage, ChatMessage, counted
from assay.planning.history import conversation
from assay.planning.images import image
from assay.planning.sandbox import bounded
from assay.planning.templates import SHOWN_CHARACTERS, PromptError, Templates, said
from assay.suite.images import ImageSettings
from assay.suite.models import Criterion, Experiment

Role = Literal["system", "user", "assistant"]


class RowPrompt(Protocol):
    """What a trial asks: one criterion's prompt, or a judge's."""

    @property
    def criterion(self) -> str:
        """The name under which its answer is kept."""
        ...

    @property
    def schema(self) -> AnswerSchema | None:
        """What the answer must look like."""
        ...

    def render(self, fields: Mapping[str, Any]) -> tuple[ChatMessage, ...]:
        """The messages for one row. Raises PromptError."""
        ...

    def counted(self, fields: Mapping[str, Any]) -> tuple[ChatMessage, ...]:
        """What counts as prompt when tokens are estimated. Raises PromptError."""
        ...


@dataclass(frozen=True)
class Prompt:
    """The compiled prompts of one criterion, and what its answers must look like.

    In this order: the system prompt, the examples, the messages of the column `history`, the user prompt.
    """

    criterion: str
    _opening: tuple[tuple[Role, Any], ...]
    _user: Any
    history: str | None = None
    schema: AnswerSchema | None = None
    _images: tuple[tuple[Any, ImageSettings], ...] = ()

    def render(self, fields: Mapping[str, Any]) -> tuple[ChatMessage, ...]:
        """The messages for one row; white space around each prompt is stripped. Raises PromptError."""
        with bounded():
            opening = [ChatMessage(role, self._text(template, fields)) for role, template in self._opening]
            user = ChatMessage("user", self._text(self._user, fields), tuple(self._shown(fields)))
            return (*opening, *self._conversation(fields), user)

    def counted(self, fields: Mapping[str, Any]) -> tuple[ChatMessage, ...]:
        """What counts as prompt when tokens are estimated. Raises PromptError."""
        return counted(self.render(fields), self.schema)

    def _text(self, template: Any, fields: Mapping[str, Any]) -> str:
        try:
            text: str = template.render(fields).strip()
            text.encode()
        except UndefinedError as error:
            raise PromptError(f"criterion '{self.criterion}': {str(error).rstrip('.')}. {_known(fields)}") from error
        except Exception as error:  # a template can do whatever an expression can, so it can raise anything
            raise PromptError(f"criterion '{self.criterion}': {said(error)}") from error
        return text

    def _shown(self, fields: Mapping[str, Any]) -> Iterator[ChatImage]:
        for template, settings in self._images:
            try:
                found = image(self._text(template, fields), settings)
            except ValueError as error:
                raise PromptError(f"criterion '{self.criterion}': {error}") from error
            if found is not None:
                yield found

    def _conversation(self, fields: Mapping[str, Any]) -> tuple[ChatMessage, ...]:
        if self.history is None:
            return ()
        if self.history not in fields:
            raise PromptError(f"criterion '{self.criterion}': there is no '{self.history}'. {_known(fields)}")
        try:
            return conversation(fields[self.history])
        except Exception as error:  # whatever a row holds may be wrong in any way
            raise PromptError(f"criterion '{self.criterion}': history '{self.history}': {said(error)}") from error


def compile_prompts(experiment: Experiment, templates: Mapping[str, str] | None = None) -> tuple[Prompt, ...]:
    """The prompts of an experiment in the order of its criteria; `templates` are the suite's. Raises PromptError."""
    made = Templates(templates)
    return tuple(_compile(criterion, made) for criterion in experiment.criteria)


def compile_prompt(criterion: Criterion, templates: Mapping[str, str] | None = None) -> Prompt:
    """The prompts of one criterion alone. Raises PromptError."""
    return _compile(criterion, Templates(templates))


def answer_schema(criterion: Criterion) -> AnswerSchema | None:
    """What the criterion's requests say of their answers."""
    if criterion.answer_schema is None:
        return None
    text = json.dumps(criterion.answer_schema, ensure_ascii=False, separators=(",", ":"))
    return AnswerSchema(criterion.name, text)


def _compile(criterion: Criterion, templates: Templates) -> Prompt:
    opening = tuple((role, templates.compiled(text)) for role, text in _opening(criterion))
    user = templates.compiled(criterion.user)
    images = tuple((templates.compiled(one.url), one) for one in criterion.images)
    return Prompt(criterion.name, opening, user, criterion.history, answer_schema(criterion), images)


def _opening(criterion: Criterion) -> Iterator[tuple[Role, str]]:
    if criterion.system is not None:
        yield "system", criterion.system
    for example in criterion.examples:
        yield "user", example.user
        yield "assistant", example.assistant


def _known(fields: Mapping[str, Any]) -> str:
    return f"The row has: {', '.join(sorted(fields))[:SHOWN_CHARACTERS]}"
