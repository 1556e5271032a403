"""The SQL sink on real databases: SQLite and PostgreSQL hold the same rows, once, whatever dies on the way."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_server import postgres_folder, postgres_server
from sqlalchemy import create_engine, event, inspect, text

from assay.errors import ServiceError, UserError
from assay.provenance.bundle import Statement, seal_folder
from assay.sinks.base import Bundle
from assay.sinks.sql import sink as sql_sink
from assay.sinks.sql.sink import SqlSink
from assay.suite.sink_options import SqlOptions
from builders import triage_run
from evaluations import evaluate
from stand_ins.sealed import SIGNER, Killed

PUBLISHING_PAGE = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text("utf-8")
TABLES = ("runs", "experiments", "metrics", "comparisons", "outcomes")
RUN = triage_run()
OUTCOMES = tuple(RUN.outcomes)
CONTENTS = evaluate(RUN.header, RUN.suite, RUN.plan, OUTCOMES, RUN.bad_rows, 0, RUN.rows)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return sealed(tmp_path_factory.mktemp("bundle"))


def sealed(folder: Path) -> Bundle:
    (folder / "summary.json").write_text(CONTENTS.model_dump_json())
    lines = [{"rank": at, **one.model_dump(mode="json")} for at, one in enumerate(OUTCOMES, start=1)]
    (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    asyncio.run(seal_folder(folder, Statement(RUN.header.run, "2026-01-02T03:04:05+00:00", {}), SIGNER))
    return Bundle(RUN.header.run, RUN.suite.name, folder)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    if postgres_folder() is None:
        pytest.skip("PostgreSQL is not installed")
    with postgres_server() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'results.db'}"
        return
    found: str = request.getfixturevalue("postgres")
    yield found
    execute(found, *(f"DROP TABLE IF EXISTS assay_{table}" for table in TABLES))


def sink_of(address: str, **options: object) -> SqlSink:
    async def address_of(connection: str) -> str:
        assert connection == "warehouse"
        return address

    return SqlSink(SqlOptions.model_validate({"connection": "warehouse", **options}), address_of)


def execute(address: str, *statements: str) -> list[tuple[object, ...]]:
    """What the last statement gives."""
    engine = create_engine(address)
    try:
        with engine.begin() as connection:
            results = [connection.execute(text(one)) for one in statements]
            return [tuple(row) for row in results[-1]] if results[-1].returns_rows else []
    finally:
        engine.dispose()


def everything(address: str) -> dict[str, list[tuple[object, ...]]]:
    return {table: execute(address, f"SELECT * FROM assay_{table} ORDER BY 1, 2, 3, 4") for table in TABLES}


async def test_the_tables_hold_what_the_bundle_says(address: str, bundle: Bundle) -> None:
    """One line per run, experiment, metric, comparison and trial, joined by run."""
    receipt = await sink_of(address).publish(bundle)
    found = everything(address)
    metrics = sum(len(one.metrics) for one in CONTENTS.experiments)
    expected = [1, len(CONTENTS.experiments), metrics, len(CONTENTS.comparisons), len(OUTCOMES)]
    assert [len(rows) for rows in found.values()] == expected
    assert receipt.details["rows"] == str(sum(expected))
    ((cost, headline),) = execute(address, "SELECT cost_usd, headline FROM assay_runs")
    assert float(str(cost)) == pytest.approx(float(CONTENTS.cost_usd)) and headline == CONTENTS.headline
    joined = """
        SELECT COUNT(*) FROM assay_outcomes o JOIN assay_experiments e ON e.run = o.run AND e.experiment = o.experiment
        WHERE o.status = 'succeeded' AND e.is_baseline
    """
    baseline = next(one for one in CONTENTS.experiments if one.baseline)
    assert execute(address, joined) == [(baseline.statuses.succeeded,)]


async def test_again_writes_nothing(address: str, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The runs' line says which bundle the rows are of."""
    first = await sink_of(address).publish(bundle)
    monkeypatch.setattr(sql_sink, "_replace", lambda *_, **__: pytest.fail("something is written"))
    assert await sink_of(address).publish(bundle) == first


async def test_another_bundle_of_the_run_takes_its_place(address: str, bundle: Bundle, tmp_path: Path) -> None:
    """And other runs stay as they are."""
    await sink_of(address).publish(bundle)
    execute(address, "UPDATE assay_runs SET manifest_sha256 = 'old'", "DELETE FROM assay_metrics")
    execute(
        address,
        "INSERT INTO assay_metrics (run, experiment, score, kind, n_trials, n_scored) "
        "VALUES ('other', 'e', 's', 'binary', 1, 1)",
    )
    await sink_of(address).publish(bundle)
    assert execute(address, "SELECT COUNT(*) FROM assay_metrics WHERE run = 'other'") == [(1,)]
    assert len(everything(address)["runs"]) == 1
    assert execute(address, f"SELECT COUNT(*) FROM assay_metrics WHERE run = '{bundle.run}'") != [(0,)]


async def test_death_at_any_statement_leaves_all_or_nothing(address: str, bundle: Bundle) -> None:
    """And the next try completes it: the same rows as without the death."""
    await sink_of(address).publish(bundle)
    whole, statements = everything(address), 0
    for at in range(40):
        execute(address, *(f"DELETE FROM assay_{table}" for table in TABLES))
        if not await dies_at(at, address, bundle):
            break
        statements += 1
        assert all(rows == [] for rows in everything(address).values())
        await sink_of(address).publish(bundle)
        assert everything(address) == whole
    assert statements >= 10


async def dies_at(number: int, address: str, bundle: Bundle) -> bool:
    """Whether the process died before it had sent so many writing statements."""
    from sqlalchemy import Engine

    left = [number]

    def killing(*arguments: object) -> None:
        if str(arguments[2]).lstrip().startswith(("INSERT", "DELETE")):
            if left[0] == 0:
                raise Killed
            left[0] -= 1

    event.listen(Engine, "before_cursor_execute", killing)
    try:
        await sink_of(address).publish(bundle)
    except Killed:
        return True
    finally:
        event.remove(Engine, "before_cursor_execute", killing)
    return False


async def test_outcomes_can_stay_out(address: str, bundle: Bundle) -> None:
    """Where answers must not lie in the database."""
    await sink_of(address, outcomes=False).publish(bundle)
    assert everything(address)["outcomes"] == []
    assert not any("outcomes" in line for line in await sink_of(address, outcomes=False).preview(bundle))


async def test_a_preview_counts_the_rows_and_opens_nothing(bundle: Bundle) -> None:
    """The database need not be there."""
    lines = await sink_of("sqlite:////nowhere/at/all.db").preview(bundle)
    assert lines[0] == "1 row(s) into assay_runs of connection 'warehouse'"
    assert f"{CONTENTS.run.trials} row(s) into assay_outcomes of connection 'warehouse'" in lines


async def test_prefix_and_schema_are_used(postgres: str, bundle: Bundle) -> None:
    """Tables of two teams in one database."""
    execute(postgres, "CREATE SCHEMA IF NOT EXISTS lab")
    await sink_of(postgres, schema="lab", prefix="eval_").publish(bundle)
    engine = create_engine(postgres)
    assert set(inspect(engine).get_table_names(schema="lab")) == {f"eval_{table}" for table in TABLES}
    engine.dispose()


async def test_the_rights_of_the_page_suffice(postgres: str, bundle: Bundle) -> None:
    """To make the tables, and then, without that right, to publish another bundle of the run."""
    grants, fewer, tables = re.findall(r"```sql\n(.*?)```", PUBLISHING_PAGE, re.DOTALL)
    execute(postgres, *statements(grants))
    restricted = postgres.replace("tester@", "assay_sink:pw@")
    await sink_of(restricted, schema="assay").publish(bundle)
    execute(postgres, "DROP SCHEMA assay CASCADE", "CREATE SCHEMA assay", *statements(tables))
    execute(postgres, "GRANT USAGE ON SCHEMA assay TO assay_sink", *statements(fewer))
    await sink_of(restricted, schema="assay").publish(bundle)
    execute(postgres, "UPDATE assay.assay_runs SET manifest_sha256 = 'old'")
    await sink_of(restricted, schema="assay").publish(bundle)
    assert execute(postgres, "SELECT manifest_sha256 FROM assay.assay_runs") == [(bundle.manifest_sha256,)]


def statements(block: str) -> list[str]:
    return [one for one in block.split(";") if one.strip()]


@pytest.mark.parametrize(
    ("address", "kind", "words"),
    [
        ("sqlite:////nowhere/at/all.db", ServiceError, "does not answer"),
        ("postgresql+psycopg://tester:confidential@127.0.0.1:9/postgres", ServiceError, "does not answer"),
        ("no address", UserError, "is no database address"),
    ],
)
async def test_an_address_that_cannot_be_used_says_so(
    address: str, kind: type[Exception], words: str, bundle: Bundle
) -> None:
    """By the connection's name; a password in it is not shown."""
    with pytest.raises(kind, match=words) as caught:
        await sink_of(address).publish(bundle)
    assert "warehouse" in str(caught.value) and "confidential" not in str(caught.value)


async def test_tables_of_another_shape_are_refused(tmp_path: Path, bundle: Bundle) -> None:
    """Somebody else's table of that name is left alone."""
    address = f"sqlite:///{tmp_path / 'other.db'}"
    execute(address, "CREATE TABLE assay_runs (id INTEGER)")
    with pytest.raises((UserError, ServiceError), match="no such column"):
        await sink_of(address).publish(bundle)


@pytest.mark.parametrize("dialect", ["mssql", "oracle", "postgresql", "sqlite"])
def test_the_tables_can_be_made_on_every_documented_database(dialect: str) -> None:
    """As far as their SQL can be written without them: every column has a type there."""
    from importlib import import_module

    from sqlalchemy.schema import CreateTable

    from assay.sinks.sql.tables import result_tables

    tables = result_tables("assay_", None)
    written = [
        str(CreateTable(table).compile(dialect=import_module(f"sqlalchemy.dialects.{dialect}").dialect()))
        for table in tables.metadata.tables.values()
    ]
    assert len(written) == len(TABLES) and all("PRIMARY KEY" in one for one in written)
    if dialect == "mssql":  # where a plain string holds one code page only
        assert re.search(r"answers N(TEXT|VARCHAR\(max\))", "".join(written)) and "suite NVARCHAR" in written[0]
