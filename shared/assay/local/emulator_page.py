"""The referee's report as one HTML page that needs nothing else: no script, no other file.

Called by `emulator_desk`. It reloads itself every few seconds.
"""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

RELOAD_SECONDS = 5

_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;margin:.6rem 0 1.4rem}caption{text-align:left;color:#57606a}"
    "th,td{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #d0d7de;font-variant-numeric:tabular-nums}"
    "th:first-child,td:first-child{text-align:left}.over{color:#b00020;font-weight:600}"
)


def report_page(report: Mapping[str, Any]) -> str:
    """The page of a report as `Referee.report` gives it."""
    parts = [_deployment(name, figures) for name, figures in report["deployments"].items()]
    body = "".join(parts) or "<p>No deployment yet.</p>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" '
        f'content="{RELOAD_SECONDS}"><title>Emulated quotas</title><style>{_STYLE}</style></head><body>'
        f"<h1>Emulated quotas</h1><p>{escape(_situation(report))}</p>{body}</body></html>\n"
    )


def _situation(report: Mapping[str, Any]) -> str:
    schedule = report["schedule"]
    told = "told" if schedule["headers_tell"] else "not told"
    words = [f"Clock {report['now']:.1f} s; schedule at {schedule['seconds']:.1f} s"]
    if schedule["down"]:
        words.append("down")
    if schedule["quota_factor"] != 1:
        words.append(f"quota cut to {schedule['quota_factor']:.0%}, {told} by the headers")
    words += [f"{share:.1%} {kind}" for kind, share in schedule["faults"].items()]
    return ", ".join(words) + "."


def _deployment(name: str, figures: Mapping[str, Any]) -> str:
    used = figures["utilisation"]
    counts = [
        ("offered", _count(figures["offered"])),
        ("admitted", _count(figures["admitted"])),
        *((f"rejected: {reason}", _count(count)) for reason, count in figures["rejected"].items()),
        ("429 share", f"{figures['share_429']:.2%}"),
        ("requests a minute", _count(figures["requests_per_minute"])),
        ("tokens a minute", _count(figures["tokens_per_minute"])),
        ("utilisation", _share(used["binding"]) + (f" of {used['binding_axis']}" if used["binding_axis"] else "")),
        ("measured seconds", f"{used['seconds']:.1f}"),
    ]
    caption = escape(figures["accounting"]) + " accounting" + ("" if figures["enforced"] else ", limits not enforced")
    rows = "".join(f"<tr><td>{escape(label)}</td><td>{escape(value)}</td></tr>" for label, value in counts)
    return (
        f"<h2>{escape(name)}</h2><table><caption>{caption}</caption>{rows}</table>"
        f"<table><caption>Worst windows</caption>{_head()}{''.join(_window_rows(figures['windows']))}</table>"
    )


def _head() -> str:
    names = ("load and axis", "window", "held", "allowed", "overrun")
    return "<tr>" + "".join(f"<th>{name}</th>" for name in names) + "</tr>"


def _window_rows(windows: Mapping[str, Any]) -> Iterable[str]:
    for load, axes in windows.items():
        for axis, lengths in axes.items():
            for seconds, worst in lengths.items():
                yield _window_row(f"{load} {axis}", seconds, worst)


def _window_row(label: str, seconds: str, worst: Mapping[str, Any]) -> str:
    overrun = worst["overrun_percent"]
    style = ' class="over"' if overrun is not None and overrun > 0.05 else ""
    shown = "-" if overrun is None else f"{overrun:+.1f} %"
    allowed = "-" if worst["allowed"] is None else f"{worst['allowed']:,.1f}"
    cells = (escape(label), f"{seconds} s", _count(worst["amount"]), allowed)
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + f"<td{style}>{shown}</td></tr>"


def _count(number: int | None) -> str:
    return "no limit" if number is None else f"{number:,}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
