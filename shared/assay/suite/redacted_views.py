"""The section `views` of a suite: smaller bundles, made on purpose, with columns changed or of some experiments."""

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from assay.suite.levels import Level
from assay.suite.strict import Strict

VIEW_NAME = r"^[a-z0-9][a-z0-9-]{0,39}$"
Treatment = Literal["keep", "hash", "mask", "drop"]
STRICTNESS: tuple[Treatment, ...] = ("keep", "hash", "mask", "drop")

FIXED_COLUMN = "experiment"
"""What a report is about: its page and its summary name experiments everywhere."""

QUOTED, QUOTING = ("answer.", "label.", "expected."), ("reason.", "label.", "expected.")
"""What scorers quote, and the columns in which they do, or that say what an answer was."""

ViewName = Annotated[str, StringConstraints(pattern=VIEW_NAME)]
ColumnPattern = Annotated[str, StringConstraints(min_length=1)]


class View(Strict):
    """A bundle of its own for those who may not see the whole one, or need only some of it."""

    name: ViewName = Field(description="What sinks call it")
    level: Level = Field(description="How far it may go; not above the level of the whole bundle")
    columns: dict[ColumnPattern, Treatment] = Field(
        default_factory=dict, description="What becomes of columns of the results, by name or pattern such as answer.*"
    )
    experiments: tuple[Annotated[str, StringConstraints(min_length=1)], ...] = Field(
        (), description="The experiments that it is of; absent: all"
    )

    @property
    def is_smaller(self) -> bool:
        """Whether it asks for less than there is."""
        return bool(self.experiments) or any(one != "keep" for one in self.columns.values())


def treatments(columns: Mapping[str, Treatment], names: Sequence[str]) -> dict[str, Treatment]:
    """What becomes of each of these columns.

    A column's own name counts before patterns; of several patterns the strictest does. As soon as an answer, a label or
    an expected value is not kept, the columns that quote them are dropped, unless a name or pattern says otherwise.
    """
    said = {name: treatment for name in names if (treatment := _said(columns, name))}
    hidden = any(name.startswith(QUOTED) and treatment != "keep" for name, treatment in said.items())
    return {name: said.get(name, "drop" if hidden and name.startswith(QUOTING) else "keep") for name in names}


def matching(pattern: str, names: Sequence[str]) -> Iterator[str]:
    """The columns that a name or pattern means; no pattern means the one that stays."""
    return (name for name in names if fnmatchcase(name, pattern) and (name != FIXED_COLUMN or name == pattern))


def _said(columns: Mapping[str, Treatment], name: str) -> Treatment | None:
    if name in columns:
        return columns[name]
    found = [treatment for pattern, treatment in columns.items() if name in matching(pattern, [name])]
    return max(found, key=STRICTNESS.index, default=None)
