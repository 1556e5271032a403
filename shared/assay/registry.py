"""Named plugins with their options models. A registry is filled in one visible place, where its kind is defined."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

Made = TypeVar("Made")


class UnknownName(KeyError):
    """No plugin of that name; the message lists the known ones and the closest."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class Plugin(Generic[Made]):
    """A name, the options it takes and how it is made of them."""

    name: str
    options: type[BaseModel]
    make: Callable[[Any], Made]


class Registry(Generic[Made]):
    """Plugins of one kind by name."""

    def __init__(self, kind: str, *plugins: Plugin[Made]) -> None:
        self.kind = kind
        self._plugins = {plugin.name: plugin for plugin in plugins}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._plugins)

    def find(self, name: str) -> Plugin[Made]:
        """The plugin. Raises UnknownName."""
        if name not in self._plugins:
            raise UnknownName(
                f"unknown {self.kind} '{name}'{did_you_mean(name, self.names)}. Known: {', '.join(self.names)}"
            )
        return self._plugins[name]

    def make(self, name: str, options: Mapping[str, Any]) -> Made:
        """A plugin made from raw options. Raises UnknownName, pydantic.ValidationError."""
        plugin = self.find(name)
        return plugin.make(plugin.options.model_validate(dict(options)))


def did_you_mean(name: str, known: tuple[str, ...] | list[str]) -> str:
    """` (did you mean 'x'?)` or nothing."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""
