"""One quantity against another, a point per experiment: what a report shows of cost against quality."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

from assay.reporting.plots.frame import AXIS_HEIGHT, Axis, TickLabel, Tone, figure, grid, ticks
from assay.reporting.plots.labels import Place, Spot, label_places

LEFT_PERCENT = 15.0
"""Where the plot begins: to the left stand the numbers of the upright axis, on a narrow screen too."""

MOST_LABEL_CHARACTERS = 18

_HEIGHT, _TOP = 280, 26


@dataclass(frozen=True, slots=True)
class Point:
    """An experiment's place; `low` and `high` are the ends of its upright whisker, `name` what a short label is for."""

    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    tone: Tone = "open"
    name: str = ""


def numbered(names: Sequence[str]) -> bool:
    """Whether the points are labelled with numbers, for a legend, because a name does not fit beside its point."""
    return any(len(name) > MOST_LABEL_CHARACTERS for name in names)


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
        *_labelled(points, across, up),
        *ticks(across, tick_labels[0], foot),
        f'<text class="caption" x="98%" y="{foot + AXIS_HEIGHT + 14}" text-anchor="end">{escape(names[0])}</text>',
    ]
    description = "; ".join(
        f"{point.name or point.label}: {tick_labels[0](point.x)}, {tick_labels[1](point.y)}" for point in points
    )
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


def _spot(point: Point, across: Axis, up: Axis) -> Spot:
    has_whisker = point.low is not None and point.high is not None
    whisker = (_height(up, point.low or 0.0), _height(up, point.high or 0.0)) if has_whisker else None
    return Spot(point.label, across.share(point.x), _height(up, point.y), whisker)


def _labelled(points: Sequence[Point], across: Axis, up: Axis) -> Iterator[str]:
    spots = [_spot(point, across, up) for point in points]
    of_spot = {id(spot): point for spot, point in zip(spots, points, strict=True)}
    for place in label_places(spots, _TOP, _TOP + _HEIGHT - 6):
        point = of_spot[id(place.spot)]
        yield from _point(place, across.percent(point.x), point.tone)


def _point(place: Place, x: str, tone: Tone) -> Iterator[str]:
    """Inside an element of its own at the point's place, where positions are pixels again."""
    y, side = place.spot.y, place.side
    yield f'<svg class="at" x="{x}" y="0" width="1" height="1">'
    if abs(place.y - y) > 1:
        yield f'<line class="leader" x1="0" y1="{y:.1f}" x2="{side * 12}" y2="{place.y:.1f}"/>'
    yield f'<circle class="dot {tone}" cx="0" cy="{y:.1f}" r="6"/>'
    where = f'x="{side * 14}" y="{place.y + 4:.1f}" text-anchor="{"start" if side > 0 else "end"}"'
    yield f'<text class="label" {where}>{escape(place.spot.label)}</text></svg>'
