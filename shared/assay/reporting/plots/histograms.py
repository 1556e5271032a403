"""How often a score lay where: a small histogram per experiment, one below the other on the same axis."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from assay.reporting.plots.frame import AXIS_HEIGHT, Axis, TickLabel, Tone, figure, grid, heading, ticks

_ROW_HEIGHT, _BARS_TOP, _BARS_HEIGHT, _LABEL_Y = 76, 24, 46, 16


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts between edges, of which there is one more. `centre` is marked, where there is one."""

    label: str
    shown: str
    edges: Sequence[float]
    counts: Sequence[int]
    tone: Tone = "open"
    centre: float | None = None


def histograms(title: str, lines: Sequence[Histogram], axis: Axis, tick_label: TickLabel) -> str:
    """A figure with one histogram per line; bars are shares of their own line, on one scale for all."""
    highest = max((_share(count, line) for line in lines for count in line.counts), default=0.0) or 1.0
    foot = _ROW_HEIGHT * len(lines)
    parts = [
        *grid(axis, 0, foot),
        *(part for at, line in enumerate(lines) for part in _line(line, axis, highest, at * _ROW_HEIGHT, tick_label)),
        *ticks(axis, tick_label, foot),
    ]
    description = "; ".join(f"{line.label}: {line.shown}" for line in lines)
    return figure(title, description, foot + AXIS_HEIGHT, parts)


def _line(line: Histogram, axis: Axis, highest: float, top: int, tick_label: TickLabel) -> Iterator[str]:
    foot = top + _BARS_TOP + _BARS_HEIGHT
    yield from heading(line.label, line.shown, line.tone, top + _LABEL_Y)
    for at, count in enumerate(line.counts):
        if count:
            yield _bar(line, at, _share(count, line) / highest, axis, foot, tick_label)
    yield f'<line class="rail" x1="{axis.percent(axis.low)}" x2="{axis.percent(axis.high)}" y1="{foot}" y2="{foot}"/>'
    if line.centre is not None:
        x = axis.percent(line.centre)
        yield f'<line class="zero" x1="{x}" x2="{x}" y1="{foot - _BARS_HEIGHT}" y2="{foot}"/>'


def _bar(line: Histogram, at: int, share: float, axis: Axis, foot: int, tick_label: Callable[[float], str]) -> str:
    low, high = line.edges[at], line.edges[at + 1]
    height = max(1.5, share * _BARS_HEIGHT)
    said = escape(f"{tick_label(low)} to {tick_label(high)}: {line.counts[at]:,}")
    return (
        f'<rect class="bar {line.tone}" x="{axis.percent(low)}" width="{axis.width(low, high)}"'
        f' y="{foot - height:.1f}" height="{height:.1f}"><title>{said}</title></rect>'
    )


def _share(count: int, line: Histogram) -> float:
    return count / (sum(line.counts) or 1)
