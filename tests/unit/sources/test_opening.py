"""Opening a dataset: what is no dataset is told in words that say what to do."""

import gzip
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from assay.errors import DatasetError
from assay.sources.tabular import open_source


def refusal(folder: Path, content: bytes | str, file: str, id_column: str | None = "id") -> str:
    path = folder / "dropped"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DatasetError) as caught:
        open_source(path, file, id_column)
    return str(caught.value)


def workbook() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(zipfile.ZipInfo("xl/workbook.xml"), "<workbook/>")
    return content.getvalue()


class TestEndings:
    @pytest.mark.parametrize(
        ("file", "expected"),
        [
            ("a.cvs", "files ending in '.cvs' (did you mean '.csv'?)"),
            ("a.jsnl", "files ending in '.jsnl' (did you mean '.jsonl'?)"),
            ("a.csv.xls", "files ending in '.xls' (did you mean '.xlsx'?)"),
            ("a.parquet.gz", "files ending in '.parquet.gz' (did you mean '.parquet'?)"),
            ("tickets", "files without an ending"),
            ("tickets.gz", "files ending in '.gz'"),
        ],
    )
    def test_an_unknown_ending_names_the_known_and_the_closest(self, tmp_path: Path, file: str, expected: str):
        """The ending says how to read a file; there is no guessing."""
        assert refusal(tmp_path, "id\n1\n", file) == (
            f"{file}: cannot read {expected}."
            " Expected: .csv, .tsv, .jsonl, .ndjson, .json, .parquet, .xlsx; text also with .gz"
        )

    @pytest.mark.parametrize("file", ["a.CSV", "a.b.csv", "ä ö.Csv"])
    def test_capitals_and_other_dots_do_not_matter(self, tmp_path: Path, file: str):
        """Windows writes .CSV."""
        (tmp_path / "dropped").write_text("id,x\n1,2\n")
        assert open_source(tmp_path / "dropped", file, "id").columns == ("id", "x")


class TestNoText:
    @pytest.mark.parametrize("file", ["a.csv", "a.jsonl"])
    def test_an_empty_file_is_refused(self, tmp_path: Path, file: str):
        """Nothing was uploaded, or the upload broke off."""
        assert refusal(tmp_path, b"", file) == f"{file}: the file is empty; expected at least one row"

    @pytest.mark.parametrize(
        ("content", "found"),
        [
            (workbook(), "a ZIP archive or an Excel workbook"),
            (bytes.fromhex("d0cf11e0a1b11ae1"), "an old Excel workbook"),
            (gzip.compress(b"id,x\n1,2\n", mtime=0), "a gzip archive"),
            (b"%PDF-1.7", "a PDF document"),
            (b"PAR1....", "a Parquet file"),
            ("id,x\n1,2\n".encode("utf-16"), "text in UTF-16"),
            (b"\xfe\xff" + "id,x\n1,2\n".encode("utf-16-be"), "text in UTF-16"),
            ("id,x\n1,2\n".encode("utf-16-le"), "text in UTF-16, or no text"),
            (bytes(range(4)) + b"\x00" * 2_000, "text in UTF-16, or no text"),
        ],
        ids=["xlsx", "xls", "gzip", "pdf", "parquet", "utf-16", "utf-16-be", "utf-16 without mark", "binary"],
    )
    @pytest.mark.parametrize("file", ["renamed.csv", "renamed.jsonl"])
    def test_a_renamed_file_is_told_by_its_content(self, tmp_path: Path, content: bytes, found: str, file: str):
        """Another ending does not make another file."""
        assert refusal(tmp_path, content, file) == (
            f"{file}: this is {found}; expected text in UTF-8. Save it as CSV (UTF-8) or JSON Lines"
        )


class TestHeader:
    def test_the_first_line_names_the_columns(self, tmp_path: Path):
        """White space around a name, a byte order mark and blank lines before it do not count."""
        (tmp_path / "dropped").write_bytes(b'\xef\xbb\xbf\r\n  \r\n id , two words,"a,b"\r\n1,2,3\r\n')
        assert open_source(tmp_path / "dropped", "a.csv", "id").columns == ("id", "two words", "a,b")

    @pytest.mark.parametrize("content", ["\n\n  \n", "\ufeff", "\ufeff\r\n"])
    def test_a_file_of_blank_lines_has_no_header(self, tmp_path: Path, content: str):
        """Blank is not empty, and no header either."""
        expected = "a.csv:1: there is no header line; expected column names separated by commas"
        assert refusal(tmp_path, content, "a.csv") == expected

    @pytest.mark.parametrize(
        ("header", "problem"),
        [
            ("id,text,id", "column 'id' stands twice; expected every name once"),
            ("id, text,text", "column 'text' stands twice; expected every name once"),
            ("id,,text", "column 2 has no name; expected a name in every column"),
            ("id,text,", "column 3 has no name; expected a name in every column"),
            ("id,  ,text", "column 2 has no name; expected a name in every column"),
            ("id,te\x00xt", "the name of column 2 holds a NUL byte; expected text in UTF-8"),
            ("id;text;label", "the columns are separated by semicolons; expected commas"),
            ("id\ttext", "the columns are separated by tabs; expected commas"),
            ("key,text", "no id column 'id'. It has: key, text"),
            ("ids,text", "no id column 'id' (did you mean 'ids'?). It has: ids, text"),
            (
                'id,"text',
                "the header cannot be read: a quoted cell begins here and never ends: is a closing quote missing?",
            ),
        ],
    )
    def test_a_bad_header_is_told_with_the_column(self, tmp_path: Path, header: str, problem: str):
        """Without columns that can be told apart no row has a meaning."""
        assert refusal(tmp_path, f"{header}\n1,2,3\n", "a.csv") == f"a.csv:1: {problem}"

    def test_a_header_in_another_encoding_is_told(self, tmp_path: Path):
        """Excel's plain CSV is Windows-1252, in which ö is the byte F6."""
        assert refusal(tmp_path, "id,größe\n1,2\n".encode("cp1252"), "a.csv") == (
            "a.csv:1: the name of column 2 holds bytes that are not valid UTF-8, or half of a surrogate pair; "
            "expected text in UTF-8"
        )

    def test_a_line_of_the_header_is_counted_as_in_an_editor(self, tmp_path: Path):
        """Blank lines before it count."""
        assert refusal(tmp_path, "\n\nid,id\n", "a.csv").startswith("a.csv:3: column 'id' stands twice")

    def test_json_lines_have_no_header(self, tmp_path: Path):
        """Each row brings its own keys, so there are no columns to check before."""
        (tmp_path / "dropped").write_text('{"id": 1}\n')
        assert open_source(tmp_path / "dropped", "a.ndjson", "id").columns is None


def test_what_reads_one_format_is_not_loaded_for_another():
    """A worker that reads CSV pays for neither PyArrow nor openpyxl nor SQLAlchemy."""
    code = "import sys, assay.sources.tabular, assay.sources.sql; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"pyarrow", "openpyxl", "sqlalchemy"} & set(loaded) == set()


def test_a_workbook_without_its_package_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Excel is an extra."""
    monkeypatch.delitem(sys.modules, "assay.sources.workbook_file", raising=False)
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert refusal(tmp_path, workbook(), "a.xlsx") == (
        "a.xlsx: Excel workbooks need the package 'openpyxl': install assay-batch[xlsx],"
        " or save the sheet as CSV (UTF-8)"
    )
