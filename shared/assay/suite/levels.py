"""How far something may go: the security levels of datasets, suites and artifacts, and the clearance of sinks."""

from collections.abc import Iterable
from typing import Literal, get_args

Level = Literal["public", "internal", "confidential", "restricted"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""From what everybody may see to what few may."""


def highest(levels: Iterable[Level]) -> Level:
    """The level of what is made of things with these levels; `public` of nothing."""
    return max(levels, key=LEVELS.index, default=LEVELS[0])


def is_above(level: Level, clearance: Level) -> bool:
    """Whether something of a level must not go where only a clearance is given."""
    return LEVELS.index(level) > LEVELS.index(clearance)
