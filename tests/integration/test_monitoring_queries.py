"""The queries of workbook and alerts fit the tables that they read and the names that the code emits.

Kusto's own language service analyses them (tools/checks/analyse_queries.mjs); nothing here has run in a workspace.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from assay import telemetry_names as names
from assay.records import TrialStatus

ROOT = Path(__file__).resolve().parents[2]
ANALYSER = ROOT / "tools" / "checks" / "analyse_queries.mjs"
QUERIES = ROOT / "infra" / "queries"
ALERTS = ROOT / "infra" / "modules" / "alerts.bicep"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")

Analysis = dict[str, Any]

METRICS = {one.name: one for one in names.METRICS}
SPANS = {f"{one.name} *" if one.named_by else one.name: one for one in names.SPANS}
EVENTS = {one.name: one for one in names.EVENTS}
BOUND = {names.EVENT_NAME, *map(names.attribute, names.BOUND_FIELDS)}
TABLES_OF_SPANS = {"server": "AppRequests", "consumer": "AppRequests", "client": "AppDependencies"}
SHOWN_OTHERWISE = {"gen_ai.client.token.usage"}  # `assay.tokens` has the same tokens by deployment


def analyse(*files: Path) -> tuple[dict[str, Analysis], int]:
    """What the analyser says of each file, and its exit code."""
    command = ["node", str(ANALYSER), str(QUERIES / "tables.json"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout), done.returncode


@pytest.fixture(scope="module")
def analyses() -> dict[str, Analysis]:
    return analyse(*sorted(QUERIES.glob("*.kql")))[0]


@pytest.fixture(scope="module")
def panels() -> Iterator[ModuleType]:
    """The script's module, which is no part of the package."""
    sys.path.insert(0, str(ROOT / "scripts"))
    import panels as module

    yield module
    sys.path.remove(str(ROOT / "scripts"))


def mistakes(read: Analysis) -> list[str]:
    """What a pipeline asks of our telemetry that the code does not emit."""
    unknown = [f"{key!r} of {read['tables']}" for key in read["keys"] if key not in known_keys(read)]
    unknown += [f"{name!r} is no name in {read['tables']}" for name in named(read) if name not in known_names(read)]
    outcomes = set(read["values"].get(names.OUTCOME, ())) - set(TrialStatus)
    return unknown + [f"{one!r} is no outcome" for one in outcomes]


def named(read: Analysis) -> list[str | None]:
    """Metrics and spans by the column Name, events by their attribute."""
    return [*read["columns"].get("Name", ()), *read["values"].get(names.EVENT_NAME, ())]


def known_names(read: Analysis) -> set[str]:
    tables = set(read["tables"])
    found = {name for name, one in SPANS.items() if TABLES_OF_SPANS.get(one.kind, "AppDependencies") in tables}
    found |= set(METRICS) if "AppMetrics" in tables else set()
    return found | (set(EVENTS) if "AppTraces" in tables else set())


def known_keys(read: Analysis) -> set[str]:
    """Attributes that all named metrics have; those of any named span or event; of any at all where none is named."""
    asked = [one for one in named(read) if one]
    if read["tables"] == ["AppMetrics"]:
        return set.intersection(*({*METRICS[one].attributes} if one in METRICS else set() for one in asked or [""]))
    if read["tables"] == ["AppTraces"]:
        events = [EVENTS[one] for one in asked if one in EVENTS] or names.EVENTS
        return BOUND.union(*(map(names.attribute, one.fields) for one in events))
    spans = [SPANS[one] for one in asked if one in SPANS] or names.SPANS
    return set().union(*(one.attributes for one in spans))


class TestQueries:
    def test_none_has_a_mistake(self, analyses: dict[str, Analysis]) -> None:
        """Unknown columns and tables, wrong types and syntax."""
        assert {name: one["errors"] for name, one in analyses.items() if one["errors"]} == {}

    def test_all_ask_for_what_the_code_emits(self, analyses: dict[str, Analysis]) -> None:
        """A name that was changed in the code would leave a panel empty, and an alert silent."""
        ours = {name: [read for read in one["reads"] if is_ours(read)] for name, one in analyses.items()}
        wrong = {name: [text for read in reads for text in mistakes(read)] for name, reads in ours.items()}
        assert {name: texts for name, texts in wrong.items() if texts} == {}
        assert sum(len(reads) for reads in ours.values()) >= len(analyses)

    def test_gauges_are_read_from_their_sum(self, analyses: dict[str, Analysis]) -> None:
        """Azure's exporter sends the smallest and the greatest value of histograms only."""
        gauges = {one.name for one in names.METRICS if one.kind != "histogram"}
        reading = [
            name for name, one in analyses.items() if any(gauges.intersection(named(read)) for read in one["reads"])
        ]
        assert len(reading) > len(gauges) / 2
        assert [name for name in reading if "(Max)" in (QUERIES / name).read_text("utf-8")] == []

    def test_every_metric_is_looked_at(self, analyses: dict[str, Analysis]) -> None:
        """What nobody looks at need not be paid for."""
        read = {name for one in analyses.values() for read in one["reads"] for name in named(read)}
        assert set(METRICS) - read == SHOWN_OTHERWISE


def is_ours(read: Analysis) -> bool:
    return all(table.startswith("App") for table in read["tables"])


PLANTED = {
    "column": ("AppMetrics | where Nmae == 'assay.trials'", "KS142"),
    "table": ("AppMetric | take 1", "KS204"),
    "type": ("AppMetrics | summarize sum(Name)", "KS138"),
    "argument": ("AppMetrics | summarize Trials = sum(Sum) by bin(Name, 5m)", "KS"),
    "syntax": ("AppMetrics | where (Name == 'assay.trials'", "KS005"),
}
RENAMED = {
    "metric": "AppMetrics | where Name == 'assay.trails'",
    "one_metric_of_two": "AppMetrics | summarize sumif(Sum, Name == 'assay.cost'), sumif(Sum, Name == 'assay.cots')",
    "metric_in_a_list": "AppMetrics | where Name in ('assay.trials', 'assay.trails')",
    "dimension": "AppMetrics | where Name == 'assay.trials' | project Properties['assay.queue']",
    "no_metric": "AppMetrics | summarize sum(Sum) by tostring(Properties['assay.queue'])",
    "span": "AppRequests | where Name == 'assay.chunks'",
    "span_elsewhere": "AppDependencies | where Name == 'assay.chunk'",
    "span_without_its_rest": "AppDependencies | where Name == 'assay.step'",
    "begin_of_a_span": "AppDependencies | where Name startswith 'assay.tri'",
    "attribute": "AppRequests | where Name == 'assay.chunk' | where Properties['assay.row'] == 'r1'",
    "event": "AppTraces | where tostring(Properties['assay.event']) == 'run_done'",
    "event_by_alias": "AppTraces | extend Event = tostring(Properties['assay.event']) | where Event == 'run_done'",
    "event_by_second_alias": (
        "AppTraces | extend A = tostring(Properties['assay.event']) | extend B = A | where B !in ('run_done')"
    ),
    "field": "AppTraces | where Properties['assay.event'] == 'run_failed' | project Properties['assay.chunks']",
    "dotted_key": "AppTraces | where Properties.event == 'run_failed'",
    "outcome": "AppMetrics | where Name == 'assay.trials' and Properties['assay.outcome'] == 'success'",
    "name_worked_out": "let prefix = 'assay.'; AppMetrics | where Name == strcat(prefix, 'trials')",
    "inner_pipeline": "AppTraces | join (AppMetrics | where Name == 'assay.trails') on OperationId",
}


class TestAnalyser:
    """Each mistake is planted once."""

    def test_it_finds_what_does_not_fit_the_tables(self, tmp_path: Path) -> None:
        """With the code by which Kusto itself refuses such a query, and exit code 1."""
        found, code = analyse(*(written(tmp_path, name, query) for name, (query, _) in PLANTED.items()))
        assert code == 1
        for name, (_, expected) in PLANTED.items():
            assert [one for one in found[f"{name}.kql"]["errors"] if one["code"].startswith(expected)], name

    def test_it_finds_names_that_the_code_does_not_emit(self, tmp_path: Path) -> None:
        """Queries without a mistake that would find nothing."""
        found, code = analyse(*(written(tmp_path, name, query) for name, query in RENAMED.items()))
        assert code == 0
        missed = [name for name in RENAMED if not any(map(mistakes, found[f"{name}.kql"]["reads"]))]
        assert missed == []


def written(folder: Path, name: str, query: str) -> Path:
    file = folder / f"{name}.kql"
    file.write_text(query, encoding="utf-8")
    return file


class TestPanels:
    def test_charts_have_time_and_numbers(self, analyses: dict[str, Analysis], panels: ModuleType) -> None:
        """The portal draws nothing otherwise."""
        charts = [one for page in panels.PAGES for one in page.panels if one.look.endswith("chart")]
        for panel in charts:
            columns = analyses[f"{panel.query}.kql"]["columns"]
            assert columns.get("TimeGenerated") == "datetime", panel.query
            assert {"real", "long", "int"} & set(columns.values()), panel.query
            assert list(columns.values()).count("string") <= 1, panel.query

    def test_what_looks_name_is_in_the_result(self, analyses: dict[str, Analysis], panels: ModuleType) -> None:
        """Bars and tiles are drawn from columns by name."""
        shown = [one for page in panels.PAGES for one in page.panels]
        for panel in shown:
            wanted = {*panel.bars, *({"State", "Runs"} if panel.look == "tiles" else ())}
            assert wanted <= set(analyses[f"{panel.query}.kql"]["columns"]), panel.query


class TestAlerts:
    def test_each_is_split_by_a_text_of_its_result(self, analyses: dict[str, Analysis]) -> None:
        """Azure takes no other dimension."""
        rules = re.findall(r"queries/(alert-[a-z-]+\.kql)'.*?dimension: '(\w+)'", ALERTS.read_text("utf-8"), re.DOTALL)
        assert len(rules) == len(list(QUERIES.glob("alert-*.kql")))
        assert [(name, column) for name, column in rules if analyses[name]["columns"].get(column) != "string"] == []
