"""What aggregators and comparers found, and what was confused with what, as tables for any format.

Pure, and not escaped for any format; `html.py` and `workbook.py` call it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from assay.reporting import wording
from assay.reporting.contents import Confusion, Contents

MOST_LINES = 200
HEAT_LEVELS = 9


@dataclass(frozen=True, slots=True)
class FactTable:
    """What one plugin found: a line per figure, a column per experiment or variant. `left_out` lines are not in it."""

    name: str
    columns: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]
    left_out: int = 0


def aggregate_tables(contents: Contents) -> tuple[FactTable, ...]:
    """A table per aggregator, with a column per experiment."""
    return tuple(_tables({one.name: one.aggregates for one in contents.experiments}))


def comparer_tables(contents: Contents) -> tuple[FactTable, ...]:
    """A table per comparer, with a column per variant."""
    return tuple(_tables(contents.comparers))


def _tables(found: Mapping[str, Mapping[str, Mapping[str, JsonValue]]]) -> Iterator[FactTable]:
    columns = tuple(name for name, figures in found.items() if figures)
    for plugin in dict.fromkeys(name for figures in found.values() for name in figures):
        flat = {column: dict(_flattened(dict(found[column].get(plugin, {})))) for column in columns}
        names = list(dict.fromkeys(name for figures in flat.values() for name in figures))
        lines = [
            (name, tuple(flat[column].get(name, wording.NOTHING) for column in columns)) for name in names[:MOST_LINES]
        ]
        yield FactTable(plugin, columns, tuple(lines), max(0, len(names) - MOST_LINES))


def _flattened(value: JsonValue, path: str = "") -> Iterator[tuple[str, str]]:
    """Every figure with the names that lead to it; a list's entries by their places."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flattened(inner, f"{path} · {name}" if path else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for place, inner in enumerate(value, start=1):
            yield f"{path} {place}", ", ".join(f"{name} {text}" for name, text in _flattened(inner))
    else:
        yield path, _figure(value)


def _figure(value: JsonValue) -> str:
    if value is None:
        return wording.NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return wording.count(value)
    if isinstance(value, float):
        return wording.figure(value)
    return ", ".join(_figure(one) for one in value) if isinstance(value, list) else str(value)


@dataclass(frozen=True, slots=True)
class ConfusionCell:
    """A count, its share of its line, and how strongly it is tinted, from 0 to HEAT_LEVELS."""

    count: int
    share: str
    heat: int
    right: bool


def confusion_lines(confusion: Confusion) -> list[tuple[str, int, list[ConfusionCell]]]:
    """Label, sum and cells of every line: what was expected against what was answered."""
    names, order = confusion_names(confusion), _order(confusion)
    lines = [[confusion.counts[line][column] for column in order] for line in order]
    return [
        (name, sum(counts), [_cell(counts, at, at == line < len(confusion.labels)) for at in range(len(counts))])
        for line, (name, counts) in enumerate(zip(names, lines, strict=True))
    ]


def confusion_names(confusion: Confusion) -> list[str]:
    """The labels in the alphabet's order, so that experiments can be compared; last one for all the rare ones."""
    other = [f"other ({wording.count(confusion.others)})"] if confusion.others else []
    return [*sorted(confusion.labels), *other]


def _order(confusion: Confusion) -> list[int]:
    places = sorted(range(len(confusion.labels)), key=confusion.labels.__getitem__)
    return [*places, *([len(places)] if confusion.others else [])]


def _cell(counts: Sequence[int], at: int, right: bool) -> ConfusionCell:
    share = counts[at] / (sum(counts) or 1)
    heat = 0 if not counts[at] else max(1, round(share * HEAT_LEVELS))
    return ConfusionCell(counts[at], f"{share * 100:.0f} %", heat, right)
