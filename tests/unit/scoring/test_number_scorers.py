"""Numbers in answers: which are found, and what is near enough."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from assay.records import Score
from assay.scoring.rows import SCORERS
from assay.scoring.scorers.answers import NotInAnswer
from assay.scoring.scorers.numbers import the_number
from builders import response


def near(answer: str, right: Any, **options: Any) -> Score:
    scorer = SCORERS.make("numeric_tolerance", {"expected": "right", **options})
    return scorer.score({"right": right}, {"queue": response(answer)})


class TestTheNumber:
    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("12", 12.0),
            (" -3.5e2\n", -350.0),
            ("about $1,204.50 a month", 1204.5),
            ("The answer is **42**.", 42.0),
            ("(12%)", 12.0),
            ("\N{MINUS SIGN}5 °C", -5.0),
            (".5", 0.5),
            ("gpt-4o says 7, no more", 7.0),
            ("on 2026-11-20 there were 9", 9.0),
            ("€1,000,000", 1_000_000.0),
        ],
    )
    def test_the_only_word_that_is_a_number_counts(self, text: str, number: float):
        """Currency signs, quotes and punctuation around it do not."""
        assert the_number(text) == number

    @pytest.mark.parametrize("text", ["", "none", "3 or 4", "3-4", "1,5", "12kg", "1.2.3", "NaN", "inf", "1e999", "x1"])
    def test_other_texts_have_no_number(self, text: str):
        """A guess would be worse than none."""
        with pytest.raises(NotInAnswer):
            the_number(text)

    def test_a_number_beyond_all_floats_is_none(self):
        """JSON knows no largest number."""
        with pytest.raises(NotInAnswer, match="expected a finite number"):
            the_number(10**400)

    @given(st.floats(allow_nan=False, allow_infinity=False))
    def test_every_number_is_read_as_it_is_written(self, number: float):
        """Alone, or in a sentence."""
        assert the_number(repr(number)) == the_number(f"It is {number!r}.") == number

    @given(st.integers(0, 10**12))
    def test_thousands_may_be_grouped(self, number: int):
        """By commas, as in English."""
        assert the_number(f"{number:,}") == number


class TestTolerance:
    @pytest.mark.parametrize(
        ("found", "options", "value"),
        [
            ("100", {}, 1.0),
            ("100.5", {}, 0.0),
            ("100.5", {"absolute": 0.5}, 1.0),
            ("99.4", {"absolute": 0.5}, 0.0),
            ("101", {"relative": 0.01}, 1.0),
            ("101.1", {"relative": 0.01}, 0.0),
            ("101.1", {"relative": 0.01, "absolute": 2}, 1.0),
        ],
    )
    def test_whichever_tolerance_allows_more_counts(self, found: str, options: dict[str, float], value: float):
        """Without one only the number itself is right."""
        assert near(found, "100", **options).value == value

    def test_a_bound_that_is_no_binary_number_is_within(self):
        """0.3 - 0.2 is a little less than 0.1, and 0.8 - 0.7 a little more."""
        assert near("0.8", 0.7, absolute=0.1).value == near("0.3", 0.2, absolute=0.1).value == 1.0

    def test_a_path_leads_to_a_json_number_or_its_text(self):
        """true is none."""
        assert near('{"n": 3}', 3, path="n").value == near('{"n": "3"}', 3, path="n").value == 1.0
        assert near('{"n": true}', 1, path="n") == Score(
            name="numeric_tolerance", value=0.0, reason="expected a number; found 'true'"
        )

    def test_an_answer_with_several_numbers_is_wrong_and_says_so(self):
        """Nobody knows which one is meant."""
        assert near("3 or 4", 3) == Score(
            name="numeric_tolerance", value=0.0, reason="expected one number; found 2: '3 or 4'"
        )

    @pytest.mark.parametrize("right", ["", None, "many", "nan", True])
    def test_a_row_without_the_right_number_is_not_scored(self, right: Any):
        """The answer is not to blame."""
        score = near("3", right)
        assert score.value is None
        assert str(score.reason).startswith("column 'right' holds no number")

    @pytest.mark.parametrize("options", [{"absolute": -1}, {"relative": -0.1}, {"absolute": float("inf")}])
    def test_tolerances_are_finite_and_not_negative(self, options: dict[str, float]):
        """Else nothing or everything would pass."""
        with pytest.raises(ValidationError):
            near("3", 3, **options)

    @given(st.floats(-1e9, 1e9), st.floats(0, 1e6), st.floats(-1, 1))
    def test_all_within_the_tolerance_passes(self, right: float, absolute: float, share: float):
        """On both sides."""
        assert near(repr(right + share * absolute), right, absolute=absolute).value == 1.0
