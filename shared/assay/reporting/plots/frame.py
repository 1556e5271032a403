"""What all plots share: the axis, its marks, and the element around them. Every module of this room draws with it.

Horizontal positions are percentages, so a plot fits any width and its letters keep their size. Labels are escaped here.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10
from typing import Literal

Tone = Literal["baseline", "better", "worse", "open", "lacking"]
TickLabel = Callable[[float], str]

MOST_LABEL_CHARACTERS, MOST_FULL_CHARACTERS = 26, 44
MARGIN_PERCENT = 2.0
AXIS_HEIGHT = 26
_WANTED_TICKS = 5


@dataclass(frozen=True, slots=True)
class Axis:
    """The range that a plot shows, and the values at which it is marked; it begins `left` percent into the width."""

    low: float
    high: float
    ticks: tuple[float, ...]
    left: float = MARGIN_PERCENT

    def share(self, value: float) -> float:
        """Where the value lies between the ends, from 0 to 1; values outside sit on the edge."""
        inside = min(max(value, self.low), self.high)
        return (inside - self.low) / (self.high - self.low)

    def percent(self, value: float) -> str:
        """Where the value lies on the plot's width."""
        return f"{self.left + self.share(value) * (100 - self.left - MARGIN_PERCENT):.2f}%"

    def width(self, low: float, high: float) -> str:
        """How much of the plot's width lies between two values."""
        share = self.share(high) - self.share(low)
        return f"{share * (100 - self.left - MARGIN_PERCENT):.2f}%"


def axis_over(
    values: Iterable[float | None], limits: tuple[float, float] | None = None, left: float = MARGIN_PERCENT
) -> Axis:
    """The axis that shows all these values between round numbers, and nothing beyond `limits`."""
    known = [value for value in values if value is not None and isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if low == high:
        padding = abs(low) * 0.1 or 0.5
        low, high = low - padding, high + padding
    step = _round_step((high - low) / _WANTED_TICKS)
    ticks = [tick * step for tick in range(floor(low / step), ceil(high / step) + 1)]
    if limits is None:
        return Axis(ticks[0], ticks[-1], tuple(ticks), left)
    # a limit between two ticks ends the axis without a mark of its own
    low, high = max(ticks[0], limits[0]), min(ticks[-1], limits[1])
    inside = [tick for tick in ticks if low - step / 1e6 <= tick <= high + step / 1e6]
    return Axis(low, high, tuple(inside), left) if low < high else Axis(*limits, limits, left)


def figure(title: str, description: str, height: int, parts: Iterable[str], classes: str = "plot") -> str:
    """The element around a plot's parts; `description` is for those who cannot see it."""
    name = f"{title}. {description}"
    return (
        f'<svg class="{classes}" role="img" aria-label="{escape(name)}" width="100%" height="{height}"'
        f' xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def grid(axis: Axis, top: int, foot: int) -> Iterator[str]:
    """A line at every tick."""
    for tick in axis.ticks:
        x = axis.percent(tick)
        yield f'<line class="grid" x1="{x}" x2="{x}" y1="{top}" y2="{foot + 4}"/>'


def ticks(axis: Axis, tick_label: TickLabel, foot: int) -> Iterator[str]:
    """The numbers below a plot."""
    for tick in axis.ticks:
        text = escape(tick_label(tick))
        yield f'<text class="tick" x="{axis.percent(tick)}" y="{foot + 18}" text-anchor="middle">{text}</text>'


def heading(label: str, shown: str, tone: Tone, y: int, detail: str = "") -> Iterator[str]:
    """What stands above a line of a plot: its name, on narrow screens shortened, and its value at the right."""
    more = f' <tspan class="detail">{escape(detail)}</tspan>' if detail else ""
    short = shortened(label)
    if short == label:
        yield f'<text class="label" x="0" y="{y}">{escape(label)}</text>'
    else:
        yield f'<text class="label full" x="0" y="{y}">{escape(shortened(label, MOST_FULL_CHARACTERS))}</text>'
        yield f'<text class="label short" x="0" y="{y}">{escape(short)}</text>'
    yield f'<text class="shown {tone}" x="100%" y="{y}" text-anchor="end">{escape(shown)}{more}</text>'


def shortened(label: str, most: int = MOST_LABEL_CHARACTERS) -> str:
    """A label that fits beside its value on a narrow screen; the middle goes, for names of a matrix begin alike."""
    if len(label) <= most:
        return label
    kept = most - 1
    return f"{label[: kept // 3]}…{label[-(kept - kept // 3) :]}"


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 and 10 times a power of ten that is at least as large."""
    power: float = 10.0 ** floor(log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))
