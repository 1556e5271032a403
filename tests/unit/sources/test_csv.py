"""CSV: one bad row costs one row, and every other row arrives as it was written."""

import csv
import io
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rows_of import Read, bad, good

from assay.errors import DatasetError
from assay.records import Row
from assay.sources import checking, lines
from assay.sources.tabular import open_source


class TestReading:
    def test_a_row_has_its_cells_its_id_and_its_line(self, read: Read):
        """Cells keep their white space, the id loses it."""
        (row,) = read("id,text\n T-1 , two words \n")
        assert row == Row(row_id="T-1", number=1, line=2, fields={"id": " T-1 ", "text": " two words "})

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_every_kind_of_line_end_is_read(self, read: Read, end: str):
        """Files come from all systems."""
        rows = read(end.join(["id,text", "1,a", "2,b"]).encode())
        assert good(rows) == [("1", 1, 2), ("2", 2, 3)]
        assert [row.fields["text"] for row in rows] == ["a", "b"]

    def test_a_byte_order_mark_is_no_part_of_the_first_name(self, read: Read):
        """Excel writes one."""
        assert good(read(b"\xef\xbb\xbfid,text\n1,a\n")) == [("1", 1, 2)]

    def test_blank_lines_are_left_out_and_counted(self, read: Read):
        """A blank line is no row, but a line."""
        assert good(read("id,text\n\n1,a\n   \n\n2,b\n\n\n")) == [("1", 1, 3), ("2", 2, 6)]

    def test_lines_are_right_after_quoted_line_breaks(self, read: Read):
        """The line of a row is where it begins in the file, whatever stands in the rows before."""
        rows = read('id,text\n1,"a\nb\r\nc"\n2,d\n3,"\n"\n4,e\n')
        assert good(rows) == [("1", 1, 2), ("2", 2, 5), ("3", 3, 6), ("4", 4, 8)]
        assert rows[0].fields["text"] == "a\nb\r\nc"

    def test_quotes_and_commas_in_quoted_cells_are_text(self, read: Read):
        """As RFC 4180 has it."""
        (row,) = read('id,text\n1,"say ""yes"", or no"\n')
        assert row.fields["text"] == 'say "yes", or no'

    def test_a_last_line_without_end_is_read(self, read: Read):
        """Many editors do not write it."""
        assert good(read("id,text\n1,a")) == [("1", 1, 2)]

    def test_a_header_without_rows_is_refused(self, read: Read):
        """There is nothing to ask."""
        with pytest.raises(DatasetError) as caught:
            read("id,text\n\n\n")
        assert str(caught.value) == "data.csv: there is a header but not one row; expected at least one"

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x00")), min_size=2, max_size=2)))
    def test_what_the_standard_library_writes_is_read_back(self, read: Read, cells: list[list[str]]):
        """Any text survives a well-formed file."""
        content = io.StringIO()
        writer = csv.writer(content)
        writer.writerows([["id", "a", "b"], *([at, *row] for at, row in enumerate(cells, start=1))])
        if cells:
            rows = read(content.getvalue())
            assert [[row.fields["a"], row.fields["b"]] for row in rows] == cells


class TestRaggedRows:
    def test_too_many_and_too_few_fields_cost_one_row_each(self, read: Read):
        """The numbers of the good rows stay without gaps."""
        rows = read("id,text\n1,a\n2,b,c\n3\n4,d\n")
        assert bad(rows) == [(3, "3 fields; expected 2"), (4, "1 field; expected 2")]
        assert good(rows) == [("1", 1, 2), ("4", 2, 5)]
        assert rows[1].found == "2,b,c"

    def test_a_ragged_row_over_several_lines_asks_for_the_closing_quote(self, read: Read):
        """Such a row may have swallowed others."""
        rows = read('id,text\n1,"a\n2,b\n3,c",d\n4,e\n')
        assert bad(rows) == [(2, "3 fields; expected 2 (the row spans 3 lines: is a closing quote missing?)")]
        assert good(rows) == [("4", 1, 5)]


class TestQuotes:
    def test_a_quote_that_never_closes_costs_its_line_only(self, read: Read):
        """The lines that it swallowed are read again, each as a row."""
        rows = read('id,text\n1,a\n2,"b\n3,c\n4,d\n')
        assert bad(rows) == [(3, "a quoted cell begins here and never ends: is a closing quote missing?")]
        assert good(rows) == [("1", 1, 2), ("3", 2, 4), ("4", 3, 5)]
        assert rows[1].found == '2,"b'

    def test_a_quote_that_closes_at_the_next_quoted_cell_costs_its_line_only(self, read: Read):
        """The usual slip: the next opening quote ends the cell, amid another row."""
        rows = read('id,text\n1,"a\n2,b\n3,"c"\n4,"d"\n')
        assert bad(rows) == [
            (2, "a quoted cell begins here and ends amid line 3 of the row: is a closing quote missing?")
        ]
        assert good(rows) == [("2", 1, 3), ("3", 2, 4), ("4", 3, 5)]

    def test_every_unclosed_quote_costs_its_own_line(self, read: Read):
        """One after the other."""
        rows = read('id,text\n1,"a\n2,b\n3,"c\n4,d\n')
        assert [line for line, _ in bad(rows)] == [2, 4]
        assert good(rows) == [("2", 1, 3), ("4", 2, 5)]

    def test_a_single_quote_in_a_quoted_cell_costs_its_line(self, read: Read):
        """Quotes within a cell have to be doubled."""
        rows = read('id,text\n1,"say "yes" now"\n2,b\n')
        assert bad(rows) == [
            (2, "a closing quote is not followed by a comma; inside of a quoted cell, write each quote twice")
        ]
        assert good(rows) == [("2", 1, 3)]

    def test_an_unclosed_quote_before_more_text_than_a_cell_may_hold_costs_its_line_only(
        self, read: Read, monkeypatch: pytest.MonkeyPatch
    ):
        """However much follows, only a cell's worth of it is read twice."""
        monkeypatch.setattr(lines, "MAX_CELL_CHARACTERS", 100)
        rows = read('id,text\n1,"a\n' + "".join(f"{at},text\n" for at in range(2, 500)))
        assert bad(rows) == [
            (2, "a quoted cell begins here and goes on for 15 lines: is a closing quote missing?"),
        ]
        assert good(rows)[0] == ("2", 1, 3)
        assert good(rows)[-1] == ("499", 498, 500)

    def test_a_quote_amid_an_unquoted_cell_is_text(self, read: Read):
        """12" monitors are common."""
        (row,) = read('id,text\n1,a 12" monitor\n')
        assert row.fields["text"] == 'a 12" monitor'

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.text('a,"\n', max_size=12), min_size=1, max_size=8))
    def test_no_rubbish_swallows_the_rows_after_it(self, read: Read, rubbish: list[str]):
        """A quoted cell that never closes takes nothing with it: the last row is always found, on its line."""
        content = "id,text\n" + "\n".join(rubbish) + "\nlast,row\n"
        last = read(content)[-1]
        assert isinstance(last, Row)
        assert (last.row_id, last.line, last.fields["text"]) == ("last", content.count("\n"), "row")


class TestCells:
    def test_broken_utf_8_costs_one_row(self, read: Read):
        """One bad cell is one bad row, and the separator after it is still one."""
        rows = read(b"id,text,label\n1,caf\xe9,x\n2,\xe2\x82,y\n3,caf\xc3\xa9,z\n")
        reason = "column 'text' holds bytes that are not valid UTF-8, or half of a surrogate pair"
        assert bad(rows) == [(2, reason), (3, reason)]
        assert good(rows) == [("3", 1, 4)]
        assert rows[0].found == r"caf\udce9"

    def test_a_nul_byte_costs_one_row(self, read: Read):
        """A NUL cannot be sent to a model, nor kept in most stores."""
        rows = read(b"id,text\n1,a\x00b\n2,c\n")
        assert bad(rows) == [(2, "column 'text' holds a NUL byte")]
        assert rows[0].found == r"a\x00b"
        assert good(rows) == [("2", 1, 3)]

    def test_a_cell_of_10_megabytes_costs_one_row_and_bounded_memory(self, tmp_path: Path):
        """The rows around it are read, and it is never held more than a few times."""
        path = tmp_path / "dropped"
        path.write_bytes(b"id,text\n1,a\n2," + b"x" * 10_000_000 + b"\n3,b\n")
        tracemalloc.start()
        rows = list(open_source(path, "data.csv", "id").rows())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert bad(rows) == [(3, "a cell has more than 1,000,000 characters")]
        assert good(rows) == [("1", 1, 2), ("3", 2, 4)]
        assert len(rows[1].found) == 200
        assert peak < 60_000_000

    def test_a_cell_may_be_as_long_as_the_bound_says(self, read: Read, monkeypatch: pytest.MonkeyPatch):
        """One character more is too much."""
        monkeypatch.setattr(lines, "MAX_CELL_CHARACTERS", 5)
        monkeypatch.setattr(checking, "MAX_CELL_CHARACTERS", 5)
        rows = read("id,text\n1,abcde\n2,abcdef\n")
        assert good(rows) == [("1", 1, 2)]
        assert bad(rows) == [(3, "a cell has more than 5 characters")]

    def test_a_line_that_no_text_file_has_is_refused(self, read: Read, monkeypatch: pytest.MonkeyPatch):
        """A file without line ends must not be read into memory as a whole."""
        monkeypatch.setattr(lines, "MAX_LINE_BYTES", 50)
        with pytest.raises(DatasetError) as caught:
            read("id,text\n1,a\n2," + "x" * 60)
        assert str(caught.value) == (
            "data.csv:3: the line has more than 50 characters; expected text with one row per line"
        )

    def test_a_row_of_endless_lines_is_refused(self, read: Read, monkeypatch: pytest.MonkeyPatch):
        """Cells that end and begin on every line make one row of the whole file."""
        monkeypatch.setattr(lines, "MAX_LINE_BYTES", 50)
        with pytest.raises(DatasetError) as caught:
            read('id,text\n1,a\n2,"b\n' + '","b\n' * 40)
        assert str(caught.value) == "data.csv:3: the row has more than 50 characters; is a closing quote missing?"

    def test_a_line_may_be_as_long_as_the_bound_says(self, read: Read, monkeypatch: pytest.MonkeyPatch):
        """One character more is too much."""
        monkeypatch.setattr(lines, "MAX_LINE_BYTES", 8)
        assert good(read("id,text\n1,12345\n2,12345")) == [("1", 1, 2), ("2", 2, 3)]


class TestIds:
    def test_an_id_that_stands_twice_names_both_lines(self, read: Read):
        """The first row keeps the id; the second is set aside."""
        rows = read("id,text\nA,a\nB,b\n A ,c\n")
        assert bad(rows) == [(4, "id 'A' stands on line 2 already")]
        assert rows[2].row_id == "A"
        assert good(rows) == [("A", 1, 2), ("B", 2, 3)]

    @pytest.mark.parametrize(
        ("cell", "reason"),
        [
            ("", "has no value"),
            ("   ", "has no value"),
            ("x" * 201, "has 201 characters; at most 200 are accepted"),
            ('"a\nb"', "holds characters that cannot be shown"),
            ("a\tb", "holds characters that cannot be shown"),
            ("a\u202eb", "holds characters that cannot be shown"),
        ],
    )
    def test_an_id_that_cannot_be_shown_costs_its_row(self, read: Read, cell: str, reason: str):
        """Ids stand in reports, logs and file names."""
        rows = read(f"id,text\n{cell},a\nB,b\n")
        assert bad(rows) == [(2, f"id column 'id' {reason}")]
        assert [row_id for row_id, _, _ in good(rows)] == ["B"]

    def test_without_an_id_column_ids_come_from_the_content(self, read: Read):
        """The same row has the same id in any file and at any place."""
        first = read("x,y\n1,2\n3,4\n", id_column=None)
        second = read("y,x\n4,3\n2,1\n", id_column=None)
        assert [row.row_id for row in first] == [row.row_id for row in reversed(second)]
        assert len({row.row_id for row in first}) == 2

    def test_without_an_id_column_the_same_row_is_taken_once(self, read: Read):
        """Twice the same id would be two outcomes for one row."""
        rows = read("x,y\n1,2\n3,4\n1,2\n", id_column=None)
        assert bad(rows) == [(4, "the same row stands on line 2 already")]
