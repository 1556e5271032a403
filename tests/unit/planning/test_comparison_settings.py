"""What a suite may say of comparisons, and what it may not: found before a model is asked."""

from typing import get_args

import pytest

from assay.errors import SuiteError
from assay.planning.preflight import check_columns, checked_suite, columns_used
from assay.scoring import results
from assay.suite import models

SUITE = """\
version: 1
name: my-suite
defaults:
  model: {deployment: gpt-4o-mini}
  user: "{{ question }}"
experiments:
  - {name: plain, baseline: true}
scorers:
  - {plugin: label_match, name: correct, expected: label}
  - {plugin: json_score, name: rating}
"""


def suite_with(comparison: str) -> str:
    return f"{SUITE}comparison: {comparison}\n"


def test_tests_have_the_same_names_in_suites_and_in_scoring() -> None:
    """The two rooms do not import each other."""
    assert set(get_args(models.TestName)) == set(get_args(results.TestName))
    assert get_args(models.Goal) == get_args(results.Goal)


def test_a_single_test_is_for_all_scores_and_a_single_margin_for_the_primary_one() -> None:
    """Scores share a test, but not a scale."""
    settings = checked_suite(suite_with("{test: sign, margin: 0.02}")).comparison
    assert (settings.test_of("correct"), settings.test_of("rating")) == ("sign", "sign")
    assert (settings.margin_of("correct", "correct"), settings.margin_of("rating", "correct")) == (0.02, None)


def test_tests_and_margins_may_be_given_by_score() -> None:
    """A score that is not named goes by the rule."""
    settings = checked_suite(suite_with("{test: {rating: wilcoxon}, margin: {rating: 0.5}}")).comparison
    assert (settings.test_of("correct"), settings.test_of("rating")) == (None, "wilcoxon")
    assert (settings.margin_of("correct", "correct"), settings.margin_of("rating", "correct")) == (None, 0.5)


@pytest.mark.parametrize(
    ("goal", "of_correct", "of_rating"),
    [
        ("{}", "maximise", "maximise"),
        ("{goal: minimise}", "minimise", "minimise"),
        ("{goal: {rating: minimise}}", "maximise", "minimise"),
    ],
)
def test_a_goal_is_for_all_scores_or_by_score(goal: str, of_correct: str, of_rating: str) -> None:
    """More is better unless the suite says otherwise."""
    settings = checked_suite(suite_with(goal)).comparison
    assert (settings.goal_of("correct"), settings.goal_of("rating")) == (of_correct, of_rating)


@pytest.mark.parametrize(
    ("comparison", "complaint"),
    [
        ("{test: ttest}", "comparison.test: found 'ttest'; expected one of mcnemar_exact, paired_t"),
        ("{goal: lower}", "comparison.goal: found 'lower'; expected maximise or minimise, or a mapping"),
        ("{goal: {rating: 3}}", "expected maximise or minimise"),
        ("{goal: {ratings: minimise}}", "no scorer gives 'ratings' (did you mean 'rating'?). Scores: correct, rating"),
        ("{test: {correct: 5}}", "expected one of mcnemar_exact"),
        ("{margin: 0}", "comparison.margin: found 0; expected a number above 0"),
        ("{margin: {rating: wide}}", "expected a number above 0"),
        ("{correction: bonferroni}", "comparison.correction: found 'bonferroni'; expected holm or bh"),
        ("{interval: wald}", "comparison.interval: found 'wald'; expected t or bootstrap"),
        ("{zeros: keep}", "comparison.zeros: found 'keep'; expected wilcox or pratt"),
        ("{resamples: 10}", "comparison.resamples: found 10"),
        ("{power: 1}", "comparison.power: found 1"),
        ("{test: {corect: sign}}", "no scorer gives 'corect' (did you mean 'correct'?). Scores: correct, rating"),
        ("{margin: {stars: 1}}", "no scorer gives 'stars'. Scores: correct, rating"),
        ("{test: mcnemar_exact}", "'mcnemar_exact' is for scores of pass or fail, and 'rating' is numeric"),
        ("{test: clustered_t}", "'clustered_t' needs groups: name their column with comparison.group"),
        ("{test: paired_t, group: author}", "'paired_t' takes rows for independent; with a group: clustered_t or"),
    ],
)
def test_what_cannot_work_is_refused_with_its_line(comparison: str, complaint: str) -> None:
    """Before anything is spent."""
    with pytest.raises(SuiteError) as refused:
        checked_suite(suite_with(comparison))
    assert "suite.yaml:11: " in str(refused.value) and complaint in str(refused.value)


def test_the_group_column_must_be_in_the_dataset() -> None:
    """It is used like a column of a prompt."""
    text = suite_with("{group: author}")
    suite = checked_suite(text)
    assert "author" in columns_used(suite)
    with pytest.raises(SuiteError, match=r"comparison\.group uses column 'author' .*which rows.csv does not have"):
        check_columns(suite, text, ("autor", "question", "label"), "rows.csv")
