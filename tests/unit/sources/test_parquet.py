"""Parquet: typed values as JSON keeps them, and files that cannot be used refused with their reason."""

import struct
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow.parquet import write_table
from rows_of import bad

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.sources import parquet, unpacking
from assay.sources.base import Reading
from assay.sources.tabular import open_source


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    write_table(pyarrow.table(columns), path, **options)
    return path


def read(path: Path, id_column: str | None = "id") -> list[Row | BadRow]:
    return list(open_source(path, "d.parquet", Reading(id_column)).rows())


def refusal(path: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        read(path)
    return str(caught.value)


class TestValues:
    def test_values_become_what_json_has(self, tmp_path: Path):
        """Times are ISO 8601, bytes are read as UTF-8, nested columns are lists and objects, null is null."""
        columns = {
            "id": ["a"],
            "whole": [2**60],
            "part": [0.5],
            "price": [Decimal("12.50")],
            "exact": [Decimal("1.234567890123456789012")],
            "day": [date(2026, 1, 31)],
            "at": [datetime(2026, 1, 31, 12, tzinfo=UTC)],
            "tags": [["x", None]],
            "who": [{"name": "Ann"}],
            "content": [b"text"],
            "none": pyarrow.nulls(1),
            "kind": pyarrow.array(["billing"]).dictionary_encode(),
        }
        (row,) = read(write(tmp_path / "d", columns))
        assert isinstance(row, Row)
        assert row.fields == {
            "id": "a",
            "whole": 2**60,
            "part": 0.5,
            "price": 12.5,
            "exact": "1.234567890123456789012",
            "day": "2026-01-31",
            "at": "2026-01-31T12:00:00+00:00",
            "tags": ["x", None],
            "who": {"name": "Ann"},
            "content": "text",
            "none": None,
            "kind": "billing",
        }
        assert Row.model_validate_json(row.model_dump_json()) == row

    def test_columns_are_known_before_any_row(self, tmp_path: Path):
        """So a missing one is told at once."""
        path = write(tmp_path / "d", {"id": [1], "text": ["a"]})
        assert open_source(path, "d.parquet", Reading("id")).columns == ("id", "text")

    def test_rows_of_all_groups_are_read_in_order(self, tmp_path: Path):
        """Rows are counted from 1 over the whole file."""
        path = write(tmp_path / "d", {"id": list(range(1_000))}, row_group_size=300)
        assert [(row.line, row.row_id) for row in read(path)] == [(at + 1, str(at)) for at in range(1_000)]


class TestBadRows:
    def test_what_cannot_be_stored_costs_its_row(self, tmp_path: Path):
        """NaN, bytes that are no text, NUL bytes, years beyond the calendar."""
        columns = {
            "id": [1, 2, 3, 4, 5],
            "number": [float("nan"), 1.0, 1.0, 1.0, 1.0],
            "content": pyarrow.array([b"a", b"\xff", b"a\x00", b"a", b"a"]),
            "at": pyarrow.array([0, 0, 0, 2**62, 0], pyarrow.timestamp("ms")),
        }
        rows = read(write(tmp_path / "d", columns))
        assert [row.row_id for row in rows if isinstance(row, Row)] == ["5"]
        assert bad(rows)[:3] == [
            (1, "column 'number' holds nan, which is no number that can be stored"),
            (2, "column 'content' holds bytes that are not valid UTF-8, or half of a surrogate pair"),
            (3, "column 'content' holds a NUL byte"),
        ]
        assert bad(rows)[3][1].startswith("a value cannot be read: ")

    def test_text_that_is_not_utf_8_costs_its_row(self, tmp_path: Path):
        """Some writers do not check what they call text."""
        wrong = pyarrow.Array.from_buffers(
            pyarrow.string(), 2, [None, pyarrow.py_buffer(struct.pack("3i", 0, 1, 2)), pyarrow.py_buffer(b"\xffa")]
        )
        rows = read(write(tmp_path / "d", {"id": [1, 2], "text": wrong}))
        assert [row.line for row in rows if isinstance(row, BadRow)] == [1]

    def test_a_cell_of_10_megabytes_costs_one_row(self, tmp_path: Path):
        """The rows around it are read."""
        rows = read(write(tmp_path / "d", {"id": [1, 2, 3], "text": ["a", "x" * 10_000_000, "b"]}))
        assert bad(rows) == [(2, "column 'text' holds 10,000,000 characters; at most 1,000,000 are accepted")]

    def test_an_id_that_comes_twice_names_both_rows(self, tmp_path: Path):
        """As in every format."""
        rows = read(write(tmp_path / "d", {"id": ["a", "b", "a"]}))
        assert bad(rows) == [(3, "id 'a' stands in row 1 already")]


class TestRefusals:
    def test_a_file_without_rows_is_refused(self, tmp_path: Path):
        """There is nothing to ask."""
        path = write(tmp_path / "d", {"id": pyarrow.array([], pyarrow.string())})
        assert refusal(path) == "d.parquet: there is not one row; expected at least one"

    @pytest.mark.parametrize("cut", [4, 12, 200])
    def test_a_damaged_file_is_refused(self, tmp_path: Path, cut: int):
        """An upload that broke off has no end, and the end says where everything is."""
        whole = write(tmp_path / "whole", {"id": list(range(5_000))}).read_bytes()
        (tmp_path / "d").write_bytes(whole[:-cut])
        assert refusal(tmp_path / "d").startswith("d.parquet: the Parquet file cannot be read: ")

    def test_rubbish_amid_the_pages_is_refused_when_it_is_met(self, tmp_path: Path):
        """What came before it is not run either: a file is taken whole or not."""
        path = write(tmp_path / "d", {"id": [f"T-{at}" for at in range(50_000)]}, compression="zstd")
        content = bytearray(path.read_bytes())
        content[20_000:20_400] = b"\xaa" * 400
        path.write_bytes(content)
        assert refusal(path).startswith("d.parquet: the Parquet file cannot be read: ")

    @pytest.mark.parametrize("length", [0, 2**31 - 1, 2**32 - 1])
    def test_an_absurd_length_of_the_metadata_is_refused(self, tmp_path: Path, length: int):
        """The length stands before the last four bytes."""
        whole = write(tmp_path / "whole", {"id": [1]}).read_bytes()
        (tmp_path / "d").write_bytes(whole[:-8] + struct.pack("<I", length) + b"PAR1")
        assert refusal(tmp_path / "d").startswith("d.parquet: the Parquet file cannot be read: ")

    def test_text_called_parquet_is_refused(self, tmp_path: Path):
        """The ending does not make the file."""
        (tmp_path / "d").write_text("id,text\n1,a\n")
        assert refusal(tmp_path / "d").startswith("d.parquet: this is no Parquet file")

    def test_two_columns_of_one_name_are_refused(self, tmp_path: Path):
        """A row could keep only one of them."""
        table = pyarrow.Table.from_arrays([pyarrow.array([1]), pyarrow.array([2])], names=["id", "id"])
        write_table(table, tmp_path / "d")
        assert refusal(tmp_path / "d") == "d.parquet: column 'id' stands twice; expected every name once"

    def test_a_missing_id_column_is_told_with_the_closest(self, tmp_path: Path):
        """As in CSV."""
        path = write(tmp_path / "d", {"ids": [1], "text": ["a"]})
        assert refusal(path) == "d.parquet: no id column 'id' (did you mean 'ids'?). It has: ids, text"

    def test_more_rows_than_a_run_may_have_are_refused_unread(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """Equal values pack to nothing, so a small file can claim any number of rows."""
        monkeypatch.setattr(parquet, "MAX_ROWS", 1_000)
        path = write(tmp_path / "d", {"id": [1] * 2_000})
        assert refusal(path) == "d.parquet: there are more than 1,000 rows; split the file"

    def test_a_bomb_is_refused_unread(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """Its metadata says how much it unpacks to."""
        monkeypatch.setattr(unpacking, "FREE_BYTES", 1_000)
        path = write(tmp_path / "d", {"id": ["\0" * 3_000_000]}, compression="zstd", use_dictionary=False)
        assert "unpack to more than 200 times as many" in refusal(path)
