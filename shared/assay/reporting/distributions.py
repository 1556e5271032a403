"""How scores are distributed, and which labels were taken for which. `evaluation.py` puts it into the contents."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from assay.reporting.contents import Confusion, Distribution
from assay.reporting.trials import Floats
from assay.scoring.base import ScoreKind
from assay.scoring.views import ExperimentView

MOST_BINS = 30
MOST_LABELS = 20
NO_LABEL = "no label"

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_NOISE, _SMALLEST, _LARGEST = 1e-9, 1e-280, 1e300


def distributions(columns: Mapping[str, Floats], kind: ScoreKind) -> dict[str, Distribution]:
    """The histogram of one score in every experiment that has values, all with the same edges."""
    seen = {name: values[~np.isnan(values)] for name, values in columns.items()}
    seen = {name: values for name, values in seen.items() if len(values)}
    if not seen:
        return {}
    edges = np.array([0.0, 0.5, 1.0]) if kind == "binary" else bin_edges(list(seen.values()))
    return {
        name: Distribution(edges=tuple(map(float, edges)), counts=tuple(map(int, np.histogram(values, edges)[0])))
        for name, values in seen.items()
    }


def bin_edges(columns: Sequence[Floats]) -> Floats:
    """Edges of at most MOST_BINS bins of equal width over all values.

    Few different whole numbers, such as ratings, get a bin each, with the number in its middle. Else the width is the
    smallest of 1, 2, 2.5 or 5 times a power of ten with which the bins suffice, and edges are multiples of it. Values
    that are all the same but for noise get one bin around them.
    """
    low = min(float(values.min()) for values in columns)
    high = max(float(values.max()) for values in columns)
    span, scale = high - low, max(abs(low), abs(high), _SMALLEST)
    if span < MOST_BINS and scale < 1 / _NOISE and all(np.equal(one, np.round(one)).all() for one in columns):
        return np.arange(low, high + 2, dtype=np.float64) - 0.5
    if scale > _LARGEST:
        return np.array([min(low, 0.0), max(high, 0.0)])
    if span <= scale * _NOISE:
        return np.array([low - scale / 2, high + scale / 2])
    width, digits = _width(span)
    first = np.floor(low / width)
    bins = max(1, int(np.ceil(high / width) - first))
    edges: Floats = np.round((first + np.arange(bins + 1)) * width, digits)
    edges[0], edges[-1] = min(edges[0], low), max(edges[-1], high)  # whatever rounding did
    return edges


def confusion(view: ExperimentView, score: str) -> Confusion | None:
    """Expected against found labels of a score, the commonest expected first; None where it has no labels.

    An answer without a label is in the column "no label"; labels beyond the first MOST_LABELS share the last place.
    """
    pairs = {(expected, found or NO_LABEL): count for (expected, found), count in view.label_pairs(score).items()}
    if not pairs:
        return None
    as_expected, as_found = Counter[str](), Counter[str]()
    for (expected, found), count in pairs.items():
        as_expected[expected] += count
        as_found[found] += count
    ranked = sorted({**as_expected, **as_found}, key=lambda label: (-as_expected[label], -as_found[label], label))
    shown, others = ranked[:MOST_LABELS], len(ranked) - MOST_LABELS
    size = len(shown) + (others > 0)
    places = {label: at for at, label in enumerate(shown)}
    counts = np.zeros((size, size), dtype=np.int64)
    for (expected, found), count in pairs.items():
        counts[places.get(expected, len(shown)), places.get(found, len(shown))] += count
    return Confusion(labels=tuple(shown), counts=tuple(tuple(map(int, line)) for line in counts), others=max(0, others))


def _width(span: float) -> tuple[float, int]:
    """The width of the bins, and to how many digits after the point their edges are exact."""
    # One bin less than there may be: the edges are multiples of the width and may stick out on both sides.
    least = span / (MOST_BINS - 1)
    power = int(np.floor(np.log10(least)))
    return next(step * 10.0**power for step in _STEPS if step * 10.0**power >= least), 1 - power
