"""How long answers took: the median, the slow ones and the first token of every experiment, on one axis from zero."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from assay.reporting.plots.frame import AXIS_HEIGHT, Axis, TickLabel, Tone, figure, grid, heading, ticks

_ROW_HEIGHT, _BAR_Y, _LABEL_Y = 50, 34, 16


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds of one experiment; `far` and `first` are drawn where they are known."""

    label: str
    shown: str
    median: float
    slow: float
    far: float | None = None
    first: float | None = None
    tone: Tone = "open"
    detail: str = ""


def times_plot(title: str, lines: Sequence[Times], axis: Axis, tick_label: TickLabel) -> str:
    """A figure with one bar per line: full to the median, lighter to the slow ones, thin to the slowest."""
    foot = _ROW_HEIGHT * len(lines)
    parts = [
        *grid(axis, 0, foot),
        *(part for at, line in enumerate(lines) for part in _line(line, axis, at * _ROW_HEIGHT)),
        *ticks(axis, tick_label, foot),
    ]
    description = "; ".join(f"{line.label}: {line.shown} {line.detail}".strip() for line in lines)
    return figure(title, description, foot + AXIS_HEIGHT, parts)


def _line(line: Times, axis: Axis, top: int) -> Iterator[str]:
    y, begin = top + _BAR_Y, axis.percent(0.0)
    median, slow = axis.percent(line.median), axis.percent(line.slow)
    yield from heading(line.label, line.shown, line.tone, top + _LABEL_Y, line.detail)
    if line.far is not None:
        yield f'<line class="far" x1="{slow}" x2="{axis.percent(line.far)}" y1="{y}" y2="{y}"/>'
    yield f'<line class="slow" x1="{begin}" x2="{slow}" y1="{y}" y2="{y}"/>'
    yield f'<line class="median {line.tone}" x1="{begin}" x2="{median}" y1="{y}" y2="{y}"/>'
    if line.first is not None:
        x = axis.percent(line.first)
        yield f'<line class="first" x1="{x}" x2="{x}" y1="{y - 11}" y2="{y + 11}"/>'
