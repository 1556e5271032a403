"""Shaping: columns renamed, filled, typed and checked, each complaint with column, value and expectation."""

from pathlib import Path
from typing import Any

import pytest

from assay.errors import DatasetError
from assay.records import BadRow, Row
from assay.sources.base import Reading
from assay.sources.shaping import ColumnRule, Misshapen, Shape
from assay.sources.tabular import open_source


def rule(name: str, *taken_from: str, **wishes: Any) -> ColumnRule:
    return ColumnRule(name, taken_from or (name,), **wishes)


def shaped(value: Any, **wishes: Any) -> Any:
    return Shape((rule("x", **wishes),)).fields({"x": value})["x"]


def complaint(value: Any, **wishes: Any) -> str:
    with pytest.raises(Misshapen) as caught:
        shaped(value, **wishes)
    return str(caught.value)


class TestNames:
    def test_the_first_name_that_is_there_counts(self):
        """Exports call the same thing differently."""
        shape = Shape((rule("label", "Label", "category"),))
        assert shape.fields({"category": "a"}) == {"label": "a"}
        assert shape.fields({"category": "a", "Label": "b"}) == {"category": "a", "label": "b"}

    def test_a_column_can_take_the_name_of_another(self):
        """The one whose name is taken is gone."""
        assert Shape((rule("text", "body"),)).fields({"text": "short", "body": "long"}) == {"text": "long"}

    def test_two_columns_can_change_places(self):
        """Each is read from the file, not from what the other became."""
        shape = Shape((rule("a", "b"), rule("b", "a")))
        assert shape.fields({"a": 1, "b": 2}) == {"a": 2, "b": 1}

    def test_a_column_that_is_not_there_stays_away(self):
        """Whether it is needed is for the suite to say."""
        assert Shape((rule("label", "Label"),)).fields({"id": 1}) == {"id": 1}


class TestOthers:
    def test_others_are_dropped_where_the_suite_says_so(self):
        """What is not needed does not travel."""
        assert Shape((rule("id"),), others="drop").fields({"id": 1, "name": "Ann"}) == {"id": 1}

    def test_others_are_refused_with_the_closest_name(self):
        """A renamed column would be lost silently."""
        shape = Shape((rule("label"),), others="refuse")
        with pytest.raises(Misshapen) as caught:
            shape.fields({"lable": "a"})
        assert str(caught.value) == "unexpected column 'lable' (did you mean 'label'?). The suite expects: label"

    def test_a_header_with_others_is_refused_as_a_whole(self, tmp_path: Path):
        """Every row would have them."""
        (tmp_path / "d").write_text("id,x\n1,2\n")
        with pytest.raises(DatasetError) as caught:
            open_source(tmp_path / "d", "d.csv", Reading("id", shape=Shape((rule("id"),), others="refuse")))
        assert str(caught.value) == "d.csv:1: unexpected column 'x'. The suite expects: id"


class TestNothing:
    @pytest.mark.parametrize("empty", [None, "", "  "])
    def test_a_default_stands_for_no_value(self, empty: str | None):
        """Also where the column itself is missing."""
        assert shaped(empty, default="none") == "none"
        assert Shape((rule("x", default=0),)).fields({}) == {"x": 0}

    @pytest.mark.parametrize("empty", [None, "", "  "])
    def test_a_row_without_a_value_can_be_refused(self, empty: str | None):
        """The suite demands one."""
        assert complaint(empty, refuses_nulls=True) == "column 'x' has no value; the suite demands one"

    def test_empty_text_stays_text_and_is_nothing_elsewhere(self):
        """An empty number is no number."""
        assert shaped("") == ""
        assert shaped(" ", kind="text") == " "
        assert shaped("", kind="number") is None
        assert shaped("", values=("a",)) is None

    def test_texts_can_mean_that_there_is_no_value(self):
        """In every column, also in those without a rule."""
        shape = Shape((rule("x", default="?"),), null_values=frozenset({"NA", "-"}))
        assert shape.fields({"x": " NA ", "y": "-", "z": "NAN"}) == {"y": None, "z": "NAN", "x": "?"}


class TestKinds:
    @pytest.mark.parametrize(
        ("kind", "value", "expected"),
        [
            ("text", "a", "a"),
            ("text", 12, "12"),
            ("text", True, "true"),
            ("text", ["é"], '["é"]'),
            ("integer", " 12 ", 12),
            ("integer", "-3", -3),
            ("integer", 4.0, 4),
            ("number", "1.5", 1.5),
            ("number", "12", 12),
            ("number", "1e3", 1000.0),
            ("number", ".5", 0.5),
            ("boolean", "Yes", True),
            ("boolean", "0", False),
            ("boolean", 1, True),
            ("date", "2026-01-31", "2026-01-31"),
            ("date", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00+00:00"),
            ("json", '{"a": [1]}', {"a": [1]}),
            ("json", ["b"], ["b"]),
        ],
    )
    def test_values_become_what_the_suite_asks_for(self, kind: str, value: Any, expected: Any):
        """And nothing else: 1 is no true, and 4.0 no 4."""
        found = shaped(value, kind=kind)
        assert (found, type(found)) == (expected, type(expected))

    @pytest.mark.parametrize(
        ("kind", "value", "expected"),
        [
            ("integer", "1.5", "a whole number"),
            ("integer", "1,000", "a whole number"),
            ("integer", True, "a whole number"),
            ("integer", "٣", "a whole number"),
            ("integer", "9" * 5_000, "a whole number"),
            ("number", "1,5", "a number such as 12 or 0.5"),
            ("number", "nan", "a number such as 12 or 0.5"),
            ("number", "1e999", "a number such as 12 or 0.5"),
            ("number", "0x10", "a number such as 12 or 0.5"),
            ("number", [1], "a number such as 12 or 0.5"),
            ("boolean", "maybe", "true or false"),
            ("boolean", 2, "true or false"),
            ("date", "31.01.2026", "a date such as 2026-01-31 or 2026-01-31T12:00:00"),
            ("date", "2026-02-30", "a date such as 2026-01-31 or 2026-01-31T12:00:00"),
            ("json", "{'a': 1}", "valid JSON"),
            ("json", "NaN", "valid JSON"),
            ("json", "[" * 100_000, "valid JSON"),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_a_value_of_another_kind_is_told_with_what_was_expected(self, kind: str, value: Any, expected: str):
        """Column, value and expectation in one sentence, however long the value is."""
        said = complaint(value, kind=kind)
        assert said.startswith("column 'x' holds ")
        assert said.endswith(f"; expected {expected}")
        assert len(said) < 200


class TestValues:
    def test_only_listed_values_are_accepted(self):
        """With the closest one."""
        assert shaped("billing", values=("billing", "delivery")) == "billing"
        assert complaint("biling", values=("billing", "delivery")) == (
            "column 'x' holds 'biling'; expected one of: billing, delivery (did you mean 'billing'?)"
        )

    def test_values_are_compared_after_coercion(self):
        """The suite lists numbers, the file has text."""
        assert shaped("2", kind="integer", values=(1, 2)) == 2
        assert complaint("3", kind="integer", values=(1, 2)) == "column 'x' holds 3; expected one of: 1, 2"

    def test_true_is_not_one(self):
        """They are equal in Python."""
        assert "expected one of: 1" in complaint(True, values=(1,))


def test_the_id_is_read_after_shaping(tmp_path: Path):
    """It can have another name in the file."""
    (tmp_path / "d").write_text("Nr,text\n1,a\n1,b\n")
    source = open_source(tmp_path / "d", "d.csv", Reading("id", shape=Shape((rule("id", "Nr"),))))
    first, second = source.rows()
    assert source.columns == ("text", "id")
    assert (first.row_id, first.fields) == ("1", {"text": "a", "id": "1"})
    assert second.reason == "id '1' stands on line 2 already"


def test_a_row_that_does_not_fit_costs_one_row(tmp_path: Path):
    """Its line, its column and what was found are kept."""
    (tmp_path / "d").write_bytes(b"id,x\n1,5\n2,caf\xe9\n3,7\n")
    rows = list(open_source(tmp_path / "d", "d.csv", Reading("id", shape=Shape((rule("x", kind="integer"),)))).rows())
    assert [row.row_id for row in rows if isinstance(row, Row)] == ["1", "3"]
    (bad,) = (row for row in rows if isinstance(row, BadRow))
    assert (bad.line, bad.reason) == (3, r"column 'x' holds 'caf\udce9'; expected a whole number")
    assert BadRow.model_validate_json(bad.model_dump_json()) == bad
