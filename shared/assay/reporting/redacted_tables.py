"""The results of a view: `results.csv` and `results.parquet` of a bundle with columns or experiments left out.

Both are made from the bundle's own files, one row group in memory at a time. `redacted_bundle.py` calls it.
"""

import csv
import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from assay.reporting.cells import csv_texts
from assay.reporting.tables import GROUP_ROWS, csv_cells, csv_head, parquet_writer
from assay.storage.bundle_names import RESULTS_CSV, RESULTS_PARQUET
from assay.suite.redacted_views import FIXED_COLUMN, Treatment

MASK = "***"
HASH_BYTES = 16


@dataclass(frozen=True)
class Redaction:
    """What becomes of each column of the results. `key` is the run's own, and secret.

    `experiments` are those whose rows stay; all of them, where it names none.
    """

    columns: Mapping[str, Treatment]
    key: bytes
    experiments: frozenset[str] = frozenset()

    def keeps(self, column: str) -> bool:
        """Whether a column stays as it is; one that the results do not have hides nothing."""
        return self.columns.get(column, "keep") == "keep"

    def applied(self, table: pa.Table) -> pa.Table:
        """The rows that stay, with their columns changed; hashed and masked ones are texts."""
        if self.experiments:
            table = table.filter(pc.is_in(table[FIXED_COLUMN], value_set=pa.array(sorted(self.experiments))))
        kept = {name: self._changed(name, table[name]) for name in table.column_names if self._stays(name)}
        return pa.table(kept)

    def _stays(self, name: str) -> bool:
        return self.columns.get(name, "keep") != "drop"

    def _changed(self, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray | pa.Array:
        match self.columns.get(name, "keep"):
            case "hash":
                return _hashed(column, self.key)
            case "mask":  # also where there is nothing: who has a value is not told
                return pa.repeat(pa.scalar(MASK, pa.string()), len(column))
        return column


def result_columns_of(bundle: Path) -> list[str]:
    """The columns of the results of the bundle in a folder."""
    names: list[str] = pyarrow.parquet.read_schema(bundle / RESULTS_PARQUET).names
    return names


def write_redacted_results(bundle: Path, redaction: Redaction, target: Path) -> None:
    """Writes both files of the results into `target`; the same bundle and key give the same bytes."""
    with (bundle / RESULTS_CSV).open(encoding="utf-8", newline="") as lines:
        shown = next(csv.reader(lines))
    with pyarrow.parquet.ParquetFile(bundle / RESULTS_PARQUET) as source, (target / RESULTS_CSV).open("wb") as cells:
        schema = redaction.applied(source.schema_arrow.empty_table()).schema
        names = [name for name in shown if name in schema.names]
        cells.write(csv_head(names))
        with parquet_writer(target / RESULTS_PARQUET, schema) as results:
            for table in _redacted(source, redaction):
                results.write_table(table, row_group_size=GROUP_ROWS)
                cells.write(csv_cells(pa.table({name: csv_texts(name, table[name]) for name in names})))


def _redacted(source: pyarrow.parquet.ParquetFile, redaction: Redaction) -> Iterator[pa.Table]:
    """The tables of the results of which anything may be shown, one at a time."""
    tables = (redaction.applied(source.read_row_group(at)) for at in range(source.num_row_groups))
    return (table for table in tables if table.num_rows)


def _hashed(column: pa.ChunkedArray, key: bytes) -> pa.Array:
    """HMAC-SHA256 (RFC 2104) of each value as text, its first 16 bytes in hex; nothing where there is no value."""
    encoded = pc.dictionary_encode(column.combine_chunks().cast(pa.large_string()))
    codes = [hmac.digest(key, text.encode(), "sha256")[:HASH_BYTES].hex() for text in encoded.dictionary.to_pylist()]
    return pa.array(codes, pa.string()).take(encoded.indices)
