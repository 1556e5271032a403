"""What a run would find in a dataset, for people: its columns, and bad rows by reason. `assay validate` shows it."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from assay.planning.plan import Planned
from assay.records import BadRow, Record, Row

MOST_VALUES = 8
LONGEST_VALUE = 30
MOST_LINES = 5
MOST_REASONS = 20
KINDS = {bool: "true or false", int: "number", float: "number", str: "text", list: "list", dict: "object"}


class ColumnReport(Record):
    """One column over all good rows. `values` counts its values if they are few."""

    name: str
    filled: int
    empty: int
    kinds: tuple[str, ...]
    longest: int
    values: dict[str, int] | None


class BadRowsReport(Record):
    """Bad rows of one kind: the reason of the first, and the first lines."""

    reason: str
    rows: int
    lines: tuple[int, ...]


class RowReport(Record):
    """A dataset as a run would take it."""

    file: str
    rows: int
    bad_rows: int
    columns: tuple[ColumnReport, ...]
    reasons: tuple[BadRowsReport, ...]


def report_rows(planned: Planned, file: str) -> RowReport:
    """Columns in the order in which they first appear, reasons with the most frequent first."""
    return RowReport(
        file=file,
        rows=planned.plan.rows,
        bad_rows=planned.plan.bad_rows,
        columns=_columns(planned.rows),
        reasons=_reasons(planned.bad_rows),
    )


def _columns(rows: Path) -> tuple[ColumnReport, ...]:
    seen: dict[str, _Seen] = {}
    total = 0
    with rows.open("rb") as lines:
        for line in lines:
            total += 1
            for column, value in Row.model_validate_json(line).fields.items():
                seen.setdefault(column, _Seen()).add(value)
    return tuple(one.report(column, total) for column, one in seen.items())


class _Seen:
    """The values of one column, counted as long as they are few."""

    def __init__(self) -> None:
        self.filled, self.longest = 0, 0
        self.kinds: Counter[str] = Counter()
        self.values: Counter[str] | None = Counter()

    def add(self, value: Any) -> None:
        if value is None or value == "":
            return
        text = str(value)
        self.filled += 1
        self.longest = max(self.longest, len(text))
        self.kinds[KINDS[type(value)]] += 1
        if self.values is not None:
            self.values[text[: LONGEST_VALUE + 1]] += 1
            if len(self.values) > MOST_VALUES or len(text) > LONGEST_VALUE:
                self.values = None

    def report(self, column: str, total: int) -> ColumnReport:
        kinds = tuple(kind for kind, _ in self.kinds.most_common())
        values = dict(self.values.most_common()) if self.values else None
        return ColumnReport(
            name=column,
            filled=self.filled,
            empty=total - self.filled,
            kinds=kinds,
            longest=self.longest,
            values=values,
        )


def _reasons(bad_rows: Path) -> tuple[BadRowsReport, ...]:
    firsts: dict[str, BadRow] = {}
    counts: Counter[str] = Counter()
    places: dict[str, list[int]] = {}
    with bad_rows.open("rb") as lines:
        for line in lines:
            row = BadRow.model_validate_json(line)
            kind = _kind_of(row.reason)
            firsts.setdefault(kind, row)
            counts[kind] += 1
            if len(known := places.setdefault(kind, [])) < MOST_LINES:
                known.append(row.line)
    return tuple(
        BadRowsReport(reason=firsts[kind].reason, rows=count, lines=tuple(places[kind]))
        for kind, count in counts.most_common(MOST_REASONS)
    )


def _kind_of(reason: str) -> str:
    """A reason without what differs from row to row: numbers, and what is quoted, but for a column's name."""
    return re.sub(r"(column '[^']*')|'[^']*'|\d[\d,]*", lambda found: found[1] or "#", reason)
