"""A model that says what it is told, for tests of programs. Users' tests import it."""

from collections.abc import Iterable
from typing import Unpack

from assay.programs.model import Answer, Messages, Options

_CHARACTERS_PER_TOKEN = 4


class ScriptedModel:
    """A `Model` that gives the answers in order, and keeps what it was asked in `asked`."""

    deployment = "scripted"

    def __init__(self, answers: Iterable[str]) -> None:
        self._answers = iter(answers)
        self.asked: list[tuple[Messages, Options]] = []

    def ask(self, messages: Messages, **options: Unpack[Options]) -> str:
        """The next answer. Raises AssertionError when there is none left."""
        return self.call(messages, **options).text

    def call(self, messages: Messages, **options: Unpack[Options]) -> Answer:
        """The same with tokens, four characters each."""
        self.asked.append((messages, options))
        text = next(self._answers, None)
        assert text is not None, f"the program asks {len(self.asked)} times, and there are no answers left"
        said = messages if isinstance(messages, str) else "".join(one["content"] for one in messages)
        return Answer(text, "stop", "scripted", len(said) // _CHARACTERS_PER_TOKEN, len(text) // _CHARACTERS_PER_TOKEN)
