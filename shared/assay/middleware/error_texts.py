"""Redaction of error texts: the outermost link. Services quote prompts, addresses and keys in what they refuse."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from assay.errors import AssayError
from assay.middleware.base import Ask, Question, Reply, Unanswered
from assay.middleware.context import Context


class RedactionOptions(BaseModel):
    """Options of the plugin `redaction`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recognisers: Literal["patterns", "extended"] = Field(
        "patterns", description="'extended' adds detect-secrets and Presidio (extra 'redaction') for this run's records"
    )


class ErrorTexts:
    """Redacts the messages of failures and of stopped runs; answers pass as they are, as results need them."""

    def __init__(self, context: Context) -> None:
        self._redact = context.redactor.redact

    async def begin(self) -> None:
        """Nothing to prepare."""

    async def answer(self, question: Question, ask: Ask) -> Reply:
        """The reply of `ask`. Raises its errors, with their texts redacted."""
        try:
            return await ask(question)
        except AssayError as error:
            self._clean(error)
            if isinstance(error, Unanswered):
                self._clean(error.last)
            raise

    async def end(self) -> None:
        """Nothing to give back."""

    def _clean(self, error: AssayError) -> None:
        # In place: a copy would lose what subclasses carry, and whoever holds the error should not see the text either.
        error.args = tuple(self._redact(one) if isinstance(one, str) else one for one in error.args)
