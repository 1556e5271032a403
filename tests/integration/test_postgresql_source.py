"""Rows of a real PostgreSQL server: types, order, and that a query changes nothing."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import postgres_folder, postgres_server, server_user

from assay.errors import DatasetError, ServiceError
from assay.records import BadRow, Row
from assay.sources.base import Reading
from assay.sources.sql import Query, QueryResult, freeze_result

sqlalchemy = pytest.importorskip("sqlalchemy")
pytest.importorskip("psycopg")

pytestmark = [
    pytest.mark.skipif(postgres_folder() is None, reason="no PostgreSQL server is installed here (initdb, postgres)"),
    pytest.mark.skipif(os.getuid() == 0 and server_user() is None, reason="PostgreSQL does not run as root"),
]

SETUP = """
create table tickets (
    id integer primary key, question text, price numeric(10, 2), asked timestamptz, day date, tags text[],
    details jsonb, paid boolean, ratio double precision, document bytea, token uuid
);
insert into tickets values
    (1, 'Where is it?', 12.50, '2026-01-31T12:00:00Z', '2026-01-31', '{a,b}', '{"k": [1, null]}', true, 0.5,
     'text'::bytea, '6f1c1f60-0000-4000-8000-000000000001'),
    (2, null, null, null, null, null, null, null, 'NaN', '\\xff00', null),
    (3, 'Größe?', 7, null, null, '{}', '{}', false, 1, null, null);
"""


@pytest.fixture(name="address", scope="module")
def _address() -> Iterator[str]:
    with postgres_server() as address:
        engine = sqlalchemy.create_engine(address)
        with engine.begin() as connection:
            connection.exec_driver_sql(SETUP.replace("%", "%%"))
        engine.dispose()
        yield address


def asked(address: str, folder: Path, text: str, **parameters: object) -> list[Row | BadRow]:
    target = folder / "result"
    freeze_result(Query("tickets.sql.yaml", "shop", text, parameters), address, target)
    return list(QueryResult(target, "tickets.sql.yaml", Reading("id")).rows())


def count(address: str) -> int:
    engine = sqlalchemy.create_engine(address)
    with engine.connect() as connection:
        found = int(connection.exec_driver_sql("select count(*) from tickets").scalar_one())
    engine.dispose()
    return found


def test_values_keep_their_meaning(address: str, tmp_path: Path):
    """Numbers are numbers, times are ISO 8601, arrays and JSON are lists and objects, bytes are read as UTF-8."""
    columns = "id, question, price, asked at time zone 'UTC' as asked, day, tags, details, paid, ratio, document, token"
    row = asked(address, tmp_path, f"select {columns} from tickets where id = 1")[0]
    assert isinstance(row, Row)
    assert row.row_id == "1"
    assert row.fields == {
        "id": 1,
        "question": "Where is it?",
        "price": 12.5,
        "asked": "2026-01-31T12:00:00",
        "day": "2026-01-31",
        "tags": ["a", "b"],
        "details": {"k": [1, None]},
        "paid": True,
        "ratio": 0.5,
        "document": "text",
        "token": "6f1c1f60-0000-4000-8000-000000000001",
    }


def test_null_is_null_and_what_cannot_be_stored_costs_its_row(address: str, tmp_path: Path):
    """NaN and bytes that are no text are set aside; the rows around them are read."""
    rows = asked(address, tmp_path, "select id, question, ratio from tickets order by id")
    assert [(row.line, row.reason) for row in rows if isinstance(row, BadRow)] == [
        (2, "not usable JSON: NaN is no number that can be stored")
    ]
    documents = asked(address, tmp_path, "select id, question, document from tickets order by id")
    (bad,) = (row for row in documents if isinstance(row, BadRow))
    assert (bad.line, "column 'document' holds" in bad.reason) == (2, True)
    assert [row.fields["question"] for row in documents if isinstance(row, Row)] == ["Where is it?", "Größe?"]


def test_parameters_are_bound_and_never_part_of_the_text(address: str, tmp_path: Path):
    """A value cannot change the query."""
    text = "select id from tickets where question = :wanted"
    assert len(asked(address, tmp_path, text, wanted="Größe?")) == 1
    with pytest.raises(DatasetError, match="gives not one row"):
        asked(address, tmp_path, text, wanted="x' or '1' = '1")


@pytest.mark.parametrize(
    "text",
    [
        "delete from tickets",
        "delete from tickets returning id",
        "select id from tickets; delete from tickets",
        "with gone as (delete from tickets returning id) select id from gone",
        "select id from tickets; commit; delete from tickets; commit",
    ],
)
def test_a_query_changes_nothing(address: str, tmp_path: Path, text: str):
    """It is read in a read-only transaction through a cursor; a statement that writes is refused."""
    with pytest.raises(DatasetError, match="the database refuses the query"):
        asked(address, tmp_path, text)
    assert count(address) == 3


def test_what_the_database_says_of_a_wrong_query_is_passed_on(address: str, tmp_path: Path):
    """The person who wrote it can mend it."""
    with pytest.raises(DatasetError) as caught:
        asked(address, tmp_path, "select id, qestion from tickets")
    assert 'column "qestion" does not exist' in str(caught.value)


def test_many_rows_are_streamed(address: str, tmp_path: Path):
    """The result is never held as a whole."""
    text = "select id, repeat('x', 1000) as question from generate_series(1, 20000) as id"
    rows = asked(address, tmp_path, text)
    assert [row.row_id for row in rows if isinstance(row, Row)] == [str(at) for at in range(1, 20_001)]


def test_a_server_that_is_not_there_is_the_services_fault(tmp_path: Path):
    """Waiting may help, so the run is not refused; the password is not shown."""
    address = "postgresql+psycopg://tester:hidden@127.0.0.1:1/postgres"
    with pytest.raises(ServiceError) as caught:
        asked(address, tmp_path, "select 1 as id")
    assert "connection 'shop' cannot be opened" in str(caught.value)
    assert "hidden" not in str(caught.value)
