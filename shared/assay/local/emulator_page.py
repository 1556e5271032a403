"""The referee's report as one HTML page that needs nothing else: no script, no other file.

Called by `emulator_desk`. It reloads itself every few seconds.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from assay.local.emulated_quota import TOKEN_WINDOW_SECONDS

RELOAD_SECONDS = 5

_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;max-width:74rem;margin:2rem auto;padding:0 1rem;color:#1b1f24}"
    "table{border-collapse:collapse;margin:.6rem 0 1.4rem}caption{text-align:left;color:#57606a}"
    "th,td{padding:.2rem .8rem;text-align:right;border-bottom:1px solid #d0d7de;font-variant-numeric:tabular-nums}"
    "th:first-child,td:first-child{text-align:left}div{display:flex;flex-wrap:wrap;gap:0 3rem;"
    "align-items:flex-start}h2{margin:1.6rem 0 0}.over{color:#b00020;font-weight:600}.short{color:#57606a}"
)


def report_page(report: Mapping[str, Any]) -> str:
    """The page of a report as `Referee.report` gives it."""
    deployments = report["deployments"]
    parts = [_deployment(name, figures) for name, figures in deployments.items()]
    body = _overview(deployments) + _bills(report) + "".join(parts) if parts else "<p>No deployment yet.</p>"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" '
        f'content="{RELOAD_SECONDS}"><title>Emulated quotas</title><style>{_STYLE}</style></head><body>'
        f"<h1>Emulated quotas</h1><p>{escape(_situation(report))}</p>{body}{_shield(report)}</body></html>\n"
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
    if not schedule["down"]:
        words += [f"region {name} is down" for name, region in report["regions"].items() if region["down"]]
    return ", ".join(words) + "."


def _state(figures: Mapping[str, Any]) -> str:
    """What is in force at one deployment, in a few words."""
    told = figures["told"]
    words = ["down"] if told["down"] else []
    if told["refusal"] is not None:
        words.append(f"refuses: {told['refusal']}")
    if told["quota_factor"] != 1:
        words.append(f"cut to {told['quota_factor']:.0%}" + ("" if told["headers_tell"] else ", untold"))
    words += [f"{share:.1%} {kind}" for kind, share in {**told["faults"], **told["told_faults"]}.items()]
    return ", ".join(words) or "as usual"


def _overview(deployments: Mapping[str, Any]) -> str:
    heads = ("deployment", "offered", "admitted", "rejected", "429", "worst 1 s", "worst 10 s", "worst 60 s", "state")
    rows = [_overview_row(name, figures) for name, figures in deployments.items()]
    return _table("All deployments; worst windows of admitted load against the quota, on either axis", heads, rows)


def _overview_row(name: str, figures: Mapping[str, Any]) -> str:
    rejected = sum(figures["rejected"].values())
    counts = [_count(count) for count in (figures["offered"], figures["admitted"], rejected)]
    worst = [_worst_cell(figures, seconds) for seconds in ("1", "10", "60")]
    cells = _cells([name, *counts, f"{figures['share_429']:.2%}"])
    return f"<tr>{cells}{''.join(worst)}{_cells([_state(figures)])}</tr>"


def _worst_cell(figures: Mapping[str, Any], seconds: str) -> str:
    overruns = [
        (windows[seconds]["overrun_percent"], _is_kept(figures, axis, seconds))
        for axis, windows in figures["windows"]["admitted"].items()
        if windows[seconds]["overrun_percent"] is not None
    ]
    return _overrun(*max(overruns, default=(None, False)))


def _is_kept(figures: Mapping[str, Any], axis: str, seconds: str) -> bool:
    """Whether the service keeps the axis within windows this short: in a shorter one, more is no overrun."""
    shortest: float = figures["request_window_seconds"] if axis == "requests" else TOKEN_WINDOW_SECONDS
    return float(seconds) >= shortest


def _overrun(percent: float | None, is_kept: bool) -> str:
    if percent is None:
        return "<td>-</td>"
    style = "" if percent <= 0.05 else ' class="over"' if is_kept else ' class="short"'
    return f"<td{style}>{percent:+.1f} %</td>"


def _bills(report: Mapping[str, Any]) -> str:
    heads = ("deployment", "model", "requests", "prompt", "of it cached", "completion", "USD", "USD unseen")
    bills = {name: figures["bill"] for name, figures in report["deployments"].items()}
    rows = [_row([name, bill["model"], *_bill_cells(bill)]) for name, bill in bills.items()]
    rows.append(_row(["all", "", *_bill_cells(report["bill"])]))
    return _table("Bill since the start or the last reset; unseen is what no caller was told", heads, rows)


def _bill_cells(bill: Mapping[str, Any]) -> Sequence[str]:
    names = ("requests", "prompt_tokens", "cached_prompt_tokens", "completion_tokens")
    return [*(_count(bill[name]) for name in names), bill["usd"] or "no price", bill["unseen"]["usd"] or "no price"]


def _shield(report: Mapping[str, Any]) -> str:
    verdicts = report.get("shield", {}).get("by_verdict", {})
    told = ", ".join(f"{count:,} {verdict}" for verdict, count in verdicts.items())
    return f"<h2>Prompt shield</h2><p>{escape(told)}.</p>" if told else ""


def _table(caption: str, heads: Iterable[str], rows: Iterable[str]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    return f"<table><caption>{escape(caption)}</caption><tr>{head}</tr>{''.join(rows)}</table>"


def _row(cells: Iterable[str]) -> str:
    return f"<tr>{_cells(cells)}</tr>"


def _cells(cells: Iterable[str]) -> str:
    return "".join(f"<td>{escape(cell)}</td>" for cell in cells)


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
    rows = "".join(_row(pair) for pair in counts)
    heads = ("load and axis", "window", "held", "allowed", "overrun")
    return (
        f"<h2>{escape(name)}</h2><div><table><caption>{caption}</caption>{rows}</table>"
        f"{_table('Worst windows; grey: shorter than any that the service keeps', heads, _window_rows(figures))}</div>"
    )


def _window_rows(figures: Mapping[str, Any]) -> Iterable[str]:
    for load, axes in figures["windows"].items():
        for axis, lengths in axes.items():
            for seconds, worst in lengths.items():
                allowed = "-" if worst["allowed"] is None else f"{worst['allowed']:,.1f}"
                cells = _cells([f"{load} {axis}", f"{seconds} s", _count(worst["amount"]), allowed])
                yield f"<tr>{cells}{_overrun(worst['overrun_percent'], _is_kept(figures, axis, seconds))}</tr>"


def _count(number: int | None) -> str:
    return "no limit" if number is None else f"{number:,}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
