"""How the bench says whether a bound was kept."""

from __future__ import annotations

import json

import pytest

from bench.quota.results import Bound, Result, table

FIGURES = {
    "limiter": "blob_lease",
    "quota": "S",
    "load": "chat",
    "workers": 4,
    "utilisation": 0.9745,
    "r429": 0.0012,
    "over": {"tokens": {"1s": 0.5, "10s": 0.02, "60s": -0.01}, "requests": {"1s": -0.5, "10s": -0.6, "60s": -0.7}},
}


@pytest.mark.parametrize(
    ("bound", "is_kept"),
    [
        (Bound("a", 1.0, least=1.0), True),
        (Bound("a", 0.9, least=1.0), False),
        (Bound("a", 1.0, most=1.0), True),
        (Bound("a", 1.1, most=1.0), False),
        (Bound("a", 1.1, least=1.0, most=1.2), True),
        (Bound("a", None, most=1.0), False),
    ],
)
def test_a_bound_is_kept_at_the_limit_and_missed_when_nothing_was_seen(bound: Bound, is_kept: bool) -> None:
    """What could not be measured proves nothing."""
    assert bound.is_kept is is_kept


def test_a_bound_tells_figure_and_limits() -> None:
    """What a reader of the table needs."""
    assert str(Bound("429 share", 0.01, most=0.005)) == "429 share 0.01 (<= 0.005)"
    assert str(Bound("util", None, least=0.9, most=1)) == "util not seen (>= 0.9 and <= 1)"


def test_one_missed_bound_is_enough() -> None:
    """The line says so, and names every bound with its figure."""
    result = Result("A1", FIGURES, [Bound("x", 1.0, most=2.0), Bound("y", 3.0, most=2.0)])
    line = json.loads(result.as_json())
    assert line["ok"] is False
    assert [each["verdict"] for each in line["bounds"]] == ["kept", "missed"]
    assert line["utilisation"] == 0.9745


def test_the_table_has_a_row_for_each_run_and_a_line_for_each_verdict() -> None:
    """Runs without a bound have only a row, measurements without a run only a line."""
    run = Result("A1", FIGURES, [Bound("429 share", 0.0012, most=0.005)])
    baseline = Result("baseline", {**FIGURES, "limiter": "sdk"})
    elsewhere = Result("A15", {"case": "properties"}, [Bound("failed", 1, most=0)], how="virtual time")
    text = table([run, baseline, elsewhere])
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert rows[2].startswith("| A1 | blob_lease | S, chat | 4 | 97.5 | 0.12 | +50.0 / +2.0 / -1.0 |")
    assert "* A15 (virtual time): properties: failed 1 (<= 0) MISSED" in text
    assert "sdk" not in "".join(line for line in text.splitlines() if line.startswith("*"))


@pytest.mark.parametrize("value", [0.99, 0.5, None])
def test_what_is_too_short_to_judge_neither_passes_nor_fails(value: float | None) -> None:
    """Whatever the figure is: it proves nothing, and the row says so instead of `kept`."""
    result = Result(
        "A1", FIGURES, [Bound("util", value, least=0.9, not_judged="too short: 30 s"), Bound("x", 1, most=1)]
    )
    assert result.is_kept
    assert result.as_row()[-1] == "not judged: util"
    assert [each["verdict"] for each in json.loads(result.as_json())["bounds"]] == ["not judged", "kept"]
    assert "too short: 30 s) NOT JUDGED" in table([result])


def test_a_bound_names_its_target_and_a_figure_without_limits_is_only_told() -> None:
    """A run that is held to less than the target shows it."""
    assert str(Bound("util", 0.968, least=0.96, target="target 0.97")) == "util 0.968 (>= 0.96; target 0.97)"
    assert str(Bound("unspent", 0.5)) == "unspent 0.5"
    assert Bound("unspent", 0.5).verdict == "kept"


def test_a_budget_is_a_row_without_utilisation() -> None:
    """Its other columns are dashes."""
    result = Result("B1", {"limiter": "budget", "budget_overshoot": "0 USD"}, [Bound("overshoot", 0, most=0)])
    (row,) = [line for line in table([result]).splitlines() if line.startswith("| B1")]
    assert row.endswith("| 0 USD | kept |")
    assert row.count(" - ") >= 8
