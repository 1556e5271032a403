"""Tables in text with options: separators, encodings, headers, gzip. What holds for plain CSV is in `test_csv.py`."""

import gzip
from pathlib import Path

import pytest
from rows_of import bad

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.sources import checking, unpacking
from assay.sources.base import Format, Reading
from assay.sources.tabular import open_source


@pytest.fixture(name="read")
def _read(tmp_path: Path):
    def of(content: bytes | str, file: str = "d.csv", **written: object) -> list[Row | BadRow]:
        path = tmp_path / "dropped"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        reading = Reading("id", Format(**written))
        return list(open_source(path, file, reading).rows())

    return of


def texts(rows: list[Row | BadRow]) -> list[str]:
    return [row.fields["text"] for row in rows if isinstance(row, Row)]


class TestSeparators:
    @pytest.mark.parametrize("file", ["d.tsv", "d.TSV"])
    def test_tsv_is_separated_by_tabs(self, read, file: str):
        """Quoted cells as in CSV."""
        assert texts(read('id\ttext\n1\ta,b\n2\t"c\td"\n', file)) == ["a,b", "c\td"]

    def test_the_suite_can_name_another_separator(self, read):
        """Excel writes semicolons in much of Europe."""
        assert texts(read("id;text\n1;a,b\n", delimiter=";")) == ["a,b"]

    def test_commas_where_tabs_are_expected_are_told(self, read):
        """The ending promises tabs."""
        with pytest.raises(DatasetError) as caught:
            read("id,text\n1,a\n", "d.tsv")
        assert str(caught.value) == "d.tsv:1: the columns are separated by commas; expected tabs"

    def test_a_stray_quote_names_the_separator_in_force(self, read):
        """A message about commas would mislead."""
        rows = read('id;text\n1;"say "yes" now"\n', delimiter=";")
        assert bad(rows) == [
            (2, "a closing quote is not followed by a semicolon; inside of a quoted cell, write each quote twice")
        ]


class TestEncodings:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
    def test_text_arrives_in_every_encoding(self, read, encoding: str):
        """The suite says which one it is."""
        assert texts(read("id,text\n1,Größe €\n".encode(encoding), encoding=encoding)) == ["Größe €"]

    @pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
    def test_utf_16_is_read_in_the_order_of_its_mark(self, read, codec: str):
        """Excel's Unicode text is little-endian; others are not."""
        content = "\ufeffid\ttext\r\n1\tÄ\r\n".encode(codec)
        assert texts(read(content, "d.tsv", encoding="utf-16")) == ["Ä"]

    @pytest.mark.parametrize(
        ("encoding", "cell"),
        [("cp1252", b"caf\x81"), ("utf-16", b"c\x00\x00\xd8x\x00")],
        ids=["no such character", "half of a pair"],
    )
    def test_bytes_that_are_no_text_cost_their_row(self, read, encoding: str, cell: bytes):
        """The reason names the encoding in force."""
        before, after = "id,text\n1,".encode(encoding), "\n2,b\n".encode(encoding).removeprefix(b"\xff\xfe")
        rows = read(before + cell + after, encoding=encoding)
        reason = f"column 'text' holds bytes that are not valid {encoding}, or half of a surrogate pair"
        assert bad(rows) == [(2, reason)]
        assert texts(rows) == ["b"]

    def test_json_lines_can_be_in_another_encoding_too(self, read):
        """A bad byte costs its line."""
        content = '{"id": 1, "text": "é"}\n'.encode("cp1252") + b'{"id": 2, "text": "\x81"}\n'
        rows = read(content, "d.jsonl", encoding="cp1252")
        assert texts(rows) == ["é"]
        assert bad(rows) == [(2, "not valid cp1252 at byte 20 of the line")]


class TestHeaders:
    def test_names_from_the_suite_make_the_first_line_a_row(self, read):
        """Exports of databases often have no header."""
        rows = read("1,a\n2,b\n", header=("id", "text"))
        assert [(row.row_id, row.line) for row in rows] == [("1", 1), ("2", 2)]
        assert texts(rows) == ["a", "b"]

    def test_without_header_columns_are_numbered(self, tmp_path: Path):
        """They can be renamed by the suite."""
        (tmp_path / "d").write_text("1,a\n2,b\n")
        source = open_source(tmp_path / "d", "d.csv", Reading(None, Format(header=False)))
        assert source.columns == ("column_1", "column_2")
        assert next(row.fields for row in source.rows()) == {"column_1": "1", "column_2": "a"}

    def test_lines_before_the_header_are_skipped_and_counted(self, read):
        """Lines are told as an editor counts them."""
        rows = read('Report "of today\n\nid,text\n1,a\n2,b,c\n', skip_lines=2)
        assert texts(rows) == ["a"]
        assert bad(rows) == [(5, "3 fields; expected 2")]

    def test_more_columns_than_a_table_has_are_refused(self, read):
        """A header of a million names would take hours to check."""
        with pytest.raises(DatasetError, match="5,001 columns; at most 5,000 are accepted"):
            read(",".join(f"c{at}" for at in range(5_001)) + "\n1\n")


class TestGzip:
    @pytest.mark.parametrize(
        ("file", "content"),
        [
            ("d.csv.gz", "id,text\n1,a\n"),
            ("d.tsv.gz", "id\ttext\n1\ta\n"),
            ("d.jsonl.gz", '{"id": 1, "text": "a"}\n'),
            ("d.json.gz", '[{"id": 1, "text": "a"}]'),
            ("D.CSV.GZ", "id,text\n1,a\n"),
        ],
    )
    def test_text_is_unpacked_on_the_way(self, read, file: str, content: str):
        """The ending before .gz says how it is read."""
        assert texts(read(gzip.compress(content.encode()), file)) == ["a"]

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            (gzip.compress(b"id,text\n1,a\n" * 50, 1)[:-9], "the gzip archive is damaged: it ends too early"),
            (b"id,text\n1,a\n", "the gzip archive is damaged: Not a gzipped file"),
            (gzip.compress(b"id,text\n1,a\n")[:10] + b"\xff" * 20, "the gzip archive is damaged: Error -3"),
            (gzip.compress(b""), "the file is empty"),
            (gzip.compress(gzip.compress(b"id,text\n1,a\n")), "this is a gzip archive"),
            (gzip.compress(bytes(10_000)), "this is text in UTF-16, or no text"),
        ],
        ids=["cut", "not packed", "rubbish", "empty", "packed twice", "zeros"],
    )
    def test_an_archive_that_cannot_be_used_is_refused(self, read, content: bytes, problem: str):
        """The reason says what is wrong with it."""
        with pytest.raises(DatasetError) as caught:
            read(content, "d.csv.gz")
        assert str(caught.value).startswith(f"d.csv.gz: {problem}")

    @pytest.mark.parametrize("cell", [b"x\n", b"x"], ids=["rows", "one endless line"])
    def test_a_bomb_is_refused_before_it_fills_memory_or_disk(self, read, cell: bytes, monkeypatch: pytest.MonkeyPatch):
        """A table does not pack to a two-hundredth."""
        monkeypatch.setattr(unpacking, "FREE_BYTES", 1_000_000)
        with pytest.raises(DatasetError) as caught:
            read(gzip.compress(b"id\n" + cell * 2_000_000), "d.csv.gz")
        assert "unpack to more than 200 times as many" in str(caught.value)

    def test_more_unpacked_than_is_read_is_refused(self, read, monkeypatch: pytest.MonkeyPatch):
        """However well it was packed."""
        monkeypatch.setattr(unpacking, "MAX_UNPACKED_BYTES", 1_000)
        with pytest.raises(DatasetError, match="more than 1,000 bytes unpacked; split the file"):
            read(gzip.compress(b"id,text\n" + b"".join(b"%d,abc\n" % at for at in range(500))), "d.csv.gz")


@pytest.mark.parametrize(
    ("bound", "problem"),
    [
        ("MAX_ROWS", "there are more than 3 rows; split the file"),
        ("MAX_BAD_ROWS", "there are more than 3 bad rows; is this the right file?"),
    ],
)
def test_a_file_of_endless_rows_is_refused_on_the_way(read, monkeypatch: pytest.MonkeyPatch, bound: str, problem: str):
    """Before what is set aside fills the disk."""
    monkeypatch.setattr(checking, bound, 3)
    assert len(read("id,text\n1,a\n" + "1,a\n" * 2)) == 3
    with pytest.raises(DatasetError) as caught:
        read("id,text\n1,a\n" + "1,a\n" * 4)
    assert str(caught.value) == f"d.csv: {problem}"


def test_what_looks_like_a_formula_stays_text(read):
    """Nothing is computed; reports escape it where a spreadsheet would."""
    cells = ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2"]
    rows = read("id\ttext\n" + "".join(f"{at}\t{cell}\n" for at, cell in enumerate(cells)), "d.tsv")
    assert texts(rows) == cells
