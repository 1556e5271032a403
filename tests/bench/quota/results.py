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
ROW_FIGURES = {"utilisation", "budget_overshoot"}
"""A measurement that has one of them is a row of the table."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One figure and what it may be; without `least` and `most` it is only told. One that was not seen keeps no bound.

    `target` says what the product is to reach in long runs. `not_judged` is why the figure proves nothing here.
    """

    name: str
    value: float | None
    least: float | None = None
    most: float | None = None
    target: str = ""
    not_judged: str = ""

    @property
    def is_kept(self) -> bool:
        if self.value is None:
            return False
        return (self.least is None or self.value >= self.least) and (self.most is None or self.value <= self.most)

    @property
    def is_missed(self) -> bool:
        return not self.is_kept and not self.not_judged

    @property
    def verdict(self) -> str:
        return "not judged" if self.not_judged else "kept" if self.is_kept else "missed"

    def __str__(self) -> str:
        limits = [f"{sign} {limit:g}" for sign, limit in ((">=", self.least), ("<=", self.most)) if limit is not None]
        found = "not seen" if self.value is None else f"{self.value:.4g}"
        known = "; ".join(part for part in (" and ".join(limits), self.target, self.not_judged) if part)
        return f"{self.name} {found} ({known})" if known else f"{self.name} {found}"


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
        """Whether no bound was missed; those that could not be judged do not count."""
        return not any(bound.is_missed for bound in self.bounds)

    def as_json(self) -> str:
        bounds = [
            {
                "name": each.name,
                "value": each.value,
                "least": each.least,
                "most": each.most,
                "target": each.target,
                "verdict": each.verdict,
            }
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
        missed = [str(bound) for bound in self.bounds if bound.is_missed]
        if missed:
            return "missed: " + "; ".join(missed)
        unknown = [bound.name for bound in self.bounds if bound.not_judged]
        if unknown:
            return "not judged: " + ", ".join(unknown)
        return "kept" if self.bounds else NOTHING


def table(results: Iterable[Result]) -> str:
    """The Markdown table of all that ran in processes, and a list of what was measured otherwise."""
    results = list(results)
    rows = [each.as_row() for each in results if not ROW_FIGURES.isdisjoint(each.figures)]
    lines = ["| " + " | ".join(cells) + " |" for cells in [list(COLUMNS), ["---"] * len(COLUMNS), *rows]]
    others = [f"* {each.measurement} ({each.how}): {_sentence(each)}" for each in results if each.bounds]
    return "\n".join([*(lines if rows else []), "", *others, ""])


def _sentence(result: Result) -> str:
    marks = {"kept": "", "missed": " MISSED", "not judged": " NOT JUDGED"}
    bounds = "; ".join(f"{bound}{marks[bound.verdict]}" for bound in result.bounds)
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
