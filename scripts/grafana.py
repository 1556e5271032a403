"""Writes infra/grafana/dashboard.json, the workbook's panels for Grafana's Azure Monitor data source.

`make dashboards` calls it after a change of a query; a test fails until then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from panels import PAGES, QUERIES, ROOT, Panel

Item = dict[str, Any]

DASHBOARD = ROOT / "infra" / "grafana" / "dashboard.json"

_SOURCE: Item = {"type": "grafana-azure-monitor-datasource", "uid": "${DataSource}"}
_KINDS = {
    "tiles": "stat",
    "table": "table",
    "timechart": "timeseries",
    "areachart": "timeseries",
    "barchart": "timeseries",
}
_DRAWN: dict[str, Item] = {"areachart": {"fillOpacity": 30}, "barchart": {"drawStyle": "bars"}}
_UNITS = {"percent": "percent", "seconds": "s", "USD": "currencyUSD"}
_COLUMNS, _PANEL_ROWS, _TILE_ROWS = 24, 8, 4


def main() -> None:
    """Write the dashboard anew."""
    DASHBOARD.write_text(rendered(), encoding="utf-8")
    print(f"{DASHBOARD.relative_to(ROOT)} has {sum(len(page.panels) for page in PAGES)} panels")


def rendered() -> str:
    """Return the dashboard as its file has it."""
    board: Item = {
        "title": "Assay runs",
        "uid": "assay-runs",
        "schemaVersion": 39,
        "tags": ["assay"],
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": variables()},
        "panels": list(panels()),
    }
    return json.dumps(board, indent=1, ensure_ascii=False) + "\n"


def variables() -> list[Item]:
    """Return what a reader can choose; the workspace is its resource id."""
    runs = (QUERIES / "parameter-runs.kql").read_text(encoding="utf-8")
    everything = {"text": "*", "value": "*"}
    return [
        {"name": "DataSource", "type": "datasource", "query": _SOURCE["type"]},
        {"name": "Workspace", "type": "textbox", "label": "Workspace (resource id)"},
        {"name": "Run", "type": "query", "datasource": _SOURCE, "query": target(runs, "table"), "current": everything},
        {"name": "RequestId", "type": "textbox", "label": "Provider request id"},
    ]


def panels() -> Iterator[Item]:
    """Yield a row for each page and its panels below, left to right."""
    left, top = 0, 0
    for page in PAGES:
        top, left = top + (_PANEL_ROWS if left else 0), 0
        yield {"type": "row", "title": page.title, "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1}, "panels": []}
        top += 1
        for panel in page.panels:
            width, height = _COLUMNS * panel.width // 100, _TILE_ROWS if panel.look == "tiles" else _PANEL_ROWS
            if left + width > _COLUMNS:
                left, top = 0, top + _PANEL_ROWS
            yield panel_of(panel, {"x": left, "y": top, "w": width, "h": height})
            left += width
            if left == _COLUMNS:
                left, top = 0, top + height


def panel_of(panel: Panel, place: Item) -> Item:
    """Return one query with its look."""
    is_over_time = _KINDS[panel.look] == "timeseries"
    defaults: Item = {"custom": _DRAWN.get(panel.look, {})}
    if panel.unit:
        defaults["unit"] = _UNITS[panel.unit]
    return {
        "type": _KINDS[panel.look],
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"reduceOptions": {"values": True}} if panel.look == "tiles" else {},
        "targets": [
            {"refId": "A", "datasource": _SOURCE, **target(panel.text(), "time_series" if is_over_time else "table")}
        ],
    }


def target(query: str, form: str) -> Item:
    """Return a query as the data source takes it; its parameters become Grafana's variables."""
    logs = {
        "query": query.replace("'{", "'${"),
        "resources": ["${Workspace}"],
        "resultFormat": form,
        "dashboardTime": True,
        "timeColumn": "TimeGenerated",
    }
    return {"queryType": "Azure Log Analytics", "azureLogAnalytics": logs}


if __name__ == "__main__":
    main()
