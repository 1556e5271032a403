"""Datasets as a suite wants them read, and dropped queries: what is checked before anything is run."""

import gzip
import json
from pathlib import Path

import pytest

from assay.errors import DatasetError, SuiteError
from assay.planning.datasets import check_beginning, dropped_query, is_readable, open_dataset
from assay.planning.plan import build_plan
from assay.planning.preflight import checked_suite
from assay.planning.queries import read_query
from assay.planning.row_report import report_rows
from assay.records import Row

SUITE = """\
version: 1
name: demo
dataset:
  id: id
  columns:
    - {name: text, from: [Body, text], nulls: refuse}
    - {name: label, values: [a, b], default: a}
  other_columns: drop
  max_bad_rows: 50%
  connections: [shop]
defaults: {model: {deployment: m}, user: "{{ text }} {{ label }}"}
experiments: [{name: plain, baseline: true}]
""".replace("  columns:\n", "  columns:\n    - id\n")


def planned(folder: Path, content: bytes | str, file: str):
    path = folder / "dropped"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    suite = checked_suite(SUITE)
    return build_plan("demo-1", suite, SUITE, open_dataset(path, file, suite.dataset), file, folder)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("d.csv", "id,Body,note\n1,x,n\n2,y,n\n"),
        ("d.tsv", "id\ttext\n1\tx\n2\ty\n"),
        ("d.csv.gz", gzip.compress(b"id,Body\n1,x\n2,y\n", mtime=0)),
        ("d.jsonl", '{"id": "1", "Body": "x", "more": 1}\n{"id": "2", "text": "y"}\n'),
        ("d.json", '[{"id": "1", "Body": "x"}, {"id": "2", "text": "y", "label": null}]'),
    ],
)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, file: str, content: bytes | str):
    """The suite says once what it expects."""
    lines = planned(tmp_path, content, file).rows.read_bytes().splitlines()
    assert [Row.model_validate_json(line).fields for line in lines] == [
        {"id": "1", "text": "x", "label": "a"},
        {"id": "2", "text": "y", "label": "a"},
    ]


def test_a_column_that_the_file_does_not_have_is_told_with_the_names_looked_for(tmp_path: Path):
    """With the line in the suite."""
    with pytest.raises(SuiteError) as caught:
        planned(tmp_path, "id,note\n1,x\n", "d.csv")
    assert "suite.yaml:7: dataset.columns (taken from 'Body', 'text') uses column 'text'" in str(caught.value)


def test_too_many_bad_rows_name_the_place_as_the_format_counts(tmp_path: Path):
    """Rows of an array have numbers, not lines."""
    with pytest.raises(DatasetError) as caught:
        planned(tmp_path, '[{"id": 1}, {"id": 2, "text": ""}, {"id": 3, "text": "x"}]', "d.json")
    assert "First: row 1: lacks 'text'" in str(caught.value)


class TestReport:
    def test_columns_and_reasons_are_counted(self, tmp_path: Path):
        """Reasons that differ in numbers and values only are one."""
        rows = "".join(f"{at},text {at},{'ab'[at % 2]}\n" for at in range(8))
        content = f"id,text,label\n{rows}8,x,c\n9,y,d\n0,z,a\n10,,a\n"
        report = report_rows(planned(tmp_path, content, "d.csv"), "d.csv")
        assert (report.rows, report.bad_rows) == (8, 4)
        label = next(column for column in report.columns if column.name == "label")
        assert (label.filled, label.empty, label.kinds, label.values) == (8, 0, ("text",), {"a": 4, "b": 4})
        assert [(one.reason, one.rows, one.lines) for one in report.reasons] == [
            ("column 'label' holds 'c'; expected one of: a, b", 2, (10, 11)),
            ("id '0' stands on line 2 already", 1, (12,)),
            ("column 'text' has no value; the suite demands one", 1, (13,)),
        ]

    def test_many_or_long_values_are_not_listed(self, tmp_path: Path):
        """A list of ids helps nobody."""
        content = "id,text\n" + "".join(f"{at},x\n" for at in range(9))
        columns = report_rows(planned(tmp_path, content, "d.csv"), "d.csv").columns
        assert {column.name: column.values is None for column in columns} == {"id": True, "text": False, "label": False}


QUERY = "connection: shop\nquery: |\n  select id, text from tickets where day > :day\nparameters: {day: 2026-01-31}\n"


class TestQueries:
    @pytest.mark.parametrize("file", ["a.sql.yaml", "a.sql.yml", "A.SQL.YAML", "a.csv", "a.json.gz", "a.xlsx"])
    def test_queries_and_datasets_are_readable(self, file: str):
        """Other files beside a suite are let alone."""
        assert is_readable(file)
        assert not is_readable("suite.yaml")

    def test_a_query_names_its_connection_and_parameters(self):
        """The values of a query are never part of its text."""
        query = read_query(QUERY.encode(), "a.sql.yaml", checked_suite(SUITE).dataset)
        assert (query.connection, query.text) == ("shop", "select id, text from tickets where day > :day")
        assert {name: str(value) for name, value in query.parameters.items()} == {"day": "2026-01-31"}

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "the file: Input should be"),
            ("connection: shop\n", "query: Field required"),
            ("connection: shop\nquery: ''\n", "query: String should have at least 1 character"),
            ("connection: shop\nquery: select 1\nurl: postgresql://u:p@h/d\n", "url: Extra inputs are not permitted"),
            ("connection: shop\nquery: select 1\nparameters: {x: [1]}\n", "parameters.x"),
            ("connection: other\nquery: select 1\n", "the suite lets nobody use connection 'other'"),
            ("connection: sho\nquery: select 1\n", "(did you mean 'shop'?); dataset.connections has: shop"),
            ("connection: [\n", "a.sql.yaml:2: not valid YAML"),
            ("connection: shop\nconnection: shop\nquery: x\n", "a.sql.yaml:2: key 'connection' stands twice"),
            (b"\xff\xfe", "not valid UTF-8 at byte 1"),
            ("#" * 100_001, "100,001 bytes; a query has at most 100,000"),
        ],
    )
    def test_a_file_that_is_no_query_is_refused(self, tmp_path: Path, content: str | bytes, said: str):
        """Before any database is asked; what was wrong is said."""
        (tmp_path / "d").write_bytes(content if isinstance(content, bytes) else content.encode())
        suite = checked_suite(SUITE)
        with pytest.raises(DatasetError) as caught:
            check_beginning(tmp_path / "d", "a.sql.yaml", suite, SUITE, "suite.yaml")
        assert said in str(caught.value)
        assert str(caught.value).startswith("a.sql.yaml")
        with pytest.raises(DatasetError):
            dropped_query(tmp_path / "d", "a.sql.yaml", suite.dataset)

    def test_a_kept_result_is_read_as_any_dataset(self, tmp_path: Path):
        """Its columns are shaped by the suite too."""
        rows = [{"id": 1, "Body": "x", "label": None}, {"id": 2, "Body": None, "label": "b"}]
        made = planned(tmp_path, "".join(f"{json.dumps(row)}\n" for row in rows), "a.sql.yaml")
        assert (made.plan.rows, made.plan.bad_rows) == (1, 1)
        assert Row.model_validate_json(made.rows.read_bytes()).fields == {"id": 1, "text": "x", "label": "a"}
