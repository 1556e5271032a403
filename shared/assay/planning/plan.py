"""The plan of a run: the dataset file becomes `rows.jsonl`, row ranges and quarantined rows, in bounded memory."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import isqrt
from pathlib import Path
from typing import IO

from assay.errors import DatasetError
from assay.planning.judges.catalogue import judgements_of
from assay.planning.preflight import check_columns, columns_used
from assay.planning.shuffling import shuffle_lines
from assay.records import BadRow, Row
from assay.run_records import Plan, RowRange
from assay.sources.base import Source
from assay.storage.bundle_names import SUITE_FILE
from assay.suite.loading import SuiteSource, source_map
from assay.suite.models import Suite

MAX_ROWS_PER_MESSAGE = 500
MAX_RANGE_BYTES = 16 * 1024**2
"""What a worker has in memory of a chunk's rows; one row may be more than that."""

MAX_RANGES = 100_000
MAX_CHUNKS = 1_000_000
"""The plan is read whole, and all chunks are listed, whenever somebody looks where a run stands."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan with the local files that belong to it."""

    plan: Plan
    rows: Path
    bad_rows: Path


def build_plan(
    run: str, suite: Suite, suite_source: SuiteSource, source: Source, dataset: str, folder: Path
) -> Planned:
    """Plans a run into `folder`; the same inputs give the same bytes.

    Raises SuiteError when the suite needs columns that the dataset lacks, DatasetError when there is no good row or
    more bad ones than the suite tolerates.
    """
    if source.columns is not None:
        check_columns(suite, suite_source, source.columns, dataset)
    planned_rows, bad_rows = folder / "rows.jsonl", folder / "bad_rows.jsonl"
    with planned_rows.open("wb") as good, bad_rows.open("wb") as bad:
        lengths, bad_count, first_bad = _split(source, columns_used(suite), good, bad)
    _refuse_too_bad(suite, dataset, source.place, len(lengths), bad_count, first_bad)
    if suite.early_stop:
        lengths = shuffle_lines(planned_rows, lengths, suite.seed)
    size = rows_per_message(suite, len(lengths))
    plan = Plan(
        run=run,
        rows=len(lengths),
        bad_rows=bad_count,
        experiments=tuple(experiment.name for experiment in suite.ordered),
        repeats=tuple(experiment.repeats for experiment in suite.ordered) if suite.is_repeated else (),
        ranges=tuple(islice(_ranges(lengths, size), MAX_RANGES + 1)),
        early_stop=bool(suite.early_stop),
        judgements=judgements_of(suite),
    )
    _refuse_too_many_chunks(plan, suite_source)
    return Planned(plan, planned_rows, bad_rows)


def rows_per_message(suite: Suite, rows: int) -> int:
    """Rows that travel as one message at most: as the suite says, or about as many as there are messages per
    experiment. Long rows make shorter messages.
    """
    if suite.limits.rows_per_message != "auto":
        return suite.limits.rows_per_message
    return max(1, min(isqrt(rows), MAX_ROWS_PER_MESSAGE))


def _split(
    source: Source, needed: frozenset[str], good: IO[bytes], bad: IO[bytes]
) -> tuple["array[int]", int, BadRow | None]:
    """Writes good and bad rows; gives the good ones' lengths in bytes, the bad ones' count and the first of them."""
    lengths = array("Q")
    bad_count, first_bad = 0, None
    for row in _with_needed_columns(source, needed):
        line = row.model_dump_json().encode() + b"\n"
        if isinstance(row, BadRow):
            bad.write(line)
            bad_count, first_bad = bad_count + 1, first_bad or row
        else:
            good.write(line)
            lengths.append(len(line))
    return lengths, bad_count, first_bad


def _with_needed_columns(source: Source, needed: frozenset[str]) -> Iterator[Row | BadRow]:
    """Rows of a source without fixed columns may each lack something; numbers stay gapless."""
    lacking = 0
    for row in source.rows():
        if isinstance(row, BadRow):
            yield row
        elif missing := needed.difference(row.fields):
            lacking += 1
            columns = ", ".join(f"'{column}'" for column in sorted(missing))
            has = ", ".join(sorted(row.fields))[:200]
            yield BadRow(line=row.line, row_id=row.row_id, reason=f"lacks {columns}; it has: {has}")
        else:
            yield row.model_copy(update={"number": row.number - lacking}) if lacking else row


def _refuse_too_bad(suite: Suite, dataset: str, place: str, good: int, bad: int, first_bad: BadRow | None) -> None:
    if good and suite.dataset.tolerates(bad, good + bad):
        return
    first = f" First: {place} {first_bad.line}: {first_bad.reason}." if first_bad else ""
    if not good:
        raise DatasetError(f"{dataset}: not one of {bad} rows can be used.{first}")
    raise DatasetError(
        f"{dataset}: {bad} of {good + bad} rows are bad; the suite tolerates {suite.dataset.max_bad_rows}.{first}"
        " Mend the rows, or raise dataset.max_bad_rows."
    )


def _refuse_too_many_chunks(plan: Plan, suite_source: SuiteSource) -> None:
    if len(plan.ranges) <= MAX_RANGES and plan.chunks <= MAX_CHUNKS:
        return
    if len(plan.ranges) > MAX_RANGES:
        found = f"{plan.rows:,} rows would be more than {MAX_RANGES:,} messages for each experiment"
    else:
        found = f"{plan.rows:,} rows for all experiments, repeats and judges would be {plan.chunks:,} messages"
    source_map(suite_source, SUITE_FILE).refuse(
        [
            (
                ("limits", "rows_per_message"),
                f"{found}; at most {MAX_RANGES:,} and in all {MAX_CHUNKS:,} are made. "
                "Raise limits.rows_per_message, leave it out, or split the dataset",
            )
        ]
    )


def _ranges(lengths: "array[int]", size: int) -> Iterator[RowRange]:
    """Ranges of so many rows, of fewer where they are long."""
    offset = rows = length = 0
    for before, row_bytes in enumerate(lengths):
        if rows == size or (rows and length + row_bytes > MAX_RANGE_BYTES):
            yield RowRange(first_row=before - rows + 1, rows=rows, offset=offset, length=length)
            offset, rows, length = offset + length, 0, 0
        rows, length = rows + 1, length + row_bytes
    if rows:
        yield RowRange(first_row=len(lengths) - rows + 1, rows=rows, offset=offset, length=length)
