"""Queries on a real SQLite database: run once, kept as JSON Lines, and nothing changed."""

import sqlite3
from pathlib import Path

import pytest

from assay.errors import DatasetError, ServiceError, UserError
from assay.records import BadRow, Row
from assay.sources.base import MAX_CELL_CHARACTERS, Reading
from assay.sources.sql import Query, QueryResult, freeze_result

pytest.importorskip("sqlalchemy")


@pytest.fixture(name="address")
def _address(tmp_path: Path) -> str:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.execute("create table tickets (id integer, question text, price real, document blob)")
        rows = [
            (1, "Where?", 1.5, b"text"),
            (2, None, None, b"\xff\x00"),
            (3, "x" * (MAX_CELL_CHARACTERS + 9), 2, None),
        ]
        database.executemany("insert into tickets values (?, ?, ?, ?)", rows)
    database.close()
    return f"sqlite:///{tmp_path / 'shop.db'}"


def asked(address: str, folder: Path, text: str, **parameters: object) -> list[Row | BadRow]:
    freeze_result(Query("t.sql.yaml", "shop", text, parameters), address, folder / "result")
    return list(QueryResult(folder / "result", "t.sql.yaml", Reading("id")).rows())


def refused(address: str, folder: Path, text: str, kind: type[Exception] = DatasetError) -> str:
    with pytest.raises(kind) as caught:
        asked(address, folder, text)
    return str(caught.value)


def test_rows_have_the_columns_of_the_query(address: str, tmp_path: Path):
    """Types stay, and null is null."""
    rows = asked(address, tmp_path, "select id, question, price as cost from tickets where id < 3 order by id")
    assert rows == [
        Row(row_id="1", number=1, line=1, fields={"id": 1, "question": "Where?", "cost": 1.5}),
        Row(row_id="2", number=2, line=2, fields={"id": 2, "question": None, "cost": None}),
    ]


def test_the_columns_are_told_in_their_order(address: str, tmp_path: Path):
    """So that a missing one is found before any row is read."""
    query = Query("t.sql.yaml", "shop", "select price, id from tickets")
    assert freeze_result(query, address, tmp_path / "result") == ("price", "id")


def test_cells_that_no_prompt_may_hold_cost_their_row(address: str, tmp_path: Path):
    """Bytes that are no text and very long texts are set aside; the others are read."""
    rows = asked(address, tmp_path, "select id, question, document from tickets order by id")
    assert [(row.line, row.reason) for row in rows if isinstance(row, BadRow)] == [
        (2, "column 'document' holds a NUL byte"),
        (3, "column 'question' holds 1,000,001 characters; at most 1,000,000 are accepted"),
    ]


def test_an_id_that_comes_twice_names_both_rows(address: str, tmp_path: Path):
    """A join can double rows."""
    rows = asked(address, tmp_path, "select 7 as id, question from tickets where id < 3")
    assert [row.reason for row in rows if isinstance(row, BadRow)] == ["id '7' stands in row 1 already"]


@pytest.mark.parametrize("text", ["delete from tickets", "insert into tickets (id) values (9)", "drop table tickets"])
def test_a_statement_that_writes_is_refused(address: str, tmp_path: Path, text: str):
    """The database is only read."""
    assert "readonly database" in refused(address, tmp_path, text)
    assert len(asked(address, tmp_path, "select id from tickets")) == 3


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("select id from ticket", "the database refuses the query: no such table: ticket"),
        ("select id, id from tickets", "the query gives column 'id' twice; name one of them with AS"),
        ("select id from tickets where id = :id", "the query cannot be run"),
        ("select id from tickets where id > 5", "the query gives not one row; expected at least one"),
        ("pragma query_only = off; select 1", "the database refuses the query"),
    ],
)
def test_a_query_that_cannot_be_used_is_refused_with_its_reason(address: str, tmp_path: Path, text: str, problem: str):
    """The person who wrote it can mend it."""
    assert refused(address, tmp_path, text).startswith(f"t.sql.yaml: {problem}")


def test_an_address_that_is_none_is_not_shown(tmp_path: Path):
    """It may hold a password."""
    said = refused("secret nonsense", tmp_path, "select 1", UserError)
    assert said.startswith("connection 'shop' is no database address; expected one such as postgresql+psycopg://")
    assert "secret" not in said


def test_a_driver_that_is_not_installed_is_named(tmp_path: Path):
    """The remedy is to install it."""
    assert refused("oracle+oracledb://u:p@h/x", tmp_path, "select 1", UserError) == (
        "connection 'shop' needs the package 'oracledb'; install it"
    )


def test_a_database_that_cannot_be_opened_may_come_back(tmp_path: Path):
    """The run waits instead of being refused."""
    said = refused(f"sqlite:///{tmp_path}/no/such/folder.db", tmp_path, "select 1", ServiceError)
    assert said.startswith("connection 'shop' cannot be opened: unable to open database file")


def test_more_rows_than_a_run_may_have_are_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A forgotten condition must not fill the disk."""
    monkeypatch.setattr("assay.sources.sql.MAX_ROWS", 2)
    assert refused(address, tmp_path, "select id from tickets") == (
        "t.sql.yaml: the query gives more than 2 rows; narrow it"
    )
