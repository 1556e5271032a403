"""What a measurement says: its figures, its bounds and whether they were kept; as a JSON line and as a table row."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

COLUMNS = (
    "measurement",
    "limiter",
    "quota, load",
    "workers",
    "utilisation %",
    "429 %",
    "tokens over quota %, 1 / 10 / 60 s",
    "requests over quota %, 1 / 10 / 60 s",
    "useful per min",
    "rows lost",
    "storage ops per request",
    "p95 wait s",
    "budget overshoot",
    "bounds",
)
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Bound:
    """One figure and what it may be. A figure that could not be measured keeps no bound."""

    name: str
    value: float | None
    least: float | None = None
    most: float | None = None

    @property
    def is_kept(self) -> bool:
        if self.value is None:
            return False
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    def __str__(self) -> str:
        limits = [f"{sign} {limit:g}" for sign, limit in ((">=", self.least), ("<=", self.most)) if limit is not None]
        found = "not seen" if self.value is None else f"{self.value:.4g}"
        return f"{self.name} {found} ({' and '.join(limits)})"


@dataclass(frozen=True)
class Result:
    """One measurement. `how` is "processes" or "virtual time"."""

    measurement: str
    figures: Mapping[str, Any]
    bounds: Sequence[Bound] = ()
    how: str = "processes"
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_kept(self) -> bool:
        return all(bound.is_kept for bound in self.bounds)

    def as_json(self) -> str:
        bounds = [
            {"name": each.name, "value": each.value, "least": each.least, "most": each.most, "kept": each.is_kept}
            for each in self.bounds
        ]
        line = {"measurement": self.measurement, "how": self.how, **self.figures, **self.notes}
        return json.dumps({**line, "bounds": bounds, "ok": self.is_kept}, default=str)

    def as_row(self) -> list[str]:
        """The cells of `COLUMNS`; those that this measurement does not have are dashes."""
        get = self.figures.get
        return [
            self.measurement,
            str(get("limiter", NOTHING)),
            ", ".join(str(get(name)) for name in ("quota", "load") if get(name)) or NOTHING,
            str(get("workers", NOTHING)),
            _percent(get("utilisation"), 1),
            _percent(get("r429"), 2),
            _windows(get("over"), "tokens"),
            _windows(get("over"), "requests"),
            _number(get("useful_per_minute"), "{:,.0f}"),
            _number(get("rows_lost"), "{:,}"),
            _number(get("ops_per_request"), "{:.3f}"),
            _number(get("p95_wait_seconds"), "{:.1f}"),
            str(get("budget_overshoot", NOTHING)),
            self._verdict(),
        ]

    def _verdict(self) -> str:
        missed = [str(bound) for bound in self.bounds if not bound.is_kept]
        if missed:
            return "missed: " + "; ".join(missed)
        return "kept" if self.bounds else NOTHING


def table(results: Iterable[Result]) -> str:
    """The Markdown table of all that ran in processes, and a list of what was measured otherwise."""
    results = list(results)
    rows = [each.as_row() for each in results if "utilisation" in each.figures]
    lines = ["| " + " | ".join(cells) + " |" for cells in [list(COLUMNS), ["---"] * len(COLUMNS), *rows]]
    others = [f"* {each.measurement} ({each.how}): {_sentence(each)}" for each in results if each.bounds]
    return "\n".join([*(lines if rows else []), "", *others, ""])


def _sentence(result: Result) -> str:
    bounds = "; ".join(f"{bound}{'' if bound.is_kept else ' MISSED'}" for bound in result.bounds)
    named = [result.figures.get(name) for name in ("limiter", "quota", "load", "case")]
    about = ", ".join(str(value) for value in named if value is not None)
    workers = result.figures.get("workers")
    return f"{about}{'' if workers is None else f', {workers} workers'}: {bounds}"


def _percent(share: float | None, digits: int) -> str:
    return NOTHING if share is None else f"{100 * share:.{digits}f}"


def _windows(over: Mapping[str, Mapping[str, float]] | None, axis: str) -> str:
    return NOTHING if over is None else " / ".join(f"{100 * share:+.1f}" for share in over[axis].values())


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else form.format(value)
