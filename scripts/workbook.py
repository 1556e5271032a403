"""Writes infra/workbook.json, the Azure Monitor workbook, from `panels.py` and the query files.

`make dashboards` calls it after a change of a query; a test fails until then. The format is that of the gallery
github.com/microsoft/Application-Insights-Workbooks.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from panels import PAGES, QUERIES, ROOT, Page, Panel

Item = dict[str, Any]

WORKBOOK = ROOT / "infra" / "workbook.json"
WORKSPACE_ID = "__WORKSPACE_ID__"
"""What modules/workbook.bicep replaces by the workspace's resource id: a picker would offer the workbook's own only."""

_SOURCE: Item = {
    "queryType": 0,
    "resourceType": "microsoft.operationalinsights/workspaces",
    "crossComponentResources": [WORKSPACE_ID],
}
_HOURS = (1, 4, 12, 24, 48, 24 * 7, 24 * 30)
_BIG_NUMBER, _BAR = 12, 3  # as the portal numbers its formatters


def main() -> None:
    """Write the workbook anew."""
    WORKBOOK.write_text(rendered(), encoding="utf-8")
    print(f"{WORKBOOK.relative_to(ROOT)} has {sum(len(page.panels) for page in PAGES)} panels")


def rendered() -> str:
    """Return the workbook as its file has it."""
    panels = [panel_item(page, panel) for page in PAGES for panel in page.panels]
    book: Item = {
        "version": "Notebook/1.0",
        "items": [parameters_item(), tabs_item(), *panels],
        "fallbackResourceIds": [WORKSPACE_ID],
        "$schema": "https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json",
    }
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


def parameters_item() -> Item:
    """Return what a reader can choose: the time range, a run, a request id."""
    parameters = [time_parameter(), run_parameter(), request_parameter()]
    content = {"version": "KqlParameterItem/1.0", "parameters": parameters, "style": "pills", **_SOURCE}
    return {"type": 9, "content": content, "name": "parameters"}


def parameter(name: str, label: str, kind: int, **more: Any) -> Item:
    """Return one parameter; `kind` is the portal's number for it."""
    return {
        "id": stable_id(name),
        "version": "KqlParameterItem/1.0",
        "name": name,
        "label": label,
        "type": kind,
        **more,
    }


def time_parameter() -> Item:
    """Return the time range of every query, a day unless chosen."""
    choices = {"selectableValues": [duration(hours) for hours in _HOURS], "allowCustom": True}
    return parameter("TimeRange", "Time range", 4, isRequired=True, value=duration(24), typeSettings=choices)


def run_parameter() -> Item:
    """Return the run to look at, all unless chosen."""
    query = (QUERIES / "parameter-runs.kql").read_text(encoding="utf-8")
    choices = {"additionalResourceOptions": [], "showDefault": False}
    more: Item = {"query": query, "timeContextFromParameter": "TimeRange", **_SOURCE}
    return parameter("Run", "Run", 2, isRequired=True, value="*", typeSettings=choices, **more)


def request_parameter() -> Item:
    """Return the service's id of the request to look at."""
    return parameter("RequestId", "Provider request id", 1, value="")


def tabs_item() -> Item:
    """Return the tabs: only the panels of the chosen one are queried."""
    links = [
        {
            "id": stable_id(f"tab {page.name}"),
            "cellValue": "Page",
            "linkTarget": "parameter",
            "linkLabel": page.title,
            "subTarget": page.name,
            "style": "link",
        }
        for page in PAGES
    ]
    return {"type": 11, "content": {"version": "LinkItem/1.0", "style": "tabs", "links": links}, "name": "tabs"}


def panel_item(page: Page, panel: Panel) -> Item:
    """Return one query with its look."""
    content: Item = {
        "version": "KqlItem/1.0",
        "query": panel.text(),
        "size": 0,
        "title": panel.title,
        "noDataMessage": "Nothing in this time range.",
        "timeContextFromParameter": "TimeRange",
        "showExportToExcel": panel.look == "table",
        **_SOURCE,
        "visualization": panel.look,
        **settings(panel),
    }
    return {
        "type": 3,
        "content": content,
        "conditionalVisibility": {"parameterName": "Page", "comparison": "isEqualTo", "value": page.name},
        "customWidth": str(panel.width),
        "name": panel.query,
    }


def settings(panel: Panel) -> Item:
    """Return what a look needs beside the query."""
    if panel.look == "tiles":
        number = {"columnMatch": "Runs", "formatter": _BIG_NUMBER, "formatOptions": {"palette": "none"}}
        return {"tileSettings": {"titleContent": {"columnMatch": "State"}, "leftContent": number, "showBorder": True}}
    if panel.look == "table":
        bar: Item = {"formatter": _BAR, "formatOptions": {"min": 0, "max": 100, "palette": "blue"}}
        bars = [{"columnMatch": column, **bar} for column in panel.bars]
        return {"gridSettings": {"formatters": bars, "filter": True, "rowLimit": 500}}
    return {"chartSettings": {"ySettings": {"min": 0}}}


def duration(hours: int) -> Item:
    """Return a time range that ends now."""
    return {"durationMs": hours * 3_600_000}


def stable_id(name: str) -> str:
    """Return the same id for the same name every time."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"assay-workbook/{name}"))


if __name__ == "__main__":
    main()
