"""Aggregators and comparers are called so that one's fault costs nobody else anything."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.scoring.summing_up import run_aggregators, run_comparers
from views_of import view


class Fixed:
    """An aggregator and comparer that returns, or raises, what it is told."""

    def __init__(self, name: str, result: Any) -> None:
        self.name = name
        self.result = result

    def aggregate(self, view: Any) -> Mapping[str, Any]:
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result

    def compare(self, baseline: Any, variant: Any) -> Mapping[str, Any]:
        return self.aggregate(None)


GOOD, BAD = Fixed("good", {"n": 3}), Fixed("bad", ValueError("no rows"))
RAISED = "ValueError: no rows (test_summing_up.py:{})"
STRANGE = Fixed("strange", {"share": float("nan")})


def test_an_aggregator_that_fails_is_recorded_under_its_name() -> None:
    """The others have their figures."""
    assert run_aggregators([BAD, GOOD, STRANGE], view({"s": [1]})) == {
        "bad": {"error": f"aggregator 'bad' failed: {RAISED.format(Fixed.aggregate.__code__.co_firstlineno + 2)}"},
        "good": {"n": 3},
        "strange": {
            "error": "aggregator 'strange' returned what no report can hold: "
            "at 'share': found nan; expected a finite number"
        },
    }


def test_a_comparer_that_fails_is_recorded_under_its_name() -> None:
    """As aggregators are."""
    both = view({"s": [1]}), view({"s": [1]}, experiment="short")
    assert run_comparers([BAD, GOOD], *both) == {
        "bad": {"error": f"comparer 'bad' failed: {RAISED.format(Fixed.compare.__code__.co_firstlineno + 1)}"},
        "good": {"n": 3},
    }


def test_a_plugin_that_would_end_the_process_is_recorded() -> None:
    """`sys.exit` in a library is an error of the plugin's."""
    found = run_aggregators([Fixed("bad", SystemExit(3)), GOOD], view())
    assert str(found["bad"]["error"]).startswith("aggregator 'bad' failed: SystemExit: 3 (test_summing_up.py:")
    assert found["good"] == {"n": 3}


def test_what_utf_8_cannot_hold_costs_no_report() -> None:
    """Half of a surrogate pair, in a key, a value or a message, becomes a question mark."""
    figures = run_aggregators([Fixed("odd", {"\ud800": "\udfff"}), Fixed("bad", ValueError("\ud800"))], view())
    assert figures["odd"] == {"?": "?"}
    assert "ValueError: ? (" in str(figures["bad"]["error"])


def test_something_that_is_no_mapping_is_recorded() -> None:
    """A report keeps figures by name."""
    assert run_aggregators([Fixed("flat", 3)], view()) == {
        "flat": {
            "error": "aggregator 'flat' returned what no report can hold: "
            "found int 3; expected a mapping of names to values"
        }
    }
