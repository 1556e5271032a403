"""What becomes of a row's columns: renamed, filled, typed, checked. `checking.py` shapes every row first."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from assay.errors import DatasetError
from assay.registry import did_you_mean
from assay.sources.kinds import KINDS, Kind, NotThatKind

OtherColumns = Literal["keep", "drop", "refuse"]
SHOWN_CHARACTERS = 60
SHOWN_COLUMNS = 20


class Misshapen(ValueError):
    """A row that does not fit; the message says which column, what was found and what was expected."""

    def __init__(self, message: str, found: Any) -> None:
        super().__init__(message)
        self.found = found


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """What is expected of one column. It is read from the first of `taken_from` that is there."""

    name: str
    taken_from: tuple[str, ...]
    kind: Kind | None = None
    default: Any = None
    values: tuple[Any, ...] = ()
    refuses_nulls: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """The rules of all columns; what becomes of columns without one; texts that mean that there is no value."""

    rules: tuple[ColumnRule, ...] = ()
    others: OtherColumns = "keep"
    null_values: frozenset[str] = frozenset()

    @property
    def is_idle(self) -> bool:
        """Whether rows stay as they are."""
        return not (self.rules or self.null_values) and self.others == "keep"

    def columns(self, found: tuple[str, ...], where: str) -> tuple[str, ...]:
        """The columns of the rows that come of a file with the columns `found`.

        Raises DatasetError, beginning with `where`, for a column that nobody expects where that is refused.
        """
        taken = self._taken(found)
        named = {rule.name for rule in self.rules}
        strange = [column for column in found if column not in taken and column not in named]
        if self.others == "refuse" and strange:
            raise DatasetError(f"{where}: {self._unexpected(strange)}")
        ruled = [rule.name for rule in self.rules if self._source_of(rule, found) or rule.default is not None]
        return (*(strange if self.others == "keep" else ()), *ruled)

    def fields(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of one row. Raises Misshapen for the first that does not fit."""
        ruled, taken = self._ruled(found)
        others = {name: self._null(value) for name, value in found.items() if name not in taken and name not in ruled}
        if self.others == "keep":
            return others | ruled
        strange = [name for name in others if not any(name == rule.name for rule in self.rules)]
        if self.others == "refuse" and strange:
            raise Misshapen(self._unexpected(strange), ", ".join(strange))
        return ruled

    def _ruled(self, found: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
        """The fields that rules make, and the columns that they are made of."""
        ruled: dict[str, Any] = {}
        taken: set[str] = set()
        for rule in self.rules:
            source = self._source_of(rule, found)
            if source is not None:
                taken.add(source)
                ruled[rule.name] = self._value(rule, found[source])
            elif rule.default is not None:
                ruled[rule.name] = rule.default
        return ruled, taken

    def _taken(self, found: Iterable[str]) -> set[str]:
        here = set(found)
        return {source for rule in self.rules if (source := self._source_of(rule, here)) is not None}

    def _source_of(self, rule: ColumnRule, found: Iterable[str]) -> str | None:
        return next((name for name in rule.taken_from if name in found), None)

    def _unexpected(self, strange: list[str]) -> str:
        names = ", ".join(f"'{name[:SHOWN_CHARACTERS]}'" for name in strange[:SHOWN_COLUMNS])
        known = ", ".join(rule.name for rule in self.rules) or "none"
        hint = did_you_mean(strange[0], [name for rule in self.rules for name in rule.taken_from])
        noun = "column" if len(strange) == 1 else "columns"
        return f"unexpected {noun} {names}{hint}. The suite expects: {known}"

    def _null(self, value: Any) -> Any:
        is_null = self.null_values and isinstance(value, str) and value.strip() in self.null_values
        return None if is_null else value

    def _value(self, rule: ColumnRule, found: Any) -> Any:
        value = self._null(found)
        if value is None or (isinstance(value, str) and not value.strip()):
            return _instead_of_nothing(rule, value)
        if rule.kind is not None:
            value = _of_kind(rule, rule.kind, value)
        if rule.values and not any(same(value, allowed) for allowed in rule.values):
            raise Misshapen(f"column '{rule.name}' holds {shown_value(value)}; {_allowed(rule, value)}", value)
        return value


def same(value: Any, other: Any) -> bool:
    """Whether two values are one: 1 and 1.0 are, 1 and true are not."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def shown_value(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 3]}..."


def _instead_of_nothing(rule: ColumnRule, value: str | None) -> Any:
    if rule.default is not None:
        return rule.default
    if rule.refuses_nulls:
        raise Misshapen(f"column '{rule.name}' has no value; the suite demands one", value or "")
    is_text = rule.kind in (None, "text") and not rule.values
    return value if is_text else None


def _of_kind(rule: ColumnRule, kind: Kind, value: Any) -> Any:
    try:
        return KINDS[kind](value)
    except NotThatKind as wrong:
        raise Misshapen(f"column '{rule.name}' holds {shown_value(value)}; expected {wrong}", value) from None


def _allowed(rule: ColumnRule, value: Any) -> str:
    known = [str(one) for one in rule.values]
    more = f" and {len(known) - SHOWN_COLUMNS} more" if len(known) > SHOWN_COLUMNS else ""
    hint = did_you_mean(str(value)[:SHOWN_CHARACTERS], known)
    return f"expected one of: {', '.join(known[:SHOWN_COLUMNS])}{more}{hint}"
