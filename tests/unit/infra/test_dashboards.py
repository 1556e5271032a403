"""Workbook, Grafana dashboard and alerts are made of the query files, and the page about them names all of it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
QUERIES = ROOT / "infra" / "queries"
NAMES = sorted(path.stem for path in QUERIES.glob("*.kql"))
ALERTS = (ROOT / "infra" / "modules" / "alerts.bicep").read_text("utf-8")
PAGE = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
PARAMETER = re.compile(r"\{(\w+)\}")


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The scripts are no part of the package."""
    monkeypatch.setattr(sys, "path", [str(ROOT / "scripts"), *sys.path])
    yield
    for name in ("panels", "workbook", "grafana"):
        sys.modules.pop(name, None)


def text_of(name: str) -> str:
    return (QUERIES / f"{name}.kql").read_text("utf-8")


def workbook_items() -> list[dict[str, Any]]:
    items = json.loads((ROOT / "infra" / "workbook.json").read_text("utf-8"))["items"]
    assert isinstance(items, list)
    return items


class TestQueries:
    @pytest.mark.parametrize("name", NAMES)
    def test_each_says_what_it_answers_and_with_which_parameters(self, name: str) -> None:
        """A person finds it in a list of files, or in the portal's history."""
        comment, _, query = text_of(name).partition("\nlet " if "\nlet " in text_of(name) else "\nApp")
        assert comment.startswith("// Alert: " if name.startswith("alert-") else "// ")
        explained = comment[comment.index("Parameters: ") :]
        wanted = {*PARAMETER.findall(query), *(["limit"] if "let limit = " in text_of(name) else [])}
        assert [one for one in wanted if one not in explained] == []
        assert bool(wanted) != ("Parameters: none." in comment)

    def test_each_is_used_once(self) -> None:
        """A panel, an alert, or the choices of a parameter; a file that nothing shows is no use."""
        from panels import PAGES

        shown = [panel.query for page in PAGES for panel in page.panels]
        watched = re.findall(r"'\.\./queries/([a-z-]+)\.kql'", ALERTS)
        assert sorted([*shown, *watched, "parameter-runs"]) == NAMES


class TestWorkbook:
    def test_the_file_is_what_the_script_makes(self) -> None:
        """`make dashboards` after a change of a query or a panel."""
        import workbook

        assert workbook.WORKBOOK.read_text("utf-8") == workbook.rendered()

    def test_every_parameter_of_a_query_is_a_parameter_of_the_workbook(self) -> None:
        """The portal leaves others in the query's text as they are, and the query finds nothing."""
        parameters = {one["name"] for one in workbook_items()[0]["content"]["parameters"]}
        asked = {name for file in NAMES for name in PARAMETER.findall(text_of(file))}
        assert asked == parameters - {"TimeRange"}

    def test_its_parts_have_names_of_their_own(self) -> None:
        """The portal tells items by name, and parameters by id."""
        items = workbook_items()
        assert len({one["name"] for one in items}) == len(items)
        ids = [one["id"] for one in [*items[0]["content"]["parameters"], *items[1]["content"]["links"]]]
        assert len(set(ids)) == len(ids)

    def test_every_panel_is_on_a_tab_and_reads_the_workspace(self) -> None:
        """Else it would never show, or ask the workbook's own resource, which has other tables."""
        items = workbook_items()
        tabs = {one["subTarget"] for one in items[1]["content"]["links"]}
        for panel in items[2:]:
            assert panel["conditionalVisibility"]["value"] in tabs
            assert panel["content"]["crossComponentResources"] == ["__WORKSPACE_ID__"]

    def test_the_workspace_is_put_in_by_its_module_and_the_file_fits_into_it(self) -> None:
        """Bicep loads texts of at most 131,072 characters."""
        import workbook

        module = (ROOT / "infra" / "modules" / "workbook.bicep").read_text("utf-8")
        assert f"replace(loadTextContent('../workbook.json'), '{workbook.WORKSPACE_ID}', workspaceId)" in module
        assert len(workbook.rendered()) < 131_072


class TestGrafana:
    def test_the_file_is_what_the_script_makes(self) -> None:
        """`make dashboards` after a change of a query or a panel."""
        import grafana

        assert grafana.DASHBOARD.read_text("utf-8") == grafana.rendered()

    def test_parameters_are_variables(self) -> None:
        """Grafana knows ${Run}, not {Run}."""
        board = json.loads((ROOT / "infra" / "grafana" / "dashboard.json").read_text("utf-8"))
        variables = {one["name"] for one in board["templating"]["list"]}
        assert set(re.findall(r"\$\{(\w+)\}", json.dumps(board))) == variables
        assert "'{" not in json.dumps(board)

    def test_no_panel_lies_on_another(self) -> None:
        """Places are worked out from left to right and from top to bottom."""
        import grafana

        taken: set[tuple[int, int]] = set()
        for panel in grafana.panels():
            place = panel["gridPos"]
            cells = {
                (column, row)
                for column in range(place["x"], place["x"] + place["w"])
                for row in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken
            assert place["x"] + place["w"] <= 24
            taken |= cells


class TestAlerts:
    def test_each_limit_that_the_module_replaces_is_in_its_query(self) -> None:
        """A replacement that finds nothing would leave the parameter without effect."""
        replaced = re.findall(
            r"queries/(alert-[a-z-]+)\.kql'\), '(let limit = \d+;)', 'let limit = \$\{(\w+)\};'", ALERTS
        )
        assert {name for name, _, _ in replaced} == {name for name in NAMES if "let limit = " in text_of(name)}
        for name, statement, parameter in replaced:
            assert text_of(name).count(statement) == 1
            assert f"param {parameter} int = {re.findall(r'[0-9]+', statement)[0]}\n" in ALERTS

    def test_each_query_begins_with_a_table(self) -> None:
        """Azure creates no rule whose query has `union` or `search`, and `take` makes alerts come and go."""
        words = {name: set(re.findall(r"\w+", text_of(name))) for name in NAMES if name.startswith("alert-")}
        assert [name for name, used in words.items() if used & {"union", "search", "take", "top", "find"}] == []
        assert [name for name in words if not re.search(r"^(App|AZKV|Storage)\w+$", text_of(name), re.MULTILINE)] == []

    def test_each_has_a_section_that_says_what_to_do(self) -> None:
        """The alert's description leads there."""
        alerts = [*re.findall(r"^    name: '([a-z-]+)'$", ALERTS, re.MULTILINE), "storage-denied"]
        assert len(alerts) >= 11
        assert [name for name in alerts if f"### {name}\n" not in PAGE] == []

    def test_each_looks_as_often_and_as_far_back_as_azure_allows(self) -> None:
        """Other spans are refused when the rule is created; and a window is no shorter than the pause between looks."""
        queries = set(re.findall(r"every: 'PT(\w+)'\n    window: 'PT(\w+)'", ALERTS))
        metrics = set(re.findall(r"evaluationFrequency: 'PT(\w+)'\n    windowSize: 'PT(\w+)'", ALERTS))
        assert len(queries) >= 3 and len(metrics) == 2
        for rules, spans in ((queries, "5M 10M 15M 30M 45M 1H 2H 3H 4H 5H 6H"), (metrics, "1M 5M 15M 30M 1H 6H 12H")):
            allowed = spans.split()
            assert {one for pair in rules for one in pair} <= set(allowed)
            assert all(allowed.index(every) <= allowed.index(window) for every, window in rules)

    def test_key_vault_writes_the_table_that_they_read(self) -> None:
        """Without this its log lands in AzureDiagnostics."""
        vault = (ROOT / "infra" / "modules" / "key-vault.bicep").read_text("utf-8")
        assert "AZKVAuditLogs" in text_of("alert-vault-denied")
        assert "logAnalyticsDestinationType: 'Dedicated'" in vault


def test_every_panel_is_explained() -> None:
    """The page lists what the workbook shows, by title."""
    from panels import PAGES

    assert [panel.title for page in PAGES for panel in page.panels if panel.title not in PAGE] == []
