"""Plugins that other installed distributions offer, by the entry-point group `assay.plugins`. `registry.py` asks.

An entry point's name is the name that suites use. Nothing is imported before that name is asked for.
"""

import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from assay.errors import UserError

GROUP = "assay.plugins"


class PluginLoadError(UserError):
    """An entry point could not be loaded; the text names it, its distribution and what went wrong."""


@dataclass(frozen=True)
class InstalledPlugin:
    """An entry point of a distribution."""

    entry_point: EntryPoint

    @property
    def name(self) -> str:
        return self.entry_point.name

    @property
    def distribution(self) -> str:
        """Its name and version."""
        found = self.entry_point.dist
        return f"{found.name} {found.version}" if found else "an unknown distribution"

    def __str__(self) -> str:
        return f"{self.distribution} (entry point {self.name} = {self.entry_point.value})"

    def load(self) -> object:
        """What the entry point names. Raises PluginLoadError, whatever its import raises."""
        try:
            return self.entry_point.load()
        except (Exception, SystemExit) as error:  # a module may do anything when it is imported
            raise PluginLoadError(f"{self} cannot be loaded: {type(error).__name__}: {error}") from error


def installed_plugins() -> tuple[InstalledPlugin, ...]:
    """All that are installed, by distribution and name; read anew only when `sys.path` has changed."""
    return _found(tuple(sys.path))


@lru_cache(maxsize=4)
def _found(path: tuple[str, ...]) -> tuple[InstalledPlugin, ...]:  # noqa: ARG001 - the cache is per path
    found = map(InstalledPlugin, entry_points(group=GROUP))
    return tuple(sorted(found, key=lambda one: (one.distribution, one.name)))
