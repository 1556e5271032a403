"""The scores of one trial: derived scores, users' functions, what an answer took; and that no scorer costs another."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from assay.records import Score
from assay.scoring.base import ScoreKind
from assay.scoring.rows import SCORERS
from assay.scoring.trials import derivation_problem, score_trial
from builders import response


class Mute(Exception):
    """An error that cannot say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


class Installed:
    """A scorer of another distribution that returns what it is told."""

    kind: ScoreKind = "numeric"
    value_range = expected_column = None

    def __init__(self, returned: Any) -> None:
        self.name, self._returned = "mine", returned

    def score(self, fields: Any, responses: Any) -> Any:
        return self._returned


JSON_SCORE = {"plugin": "json_score", "name": "rating", "path": "score"}


def scores(answer: str, *settings: dict[str, Any], fields: dict[str, Any] | None = None) -> dict[str, Score]:
    """The scores of scorers as suites write them, by name."""
    made = [SCORERS.make(one["plugin"], {key: one[key] for key in one if key != "plugin"}) for one in settings]
    found = score_trial(made, fields or {}, {"queue": response(answer)})
    assert [one.name for one in found] == [one.name for one in made]
    return {one.name: one for one in found}


@pytest.fixture(name="module")
def _module(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], str]:
    """Puts a function into a module that can be imported; comes back with its reference."""

    def put(function: Any) -> str:
        module = ModuleType("scorers_of_a_user")
        module.function = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "scorers_of_a_user", module)
        return "scorers_of_a_user:function"

    return put


class TestDerived:
    @pytest.mark.parametrize(
        ("bounds", "value"),
        [
            ({"at_least": 7}, 1.0),
            ({"at_least": 7.5}, 0.0),
            ({"at_most": 7}, 1.0),
            ({"at_most": 6}, 0.0),
            ({"at_least": 5, "at_most": 8}, 1.0),
            ({"at_least": 8, "at_most": 9}, 0.0),
        ],
    )
    def test_a_threshold_makes_pass_or_fail_of_a_number(self, bounds: dict[str, float], value: float):
        """Bounds belong to what passes."""
        found = scores('{"score": 7}', JSON_SCORE, {"plugin": "threshold", "score": "rating", **bounds})
        assert found["threshold"].value == value

    @pytest.mark.parametrize(
        ("scale", "value"),
        [((0, 10), 0.7), ((10, 0), 0.3), ((7, 8), 0.0), ((6, 7), 1.0)],
    )
    def test_a_score_is_put_on_a_scale_from_0_to_1(self, scale: tuple[float, float], value: float):
        """Upside down where less is better."""
        plugin = {"plugin": "normalised", "score": "rating", "minimum": scale[0], "maximum": scale[1]}
        assert scores('{"score": 7}', JSON_SCORE, plugin)["normalised"].value == pytest.approx(value)

    def test_what_lies_outside_the_scale_is_refused_or_clipped(self):
        """As the suite says."""
        plugin = {"plugin": "normalised", "score": "rating", "minimum": 0, "maximum": 5}
        refused = scores('{"score": 7}', JSON_SCORE, plugin)["normalised"]
        assert (refused.value, refused.reason) == (None, "7 is outside 0 to 5")
        assert scores('{"score": 7}', JSON_SCORE, {**plugin, "outside": "clip"})["normalised"].value == 1.0

    def test_scores_may_be_made_of_derived_ones_in_any_order(self):
        """A chain that stands upside down in the suite."""
        found = scores(
            '{"score": 7}',
            {"plugin": "threshold", "score": "share", "at_least": 0.6, "name": "good"},
            {"plugin": "normalised", "score": "rating", "minimum": 0, "maximum": 10, "name": "share"},
            JSON_SCORE,
        )
        assert {name: one.value for name, one in found.items()} == {"good": 1.0, "share": 0.7, "rating": 7.0}

    def test_no_score_makes_no_score(self):
        """With the reason of the first."""
        found = scores("no", JSON_SCORE, {"plugin": "threshold", "score": "rating", "at_least": 1})["threshold"]
        assert (found.value, found.reason) == (None, "'rating' has no value: the answer is not JSON: 'no'")

    @pytest.mark.parametrize(
        ("plugin", "options", "problem"),
        [
            ("threshold", {}, "give at_least, at_most or both"),
            ("threshold", {"at_least": 2, "at_most": 1}, "at_least 2 is above at_most 1"),
            ("normalised", {"minimum": 1, "maximum": 1}, "minimum and maximum are both 1"),
        ],
    )
    def test_options_that_make_no_sense_are_refused(self, plugin: str, options: dict[str, float], problem: str):
        """Before anything is asked."""
        with pytest.raises(ValidationError, match=problem):
            SCORERS.make(plugin, {"score": "rating", **options})

    def test_circles_and_missing_sources_are_found(self):
        """However long; a score that only leads into a circle is not blamed for it."""
        sources = {"a": "b", "b": "c", "c": "a", "d": "a", "e": "x", "f": None, "g": "g"}
        assert derivation_problem("a", sources) == "score 'a' is made of itself: a <- b <- c <- a"
        assert derivation_problem("g", sources) == "score 'g' is made of itself: g <- g"
        assert derivation_problem("d", sources) is None
        assert derivation_problem("f", sources) is None
        assert derivation_problem("e", sources) == "no scorer gives 'x'. Scores: a, b, c, d, e, f, g"

    @given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
    def test_a_clipped_scale_ends_at_0_and_1(self, value: float, low: float, high: float):
        """For all numbers."""
        if low == high:
            return
        scorer: Any = SCORERS.make("normalised", {"score": "s", "minimum": low, "maximum": high, "outside": "clip"})
        assert 0 <= scorer.derive(Score(name="s", value=value)).value <= 1


class TestFunctions:
    @pytest.mark.parametrize(
        ("returned", "kind", "expected"),
        [
            (True, "binary", (1.0, None)),
            (0, "binary", (0.0, None)),
            ((False, "too long"), "binary", (0.0, "too long")),
            (2.5, "numeric", (2.5, None)),
            (np.float64(2.5), "numeric", (2.5, None)),
            (np.int64(2), "numeric", (2.0, None)),
            ((None, "no idea"), "numeric", (None, "no idea")),
            (None, "numeric", (None, "scorers_of_a_user:function returned no score")),
        ],
    )
    def test_a_function_returns_a_value_or_a_value_and_a_reason(
        self, module: Callable[[Any], str], returned: Any, kind: str, expected: tuple[float | None, str | None]
    ):
        """None where it cannot tell."""
        plugin = {"plugin": "callable", "call": module(lambda fields, answers: returned), "kind": kind}
        found = scores("hello", plugin)["callable"]
        assert (found.value, found.reason) == expected

    @pytest.mark.parametrize(
        ("returned", "kind", "problem"),
        [
            ("good", "numeric", "expected a number; scorers_of_a_user:function returned str 'good'"),
            ({"a": 1}, "numeric", "expected a number; scorers_of_a_user:function returned dict {'a': 1}"),
            (float("nan"), "numeric", "expected a finite number; scorers_of_a_user:function returned nan"),
            (np.array([1.0, 2.0]), "numeric", "expected a number; scorers_of_a_user:function returned ndarray"),
            (0.5, "binary", "expected true or false; scorers_of_a_user:function returned float 0.5"),
            (11, "numeric", "scorers_of_a_user:function returned 11, which is outside its range"),
        ],
    )
    def test_what_is_no_score_is_told_with_the_score_and_what_was_found(
        self, module: Callable[[Any], str], returned: Any, kind: str, problem: str
    ):
        """And is no score."""
        bounds = {"maximum": 10} if kind == "numeric" else {}
        plugin = {"plugin": "callable", "call": module(lambda fields, answers: returned), "kind": kind, **bounds}
        found = scores("hello", {**plugin, "name": "polite"})["polite"]
        assert found.value is None
        assert str(found.reason).startswith(f"score 'polite': {problem}")

    def test_the_function_sees_the_row_and_the_answers(self, module: Callable[[Any], str]):
        """As a dict of columns and a dict of texts by criterion."""
        seen: list[Any] = []
        plugin = {"plugin": "callable", "call": module(lambda fields, answers: seen.append((fields, answers)))}
        scores("hello", plugin, fields={"id": "T-1"})
        assert seen == [({"id": "T-1"}, {"queue": "hello"})]

    def test_a_function_that_raises_costs_only_its_own_score(self, module: Callable[[Any], str]):
        """The reason says what it raised and where; what is made of it has no value either."""

        def broken(fields: Any, answers: Any) -> float:
            raise KeyError(answers["queue"])

        found = scores(
            '{"score": 7}',
            JSON_SCORE,
            {"plugin": "callable", "call": module(broken), "name": "mine"},
            {"plugin": "threshold", "score": "mine", "at_least": 1},
        )
        assert found["rating"].value == 7.0
        line = broken.__code__.co_firstlineno + 1
        assert found["mine"].reason == f"the scorer failed: KeyError: '{{\"score\": 7}}' (test_trial_scores.py:{line})"
        assert found["threshold"].value is None

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (SystemExit(3), "SystemExit: 3"),
            (Mute(), "Mute"),
            (ValueError("\ud800"), "ValueError: ?"),
            (ValueError("x" * 10_000), f"ValueError: {'x' * 988}"),
        ],
    )
    def test_whatever_it_raises_makes_a_reason(self, module: Callable[[Any], str], error: BaseException, said: str):
        """Also what would end the process, cannot say what it is, cannot be stored, or is long."""

        def broken(fields: Any, answers: Any) -> float:
            raise error

        (found,) = scores("x", {"plugin": "callable", "call": module(broken)}).values()
        assert (found.reason or "").startswith(f"the scorer failed: {said} (test_trial_scores.py:")

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({"call": "no_such_module_here:run"}, "cannot import no_such_module_here"),
            ({"call": "json:no_such_function"}, "json has no 'no_such_function'"),
            ({"call": "string:digits"}, "expected a function or a class; found str"),
            ({"call": "operator.eq"}, "String should match pattern"),
            ({"call": "operator:eq", "kind": "binary", "minimum": 0}, "minimum and maximum are for numeric scores"),
            ({"call": "operator:eq", "minimum": 2, "maximum": 1}, "minimum 2 is not below maximum 1"),
            ({"call": "json:dumps"}, r"'json:dumps' takes \(obj, .*; expected a function of fields, answers"),
            ({"call": "asyncio:open_connection"}, "'asyncio:open_connection' is async; expected a function"),
        ],
    )
    def test_a_function_that_cannot_be_used_is_refused(self, options: dict[str, Any], problem: str):
        """Before anything is asked."""
        with pytest.raises(ValidationError, match=problem):
            SCORERS.make("callable", options)

    def test_its_range_bounds_what_missing_scores_could_be(self, module: Callable[[Any], str]):
        """Reports compute bounds from it; with one end open there are none."""
        call = module(lambda fields, answers: 1)
        assert SCORERS.make("callable", {"call": call, "kind": "binary"}).value_range == (0.0, 1.0)
        assert SCORERS.make("callable", {"call": call, "minimum": 1, "maximum": 5}).value_range == (1, 5)
        assert SCORERS.make("callable", {"call": call, "minimum": 1}).value_range is None


RESPONSES = {
    "queue": response("a", input_tokens=100, output_tokens=7, latency_seconds=0.5),
    "mood": response("b", "mood", input_tokens=50, output_tokens=3, latency_seconds=0.25, first_token_seconds=0.1),
}


class TestUsage:
    @pytest.mark.parametrize(
        ("plugin", "options", "value"),
        [
            ("token_usage", {}, 160.0),
            ("token_usage", {"tokens": "input"}, 150.0),
            ("token_usage", {"tokens": "output", "criterion": "mood"}, 3.0),
            ("latency", {}, 0.75),
            ("latency", {"criterion": "mood"}, 0.25),
            ("latency", {"criterion": "mood", "until": "first_token"}, 0.1),
            ("latency", {"until": "first_token"}, None),
            ("latency", {"criterion": "other"}, None),
        ],
    )
    def test_what_answers_took_is_a_score(self, plugin: str, options: dict[str, Any], value: float | None):
        """Of one criterion, or summed over all."""
        score = SCORERS.make(plugin, options).score({}, RESPONSES)
        assert score.value == value
        assert (score.reason is None) is (value is not None)


@pytest.mark.parametrize(
    ("returned", "found"),
    [
        (3, Score(name="mine", value=None, reason="the scorer returned int 3; expected a Score")),
        (
            Score(name="mine", value=math.nan),
            Score(name="mine", value=None, reason="the scorer returned nan; expected a number from -1e+100 to 1e+100"),
        ),
        (
            Score(name="mine", value=-1e308),
            Score(
                name="mine", value=None, reason="the scorer returned -1e+308; expected a number from -1e+100 to 1e+100"
            ),
        ),
        (Score(name="other", value=1), Score(name="mine", value=1)),
    ],
)
def test_what_an_installed_scorer_returns_is_a_score_of_its_name(returned: Any, found: Score) -> None:
    """Or none, with the reason: the evaluation counts on it."""
    assert score_trial([Installed(returned)], {}, {"queue": response("x")}) == (found,)


@given(st.text(max_size=60), st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20))
def test_no_built_in_scorer_raises_or_gives_an_endless_number(answer: str, cell: Any) -> None:
    """Whatever the answer and the row say: a finite number, or none with a reason."""
    options: dict[str, dict[str, Any]] = {
        "label_match": {"expected": "right"},
        "json_score": {"expected": "right"},
        "contains": {"expected": "right"},
        "regex": {"expected": "right", "pattern": r"\d+"},
        "numeric_tolerance": {"expected": "right", "relative": 0.1},
        "text_similarity": {"expected": "right"},
        "threshold": {"score": "latency", "at_least": 0.2},
        "normalised": {"score": "token_usage", "minimum": 0, "maximum": 100},
    }
    made = [SCORERS.make(name, options.get(name, {})) for name in SCORERS.names if name != "callable"]
    for score in score_trial(made, {"right": cell}, {"queue": response(answer)}):
        assert (score.value is not None and math.isfinite(score.value)) or score.reason
        assert "the scorer failed" not in (score.reason or "")
