"""One quantity against another, a point per experiment: what a report shows of cost against quality."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from assay.reporting.plots.frame import AXIS_HEIGHT, Axis, TickLabel, Tone, figure, grid, shortened, ticks

LEFT_PERCENT = 15.0
"""Where the plot begins: to the left stand the numbers of the upright axis, on a narrow screen too."""

MOST_LABEL_CHARACTERS = 18

_HEIGHT, _TOP, _LABEL_DISTANCE = 280, 26, 17
_CHARACTER_SHARE = 0.032
"""How much of a plot's width a letter takes on a narrow screen."""


@dataclass(frozen=True, slots=True)
class Point:
    """An experiment's place; `low` and `high` are the ends of its upright whisker."""

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    tone: Tone = "open"


def scatter(
    title: str,
    points: Sequence[Point],
    axes: tuple[Axis, Axis],
    tick_labels: tuple[TickLabel, TickLabel],
    names: tuple[str, str],
) -> str:
    """A figure with a point, a whisker and a label each; `axes`, `tick_labels` and `names` are x first."""
    (across, up), foot = axes, _TOP + _HEIGHT
    parts = [
        *_levels(up, tick_labels[1]),
        *grid(across, _TOP, foot),
        f'<text class="caption" x="0" y="14">{escape(names[1])}</text>',
        *(part for point in points for part in _whisker(point, across, up)),
        *(part for point, y in _label_places(points, up) for part in _point(point, across, up, y)),
        *ticks(across, tick_labels[0], foot),
        f'<text class="caption" x="98%" y="{foot + AXIS_HEIGHT + 14}" text-anchor="end">{escape(names[0])}</text>',
    ]
    description = "; ".join(f"{point.label}: {tick_labels[0](point.x)}, {tick_labels[1](point.y)}" for point in points)
    return figure(title, description, foot + AXIS_HEIGHT + 20, parts)


def _levels(up: Axis, tick_label: TickLabel) -> Iterator[str]:
    for tick in up.ticks:
        y = _height(up, tick)
        yield f'<line class="grid" x1="{LEFT_PERCENT}%" x2="98%" y1="{y:.1f}" y2="{y:.1f}"/>'
        text = escape(tick_label(tick))
        yield f'<text class="tick" x="{LEFT_PERCENT - 1.5}%" y="{y + 4:.1f}" text-anchor="end">{text}</text>'


def _height(up: Axis, value: float) -> float:
    return _TOP + (1 - up.share(value)) * _HEIGHT


def _whisker(point: Point, across: Axis, up: Axis) -> Iterator[str]:
    if point.low is None or point.high is None:
        return
    x, low, high = across.percent(point.x), _height(up, point.low), _height(up, point.high)
    yield f'<line class="whisker {point.tone}" x1="{x}" x2="{x}" y1="{low:.1f}" y2="{high:.1f}"/>'


def _point(point: Point, across: Axis, up: Axis, label_y: float) -> Iterator[str]:
    """Inside an element of its own at the point's place, where positions are pixels again."""
    y, label = _height(up, point.y), shortened(point.label, MOST_LABEL_CHARACTERS)
    turned = across.share(point.x) + len(label) * _CHARACTER_SHARE > 1
    side, anchor = (-1, "end") if turned else (1, "start")
    yield f'<svg class="at" x="{across.percent(point.x)}" y="0" width="1" height="1">'
    if abs(label_y - y) > 1:
        yield f'<line class="leader" x1="0" y1="{y:.1f}" x2="{side * 12}" y2="{label_y:.1f}"/>'
    yield f'<circle class="dot {point.tone}" cx="0" cy="{y:.1f}" r="6"/>'
    where = f'x="{side * 14}" y="{label_y + 4:.1f}" text-anchor="{anchor}"'
    yield f'<text class="label" {where}>{escape(label)}</text></svg>'


def _label_places(points: Sequence[Point], up: Axis) -> list[tuple[Point, float]]:
    """Labels from top to bottom, each far enough below the last; all are moved up when they would leave the plot."""
    places: list[tuple[Point, float]] = []
    lowest = float("-inf")
    for point in sorted(points, key=lambda one: (_height(up, one.y), one.label)):
        lowest = max(_height(up, point.y), lowest + _LABEL_DISTANCE)
        places.append((point, lowest))
    excess = max(0.0, lowest - (_TOP + _HEIGHT - 6))
    return [(point, y - excess if excess else y) for point, y in places]
