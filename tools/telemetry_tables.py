"""Writes the tables of docs/telemetry.md from `assay.telemetry_names`. Run it after a change of the names."""

from __future__ import annotations

import re
from pathlib import Path

from assay.telemetry_names import EVENTS, METRICS, SPANS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "telemetry.md"


def tables() -> dict[str, str]:
    """The page's tables by the name of their mark."""
    spans = [
        (f"`{one.name}`", one.kind, "share" if one.sampled else "all", _names(one.attributes), one.meaning)
        for one in SPANS
    ]
    metrics = [(f"`{one.name}`", one.kind, f"`{one.unit}`", _names(one.attributes), one.meaning) for one in METRICS]
    events = [
        (f"`{one.name}`", "event, problem" if one.level == "either" else one.level, _names(one.fields), one.meaning)
        for one in EVENTS
    ]
    return {
        "spans": _table(("span", "kind", "sent", "attributes", "meaning"), spans),
        "metrics": _table(("metric", "kind", "unit", "attributes", "meaning"), metrics),
        "events": _table(("event", "level", "fields", "meaning"), events),
    }


def filled(page: str) -> str:
    """The page with its tables as they are now."""
    for mark, table in tables().items():
        begin, _, rest = page.partition(f"<!-- {mark} -->\n")
        after = re.sub(r"\A\n*(\|[^\n]*\n)*\n*", "", rest)
        page = f"{begin}<!-- {mark} -->\n\n{table}\n{after}"
    return page.rstrip("\n") + "\n"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
