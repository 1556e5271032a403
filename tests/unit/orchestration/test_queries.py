"""A dropped query becomes a run: asked once, and from then on its kept result is the dataset."""

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from run_bench import NOW, SUITE, asking, drop, ingest, plan_of, progress_of, refused_files, with_suite

from assay.errors import ServiceError, UserError
from assay.orchestration.queries import KeptResult
from assay.orchestration.steps import AskingSteps
from assay.records import Row
from assay.run_records import Stage
from assay.storage import layout
from assay.storage.base import Storage
from assay.storage.memory import MemoryStorage

pytest.importorskip("sqlalchemy")

WITH_SHOP = SUITE.replace("max_bad_rows: 50%", "max_bad_rows: 50%, connections: [shop]")
QUERY = "connection: shop\nquery: select id, text, label from tickets order by id\n"
DROP = "inbox/triage/tickets.sql.yaml"


@pytest.fixture(name="shop")
def _shop(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    change(path, "create table tickets (id text, text text, label text)")
    change(path, "insert into tickets values ('T-1', 'Where?', 'delivery'), ('T-2', 'Pay?', 'billing')")
    return path


def change(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute(statement)
    database.close()


def addresses(shop: Path) -> Callable[[str], Awaitable[str]]:
    async def of(connection: str) -> str:
        if connection != "shop":
            raise UserError(f"there is no connection '{connection}'")
        return f"sqlite:///{shop}"

    return of


def steps(storage: Storage, shop: Path) -> AskingSteps:
    return replace(asking(storage), address_of=addresses(shop))


async def admitted(storage: Storage, query: str = QUERY) -> str | None:
    return await ingest(storage).admit(await drop(storage, query, DROP))


async def rows_of(storage: MemoryStorage, run: str) -> list[Row]:
    return [Row.model_validate_json(line) for line in (await storage.read(layout.rows(run))).splitlines()]


async def test_the_rows_of_a_run_are_what_the_query_gave(shop: Path) -> None:
    """The result is kept beside them, with its digest."""
    storage = await with_suite(WITH_SHOP)
    run = await admitted(storage)
    assert run is not None

    assert await steps(storage, shop).plan(run) == {"refused": False}

    assert [(row.row_id, row.fields["text"]) for row in await rows_of(storage, run)] == [
        ("T-1", "Where?"),
        ("T-2", "Pay?"),
    ]
    kept = KeptResult.model_validate_json(await storage.read(layout.query(run)))
    assert (kept.connection, kept.asked_at) == ("shop", NOW)
    assert len((await storage.read(layout.query_result(run, kept.sha256))).splitlines()) == 2


async def test_the_query_is_not_run_again_when_planning_is(shop: Path) -> None:
    """A step that broke off goes on with the rows it got, whatever the database says by now."""
    storage = await with_suite(WITH_SHOP)
    run = await admitted(storage)
    assert run is not None
    await steps(storage, shop).plan(run)
    before = await rows_of(storage, run)
    await storage.delete(layout.plan(run))
    await storage.delete(layout.rows(run))
    change(shop, "delete from tickets")

    assert await steps(storage, shop).plan(run) == {"refused": False}

    assert await rows_of(storage, run) == before
    assert (await plan_of(storage, run)).rows == 2


@pytest.mark.parametrize(
    ("suite", "query", "reason"),
    [
        (SUITE, QUERY, "the suite lets nobody use connection 'shop'"),
        (WITH_SHOP, "select 1", "the file: Input should be a valid dictionary"),
    ],
)
async def test_a_query_that_may_not_run_never_becomes_a_run(suite: str, query: str, reason: str) -> None:
    """Who can drop files cannot ask any database there is."""
    storage = await with_suite(suite)

    assert await admitted(storage, query) is None

    (refusal,) = await refused_files(storage)
    assert reason in refusal.reason


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (QUERY.replace("label", "lable"), "the database refuses the query: no such column: lable"),
        (QUERY.replace(", text", ""), "uses column 'text', which tickets.sql.yaml does not have"),
        (QUERY.replace("order by id", "where id = ''"), "the query gives not one row"),
    ],
)
async def test_a_query_without_usable_rows_is_refused_before_any_model_is_asked(
    shop: Path, query: str, reason: str
) -> None:
    """The record says what the database or the suite said."""
    storage = await with_suite(WITH_SHOP)
    run = await admitted(storage, query)
    assert run is not None

    assert await steps(storage, shop).plan(run) == {"refused": True}

    (refusal,) = await refused_files(storage)
    assert reason in refusal.reason
    assert (await progress_of(storage, run)).stage is Stage.FAILED


async def test_a_database_that_does_not_answer_is_asked_again(shop: Path, tmp_path: Path) -> None:
    """The step fails, for the orchestrator to repeat; nothing is kept."""
    storage = await with_suite(WITH_SHOP)
    run = await admitted(storage)
    assert run is not None
    with pytest.raises(ServiceError):
        await steps(storage, tmp_path / "gone" / "shop.db").plan(run)

    assert await steps(storage, shop).plan(run) == {"refused": False}
