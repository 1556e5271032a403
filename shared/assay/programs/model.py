"""How a program asks models: the type of its second parameter, and what it gets. Users' programs import this.

`execution/program_calls.py` makes the models of a run, `programs/scripted.py` one for tests of programs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypedDict, Unpack

from assay.reasoning import ReasoningEffort

Messages = str | Sequence[Mapping[str, str]]
"""A user's words alone, or the whole conversation: mappings of `role` (system, user, assistant) and `content`."""


class Options(TypedDict, total=False):
    """What one call says differently from `model` of the experiment; None: as there.

    `schema` is a JSON Schema for strict structured outputs; the answer is checked, and repaired once, as any other.
    """

    max_tokens: int | None
    temperature: float | None
    seed: int | None
    json: bool | None
    stop: Sequence[str] | None
    schema: Mapping[str, Any] | None
    reasoning_effort: ReasoningEffort | None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `finish_reason` is `stop`, or `length` for one cut at `max_tokens`; `refused`: the model declined."""

    text: str
    finish_reason: str
    model: str
    input_tokens: int
    output_tokens: int
    refused: bool = False


class ProgramEnded(BaseException):
    """The trial is over, or may ask nothing more: the program has to end. Not to be caught; nothing would be answered.

    No `Exception`, so that a program that goes on after errors does not go on after this.
    """


class Model(Protocol):
    """What a plain function asks; it waits for each answer. Any thread of the program may use it.

    Both raise `assay.errors.ModelUnavailable` when there is no usable answer after all retries and fallbacks, BadCall
    for what no model can be asked, and ProgramEnded.
    """

    @property
    def deployment(self) -> str:
        """The first deployment of the experiment; fallbacks may answer in its place."""
        ...

    def ask(self, messages: Messages, **options: Unpack[Options]) -> str:
        """The answer's text."""
        ...

    def call(self, messages: Messages, **options: Unpack[Options]) -> Answer:
        """The answer with its tokens."""
        ...


class AsyncModel(Protocol):
    """What an `async def` asks; the same, to be awaited. Several questions may be under way at once."""

    @property
    def deployment(self) -> str:
        """The first deployment of the experiment; fallbacks may answer in its place."""
        ...

    async def ask(self, messages: Messages, **options: Unpack[Options]) -> str:
        """The answer's text."""
        ...

    async def call(self, messages: Messages, **options: Unpack[Options]) -> Answer:
        """The answer with its tokens."""
        ...


class BadCall(ValueError):
    """A program asks what no model can be asked: a message without content, an option that there is not, and so on."""
