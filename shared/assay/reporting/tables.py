"""Results as files: `results.csv` for people and spreadsheets, `results.parquet` with types, `results.jsonl` with all.

`trials.parquet` has what may differ between two runs with the same answers. Batches come in, bytes go out at once, so
that one batch and one row group are all that is held. `evaluation.py` calls it.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from assay.llm.pricing import PriceTable, load_prices
from assay.reporting.cells import Layout, Results
from assay.reporting.columns import BatchFigures
from assay.reporting.trials import TrialBatch, picked
from assay.storage.bundle_names import RESULTS_CSV, RESULTS_JSONL, RESULTS_PARQUET, TRIALS_PARQUET
from assay.suite.models import Suite

GROUP_ROWS = 32_768
"""Trials per row group: part of the bytes of a file, so never a question of how batches were cut."""

TRIALS = pa.schema(
    [
        *[("row", pa.int64()), ("experiment", pa.string()), ("repeat", pa.int64())],
        *[("latency_seconds", pa.float64()), ("first_token_seconds", pa.float64())],
        *[("quota_wait_seconds", pa.float64()), ("attempts", pa.int64()), ("cached", pa.int64())],
        ("failure_message", pa.string()),
    ]
)
"""Of `trials.parquet`, whose lines are those of `results.parquet`. `cached`: how many answers the cache gave."""


@dataclass(frozen=True)
class Rendered:
    """What the files get of one batch. `lines` are the outcomes with a comma in place of the opening bracket."""

    cells: pa.Buffer
    lines: pa.LargeBinaryArray
    results: pa.Table
    trials: pa.Table


@dataclass(frozen=True)
class Renderer:
    """Makes a batch into what the files get of it; batches can be rendered side by side."""

    layout: Layout
    prices: PriceTable

    @classmethod
    def of(cls, suite: Suite, prices: PriceTable | None = None) -> "Renderer":
        """`prices` are those that costs were made with; absent, the shipped ones."""
        return cls(Layout.of(suite), prices or load_prices())

    def render(self, batch: TrialBatch, figures: BatchFigures) -> Rendered:
        """By row, experiment (the baseline first) and repeat.

        The cells say only what the same answers always give: no times, attempts, request ids or messages, and the
        tokens and the price of the answers themselves, whether they came from the cache or after others that were paid
        for and thrown away; the bill is the report's. Every cell is quoted as RFC 4180 says: with fewer quotes a lone
        carriage return in a cell is no longer a cell's in some readers. Formulas are neutralised.
        """
        results = Results.of(batch, self.layout, self.prices)
        cells = csv_cells(results.texts(self.layout))
        lines = pc.binary_replace_slice(batch.lines.take(pa.array(batch.order)), 0, 1, b",")
        return Rendered(cells, lines, results.table, _trials(batch, figures))


class ResultFiles:
    """The result files of a bundle, written batch by batch; replaces what was there. UTF-8 wherever there is text."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self._stack = ExitStack()
        self._cells = self._stack.enter_context((folder / RESULTS_CSV).open("wb"))
        self._lines = self._stack.enter_context((folder / RESULTS_JSONL).open("wb"))
        self._results = self._stack.enter_context(_RowGroups(folder / RESULTS_PARQUET, layout.schema))
        self._trials = self._stack.enter_context(_RowGroups(folder / TRIALS_PARQUET, TRIALS))
        self._rank = 0
        self._cells.write(csv_head(layout.csv_columns))

    def __enter__(self) -> "ResultFiles":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, rendered: Rendered) -> None:
        """Appends a batch; batches come in the order of their rows."""
        self._cells.write(rendered.cells)
        self._write_lines(rendered.lines)
        self._results.add(rendered.results)
        self._trials.add(rendered.trials)

    def _write_lines(self, lines: pa.LargeBinaryArray) -> None:
        """The outcomes as they were written, each with its `rank` in the order of the results, from 1."""
        ranks = pa.array(np.arange(self._rank + 1, self._rank + len(lines) + 1)).cast(pa.large_string())
        self._rank += len(lines)
        head, nothing = (pa.scalar(text, pa.large_binary()) for text in (b'{"rank":', b""))
        joined = pc.binary_join_element_wise(head, ranks.cast(pa.large_binary()), lines, nothing)
        _, ends, text = joined.buffers()
        # A buffer may be longer than what is in it.
        self._lines.write(text.slice(0, int(np.frombuffer(ends, np.int64)[len(joined)])))


def csv_head(names: Iterable[str]) -> bytes:
    """The first line of `results.csv`."""
    return (",".join(f'"{_doubled(name)}"' for name in names) + "\n").encode()


def csv_cells(texts: pa.Table) -> pa.Buffer:
    """Lines of `results.csv`, every cell quoted."""
    cells = pa.BufferOutputStream()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    pyarrow.csv.write_csv(texts, cells, options)
    return cells.getvalue()


def parquet_writer(path: Path, schema: pa.Schema) -> pyarrow.parquet.ParquetWriter:
    """Writes `results.parquet`, and what is like it."""
    return pyarrow.parquet.ParquetWriter(path, schema, compression="zstd", version="2.6")


class _RowGroups:
    """A Parquet file of row groups of equal size: the same trials give the same bytes."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        self._writer = parquet_writer(path, schema)
        self._waiting: list[pa.Table] = []

    def __enter__(self) -> "_RowGroups":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._waiting:
            self._write(pa.concat_tables(self._waiting))
        self._writer.close()

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        if sum(map(len, self._waiting)) < GROUP_ROWS:
            return
        whole = pa.concat_tables(self._waiting)
        full = len(whole) // GROUP_ROWS * GROUP_ROWS
        self._write(whole.slice(0, full))
        self._waiting = [whole.slice(full)] if full < len(whole) else []

    def _write(self, table: pa.Table) -> None:
        self._writer.write_table(table.combine_chunks(), row_group_size=GROUP_ROWS)


def _trials(batch: TrialBatch, figures: BatchFigures) -> pa.Table:
    """What `trials.parquet` says: how the outcomes came about."""
    order, responses = batch.order, batch.responses
    waits = responses.sums(responses.floats("quota_wait_seconds"))
    attempts = responses.sums(responses.lengths("attempts"))
    attempts[batch.failed] += pc.list_value_length(batch.failures("attempts")).fill_null(0).to_numpy(False)
    places = np.full(len(batch), -1, dtype=np.int64)
    places[batch.failed] = np.arange(len(batch.failed))
    columns: dict[str, object] = {
        "row": batch.row[order],
        "experiment": pa.array(batch.experiments).take(pa.array(batch.experiment[order])),
        "repeat": batch.repeat[order] + 1,
        **{name: _optional(figures.measures[name][order]) for name in ("latency_seconds", "first_token_seconds")},
        "quota_wait_seconds": waits[order],
        "attempts": attempts[order].astype(np.int64),
        "cached": responses.sums(responses.flags("cached"))[order].astype(np.int64),
        "failure_message": picked(batch.failures("message"), places[order]),
    }
    return pa.table(columns, schema=TRIALS)


def _optional(values: np.ndarray) -> pa.Array:
    return pa.array(values, from_pandas=True)


def _doubled(text: str) -> str:
    return text.replace('"', '""')
