"""Estimates with their intervals on one axis: the plot of scores, and the forest plot of differences."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from assay.reporting.plots.frame import (
    AXIS_HEIGHT,
    MARGIN_PERCENT,
    Axis,
    TickLabel,
    Tone,
    figure,
    grid,
    heading,
    ticks,
)

_ROW_HEIGHT, _TRACK_HEIGHT, _CAPTION_HEIGHT = 48, 24, 24
_TRACK_Y, _LABEL_Y = 33, 16
_CAPTION_SHARE = 0.16


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


def interval_plot(
    title: str,
    marks: Sequence[Mark],
    axis: Axis,
    tick_label: TickLabel,
    *,
    reference: float | None = None,
    captions: tuple[str, str] | None = None,
    margin: float | None = None,
) -> str:
    """A figure with one line per mark: label and value above, dot and whisker below, and an axis at the foot.

    `reference` is a value to compare with, drawn through all lines; `captions` say what lies to its left and right;
    within `margin` of it, values count as equivalent.
    """
    top = _CAPTION_HEIGHT if captions else 0
    foot = top + _ROW_HEIGHT * len(marks)
    parts = [
        *_margin(axis, reference, margin, top, foot),
        *grid(axis, top, foot),
        *_reference(axis, reference, captions, top, foot),
        *(part for at, mark in enumerate(marks) for part in _line(mark, axis, top + at * _ROW_HEIGHT)),
        *ticks(axis, tick_label, foot),
    ]
    description = "; ".join(f"{mark.label}: {mark.shown} {mark.detail}".strip() for mark in marks)
    return figure(title, description, foot + AXIS_HEIGHT, parts)


def track(title: str, mark: Mark, axis: Axis, reference: float) -> str:
    """A mark alone, without labels and axis: small enough for a card."""
    x = axis.percent(reference)
    parts = [
        f'<line class="rail" x1="{MARGIN_PERCENT}%" x2="{100 - MARGIN_PERCENT}%" y1="12" y2="12"/>',
        f'<line class="zero" x1="{x}" x2="{x}" y1="2" y2="22"/>',
        *_whisker(mark, axis, 12),
    ]
    return figure(title, f"{mark.shown} {mark.detail}".strip(), _TRACK_HEIGHT, parts, "plot track")


def _margin(axis: Axis, reference: float | None, margin: float | None, top: int, foot: int) -> Iterator[str]:
    if reference is None or margin is None:
        return
    low, high = reference - margin, reference + margin
    yield (
        f'<rect class="margin" x="{axis.percent(low)}" width="{axis.width(low, high)}" y="{top}"'
        f' height="{foot + 4 - top}"/>'
    )


def _reference(
    axis: Axis, reference: float | None, captions: tuple[str, str] | None, top: int, foot: int
) -> Iterator[str]:
    if reference is None:
        return
    x = axis.percent(reference)
    yield f'<line class="zero" x1="{x}" x2="{x}" y1="{top}" y2="{foot + 4}"/>'
    if not captions:
        return
    before, after = (escape(caption) for caption in captions)
    if axis.share(reference) >= _CAPTION_SHARE:  # else it would leave the plot
        yield f'<text class="caption" x="{x}" dx="-8" y="14" text-anchor="end">{before}</text>'
    if axis.share(reference) <= 1 - _CAPTION_SHARE:
        yield f'<text class="caption" x="{x}" dx="8" y="14">{after}</text>'


def _line(mark: Mark, axis: Axis, top: int) -> Iterator[str]:
    yield from heading(mark.label, mark.shown, mark.tone, top + _LABEL_Y, mark.detail)
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
