"""Named plugins with their options models. A registry is filled in one visible place, where its kind is defined."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from assay.installed import InstalledPlugin, PluginLoadError, installed_plugins

Made = TypeVar("Made")


class UnknownName(KeyError):
    """No plugin of that name; the message lists the known ones and the closest."""

    def __str__(self) -> str:
        return str(self.args[0])


class UnusablePlugin(UnknownName):
    """A plugin of that name is installed and cannot be used; the message names its distribution and says why."""


@dataclass(frozen=True, slots=True)
class Plugin(Generic[Made]):
    """A name, the options it takes and how it is made of them.

    Distributions that offer plugins say the `kind` too: scorer, aggregator or comparer.
    """

    name: str
    options: type[BaseModel]
    make: Callable[[Any], Made]
    kind: str = ""

    @property
    def docs(self) -> str:
        """What it is for: the docstring of what makes it."""
        return inspect.getdoc(self.make) or ""


class Registry(Generic[Made]):
    """Plugins of one kind by name."""

    def __init__(self, kind: str, *plugins: Plugin[Made]) -> None:
        self.kind = kind
        self._plugins = {plugin.name: plugin for plugin in plugins}

    @property
    def names(self) -> tuple[str, ...]:
        """Those that are built in."""
        return tuple(self._plugins)

    def built_in(self, name: str) -> Plugin[Made]:
        """The plugin of one of `names`."""
        return self._plugins[name]

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


class OpenRegistry(Registry[Made]):
    """A registry to which installed distributions add plugins, each loaded when its name is asked for."""

    def find(self, name: str) -> Plugin[Made]:
        """The plugin of that name, built in or installed. Raises UnknownName, and UnusablePlugin when there are two."""
        theirs = [plugin for installed in _installed(name) for plugin in self._ours(installed)]
        built_in = name in self._plugins
        if len(theirs) + built_in > 1:
            owners = [*(["built in"] if built_in else []), *(str(installed) for installed in _installed(name))]
            raise UnusablePlugin(f"{self.kind} '{name}' is there more than once: {'; '.join(owners)}. Uninstall one")
        if theirs:
            return theirs[0]
        if built_in:
            return self._plugins[name]
        raise UnknownName(self._unknown(name))

    def _ours(self, installed: InstalledPlugin) -> Iterator[Plugin[Made]]:
        plugin = loaded(installed)
        if plugin.kind == self.kind:
            yield plugin

    def _unknown(self, name: str) -> str:
        others = [loaded(installed).kind for installed in _installed(name)]
        known = (*self.names, *(one.name for one in installed_plugins() if one.name not in self.names))
        there = f" ('{name}' is one of kind {others[0]})" if others else did_you_mean(name, known)
        return f"unknown {self.kind} '{name}'{there}. Known: {', '.join(known)}"


def loaded(installed: InstalledPlugin) -> Plugin[Any]:
    """The plugin that an entry point names. Raises UnusablePlugin when it cannot be loaded or is something else."""
    try:
        plugin = installed.load()
    except PluginLoadError as error:
        raise UnusablePlugin(str(error)) from error
    if not isinstance(plugin, Plugin):
        raise UnusablePlugin(f"{installed} is no plugin: expected assay.registry.Plugin, found {type(plugin).__name__}")
    if plugin.name != installed.name:
        raise UnusablePlugin(f"{installed} holds the plugin '{plugin.name}'; expected the entry point's name")
    return plugin


def _installed(name: str) -> list[InstalledPlugin]:
    return [one for one in installed_plugins() if one.name == name]


def did_you_mean(name: str, known: tuple[str, ...] | list[str]) -> str:
    """` (did you mean 'x'?)` or nothing."""
    close = get_close_matches(name, known, n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""
