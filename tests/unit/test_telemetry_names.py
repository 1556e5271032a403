"""The table of names against the code that emits them, both ways."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from assay import telemetry_names
from assay.telemetry_names import EVENTS, METRICS, SPANS, attribute

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*(ROOT / "shared" / "assay").rglob("*.py"), *(ROOT / "function_app").rglob("*.py")]
KNOWN = {event.name: event for event in EVENTS}


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """Every call that emits an event: where, the call, and whether it is an event or a problem."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr in ("event", "problem") and "telemetry" in ast.unparse(node.func.value):
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node, node.func.attr


CALLS = list(calls())


def name_of(call: ast.Call) -> str:
    name = call.args[0]
    assert isinstance(name, ast.Constant), f"an event's name is written where it is emitted: {ast.unparse(call)}"
    return str(name.value)


def test_every_event_of_the_code_is_in_the_table_and_every_one_of_the_table_in_the_code() -> None:
    """A renamed event breaks this test before it breaks a query."""
    emitted = {name_of(call) for _, call, _ in CALLS}
    assert emitted == KNOWN.keys()


def test_events_are_emitted_as_what_the_table_says() -> None:
    """Alerts ask for problems by their level."""
    wrong = [where for where, call, level in CALLS if KNOWN[name_of(call)].level not in (level, "either")]
    assert wrong == []


def test_every_field_of_an_event_is_in_the_table() -> None:
    """Only what the table says leaves the process, so a field that it lacks would be lost."""
    wrong = [
        f"{where}: {name_of(call)} has the field {keyword.arg}"
        for where, call, _ in CALLS
        for keyword in call.keywords
        if keyword.arg and keyword.arg not in KNOWN[name_of(call)].fields
    ]
    assert wrong == []


def test_every_field_of_the_table_is_emitted() -> None:
    """A query on a field that nobody writes finds nothing. Calls that pass whole mappings may write any."""
    written: dict[str, set[str]] = {}
    for _, call, _ in CALLS:
        written.setdefault(name_of(call), set()).update(keyword.arg or "**" for keyword in call.keywords)
    wrong = [(name, written[name]) for name, event in KNOWN.items() if not may_write(written[name], event.fields)]
    assert wrong == []


def may_write(written: set[str], fields: tuple[str, ...]) -> bool:
    return "**" in written or written == set(fields)


def test_names_are_there_once() -> None:
    """Two rows of one name would say two things."""
    for names in ([one.name for one in SPANS], [one.name for one in METRICS], [one.name for one in EVENTS]):
        assert len(names) == len(set(names))
    assert [one.name for one in EVENTS] == sorted(one.name for one in EVENTS)


def test_every_span_and_metric_is_used_by_the_code() -> None:
    """What nobody emits is not in the table."""
    used = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES if path.name != "telemetry_names.py")
    names = {name for name, value in vars(telemetry_names).items() if value in (*SPANS, *METRICS)}
    assert len(names) == len(SPANS) + len(METRICS)
    assert {name for name in names if not re.search(rf"\b{name}\b", used)} == set()


def test_names_of_our_own_have_our_prefix() -> None:
    """Everything is `assay.*` but what a convention names."""
    conventional = ("gen_ai.", "server.", "error.", "assay.", "chat")
    all_names = {one.name for one in (*SPANS, *METRICS)} | {
        name for one in (*SPANS, *METRICS) for name in one.attributes
    }
    assert {name for name in all_names if not name.startswith(conventional)} == set()


def test_metrics_have_no_attribute_of_many_values() -> None:
    """A run, a row or a request as a dimension makes a time series of each."""
    many = {attribute(name) for name in ("run", "row", "chunk", "request_id", "worker")}
    assert [one.name for one in METRICS if many & set(one.attributes)] == []


def test_the_page_has_the_tables_of_the_code() -> None:
    """After a change: `python tools/telemetry_tables.py`."""
    spec = importlib.util.spec_from_file_location("telemetry_tables", ROOT / "tools" / "telemetry_tables.py")
    assert spec and spec.loader
    tables = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tables)
    page = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    assert tables.filled(page) == page
