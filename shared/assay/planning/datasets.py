"""Opens a dataset as its suite wants it read. Ingest, the planning step and the command line call it."""

from pathlib import Path

from assay.sources.base import Format, Reading, Source
from assay.sources.shaping import ColumnRule, Shape
from assay.sources.tabular import open_source
from assay.suite.datasets import Column, DatasetSettings


def open_dataset(path: Path, file: str, settings: DatasetSettings) -> Source:
    """A source for `path`, dropped as `file`. Raises DatasetError."""
    return open_source(path, file, reading_of(settings))


def reading_of(settings: DatasetSettings) -> Reading:
    """What the suite says of its datasets, in the words of the sources."""
    written = settings.format
    return Reading(
        id_column=settings.id,
        format=Format(written.delimiter, written.encoding, written.header, written.skip_lines, written.sheet),
        shape=Shape(
            rules=tuple(_rule(column) for column in settings.columns if not _is_plain(column))
            if settings.other_columns == "keep"
            else tuple(map(_rule, settings.columns)),
            others=settings.other_columns,
            null_values=frozenset(settings.null_values),
        ),
    )


def _is_plain(column: Column) -> bool:
    """Whether the column only has to be there, as it is."""
    return column == Column(name=column.name)


def _rule(column: Column) -> ColumnRule:
    return ColumnRule(
        name=column.name,
        taken_from=column.names_in_file,
        kind=column.type,
        default=column.default,
        values=column.values,
        refuses_nulls=column.nulls == "refuse",
    )
