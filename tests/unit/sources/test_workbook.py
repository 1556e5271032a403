"""Excel workbooks: what a person sees in the sheet is what the row has; what cannot be used is refused."""

import zipfile
from collections.abc import Iterable
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import pytest
from rows_of import bad

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.sources import unpacking
from assay.sources.base import Format, Reading
from assay.sources.tabular import open_source

openpyxl = pytest.importorskip("openpyxl")

NAMESPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
SHARED = (
    b'<Override PartName="/xl/sharedStrings.xml" ContentType="application/vnd.openxmlformats-officedocument.'
    b'spreadsheetml.sharedStrings+xml"/></Types>'
)


def write(path: Path, **sheets: Iterable[Iterable[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def rewritten(path: Path, part: str, content: str, shared: str | None = None) -> Path:
    """The workbook with one part replaced, and with a table of shared texts."""
    target = path.with_suffix(".new")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            kept = old.read(name).replace(b"</Types>", SHARED if shared else b"</Types>")
            new.writestr(name, content if name == part else kept)
        if shared:
            new.writestr("xl/sharedStrings.xml", f'<sst xmlns="{NAMESPACE}">{shared}</sst>')
    return target


def sheet_of(rows: str) -> str:
    return f'<worksheet xmlns="{NAMESPACE}"><sheetData>{rows}</sheetData></worksheet>'


def read(path: Path, **written: Any) -> list[Row | BadRow]:
    return list(open_source(path, "d.xlsx", Reading("id", Format(**written))).rows())


def refusal(path: Path, **written: Any) -> str:
    with pytest.raises(DatasetError) as caught:
        read(path, **written)
    return str(caught.value)


HEADER = ("id", "text")
SHEET = "xl/worksheets/sheet1.xml"
TEN_TIMES = "".join(f'<!ENTITY {name} "{f"&{chr(ord(name) - 1)};" * 10}">' for name in "bcdefghij")
ENTITIES = f'<!DOCTYPE x [<!ENTITY a "aa">{TEN_TIMES}]>'


class TestValues:
    def test_values_are_what_the_sheet_shows(self, tmp_path: Path):
        """Days have no time, empty cells are empty text, numbers are numbers."""
        columns = ("id", "whole", "part", "day", "at", "hour", "yes", "empty", "text")
        values = (1, 5, 0.25, date(2026, 1, 31), datetime(2026, 1, 31, 12, 30), time(8, 15), True, None, " a\nb ")
        (row,) = read(write(tmp_path / "d", rows=[columns, values]))
        assert isinstance(row, Row)
        assert (row.row_id, row.line) == ("1", 2)
        assert row.fields == {
            "id": 1,
            "whole": 5,
            "part": 0.25,
            "day": "2026-01-31",
            "at": "2026-01-31T12:30:00",
            "hour": "08:15:00",
            "yes": True,
            "empty": "",
            "text": " a\nb ",
        }

    def test_rows_have_the_numbers_that_excel_shows(self, tmp_path: Path):
        """Empty rows are left out and counted."""
        rows = read(write(tmp_path / "d", rows=[(), HEADER, (1, "a"), (), (None, ""), (2, "b")]))
        assert [(row.row_id, row.line) for row in rows] == [("1", 3), ("2", 6)]

    def test_shared_texts_are_read_as_excel_writes_them(self, tmp_path: Path):
        """Formatted texts are joined, phonetic hints are left out."""
        shared = (
            "<si><t>id</t></si><si><t>text</t></si><si><t>first</t></si>"
            '<si><r><t>Grö</t></r><r><rPr><b/></rPr><t xml:space="preserve">ße </t></r>'
            '<rPh sb="0" eb="1"><t>x</t></rPh></si>'
        )
        cells = "<row r='1'><c r='A1' t='s'><v>0</v></c><c r='B1' t='s'><v>1</v></c></row>"
        cells += "<row r='2'><c r='A2' t='s'><v>2</v></c><c r='B2' t='s'><v>3</v></c></row>"
        path = rewritten(write(tmp_path / "d", rows=[HEADER]), SHEET, sheet_of(cells), shared)
        (row,) = read(path)
        assert row.fields == {"id": "first", "text": "Größe "}

    def test_of_a_formula_the_saved_value_is_read(self, tmp_path: Path):
        """Nothing is computed; text that looks like a formula stays text."""
        cells = "<row r='1'><c r='A1' t='inlineStr'><is><t>id</t></is></c>"
        cells += "<c r='B1' t='inlineStr'><is><t>text</t></is></c></row>"
        cells += "<row r='2'><c r='A2'><f>1+1</f><v>2</v></c><c r='B2' t='inlineStr'><is><t>=1+1</t></is></c></row>"
        (row,) = read(rewritten(write(tmp_path / "d", rows=[HEADER]), SHEET, sheet_of(cells)))
        assert row.fields == {"id": 2, "text": "=1+1"}


class TestBadRows:
    def test_an_error_that_excel_shows_costs_its_row(self, tmp_path: Path):
        """#N/A is no answer."""
        rows = read(write(tmp_path / "d", rows=[HEADER, (1, "#N/A"), (2, "b")]))
        assert bad(rows) == [(2, "column 'text' holds the error #N/A")]
        assert [row.row_id for row in rows if isinstance(row, Row)] == ["2"]

    def test_cells_beside_the_header_cost_their_row(self, tmp_path: Path):
        """Nobody knows what they mean."""
        rows = read(write(tmp_path / "d", rows=[HEADER, (1, "a", "what is this"), (2, "b")]))
        assert bad(rows) == [(2, "more than 2 cells; expected 2")]

    def test_an_id_that_comes_twice_names_both_rows(self, tmp_path: Path):
        """By the numbers that Excel shows."""
        assert bad(read(write(tmp_path / "d", rows=[HEADER, (1, "a"), (1, "b")]))) == [
            (3, "id '1' stands in row 2 already")
        ]


class TestSheets:
    def test_the_only_sheet_with_something_in_it_is_taken(self, tmp_path: Path):
        """Old versions of Excel add empty ones."""
        assert len(read(write(tmp_path / "d", Empty=[], Rows=[HEADER, (1, "a")], Empty2=[]))) == 1

    def test_of_several_the_suite_names_one(self, tmp_path: Path):
        """There is no guessing."""
        path = write(tmp_path / "d", May=[HEADER, (1, "a")], June=[HEADER, (2, "b")])
        assert refusal(path) == "d.xlsx: 2 sheets hold something: May, June. Name one in dataset.format.sheet"
        assert [row.row_id for row in read(path, sheet="June")] == ["2"]
        assert refusal(path, sheet="Jun") == "d.xlsx: no sheet 'Jun' (did you mean 'June'?). It has: May, June"

    def test_a_workbook_with_nothing_in_it_is_refused(self, tmp_path: Path):
        """There is nothing to ask."""
        assert refusal(write(tmp_path / "d", Empty=[])).startswith("d.xlsx: no sheet holds anything")
        assert refusal(write(tmp_path / "e", Rows=[HEADER])).startswith("d.xlsx: there is a header but not one row")

    def test_names_from_the_suite_make_the_first_row_a_row(self, tmp_path: Path):
        """As in CSV."""
        path = write(tmp_path / "d", rows=[(1, "a"), (2, "b")])
        assert [row.fields["text"] for row in read(path, header=HEADER)] == ["a", "b"]


class TestRefusals:
    def test_text_called_a_workbook_is_refused(self, tmp_path: Path):
        """The ending does not make the file."""
        (tmp_path / "d").write_text("id,text\n1,a\n")
        assert refusal(tmp_path / "d").startswith("d.xlsx: this is no Excel workbook")

    @pytest.mark.parametrize(
        ("part", "content"),
        [
            (SHEET, "<worksheet"),
            (SHEET, sheet_of("<row r='1'><c r='A1' t='s'><v>99</v></c></row>")),
            (SHEET, sheet_of("<row r='x'><c r='A1'><v>1</v></c></row>")),
            (SHEET, f"{ENTITIES}<x>&j;</x>"),
            ("xl/workbook.xml", "<nonsense/>"),
            ("[Content_Types].xml", "<Types/>"),
        ],
        ids=["cut", "no such text", "no row number", "entities", "no workbook", "no types"],
    )
    def test_a_damaged_workbook_is_refused(self, tmp_path: Path, part: str, content: str):
        """Whatever the library stumbles over becomes one sentence."""
        path = rewritten(write(tmp_path / "d", rows=[HEADER, (1, "a")]), part, content)
        assert refusal(path).startswith("d.xlsx: ")

    def test_a_cut_archive_is_refused(self, tmp_path: Path):
        """An upload that broke off has no directory."""
        whole = write(tmp_path / "whole", rows=[HEADER, (1, "a")]).read_bytes()
        (tmp_path / "d").write_bytes(whole[: len(whole) // 2])
        assert refusal(tmp_path / "d").startswith("d.xlsx: the workbook cannot be read (BadZipFile")

    def test_a_bomb_is_refused_unread(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        """The directory says how much it unpacks to, and no more than that is unpacked."""
        monkeypatch.setattr(unpacking, "FREE_BYTES", 1_000)
        path = rewritten(write(tmp_path / "d", rows=[HEADER]), SHEET, sheet_of(" " * 20_000_000))
        assert "unpack to more than 200 times as many" in refusal(path)

    @pytest.mark.parametrize("shared", [None, "<si><t>" + "x" * 200_000 + "</t></si>"], ids=["row", "text"])
    def test_a_row_or_text_that_no_sheet_has_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shared: str | None
    ):
        """As a tree it would fill the memory."""
        monkeypatch.setattr("assay.sources.workbook_file.MAX_LINE_BYTES", 100_000)
        cells = "<c r='A1' t='inlineStr'><is><t>id</t></is></c>" * (1 if shared else 20_000)
        path = rewritten(write(tmp_path / "d", rows=[HEADER]), SHEET, sheet_of(f"<row r='1'>{cells}</row>"), shared)
        assert "a row or text of more than 100,000 bytes" in refusal(path)

    @pytest.mark.parametrize("row", [2_000_000, 10**12])
    def test_a_row_far_beyond_excel_is_refused(self, tmp_path: Path, row: int):
        """The rows before it would be made up one by one."""
        cells = "<row r='1'><c r='A1' t='inlineStr'><is><t>id</t></is></c></row>"
        cells += f"<row r='{row}'><c r='A{row}'><v>1</v></c></row>"
        said = refusal(rewritten(write(tmp_path / "d", rows=[HEADER]), SHEET, sheet_of(cells)))
        assert said == "d.xlsx: more rows than Excel can keep; the workbook is damaged"

    def test_a_false_size_of_the_sheet_is_not_believed(self, tmp_path: Path):
        """It would fill every row up to 16,384 cells."""
        path = write(tmp_path / "d", rows=[HEADER, (1, "a")])
        with zipfile.ZipFile(path) as archive:
            content = archive.read(SHEET).decode().replace('ref="A1:B2"', 'ref="A1:XFD1048576"')
        assert "XFD" in content
        assert len(read(rewritten(path, SHEET, content))) == 1
