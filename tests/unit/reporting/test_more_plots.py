"""Histograms, the scatter plot and the plot of times: true to scale, safe against their labels, the same every time."""

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from assay.reporting.plots.frame import Axis, axis_over
from assay.reporting.plots.histograms import Histogram, histograms
from assay.reporting.plots.intervals import Mark, interval_plot
from assay.reporting.plots.labels import Spot, label_places
from assay.reporting.plots.scatter import Point, scatter
from assay.reporting.plots.times import Times, times_plot

SVG = "{http://www.w3.org/2000/svg}"
AXIS = Axis(0.0, 10.0, (0.0, 5.0, 10.0))
HOSTILE = '</svg><script>alert("1")</script>'

BARS = (
    Histogram("plain", "n = 8", (0.0, 5.0, 10.0), (2, 6), "baseline", 6.0),
    Histogram("short", "", (0.0, 10.0), (0,)),
)
POINTS = (Point("plain", 2.0, 5.0, 4.0, 6.0), Point("short", 2.1, 5.01), Point("dear", 9.0, 8.0))
TIMES = (Times("plain", "2 s", 2.0, 5.0, 8.0, 1.0, "baseline"), Times("short", "1 s", 1.0, 3.0))


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def number(text: str | None) -> float:
    assert text is not None
    return float(text.removesuffix("%"))


def all_plots(label: str = "plain") -> list[str]:
    return [
        histograms(label, [*BARS, Histogram(label, label, (0.0, 1.0), (1,))], AXIS, str),
        scatter(label, [*POINTS, Point(label, 1.0, 1.0)], (AXIS, AXIS), (str, str), (label, label)),
        times_plot(label, [*TIMES, Times(label, label, 1.0, 2.0)], AXIS, str),
    ]


def test_bars_are_shares_of_their_own_line_on_one_scale() -> None:
    """Rule: three quarters of the values make a bar three times as high; nothing is drawn for a count of zero."""
    first, second = parsed(histograms("scores", BARS, AXIS, str)).iter(f"{SVG}rect")

    assert number(second.get("height")) == pytest.approx(3 * number(first.get("height")), abs=0.2)
    assert number(first.get("x")) + number(first.get("width")) == pytest.approx(number(second.get("x")))
    assert "5.0 to 10.0: 6" in "".join(second.itertext())


def test_points_lie_where_their_numbers_say() -> None:
    """Rule: higher is up, dearer is right; a whisker spans the interval."""
    plot = parsed(scatter("cost", POINTS, (AXIS, AXIS), (str, str), ("USD", "correct")))
    places = {
        "".join(at.itertext()): (number(at.get("x")), number(next(at.iter(f"{SVG}circle")).get("cy")))
        for at in plot.iter(f"{SVG}svg")
        if at.get("class") == "at"
    }

    assert places["dear"][0] > places["plain"][0]
    assert places["dear"][1] < places["plain"][1]


def test_labels_of_close_points_do_not_cover_each_other() -> None:
    """Rule: two experiments that do alike stay readable; a line leads to the one that was moved."""
    plot = parsed(scatter("cost", POINTS, (AXIS, AXIS), (str, str), ("USD", "correct")))
    labels = sorted(number(text.get("y")) for text in plot.iter(f"{SVG}text") if text.get("class") == "label")

    assert min(after - before for before, after in pairwise(labels)) >= 16
    assert sum(line.get("class") == "leader" for line in plot.iter(f"{SVG}line")) == 1


def test_a_label_keeps_off_the_whisker_of_a_close_point() -> None:
    """Rule: two points side by side have their labels beside them, outwards or above, and not across each other."""
    left, right = Spot("plain", 0.76, 130.0, (90.0, 170.0)), Spot("polite", 0.81, 125.0, (85.0, 165.0))
    places = label_places([left, right], 0.0, 300.0)

    for place in places:
        other = right if place.spot is left else left
        covers = place.across[0] <= other.x <= place.across[1]
        assert not (covers and min(other.whisker or ()) < place.y < max(other.whisker or ()))
        assert place.across[1] <= 1


def test_times_begin_at_zero_and_show_what_is_known() -> None:
    """Rule: the slowest and the first token are drawn where they were measured."""
    plot = parsed(times_plot("seconds", TIMES, AXIS, str))
    kinds = [(line.get("class") or "").split()[0] for line in plot.iter(f"{SVG}line")]
    zero = AXIS.percent(0.0)

    assert [kinds.count(kind) for kind in ("median", "slow", "far", "first")] == [2, 2, 1, 1]
    assert all(
        line.get("x1") == zero for line in plot.iter(f"{SVG}line") if (line.get("class") or "").startswith("slow")
    )


def test_the_margin_of_equivalence_is_shaded_around_the_reference() -> None:
    """Rule: as wide as the margin to both sides."""
    axis = Axis(-10.0, 10.0, (-10.0, 0.0, 10.0))
    (shade,) = parsed(interval_plot("d", [Mark("a", "1", 1.0)], axis, str, reference=0.0, margin=5.0)).iter(
        f"{SVG}rect"
    )

    assert shade.get("x") == axis.percent(-5.0)
    assert number(shade.get("width")) == pytest.approx(number(axis.percent(5.0)) - number(axis.percent(-5.0)))


def test_labels_cannot_leave_any_plot() -> None:
    """Rule: a hostile name is text."""
    for svg in all_plots(HOSTILE):
        assert "<script" not in svg
        assert "<script>" in "".join(parsed(svg).itertext())


def test_every_plot_says_its_numbers_and_styles_nothing_in_place() -> None:
    """Rule: whoever cannot see a plot gets its content; the page's policy allows no style attribute."""
    for svg in all_plots():
        assert parsed(svg).get("role") == "img"
        assert "short" in (parsed(svg).get("aria-label") or "")
        assert not re.search(r"\sstyle=", svg)


def test_plots_are_the_same_every_time() -> None:
    """Rule: the report has the same bytes whenever it is made."""
    assert all_plots() == all_plots()


def test_an_axis_leaves_room_at_its_left() -> None:
    """Rule: the numbers of the upright axis stand beside the plot."""
    axis = axis_over([0.0, 1.0], left=15.0)

    assert axis.percent(0.0) == "15.00%"
    assert axis.percent(1.0) == "98.00%"
