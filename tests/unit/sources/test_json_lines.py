"""JSON Lines: one bad line costs one row, and values keep their types."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rows_of import Read, bad, good

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.sources import lines
from assay.sources.base import MAX_COLUMNS
from assay.sources.tabular import open_source


def nested(levels: int) -> str:
    return '{"id": 2, "x": ' + "[" * levels + "]" * levels + "}"


class TestReading:
    def test_values_keep_their_types(self, read: Read):
        """Numbers, booleans, null, lists and objects reach the prompt as they are."""
        (row,) = read('{"id": "a", "n": 1, "f": 1.5, "b": true, "z": null, "l": [1, {"k": "v"}]}\n', "d.jsonl")
        expected = {"id": "a", "n": 1, "f": 1.5, "b": True, "z": None, "l": [1, {"k": "v"}]}
        assert (row.row_id, row.fields) == ("a", expected)

    def test_byte_order_mark_windows_line_ends_and_blank_lines_do_not_count(self, read: Read):
        """Lines are counted as in an editor."""
        rows = read(b'\xef\xbb\xbf{"id": 1}\r\n\r\n  \r\n{"id": 2}', "d.ndjson")
        assert good(rows) == [("1", 1, 1), ("2", 2, 4)]

    def test_blank_lines_alone_are_refused(self, read: Read):
        """There is nothing to ask."""
        with pytest.raises(DatasetError) as caught:
            read("\n  \n", "d.jsonl")
        assert str(caught.value) == "d.jsonl: there is not one row; expected one JSON object per line"

    def test_paired_surrogate_escapes_are_a_character(self, read: Read):
        """JSON writes characters beyond 16 bits as two escapes."""
        (row,) = read(r'{"id": "1", "x": "\ud83d\ude00"}', "d.jsonl")
        assert row.fields["x"] == "😀"

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-(10**40), 10**40)
            | st.floats(allow_nan=False, allow_infinity=False)
            | st.text(st.characters(codec="utf-8", exclude_characters="\x00")),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
            max_leaves=8,
        )
    )
    def test_a_row_survives_being_stored(self, read: Read, value: Any):
        """What a worker reads from `rows.jsonl` is what the dataset said."""
        written = Row(row_id="1", number=1, line=1, fields={"id": "1", "x": value})
        (row,) = read(written.model_dump_json(include={"fields"})[len('{"fields":') : -1], "d.jsonl")
        assert row == written
        assert Row.model_validate_json(row.model_dump_json()) == written


class TestBadLines:
    @pytest.mark.parametrize(
        ("line", "reason"),
        [
            ('{"id": 2', "not valid JSON: Expecting ',' delimiter at character 9"),
            ("id,text", "not valid JSON: Expecting value at character 1"),
            ("{'id': 2}", "not valid JSON: Expecting property name enclosed in double quotes at character 2"),
            ('{"id": 2} {"id": 3}', "not valid JSON: Extra data at character 11"),
            ("[1, 2]", "expected a JSON object"),
            ('"text"', "expected a JSON object"),
            ("null", "expected a JSON object"),
            ('{"id": 2, "x": NaN}', "not usable JSON: NaN is no number that can be stored"),
            ('{"id": 2, "x": [-Infinity]}', "not usable JSON: -Infinity is no number that can be stored"),
            ('{"id": 2, "x": 1e999}', "not usable JSON: 1e999 is no number that can be stored"),
            (
                '{"id": 2, "x": ' + "9" * 5_000 + "}",
                "not usable JSON: Exceeds the limit (4300 digits) for integer string conversion",
            ),
            ('{"id": 2, "x": 1, "x": 2}', "not usable JSON: key 'x' stands twice"),
            ('{"id": 2, "o": {"k:": 1, "k:": 2}}', "not usable JSON: key 'k:' stands twice"),
            (nested(51), "column 'x' holds lists or objects nested more than 50 levels deep"),
            (nested(900), "column 'x' holds lists or objects nested more than 50 levels deep"),
            (nested(100_000), "nested more than 50 levels deep"),
            (
                r'{"id": 2, "x": "\ud800"}',
                "column 'x' holds bytes that are not valid UTF-8, or half of a surrogate pair",
            ),
            (
                r'{"id": 2, "x": {"\udfff": 1}}',
                "column 'x' holds bytes that are not valid UTF-8, or half of a surrogate pair",
            ),
            (r'{"id": 2, "x": ["a\u0000b"]}', "column 'x' holds a NUL byte"),
            (
                r'{"id": 2, "\ud800": 1}',
                r"column '\ud800' holds bytes that are not valid UTF-8, or half of a surrogate pair",
            ),
            (
                '{"id": 2, "x": ["' + "y" * 1_000_001 + '"]}',
                "column 'x' holds 1,000,001 characters; at most 1,000,000 are accepted",
            ),
        ],
        ids=lambda value: value[:30],
    )
    def test_a_bad_line_costs_one_row_with_its_reason(self, read: Read, line: str, reason: str):
        """The rows around it are read and numbered without a gap."""
        rows = read(f'{{"id": 1}}\n{line}\n{{"id": 3}}\n', "d.jsonl")
        assert bad(rows) == [(2, reason)]
        assert good(rows) == [("1", 1, 1), ("3", 2, 3)]
        assert len(rows[1].found) <= 200
        assert BadRow.model_validate_json(rows[1].model_dump_json()) == rows[1]

    def test_nesting_is_bounded_exactly(self, read: Read):
        """As deep as the bound says is accepted, and can be stored and read again."""
        (row,) = read(nested(50), "d.jsonl")
        assert Row.model_validate_json(row.model_dump_json()) == row

    def test_a_row_with_more_columns_than_a_table_may_have_costs_one_row(self, read: Read):
        """Here every row brings its own columns, so that no header can be refused."""
        wide = json.dumps({f"c{number}": 0 for number in range(MAX_COLUMNS + 1)})
        rows = read(f'{{"id": 1}}\n{wide}\n', "d.jsonl")
        assert bad(rows) == [(2, "5,001 columns; at most 5,000 are accepted")]

    def test_broken_utf_8_costs_one_row(self, read: Read):
        """The place in the line is told."""
        rows = read(b'{"id": 1, "x": "caf\xe9"}\n{"id": 2}\n', "d.jsonl")
        assert bad(rows) == [(1, "not valid UTF-8 at byte 20 of the line")]
        assert rows[0].found == r'{"id": 1, "x": "caf\udce9"}'

    def test_a_cell_of_10_megabytes_costs_one_row_and_bounded_memory(self, tmp_path: Path):
        """The rows around it are read, and it is never held more than a few times."""
        path = tmp_path / "dropped"
        path.write_bytes(b'{"id": 1}\n{"id": 2, "x": "' + b"x" * 10_000_000 + b'"}\n{"id": 3}\n')
        tracemalloc.start()
        rows = list(open_source(path, "d.jsonl", "id").rows())
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert bad(rows) == [(2, "column 'x' holds 10,000,000 characters; at most 1,000,000 are accepted")]
        assert good(rows) == [("1", 1, 1), ("3", 2, 3)]
        assert peak < 60_000_000

    def test_a_line_that_no_text_file_has_is_refused(self, read: Read, monkeypatch: pytest.MonkeyPatch):
        """A file without line ends must not be read into memory as a whole."""
        monkeypatch.setattr(lines, "MAX_LINE_BYTES", 50)
        with pytest.raises(DatasetError) as caught:
            read('{"id": 1}\n{"id": 2, "x": "' + "x" * 60 + '"}\n', "d.jsonl")
        assert str(caught.value) == (
            "d.jsonl:2: the line has more than 50 characters; expected text with one row per line"
        )


class TestIds:
    @pytest.mark.parametrize(("written", "row_id"), [('"a"', "a"), ("7", "7"), ("0", "0"), ("1.5", "1.5")])
    def test_text_and_numbers_are_ids(self, read: Read, written: str, row_id: str):
        """An id column of numbers needs no quotes."""
        assert good(read(f'{{"id": {written}}}\n', "d.jsonl")) == [(row_id, 1, 1)]

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            ('{"id": null}', "holds neither text nor a number"),
            ('{"id": true}', "holds neither text nor a number"),
            ('{"id": ["a"]}', "holds neither text nor a number"),
            ('{"id": {"a": 1}}', "holds neither text nor a number"),
            ('{"key": 1}', "has no value"),
            ('{"id": " "}', "has no value"),
        ],
    )
    def test_anything_else_is_no_id(self, read: Read, row: str, reason: str):
        """'None' or 'True' would be the id of every such row."""
        rows = read(f'{row}\n{{"id": "b"}}\n', "d.jsonl")
        assert bad(rows) == [(1, f"id column 'id' {reason}")]
        assert good(rows) == [("b", 1, 2)]

    def test_an_id_that_stands_twice_names_both_lines(self, read: Read):
        """1 and "1" are the same id, for ids are text."""
        rows = read('{"id": 1}\n{"id": 2}\n{"id": "1"}\n', "d.jsonl")
        assert bad(rows) == [(3, "id '1' stands on line 1 already")]

    def test_without_an_id_column_the_order_of_keys_does_not_count(self, read: Read):
        """The same content is the same row."""
        rows = read('{"a": 1, "b": 2}\n{"b": 2, "a": 1}\n{"a": 1.5}\n', "d.jsonl", None)
        assert bad(rows) == [(2, "the same row stands on line 1 already")]
        assert [number for _, number, _ in good(rows)] == [1, 2]
