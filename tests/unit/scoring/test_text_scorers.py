"""Scorers of text: what is found in an answer, and which expressions are refused."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from assay.records import Score
from assay.scoring.rows import SCORERS
from assay.scoring.scorers import similarity
from builders import response


def scored(plugin: str, answer: str, right: Any = None, **options: Any) -> Score:
    """Judges an answer; the cell `right` of the row says what is right."""
    return SCORERS.make(plugin, options).score({"right": right}, {"queue": response(answer)})


class TestContains:
    @pytest.mark.parametrize(
        ("require", "found"),
        [("all", [1.0, 0.0, 0.0]), ("any", [1.0, 1.0, 0.0]), ("none", [0.0, 0.0, 1.0])],
    )
    def test_all_any_or_none_of_the_texts(self, require: str, found: list[float]):
        """Of an answer with both, with one and with neither."""
        answers = ["Sorry, a refund", "sorry", "hello"]
        values = [scored("contains", one, texts=["SORRY", "refund"], require=require).value for one in answers]
        assert values == found

    def test_capitals_count_when_the_suite_says_so(self):
        """For names."""
        assert scored("contains", "refund", texts=["Refund"], ignore_case=False).value == 0.0

    @pytest.mark.parametrize(
        ("cell", "value"), [("refund", 1.0), (["refund", "now"], 0.0), (["refund", ""], 1.0), (7, 0.0)]
    )
    def test_a_column_says_what_to_look_for(self, cell: Any, value: float):
        """One text, or a list of them."""
        assert scored("contains", "a refund", cell, expected="right").value == value

    @pytest.mark.parametrize("cell", ["", None, [], [""]])
    def test_a_row_without_text_is_not_scored(self, cell: Any):
        """The answer is not to blame."""
        score = scored("contains", "a refund", cell, expected="right")
        assert (score.value, score.reason) == (None, "column 'right' holds no text")

    def test_a_part_of_a_json_answer_is_searched(self):
        """Only that part."""
        answer = '{"reply": "a refund", "note": "sorry"}'
        assert scored("contains", answer, texts=["refund"], path="reply").value == 1.0
        assert scored("contains", answer, texts=["sorry"], path="reply").value == 0.0
        assert scored("contains", "no JSON", texts=["sorry"], path="reply").value == 0.0

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({}, "give either texts or the column 'expected'"),
            ({"texts": ["a"], "expected": "right"}, "give either texts or the column 'expected'"),
            ({"texts": ["a", ""]}, "an empty text is in every answer"),
            ({"texts": ["a"], "require": "most"}, "require"),
        ],
    )
    def test_options_that_make_no_sense_are_refused(self, options: dict[str, Any], problem: str):
        """Before anything is asked."""
        with pytest.raises(ValidationError, match=problem):
            SCORERS.make("contains", options)

    @example("", "\r", "")
    @example("", " a", "b")
    @given(st.text(), st.text(min_size=1), st.text())
    def test_what_surrounds_a_text_does_not_matter(self, before: str, text: str, after: str):
        """It is found wherever it stands."""
        assert scored("contains", before + text + after, texts=[text], ignore_case=False).value == 1.0


class TestRegex:
    @pytest.mark.parametrize(
        ("answer", "options", "value"),
        [
            ("Order 7781 is late", {"pattern": r"\d{4}"}, 1.0),
            ("Order 7781 is late", {"pattern": r"\d{4}", "match": "full"}, 0.0),
            ("7781", {"pattern": r"\d{4}", "match": "full"}, 1.0),
            ("LATE", {"pattern": "late"}, 0.0),
            ("LATE", {"pattern": "late", "ignore_case": True}, 1.0),
            ('{"id": "A-1"}', {"pattern": r"A-\d", "path": "id", "match": "full"}, 1.0),
            ('{"id": null}', {"pattern": "null", "path": "id"}, 0.0),
        ],
    )
    def test_the_expression_is_found_or_matches_all(self, answer: str, options: dict[str, Any], value: float):
        """In the answer, or the part of it at a path."""
        assert scored("regex", answer, **options).value == value

    @pytest.mark.parametrize(
        ("answer", "options", "value"),
        [
            ("Answer: B", {"pattern": r"Answer: (\w)"}, 1.0),
            ("Answer: C", {"pattern": r"Answer: (\w)"}, 0.0),
            ("Answer: B", {"pattern": r"(Answer): (?P<choice>\w)", "group": "choice"}, 1.0),
            ("Answer: B", {"pattern": r"(Answer): (\w)", "group": 2}, 1.0),
            ("b", {"pattern": r"\w", "ignore_case": True}, 1.0),
            ("no idea", {"pattern": r"Answer: (\w)"}, 0.0),
        ],
    )
    def test_a_group_is_compared_with_the_column(self, answer: str, options: dict[str, Any], value: float):
        """The first one unless the suite names another; the whole match where there is none."""
        assert scored("regex", answer, "B", expected="right", **options).value == value

    def test_an_answer_without_a_match_says_so(self):
        """It is wrong, as any other answer."""
        score = scored("regex", "no idea", "B", expected="right", pattern="Answer: (.)")
        assert (score.value, score.reason) == (0.0, "the answer has no match for 'Answer: (.)'")

    def test_a_column_may_hold_the_expression(self):
        """Every row its own."""
        assert scored("regex", "about 12 days", r"\b1\d days", expected="right").value == 1.0
        assert scored("regex", "about 22 days", r"\b1\d days", expected="right").value == 0.0

    @pytest.mark.parametrize(
        ("cell", "reason"),
        [
            ("", "column 'right' holds no expression"),
            ("(", "column 'right': '(' is not a regular expression"),
            ("(a+)+b", "column 'right': '(a+)+b' repeats a group that itself repeats"),
        ],
    )
    def test_a_row_whose_expression_cannot_be_used_is_not_scored(self, cell: str, reason: str):
        """A bad one would keep a worker from everything else."""
        score = scored("regex", "aaaa", cell, expected="right")
        assert score.value is None
        assert str(score.reason).startswith(reason)

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            ({}, "give a pattern, or the column 'expected'"),
            ({"pattern": "("}, "is not a regular expression"),
            ({"pattern": "(a|aa)+$"}, "it may take for ever"),
            ({"pattern": "a", "group": 1}, "a group needs 'pattern' and the column"),
            ({"pattern": "(a)", "group": 2, "expected": "right"}, "has no group 2. It has: 0, 1"),
            ({"pattern": "(?P<x>a)", "group": "y", "expected": "right"}, "has no group 'y'. It has: 0, 1, x"),
        ],
    )
    def test_options_that_make_no_sense_are_refused(self, options: dict[str, Any], problem: str):
        """Before anything is asked."""
        with pytest.raises(ValidationError, match=problem.replace("(", r"\(")):
            SCORERS.make("regex", options)


class TestJsonValid:
    @pytest.mark.parametrize(
        ("answer", "options", "value"),
        [
            ('{"a": 1}', {}, 1.0),
            ("3", {}, 1.0),
            ("{'a': 1}", {}, 0.0),
            ("NaN", {}, 0.0),
            ("```json\n{}\n```", {}, 0.0),
            ("[1]", {"type": "array"}, 1.0),
            ("[1]", {"type": "object"}, 0.0),
            ('{"a": {"b": null}}', {"has": ["a.b"]}, 1.0),
            ('{"a": {"b": null}}', {"has": ["a.b", "c"]}, 0.0),
        ],
    )
    def test_the_answer_is_json_with_all_that_it_must_have(self, answer: str, options: dict[str, Any], value: float):
        """Nothing around it, and no NaN."""
        assert scored("json_valid", answer, **options).value == value


class TestSimilarity:
    @pytest.mark.parametrize("method", ["ratio", "token_sort", "token_set", "bleu", "chrf"])
    def test_the_same_text_is_1_and_nothing_in_common_0(self, method: str):
        """By every method."""
        text = "the parcel will arrive tomorrow morning"
        assert scored("text_similarity", text, text, expected="right", method=method).value == pytest.approx(1)
        assert scored("text_similarity", "", text, expected="right", method=method).value == 0.0

    def test_ratio_is_the_share_of_characters_in_common(self):
        """Indel similarity of 'kitten' and 'sitting': 13 characters, 4 + 4 in common, so 8 / 13."""
        assert scored("text_similarity", "kitten", "sitting", expected="right").value == pytest.approx(8 / 13)

    def test_token_methods_do_not_mind_order_or_additions(self):
        """Their use."""
        words = {"right": "late parcel", "expected": "right"}
        assert scored("text_similarity", "parcel late", method="token_sort", **words).value == 1.0
        assert scored("text_similarity", "parcel late again", method="token_set", **words).value == 1.0

    def test_bleu_is_that_of_sacrebleu(self):
        """By hand: precisions 4/5, 2/4, 1/3 and smoothed 1/(2*2), no brevity penalty: their geometric mean."""
        score = scored("text_similarity", "a b c x d", "a b c y d", expected="right", method="bleu")
        assert score.value == pytest.approx((4 / 5 * 2 / 4 * 1 / 3 * 1 / 4) ** (1 / 4), rel=1e-9)

    def test_capitals_may_not_count(self):
        """As suites say."""
        assert scored("text_similarity", "LATE", "late", expected="right", ignore_case=True).value == 1.0
        assert scored("text_similarity", "LATE", "late", expected="right").value == 0.0

    def test_a_row_without_the_right_text_is_not_scored(self):
        """There is nothing to compare with."""
        assert scored("text_similarity", "late", "", expected="right").value is None

    def test_a_missing_package_is_told_with_its_remedy(self, monkeypatch: pytest.MonkeyPatch):
        """In preflight: options are refused."""
        monkeypatch.setattr(similarity, "find_spec", lambda name: None)
        with pytest.raises(ValidationError, match=r"needs the package sacrebleu: pip install 'assay-batch\[text\]'"):
            SCORERS.make("text_similarity", {"expected": "right", "method": "bleu"})

    def test_packages_are_imported_only_when_used(self, monkeypatch: pytest.MonkeyPatch):
        """A worker that does not compare texts starts without them."""
        for name in [one for one in sys.modules if one.split(".")[0] in ("rapidfuzz", "sacrebleu")]:
            monkeypatch.delitem(sys.modules, name)
        wanted: list[str] = []
        real = builtins.__import__

        def noted(name: str, *rest: Any) -> Any:
            wanted.append(name.split(".")[0])
            return real(name, *rest)

        monkeypatch.setattr(builtins, "__import__", noted)
        scorer = SCORERS.make("text_similarity", {"expected": "right"})
        assert "rapidfuzz" not in wanted
        scorer.score({"right": "a"}, {"queue": response("a")})
        assert "rapidfuzz" in wanted
        assert "sacrebleu" not in wanted
