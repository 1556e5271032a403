"""The built-in scorers: what counts as right, as a number, and as no score."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from assay.records import Score
from assay.registry import UnknownName
from assay.scoring.rows import SCORERS
from builders import response


def label(answer: str, expected: Any, **options: Any) -> Score:
    """Judges an answer against the cell `right` of the row."""
    scorer = SCORERS.make("label_match", {"expected": "right", **options})
    return scorer.score({"right": expected}, {"queue": response(answer)})


def number(answer: str, *, right: Any = None, **options: Any) -> Score:
    scorer = SCORERS.make("json_score", options)
    return scorer.score({"right": right}, {"queue": response(answer)})


class TestLabelMatch:
    @pytest.mark.parametrize(
        ("answer", "expected", "value"),
        [
            ("billing", "billing", 1.0),
            ("  billing\n", " billing ", 1.0),
            ("BILLING", "billing", 1.0),
            ("STRASSE", "straße", 1.0),
            ("billing.", "billing", 0.0),
            ("billing or delivery", "billing", 0.0),
            ("", "billing", 0.0),
        ],
    )
    def test_the_whole_answer_must_be_the_label(self, answer: str, expected: str, value: float):
        """White space around it and, unless told, capitals do not count; anything else does."""
        score = label(answer, expected)
        assert (score.name, score.value, score.reason) == ("label_match", value, None)

    def test_the_score_says_both_labels_as_compared(self):
        """Confusion matrices count them, so 'Billing' and 'billing' are one label unless the suite says otherwise."""
        assert label(" Delivery", "Billing").model_dump(exclude={"name", "value", "reason"}) == {
            "label": "delivery",
            "expected": "billing",
        }
        assert label("Delivery", "Billing", ignore_case=False).label == "Delivery"
        assert len(label("x" * 500, "y" * 500).label or "") == len(label("", "y" * 500).expected or "") == 100

    @pytest.mark.parametrize("answer", ["", " ", '{"queue": null}', '{"queue": []}', "{}"])
    def test_an_answer_without_a_label_says_only_what_was_expected(self, answer: str):
        """It is wrong, and in a confusion matrix it has a cell of its own."""
        score = label(answer, "billing", path="queue" if answer.strip() else None)
        assert (score.value, score.label, score.expected) == (0.0, None, "billing")

    def test_labels_are_not_written_where_there_are_none(self):
        """A score is written a million times."""
        assert number('{"score": 3}').model_dump_json() == '{"name":"json_score","value":3.0,"reason":null}'

    def test_capitals_count_when_the_suite_says_so(self):
        """For labels that differ in nothing else."""
        assert label("Billing", "billing", ignore_case=False).value == 0.0
        assert label("billing", "billing", ignore_case=False).value == 1.0

    @pytest.mark.parametrize(
        ("answer", "expected", "value"),
        [
            ("0", "0", 1.0),
            ("0", 0, 1.0),
            ("7", "7", 1.0),
            ("7.0", "7", 1.0),
            ("7", 7.0, 1.0),
            ("7.5", "7.5", 1.0),
            ("8", "7", 0.0),
            ("true", "true", 1.0),
            ("true", True, 1.0),
            ("true", "True", 1.0),
            ("false", True, 0.0),
            ("true", "1", 0.0),
            ('"7"', 7, 1.0),
            ("1e300", 1e300, 1.0),
        ],
    )
    def test_numbers_and_booleans_are_labels_as_json_writes_them(self, answer: str, expected: Any, value: float):
        """A label 0 is a label; 7 is 7.0; true is not 1."""
        assert (
            label(f'{{"a": {answer}}}', expected, path="a", ignore_case=not isinstance(expected, bool)).value == value
        )

    def test_a_path_leads_into_the_answer(self):
        """Its parts are keys of objects within objects."""
        assert label('{"result": {"label": "billing", "why": "x"}}', "billing", path="result.label").value == 1.0

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ("billing", "the answer is not JSON: 'billing'"),
            ('{"queue": "billing"', 'the answer is not JSON: \'{"queue": "billing"\''),
            ("", "the answer is not JSON: ''"),
            ('{"queue": NaN}', "the answer is not JSON: '{\"queue\": NaN}'"),
            ("[" * 100_000, f"the answer is not JSON: '{'[' * 77}...'"),
            ('["billing"]', "the answer has no 'queue': '[\"billing\"]'"),
            ('{"label": "billing"}', "the answer has no 'queue': '{\"label\": \"billing\"}'"),
            ('{"queue": ["billing"]}', "expected a label; found '[\"billing\"]'"),
            ('{"queue": {"name": "billing"}}', 'expected a label; found \'{"name": "billing"}\''),
            ('{"queue": null}', "expected a label; found 'null'"),
        ],
        ids=lambda text: text[:30],
    )
    def test_an_answer_without_a_label_is_wrong_and_says_why(self, answer: str, reason: str):
        """A model that does not keep to the form has not found the label."""
        score = label(answer, "billing", path="queue")
        assert (score.value, score.reason) == (0.0, reason)

    def test_null_is_not_the_label_none(self):
        """Python writes null as None."""
        assert label('{"queue": null}', "none", path="queue").value == 0.0

    @pytest.mark.parametrize("cell", ["", "  ", None, ["billing"], {}])
    def test_a_row_without_a_label_is_not_scored(self, cell: Any):
        """Nobody knows what would be right."""
        expected = Score(name="label_match", value=None, reason="column 'right' holds no label")
        assert label("billing", cell) == expected

    def test_a_row_without_the_column_is_not_scored(self):
        """The plan refuses such rows; a scorer still does not raise."""
        scorer = SCORERS.make("label_match", {"expected": "other"})
        assert scorer.score({}, {"queue": response("x")}).reason == "column 'other' holds no label"

    def test_the_named_criterion_is_judged(self):
        """Without a name it is the first."""
        answers = {"queue": response("billing"), "mood": response("angry", "mood")}
        for criterion, value in (("mood", 1.0), (None, 0.0)):
            scorer = SCORERS.make("label_match", {"expected": "right", "criterion": criterion})
            assert scorer.score({"right": "angry"}, answers).value == value

    @pytest.mark.parametrize(("criterion", "shown"), [("mood", "mood"), (None, "first")])
    def test_a_missing_answer_is_wrong_and_says_so(self, criterion: str | None, shown: str):
        """It counts as any other answer that is not the label."""
        scorer = SCORERS.make("label_match", {"expected": "right", "criterion": criterion})
        reason = f"no answer to criterion '{shown}'"
        assert scorer.score({"right": "angry"}, {}) == Score(
            name="label_match", value=0.0, reason=reason, expected="angry"
        )

    def test_its_name_kind_and_range(self):
        """What the evaluation needs to know."""
        scorer = SCORERS.make("label_match", {"expected": "right", "name": "correct"})
        assert (scorer.name, scorer.kind, scorer.value_range) == ("correct", "binary", (0.0, 1.0))


class TestJsonScore:
    @pytest.mark.parametrize(("answer", "value"), [("0", 0.0), ("10", 10.0), ("7.5", 7.5), ("1e0", 1.0), ("-0.0", 0.0)])
    def test_a_number_within_the_bounds_is_the_score(self, answer: str, value: float):
        """The bounds themselves count."""
        assert number(f'{{"score": {answer}}}') == Score(name="json_score", value=value)

    def test_there_is_one_zero(self):
        """-0.0 would look odd in a report, and its bytes differ."""
        assert str(number('{"score": -0.0}').value) == "0.0"

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ("11", "11 is outside 0 to 10"),
            ("10.001", "10.001 is outside 0 to 10"),
            ("-1", "-1 is outside 0 to 10"),
            ("1e999", "inf is outside 0 to 10"),
            ("-1e999", "-inf is outside 0 to 10"),
            ("9" * 400, f"{'9' * 40} is outside 0 to 10"),
            ('"7"', "expected a number; found '7'"),
            ("true", "expected a number; found 'true'"),
            ("null", "expected a number; found 'null'"),
            ("[7]", "expected a number; found '[7]'"),
            ('{"value": 7}', "expected a number; found '{\"value\": 7}'"),
            ("NaN", "the answer is not JSON: '{\"score\": NaN}'"),
            ("Infinity", "the answer is not JSON: '{\"score\": Infinity}'"),
            ("-Infinity", "the answer is not JSON: '{\"score\": -Infinity}'"),
        ],
        ids=lambda text: text[:20],
    )
    def test_anything_else_is_no_score_and_says_why(self, answer: str, reason: str):
        """Neither text nor true nor what Python but not JSON takes for a number."""
        assert number(f'{{"score": {answer}}}') == Score(name="json_score", value=None, reason=reason)

    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            ("seven", "the answer is not JSON: 'seven'"),
            ("9" * 5_000, f"the answer is not JSON: '{'9' * 77}...'"),
            ("7", "the answer has no 'score': '7'"),
            ('{"rating": 7}', "the answer has no 'score': '{\"rating\": 7}'"),
            (f'{{"score": {"[" * 100_000}', f"the answer is not JSON: '{{\"score\": {'[' * 67}...'"),
        ],
        ids=lambda text: text[:20],
    )
    def test_an_answer_of_another_form_is_no_score_and_says_why(self, answer: str, reason: str):
        """What was looked for and what was found."""
        assert number(answer) == Score(name="json_score", value=None, reason=reason)

    def test_a_path_leads_into_the_answer(self):
        """Its parts are keys of objects within objects."""
        assert number('{"a": {"b": {"c": 3}}}', path="a.b.c").value == 3.0
        assert number('{"a": {"b": 3}}', path="a.b.c").reason == "the answer has no 'a.b.c': '{\"a\": {\"b\": 3}}'"

    def test_surrogate_escapes_in_an_answer_can_be_stored(self):
        """A reason is kept as UTF-8."""
        score = number(r'{"score": "\ud800"}')
        assert Score.model_validate_json(score.model_dump_json()) == score

    @settings(max_examples=100, deadline=None)
    @given(st.text(max_size=30) | st.floats().map(lambda value: f'{{"score": {value}}}'))
    def test_no_answer_makes_it_raise_and_every_score_is_within_its_range(self, answer: str):
        """Whatever a model says."""
        score = number(answer)
        assert (score.value is None) is (score.reason is not None)
        assert score.value is None or 0.0 <= score.value <= 10.0

    def test_its_name_kind_and_range(self):
        """What the evaluation needs to know."""
        scorer = SCORERS.make("json_score", {"minimum": 1, "maximum": 5})
        assert (scorer.name, scorer.kind, scorer.value_range) == ("json_score", "numeric", (1.0, 5.0))
        near = SCORERS.make("json_score", {"minimum": 1, "maximum": 5, "expected": "right"})
        assert near.value_range == (-4.0, 0.0)


class TestDistance:
    @pytest.mark.parametrize(
        ("answer", "right", "value"),
        [(7, 7, 0.0), (7, "7", 0.0), (5, 7, -2.0), (7, "5.5", -1.5), (0, 10, -10.0), (0, 0, 0.0), (3, " 4 ", -1.0)],
    )
    def test_is_below_zero_by_how_far_the_answer_is_off(self, answer: float, right: Any, value: float):
        """Nearer is better, and 0 is exact."""
        score = number(f'{{"score": {answer}}}', right=right, expected="right")
        assert score == Score(name="json_score", value=value)
        assert math.copysign(1, score.value) == (1 if value == 0 else -1)

    @pytest.mark.parametrize(
        ("right", "reason"),
        [
            ("good", "column 'right' holds no number: 'good'"),
            ("", "column 'right' holds no number: ''"),
            (None, "column 'right' holds no number: 'null'"),
            (True, "column 'right' holds no number: 'true'"),
            ([7], "column 'right' holds no number: '[7]'"),
            ("nan", "column 'right' holds no number: 'nan'"),
            ("inf", "column 'right' holds no number: 'inf'"),
            (11, "column 'right': 11 is outside 0 to 10"),
            ("9" * 400, f"column 'right' holds no number: '{'9' * 77}...'"),
        ],
    )
    def test_a_row_without_the_right_number_is_not_scored(self, right: Any, reason: str):
        """The column is to blame, not the answer, and the reason says so."""
        assert number('{"score": 5}', right=right, expected="right") == Score(
            name="json_score", value=None, reason=reason
        )

    def test_an_answer_that_is_no_score_has_no_distance(self):
        """The answer is checked first."""
        expected = Score(name="json_score", value=None, reason="12 is outside 0 to 10")
        assert number('{"score": 12}', right=7, expected="right") == expected


class TestOptions:
    def test_an_unknown_scorer_is_told_with_the_closest(self):
        """And with all there are."""
        with pytest.raises(UnknownName) as caught:
            SCORERS.make("json_scores", {})
        assert str(caught.value).startswith(
            "unknown scorer 'json_scores' (did you mean 'json_score'?). Known: label_match, json_score, "
        )

    @pytest.mark.parametrize(
        ("plugin", "options"),
        [
            ("label_match", {}),
            ("label_match", {"expected": ""}),
            ("label_match", {"expected": "x", "path": ""}),
            ("label_match", {"expected": "x", "ignorecase": True}),
            ("json_score", {"minimum": 5, "maximum": 5}),
            ("json_score", {"minimum": 6, "maximum": 5}),
            ("json_score", {"maximum": math.inf}),
            ("json_score", {"minimum": math.nan}),
            ("json_score", {"expected": ""}),
        ],
    )
    def test_options_without_a_meaning_are_refused(self, plugin: str, options: dict[str, Any]):
        """A scorer that is made can judge."""
        with pytest.raises(ValidationError):
            SCORERS.make(plugin, options)
