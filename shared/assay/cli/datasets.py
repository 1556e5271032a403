"""Local datasets, found beside a suite and planned as a run would plan them. Commands that need no storage use this."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from assay.cli.shown import print_facts, print_table
from assay.errors import UserError
from assay.planning.datasets import dropped_query, freeze_query, is_readable, open_dataset
from assay.planning.plan import Planned, build_plan
from assay.planning.preflight import check_columns
from assay.planning.queries import is_query
from assay.planning.row_report import ColumnReport, RowReport
from assay.runtime import Runtime
from assay.settings import Settings
from assay.sources.tabular import READERS
from assay.suite.loading import SuiteSource
from assay.suite.models import Suite


def datasets_beside(folder: Path) -> list[Path]:
    """The datasets in a suite's folder, by name."""
    return [path for path in sorted(folder.iterdir()) if is_readable(path.name)]


def only_dataset(folder: Path) -> Path:
    """The one dataset in a suite's folder. Raises UserError when there is none, or more than one."""
    found = datasets_beside(folder)
    if len(found) == 1:
        return found[0]
    names = f"found {len(found)}: {', '.join(path.name for path in found)}" if found else "found none"
    raise UserError(
        f"{folder}: expected one dataset ({', '.join(READERS)}) beside the suite, {names}. "
        "Leave one there, or name the file if the command takes one."
    )


@contextmanager
def planned_locally(suite: Suite, text: SuiteSource, suite_file: str, dataset: Path) -> Iterator[Planned]:
    """The plan of a run of the dataset, its files there while the block runs. Raises UserError as planning does.

    A query is run, with the connection of this environment.
    """
    with TemporaryDirectory(prefix="assay-") as scratch:
        file, rows = dataset.name, dataset
        if is_query(file):
            query, rows = dropped_query(dataset, file, suite.dataset), Path(scratch) / "query_result"
            freeze_query(query, suite, text, _address_of(query.connection), rows)
        source = open_dataset(rows, file, suite.dataset)
        if source.columns is not None:
            check_columns(suite, text, source.columns, file, suite_file)
        yield build_plan(suite.name, suite, text, source, file, Path(scratch))


def _address_of(connection: str) -> str:
    async def asked() -> str:
        runtime = Runtime(Settings.load())
        try:
            return await runtime.address_of(connection)
        finally:
            await runtime.close()

    return asyncio.run(asked())


def print_report(report: RowReport) -> None:
    """What a run would find in a dataset."""
    typer.echo(f"\n{report.file}: {report.rows:,} rows, {report.bad_rows:,} bad")
    print_table(
        ("column", "filled", "empty", "longest", "kind", "values"),
        [
            (one.name, f"{one.filled:,}", f"{one.empty:,}", f"{one.longest:,}", ", ".join(one.kinds), _values(one))
            for one in report.columns
        ],
    )
    for reason in report.reasons:
        more = ", ..." if reason.rows > len(reason.lines) else ""
        print_facts({f"{reason.rows:,} bad": f"{reason.reason} (line {', '.join(map(str, reason.lines))}{more})"})


def _values(column: ColumnReport) -> str:
    return ", ".join(f"{value} ({count:,})" for value, count in (column.values or {}).items())
