"""JSON arrays: one bad element costs one row, and no more than one element is held."""

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rows_of import bad

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.sources import json_rows
from assay.sources.base import Reading
from assay.sources.tabular import open_source


@pytest.fixture(name="read")
def _read(tmp_path: Path):
    def of(content: bytes | str) -> list[Row | BadRow]:
        path = tmp_path / "dropped"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return list(open_source(path, "d.json", Reading("id")).rows())

    return of


def ids(rows: list[Row | BadRow]) -> list[str]:
    return [row.row_id for row in rows if isinstance(row, Row)]


@pytest.mark.parametrize("layout", [{}, {"indent": 2}, {"separators": (",", ":")}], ids=["plain", "indented", "dense"])
@pytest.mark.parametrize("chunk", [1, 7, 1_000])
def test_rows_are_the_elements_however_they_are_laid_out(read, monkeypatch, layout: dict, chunk: int):
    """Rows are numbered from 1, since one line may hold them all."""
    monkeypatch.setattr(json_rows, "CHUNK_CHARACTERS", chunk)
    written = [{"id": at, "x": ["é", {"y": None}, at / 4]} for at in range(1, 40)]
    rows = read("\ufeff " + json.dumps(written, **layout) + "\r\n")
    assert [row.fields for row in rows if isinstance(row, Row)] == written
    assert [row.line for row in rows] == list(range(1, 40))


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.dictionaries(
            st.text("abc]},", min_size=1),
            st.text(st.characters(codec="utf-8", exclude_characters="\x00")) | st.integers() | st.booleans(),
            max_size=3,
        ),
        min_size=1,
    )
)
def test_what_the_standard_library_writes_is_read_back(read, values: list[dict]):
    """Brackets and commas in texts end nothing."""
    written = [{**value, "id": str(at)} for at, value in enumerate(values)]
    assert [row.fields for row in read(json.dumps(written)) if isinstance(row, Row)] == written


@pytest.mark.parametrize(
    ("element", "reason"),
    [
        ("7", "expected a JSON object"),
        ('["a"]', "expected a JSON object"),
        ("null", "expected a JSON object"),
        ('{"id": 2, "x": NaN}', "not usable JSON: NaN is no number that can be stored"),
        ('{"id": 2, "x": 1e999}', "not usable JSON: 1e999 is no number that can be stored"),
        ('{"id": 2, "x": 1, "x": 2}', "not usable JSON: key 'x' stands twice"),
        ('{"id": 1}', "id '1' stands in row 1 already"),
        ('{"x": 2}', "id column 'id' has no value"),
        (r'{"id": 2, "x": "\u0000"}', "column 'x' holds a NUL byte"),
        (r'{"id": 2, "x": "\ud800"}', "column 'x' holds bytes that are not valid UTF-8, or half of a surrogate pair"),
        (
            '{"id": 2, "x": ' + "9" * 5_000 + "}",
            "not usable JSON: Exceeds the limit (4300 digits) for integer string conversion",
        ),
    ],
    ids=lambda value: value[:25],
)
@pytest.mark.parametrize("chunk", [3, 10_000])
def test_a_bad_element_costs_one_row(read, monkeypatch, element: str, reason: str, chunk: int):
    """The elements around it are read."""
    monkeypatch.setattr(json_rows, "CHUNK_CHARACTERS", chunk)
    rows = read(f'[{{"id": 1}}, {element}, {{"id": 3}}]')
    assert bad(rows) == [(2, reason)]
    assert ids(rows) == ["1", "3"]


def test_broken_utf_8_costs_one_row(read):
    """As in CSV."""
    rows = read(b'[{"id": 1, "x": "caf\xe9"}, {"id": 2}]')
    assert bad(rows) == [(1, "column 'x' holds bytes that are not valid UTF-8, or half of a surrogate pair")]
    assert ids(rows) == ["2"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[]", "the array is empty; expected at least one object"),
        ('{"data": []}', "expected a JSON array of objects, found an object. One object per line is JSON Lines"),
        ('{"id": 1}\n{"id": 2}\n', "expected a JSON array of objects, found an object. One object per line is JSON Li"),
        ("id,text\n1,a\n", "expected a JSON array of objects, found something else"),
        ('[{"id": 1}, {"id": 2', "row 2: not valid JSON: Expecting ',' delimiter (character 21)"),
        ('[{"id": 1}', "row 1: not valid JSON: expected ',' or ']' (character 11)"),
        ('[{"id": 1},]', "row 2: not valid JSON: Expecting value (character 12)"),
        ('[{"id": 1}] x', "row 1: not valid JSON: expected nothing after the array (character 13)"),
        ('[{"id": 1} {"id": 2}]', "row 1: not valid JSON: expected ',' or ']' (character 12)"),
        ('[{"id": 1}, {id: 2}]', "row 2: not valid JSON: Expecting property name enclosed in double quotes"),
        ("[" + "[" * 100_000, "row 1: not valid JSON: nested more than 50 levels deep"),
    ],
    ids=lambda value: value[:25],
)
@pytest.mark.parametrize("chunk", [2, 10_000])
def test_text_that_is_no_array_is_refused(read, monkeypatch, content: str, problem: str, chunk: int):
    """Where the text breaks, nobody knows where the next element begins."""
    monkeypatch.setattr(json_rows, "CHUNK_CHARACTERS", max(chunk, len(content) // 20))
    with pytest.raises(DatasetError) as caught:
        read(content)
    assert str(caught.value).startswith(f"d.json: {problem}")


def test_an_element_that_never_ends_is_refused(read, monkeypatch: pytest.MonkeyPatch):
    """Before it fills the memory."""
    monkeypatch.setattr(json_rows, "MAX_LINE_BYTES", 1_000)
    monkeypatch.setattr(json_rows, "CHUNK_CHARACTERS", 100)
    with pytest.raises(DatasetError, match="row 1: not valid JSON: it has more than 1,000 characters"):
        read('[{"id": "' + "x" * 5_000)


def test_a_cell_of_10_megabytes_costs_one_row_and_bounded_memory(tmp_path: Path):
    """The rows around it are read."""
    path = tmp_path / "dropped"
    path.write_bytes(b'[{"id": 1}, {"id": 2, "x": "' + b"x" * 10_000_000 + b'"}, {"id": 3}]')
    tracemalloc.start()
    rows = list(open_source(path, "d.json", Reading("id")).rows())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bad(rows) == [(2, "column 'x' holds 10,000,000 characters; at most 1,000,000 are accepted")]
    assert ids(rows) == ["1", "3"]
    assert peak < 100_000_000
