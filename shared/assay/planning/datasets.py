"""Opens a dataset as its suite wants it read. Ingest, the planning step and the command line call it."""

from pathlib import Path

from assay.errors import DatasetError
from assay.planning.preflight import check_columns
from assay.planning.queries import is_query, read_query
from assay.sources.base import Format, Reading, Source
from assay.sources.columns import shaped_columns
from assay.sources.shaping import ColumnRule, Shape
from assay.sources.sql import Query, QueryResult, freeze_result
from assay.sources.tabular import is_dataset, open_source
from assay.suite.datasets import Column, DatasetSettings
from assay.suite.loading import SuiteSource
from assay.suite.models import Suite

MAX_QUERY_BYTES = 100_000


def open_dataset(path: Path, file: str, settings: DatasetSettings) -> Source:
    """A source for `path`, dropped as `file`; of a query, its kept result lies at `path`. Raises DatasetError."""
    reading = reading_of(settings)
    return QueryResult(path, file, _of_result(reading)) if is_query(file) else open_source(path, file, reading)


def check_beginning(path: Path, file: str, suite: Suite, text: str, suite_file: str) -> None:
    """Refuses what can be seen to be unusable in a dropped file without reading all of it. Raises UserError."""
    if is_query(file):
        dropped_query(path, file, suite.dataset)
        return
    source = open_dataset(path, file, suite.dataset)
    if source.columns is not None:
        check_columns(suite, text, source.columns, file, suite_file)
    next(source.rows())


def dropped_query(path: Path, file: str, settings: DatasetSettings) -> Query:
    """The query in the file at `path`, dropped as `file`. Raises DatasetError."""
    if path.stat().st_size > MAX_QUERY_BYTES:
        raise DatasetError(f"{file}: {path.stat().st_size:,} bytes; a query has at most {MAX_QUERY_BYTES:,}")
    return read_query(path.read_bytes(), file, settings)


def freeze_query(query: Query, suite: Suite, text: SuiteSource, url: str, target: Path) -> None:
    """Runs the query once, in the database at `url`, and keeps its result at `target`.

    Raises what `freeze_result` raises, and SuiteError when it lacks columns that the suite uses.
    """
    columns = freeze_result(query, url, target)
    check_columns(suite, text, shaped_columns(columns, reading_of(suite.dataset), query.file), query.file)


def is_readable(file: str) -> bool:
    """Whether the name ends as that of a dataset or a query does."""
    return is_query(file) or is_dataset(file)


def reading_of(settings: DatasetSettings) -> Reading:
    """What the suite says of its datasets, in the words of the sources."""
    written = settings.format
    keeps_others = settings.other_columns == "keep"
    return Reading(
        id_column=settings.id,
        format=Format(written.delimiter, written.encoding, written.header, written.skip_lines, written.sheet),
        shape=Shape(
            rules=tuple(_rule(column) for column in settings.columns if not (keeps_others and _is_plain(column))),
            others=settings.other_columns,
            null_values=frozenset(settings.null_values),
        ),
    )


def _of_result(reading: Reading) -> Reading:
    return Reading(id_column=reading.id_column, shape=reading.shape)


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
