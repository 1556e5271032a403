"""Places for the labels of points, so that none covers another label, a dot or, if it can be helped, a whisker.

`scatter.py` calls it. A plot is as wide as its reader's screen: what is free on a narrow one is free on any.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Side = Literal[-1, 1]

LINE_HEIGHT = 17
"""How far apart two labels must be, in pixels."""

_DOT_DISTANCE = 13
_CHARACTER_SHARE, _GAP_SHARE = 0.032, 0.045
"""How much of a narrow plot's width a letter takes, and the gap between a point and its label."""

_STEPS = (0, -1, 1, -2, 2, -3, 3, -4, 4)
_COVERS_LABEL, _COVERS_DOT, _LEAVES, _COVERS_WHISKER, _TO_THE_LEFT = 1_000.0, 100.0, 500.0, 4.5, 0.5


@dataclass(frozen=True, slots=True)
class Spot:
    """A point to be labelled: `x` as a share of the plot's width, everything upright in pixels from the top."""

    label: str
    x: float
    y: float
    whisker: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a spot's label stands: at which side of the spot, at which height, and what of the width it takes."""

    spot: Spot
    side: Side
    y: float

    @property
    def across(self) -> tuple[float, float]:
        far = self.spot.x + self.side * (_GAP_SHARE + len(self.spot.label) * _CHARACTER_SHARE)
        return min(self.spot.x, far), max(self.spot.x, far)


def label_places(spots: Sequence[Spot], top: float, foot: float) -> list[Place]:
    """A place per spot, from the highest to the lowest; each takes the best one that those before it have left."""
    places: list[Place] = []
    for spot in sorted(spots, key=lambda one: (one.y, one.x, one.label)):
        others = [one for one in spots if one is not spot]
        places.append(min(_choices(spot), key=lambda place: _cost(place, others, places, (top, foot))))
    return places


def _choices(spot: Spot) -> Iterator[Place]:
    sides: tuple[Side, ...] = (1, -1)
    return (Place(spot, side, spot.y + step * LINE_HEIGHT) for step in _STEPS for side in sides)


def _cost(place: Place, others: Iterable[Spot], placed: Iterable[Place], ends: tuple[float, float]) -> float:
    left, right = place.across
    cost = abs(place.y - place.spot.y) / LINE_HEIGHT + (_TO_THE_LEFT if place.side < 0 else 0.0)
    if left < 0 or right > 1 or not ends[0] <= place.y <= ends[1]:
        cost += _LEAVES
    for other in others:
        if left <= other.x <= right:
            cost += _COVERS_DOT * (abs(other.y - place.y) < _DOT_DISTANCE) + _COVERS_WHISKER * _crosses(place, other)
    return cost + sum(_COVERS_LABEL for one in placed if _overlap(place, one))


def _crosses(place: Place, other: Spot) -> bool:
    return other.whisker is not None and min(other.whisker) - 8 < place.y < max(other.whisker) + 8


def _overlap(one: Place, other: Place) -> bool:
    """Within a line of each other, and above each other. Labels of one column of points always count as that."""
    (left, right), (start, end) = one.across, other.across
    return abs(one.y - other.y) < LINE_HEIGHT and left < end and start < right
