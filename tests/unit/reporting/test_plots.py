"""The plots: true to scale, readable by machines, safe against their labels."""

import re
from xml.etree import ElementTree

import pytest

from assay.reporting.plots.frame import Axis, axis_over, shortened
from assay.reporting.plots.intervals import Mark, interval_plot, track

SVG = "{http://www.w3.org/2000/svg}"
MARKS = (
    Mark("plain", "84.5 %", 0.845, 0.802, 0.881, "baseline"),
    Mark("think-first", "95.6 %", 0.956, 0.927, 0.973, "better", (0.92, 0.98), "92.7 % to 97.3 %"),
    Mark("lost", "no scores", None),
)
AXIS = Axis(0.8, 1.0, (0.8, 0.9, 1.0))


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


def percent(text: str | None) -> float:
    assert text is not None
    return float(text.removesuffix("%"))


def test_positions_are_true_to_scale() -> None:
    """Rule: equal steps in value are equal steps on the page."""
    plot = parsed(interval_plot("correct", MARKS, AXIS, str))

    ticks = {text.text: percent(text.get("x")) for text in plot.iter(f"{SVG}text") if text.get("class") == "tick"}
    dots = [percent(dot.get("cx")) for dot in plot.iter(f"{SVG}circle")]
    assert ticks["0.9"] - ticks["0.8"] == pytest.approx(ticks["1.0"] - ticks["0.9"])
    assert dots[0] == pytest.approx(ticks["0.8"] + (0.845 - 0.8) / 0.2 * (ticks["1.0"] - ticks["0.8"]), abs=0.01)


def test_a_mark_without_an_estimate_has_a_label_and_no_dot() -> None:
    """Rule: nothing is drawn that was not measured."""
    plot = parsed(interval_plot("correct", MARKS, AXIS, str))

    assert len(list(plot.iter(f"{SVG}circle"))) == 2
    assert "lost" in "".join(plot.itertext())


def test_a_plot_says_its_numbers_to_a_screen_reader() -> None:
    """Rule: whoever cannot see the plot gets its content."""
    plot = parsed(interval_plot("correct per experiment", MARKS, AXIS, str))

    assert plot.get("role") == "img"
    assert "think-first: 95.6 % 92.7 % to 97.3 %" in (plot.get("aria-label") or "")


def test_labels_cannot_leave_the_plot() -> None:
    """Rule: a hostile name is text."""
    hostile = '</svg><script>alert("1")</script>'

    svg = interval_plot(hostile, [Mark(hostile, hostile, 0.9)], AXIS, str, reference=0.9, captions=(hostile, hostile))

    assert "<script" not in svg
    assert "<script>" in "".join(parsed(svg).itertext())


def test_nothing_is_styled_in_place() -> None:
    """Rule: the page's content security policy allows no style attribute."""
    assert not re.search(r"\sstyle=", interval_plot("a", MARKS, AXIS, str) + track("a", MARKS[1], AXIS, 0.9))


def test_the_same_marks_give_the_same_text() -> None:
    """Rule: plots are deterministic."""
    assert interval_plot("a", MARKS, AXIS, str) == interval_plot("a", MARKS, AXIS, str)


@pytest.mark.parametrize(
    ("values", "limits", "expected"),
    [
        ([0.802, 0.973], (0.0, 1.0), (0.8, 1.0)),
        ([0.01, 0.99], (0.0, 1.0), (0.0, 1.0)),
        ([-0.023, 0.147, 0.0], None, (-0.05, 0.15)),
        ([5.0, 5.0], None, (4.4, 5.6)),
        ([1.0, 1.0], (0.0, 1.0), (0.9, 1.0)),
        ([None, None], None, (0.0, 1.0)),
        ([1e-7, 3e-7], None, (1e-7, 3e-7)),
        ([-4e6, 9e6], None, (-5e6, 1e7)),
    ],
)
def test_an_axis_ends_on_round_numbers_around_all_values(
    values: list[float | None], limits: tuple[float, float] | None, expected: tuple[float, float]
) -> None:
    """Rule: every value is on the axis, nothing impossible is."""
    axis = axis_over(values, limits)

    assert (axis.low, axis.high) == pytest.approx(expected)
    assert all(axis.low - 1e-12 <= value <= axis.high + 1e-12 for value in values if value is not None)
    assert 2 <= len(axis.ticks) <= 8


def test_a_caption_without_room_is_left_out() -> None:
    """Rule: at an axis that begins with no difference, nothing is written beyond its left end."""
    drawn = interval_plot(
        "d", [Mark("short", "+1", 1.0)], Axis(0.0, 2.0, (0.0, 2.0)), str, reference=0.0, captions=("w", "b")
    )
    captions = ["".join(one.itertext()) for one in parsed(drawn).iter(f"{SVG}text") if one.get("class") == "caption"]
    assert captions == ["b"]


def test_long_labels_are_shortened() -> None:
    """Rule: a label leaves room for its value; the ends stay, by which names of a matrix differ."""
    assert shortened("x" * 40) == "x" * 8 + "…" + "x" * 17
