"""The SQL sink: one transaction per run, in which the run's old rows go and its new ones come.

The runs' table says which bundle a run's rows are of, so that publishing the same bundle again writes nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from assay.errors import ServiceError, UserError
from assay.reporting.contents import Contents
from assay.sinks.base import Bundle, Receipt
from assay.sources.databases import opened, said
from assay.storage.bundle_names import RESULTS_JSONL, SUMMARY
from assay.suite.levels import Level
from assay.suite.sink_options import SqlOptions

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

    from assay.sinks.sql.tables import ResultTables

_ROWS_AT_ONCE = 1_000


class SqlSink:
    """Writes a bundle's results into a database. `address_of` gives the address of a named connection."""

    def __init__(self, options: SqlOptions, address_of: Callable[[str], Awaitable[str]]) -> None:
        self._options, self._address_of = options, address_of

    @property
    def name(self) -> str:
        return self._options.name or "sql"

    @property
    def clearance(self) -> Level:
        return self._options.clearance

    async def preview(self, bundle: Bundle) -> tuple[str, ...]:
        contents = await asyncio.to_thread(_contents, bundle)
        comparisons = len(contents.comparisons)
        metrics = sum(len(one.metrics) for one in contents.experiments)
        counts = {"runs": 1, "experiments": len(contents.experiments), "metrics": metrics, "comparisons": comparisons}
        counts |= {"outcomes": contents.run.trials} if self._options.outcomes else {}
        where = f"connection '{self._options.connection}'"
        return tuple(f"{rows} row(s) into {self._options.prefix}{table} of {where}" for table, rows in counts.items())

    async def publish(self, bundle: Bundle) -> Receipt:
        address = await self._address_of(self._options.connection)
        rows = await asyncio.to_thread(self._write, bundle, address)
        return Receipt(
            sink=self.name,
            location=f"{self._options.connection}: {self._options.prefix}runs where run = '{bundle.run}'",
            manifest_sha256=bundle.manifest_sha256,
            files=0,
            details={"rows": str(rows)},
        )

    async def close(self) -> None:
        """There is nothing to close: a connection lives as long as its transaction."""

    def _write(self, bundle: Bundle, address: str) -> int:
        """How many rows the run has in the tables."""
        with opened(address, self._options.connection, "the SQL sink needs") as engine, self._spoken():
            from assay.sinks.sql.tables import result_tables

            tables = result_tables(self._options.prefix, self._options.db_schema)
            tables.metadata.create_all(engine)
            with engine.begin() as connection:
                if not _has(connection, tables, bundle):
                    _replace(connection, tables, bundle, with_outcomes=self._options.outcomes)
                return _count(connection, tables, bundle.run)

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        """What the database says, as our own errors; rows and addresses are not in them."""
        from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError

        where = f"connection '{self._options.connection}'"
        try:
            yield
        except IntegrityError as error:
            raise ServiceError(f"{where}: somebody else writes this run; publish it again") from error
        except OperationalError as error:
            raise ServiceError(f"{where} does not answer, or breaks off: {said(error)}") from error
        except (DBAPIError, SQLAlchemyError) as error:
            advice = "The sink's user must be able to create tables, or find them, and to read, write and delete."
            raise UserError(f"{where} refuses: {said(error)}. {advice}") from error


def _has(connection: "Connection", tables: "ResultTables", bundle: Bundle) -> bool:
    from sqlalchemy import select

    runs = tables.runs
    found = connection.execute(select(runs.c.manifest_sha256).where(runs.c.run == bundle.run)).scalar()
    return bool(found == bundle.manifest_sha256)


def _replace(connection: "Connection", tables: "ResultTables", bundle: Bundle, *, with_outcomes: bool) -> None:
    from assay.sinks.sql.tables import comparison_row, experiment_row, metric_row, outcome_rows, run_row

    run, contents = bundle.run, _contents(bundle)
    for table in (*tables.dependent, tables.runs):
        connection.execute(table.delete().where(table.c.run == run))
    _insert(connection, tables.runs, [run_row(bundle, contents)])
    _insert(connection, tables.experiments, (experiment_row(run, one) for one in contents.experiments))
    metrics = ((one.name, score, metric) for one in contents.experiments for score, metric in one.metrics.items())
    _insert(connection, tables.metrics, (metric_row(run, *one) for one in metrics))
    _insert(connection, tables.comparisons, (comparison_row(run, one) for one in contents.comparisons))
    if with_outcomes:
        _insert(connection, tables.outcomes, outcome_rows(bundle, RESULTS_JSONL))


def _insert(connection: "Connection", table: "Table", rows: Iterable[dict[str, Any]]) -> None:
    left = iter(rows)
    while piece := list(islice(left, _ROWS_AT_ONCE)):
        connection.execute(table.insert(), piece)


def _count(connection: "Connection", tables: "ResultTables", run: str) -> int:
    from sqlalchemy import func, select

    asked = (select(func.count()).select_from(table).where(table.c.run == run) for table in tables.dependent)
    return 1 + sum(int(connection.execute(one).scalar() or 0) for one in asked)


def _contents(bundle: Bundle) -> Contents:
    return Contents.model_validate_json((bundle.folder / SUMMARY).read_bytes())
