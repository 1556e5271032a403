"""A storage that fails on demand at any call: before the call takes effect, after it, once or from then on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

from assay.storage.base import BlobEntry, Storage


@dataclass
class Strike:
    """The call number `at` (from 1) fails. `after`: its effect remains. `for_good`: the process is dead."""

    at: int
    error: Exception
    after: bool = False
    for_good: bool = False


@dataclass
class StruckStorage:
    """Passes calls on to `inner` and notes them in `calls`; the strike decides which ones fail."""

    inner: Storage
    strike: Strike | None = None
    calls: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation = getattr(self.inner, name)
        return self._listed(operation) if name == "list" else self._called(name, operation)

    def _called(self, name: str, operation: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self._begin(name)
            answer = await operation(*args, **kwargs)
            self._end()
            return answer

        return call

    def _listed(self, operation: Callable[..., AsyncIterator[BlobEntry]]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> AsyncIterator[BlobEntry]:
            self._begin("list")
            async for entry in operation(*args, **kwargs):
                yield entry
            self._end()

        return call

    def _begin(self, name: str) -> None:
        self.calls.append(name)
        strike = self.strike
        if strike and (len(self.calls) == strike.at and not strike.after):
            raise strike.error
        if strike and strike.for_good and len(self.calls) > strike.at:
            raise strike.error

    def _end(self) -> None:
        if self.strike and self.strike.after and len(self.calls) == self.strike.at:
            raise self.strike.error


def struck(inner: Storage, strike: Strike | None = None) -> StruckStorage:
    return StruckStorage(inner, strike)


def as_storage(storage: StruckStorage) -> Storage:
    """The same object, for callers that want the ports."""
    return cast(Storage, storage)
