"""Plots as inline SVG: estimates with their intervals on one axis. `html.py` calls it; the page's style colours them.

Pure: the same marks give the same text. Horizontal positions are percentages, so a plot fits any width and its letters
keep their size. Labels are escaped here.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10
from typing import Literal

Tone = Literal["baseline", "better", "worse", "open", "lacking"]

MOST_LABEL_CHARACTERS = 30

_ROW_HEIGHT, _TRACK_HEIGHT, _AXIS_HEIGHT, _CAPTION_HEIGHT = 48, 24, 26, 24
_TRACK_Y, _LABEL_Y = 33, 16
_MARGIN_PERCENT = 2.0
_WANTED_TICKS = 5


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of a plot. `band` is a wider range behind the interval; without an estimate only the label is drawn."""

    label: str
    shown: str
    estimate: float | None
    low: float | None = None
    high: float | None = None
    tone: Tone = "open"
    band: tuple[float, float] | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Axis:
    """The range that a plot shows, and the values at which it is marked."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def percent(self, value: float) -> str:
        """Where the value lies on the plot's width; values outside sit on the edge."""
        inside = min(max(value, self.low), self.high)
        share = (inside - self.low) / (self.high - self.low)
        return f"{_MARGIN_PERCENT + share * (100 - 2 * _MARGIN_PERCENT):.2f}%"


def axis_over(values: Iterable[float | None], limits: tuple[float, float] | None = None) -> Axis:
    """The axis that shows all these values between round numbers, and nothing beyond `limits`."""
    known = [value for value in values if value is not None and isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if low == high:
        padding = abs(low) * 0.1 or 0.5
        low, high = low - padding, high + padding
    step = _round_step((high - low) / _WANTED_TICKS)
    first, last = floor(low / step), ceil(high / step)
    ticks = [tick * step for tick in range(first, last + 1)]
    if limits is not None:
        # a limit between two ticks ends the axis without a mark of its own
        low, high = max(ticks[0], limits[0]), min(ticks[-1], limits[1])
        inside = [tick for tick in ticks if low - step / 1e6 <= tick <= high + step / 1e6]
        return Axis(low, high, tuple(inside)) if low < high else Axis(*limits, limits)
    return Axis(ticks[0], ticks[-1], tuple(ticks))


def interval_plot(
    title: str,
    marks: Sequence[Mark],
    axis: Axis,
    tick_label: Callable[[float], str],
    *,
    reference: float | None = None,
    captions: tuple[str, str] | None = None,
) -> str:
    """A figure with one line per mark: label and value above, dot and whisker below, and an axis at the foot.

    `reference` is a value to compare with, drawn through all lines; `captions` say what lies to its left and right.
    """
    top = _CAPTION_HEIGHT if captions else 0
    foot = top + _ROW_HEIGHT * len(marks)
    parts = [
        *_grid(axis, top, foot),
        *_reference(axis, reference, captions, top, foot),
        *(part for at, mark in enumerate(marks) for part in _line(mark, axis, top + at * _ROW_HEIGHT)),
        *(_tick(axis, tick, tick_label(tick), foot + 18) for tick in axis.ticks),
    ]
    description = "; ".join(f"{mark.label}: {mark.shown} {mark.detail}".strip() for mark in marks)
    return _figure(title, description, foot + _AXIS_HEIGHT, parts, "plot")


def track(title: str, mark: Mark, axis: Axis, reference: float) -> str:
    """A mark alone, without labels and axis: small enough for a card."""
    x = axis.percent(reference)
    parts = [
        f'<line class="rail" x1="{_MARGIN_PERCENT}%" x2="{100 - _MARGIN_PERCENT}%" y1="12" y2="12"/>',
        f'<line class="zero" x1="{x}" x2="{x}" y1="2" y2="22"/>',
        *_whisker(mark, axis, 12),
    ]
    return _figure(title, f"{mark.shown} {mark.detail}".strip(), _TRACK_HEIGHT, parts, "plot track")


def shortened(label: str) -> str:
    """A label that fits beside its value on a narrow screen."""
    return label if len(label) <= MOST_LABEL_CHARACTERS else f"{label[: MOST_LABEL_CHARACTERS - 1]}…"


def _figure(title: str, description: str, height: int, parts: Iterable[str], classes: str) -> str:
    name = f"{title}. {description}"
    return (
        f'<svg class="{classes}" role="img" aria-label="{escape(name)}" width="100%" height="{height}"'
        f' xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def _grid(axis: Axis, top: int, foot: int) -> Iterator[str]:
    for tick in axis.ticks:
        x = axis.percent(tick)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{foot + 4}"/>'


def _reference(
    axis: Axis, reference: float | None, captions: tuple[str, str] | None, top: int, foot: int
) -> Iterator[str]:
    if reference is None:
        return
    x = axis.percent(reference)
    yield f'<line class="zero" x1="{x}" x2="{x}" y1="{top}" y2="{foot + 4}"/>'
    if captions:
        before, after = (escape(caption) for caption in captions)
        yield f'<text class="caption" x="{x}" dx="-8" y="14" text-anchor="end">{before}</text>'
        yield f'<text class="caption" x="{x}" dx="8" y="14">{after}</text>'


def _line(mark: Mark, axis: Axis, top: int) -> Iterator[str]:
    y = top + _LABEL_Y
    detail = f' <tspan class="detail">{escape(mark.detail)}</tspan>' if mark.detail else ""
    yield f'<text class="label" x="0" y="{y}">{escape(shortened(mark.label))}</text>'
    yield f'<text class="shown {mark.tone}" x="100%" y="{y}" text-anchor="end">{escape(mark.shown)}{detail}</text>'
    yield from _whisker(mark, axis, top + _TRACK_Y)


def _whisker(mark: Mark, axis: Axis, y: int) -> Iterator[str]:
    if mark.band is not None:
        yield _band(axis, mark.band, y)
    if mark.low is not None and mark.high is not None:
        low, high = axis.percent(mark.low), axis.percent(mark.high)
        yield f'<line class="whisker {mark.tone}" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'
        yield from (
            f'<line class="cap {mark.tone}" x1="{end}" x2="{end}" y1="{y - 5}" y2="{y + 5}"/>' for end in (low, high)
        )
    if mark.estimate is not None:
        yield f'<circle class="dot {mark.tone}" cx="{axis.percent(mark.estimate)}" cy="{y}" r="5.5"/>'


def _band(axis: Axis, band: tuple[float, float], y: int) -> str:
    """A thick line rather than a rectangle: its ends are positions, so no width needs computing."""
    low, high = axis.percent(band[0]), axis.percent(band[1])
    return f'<line class="band" x1="{low}" x2="{high}" y1="{y}" y2="{y}"/>'


def _tick(axis: Axis, value: float, text: str, y: int) -> str:
    return f'<text class="tick" x="{axis.percent(value)}" y="{y}" text-anchor="middle">{escape(text)}</text>'


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 and 10 times a power of ten that is at least as large."""
    power: float = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))
