"""What the workbook and the dashboard show, page by page; `workbook.py` and `grafana.py` lay it out.

Every panel shows the result of one file of infra/queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
QUERIES = ROOT / "infra" / "queries"

Look = Literal["tiles", "table", "timechart", "areachart", "barchart"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One query and how its result looks. `bars` are columns with percents, drawn as bars; `width` is in percent."""

    query: str
    title: str
    look: Look
    width: int = 50
    unit: Literal["", "percent", "seconds", "USD"] = ""
    bars: tuple[str, ...] = ()

    def text(self) -> str:
        """The query as its file has it."""
        return (QUERIES / f"{self.query}.kql").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Page:
    """A tab of the workbook, a row of the dashboard."""

    name: str
    title: str
    panels: tuple[Panel, ...]


PAGES = (
    Page(
        "overview",
        "Runs",
        (
            Panel("state-counts", "Runs by state", "tiles", 100),
            Panel("runs", "Runs", "table", 100, bars=("DonePercent",)),
            Panel("ended-runs", "Ended runs", "table", 100),
            Panel("progress", "Finished trials, percent", "timechart", unit="percent"),
            Panel("eta", "Runs under way and when they will be through", "table"),
            Panel("throughput", "Trials per minute", "timechart"),
            Panel("outcomes", "Trials by outcome", "areachart"),
        ),
    ),
    Page(
        "models",
        "Quota and models",
        (
            Panel("quota-use", "Quota used, percent", "timechart", unit="percent"),
            Panel("throttling", "Requests answered with 429, percent", "timechart", unit="percent"),
            Panel("quota-wait", "Wait for quota", "table"),
            Panel("requests", "Requests by status", "table"),
            Panel("latency", "Time of a request, seconds", "timechart", unit="seconds"),
            Panel("tokens", "Tokens per minute", "timechart"),
        ),
    ),
    Page(
        "cost",
        "Cost",
        (
            Panel("cost", "Cost against budget", "table", 100, bars=("SpentPercent",)),
            Panel("budget-use", "Budget spent, percent", "timechart", unit="percent"),
            Panel("spending", "Cost per hour, US dollars", "barchart", unit="USD"),
        ),
    ),
    Page(
        "failures",
        "Failures",
        (
            Panel("failures", "Trials that did not succeed, by class", "table"),
            Panel("problems", "Problems", "table"),
            Panel("quarantine", "Set aside", "table", 100),
            Panel("poison", "Messages in quarantine and poison queues", "barchart"),
            Panel("denied", "Refused by Key Vault or storage", "table"),
            Panel("exceptions", "Exceptions", "table"),
            Panel("telemetry-lost", "Telemetry that got lost", "table"),
        ),
    ),
    Page(
        "workers",
        "Workers and queues",
        (
            Panel("workers", "Workers, and trials under way", "timechart"),
            Panel("trials-under-way", "Trials under way on each replica", "timechart"),
            Panel("queue-age", "Age of messages, seconds", "timechart", unit="seconds"),
            Panel("chunk-duration", "Time for a chunk", "table"),
        ),
    ),
    Page(
        "run",
        "One run",
        (
            Panel("run-timeline", "What happened", "table", 100),
            Panel("run-steps", "Steps", "table"),
            Panel("run-chunks", "Chunks by experiment", "table"),
            Panel("run-trials", "Failed and slow trials", "table", 100),
            Panel("failed-attempts", "Failed attempts at a model", "table", 100),
        ),
    ),
    Page(
        "request",
        "One request",
        (
            Panel("request", "The request", "table", 100),
            Panel("operation", "Its trace", "table", 100),
        ),
    ),
)
