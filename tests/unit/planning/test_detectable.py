"""Which differences a run could find: by the score, the rows, the groups, the number of comparisons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assay.planning.detectable import DISCORDANT_SHARES, Detectability, detectable_differences
from assay.planning.plan import build_plan
from assay.planning.preflight import checked_suite
from assay.scoring.statistics.power import mcnemar_power, paired_power
from assay.sources.tabular import open_source

SUITE = """\
version: 1
name: demo
dataset: {id: id}
defaults: {model: {deployment: tiny}, user: "{{ id }}"}
experiments:
  - {name: plain, baseline: true}
  - {name: short}
scorers:
  - {plugin: label_match, name: correct, expected: label}
"""
NUMERIC = SUITE.replace("label_match, name: correct, expected: label", "json_score, name: rating")
ROWS = 200

Finding = Callable[..., Detectability | None]


@pytest.fixture(name="found")
def _found(tmp_path: Path) -> Finding:
    def of(suite: str = SUITE, target: float | None = None) -> Detectability | None:
        (tmp_path / "data.csv").write_text(
            "id,label,author\n" + "".join(f"{row},a,{row % 40 or ''}\n" for row in range(ROWS)), encoding="utf-8"
        )
        made = checked_suite(suite)
        planned = build_plan(
            "estimate", made, suite, open_source(tmp_path / "data.csv", "data.csv", "id"), "", tmp_path
        )
        return detectable_differences(made, planned, target)

    return of


def test_a_pass_rate_is_found_as_mcnemars_test_finds_it(found: Finding) -> None:
    """Rule: at the assumed share of rows that differ, the smallest difference has the power asked for."""
    made = found(SUITE + "comparison: {power: 0.9, alpha: 0.1}\n")
    assert (made.rows, made.kind, made.method, made.groups) == (ROWS, "binary", "exact McNemar test", None)
    assert [one.discordant_share for one in made.lines] == list(DISCORDANT_SHARES)
    for one in made.lines:
        power = mcnemar_power(one.minimum_difference, one.discordant_share, ROWS, alpha=0.1)
        assert power == pytest.approx(0.9, abs=1e-6)


def test_a_numeric_score_is_told_in_deviations(found: Finding) -> None:
    """Rule: before the run nobody knows how much the scores vary."""
    (one,) = found(NUMERIC).lines
    assert one.discordant_share is None
    assert paired_power(one.minimum_difference, 1.0, ROWS) == pytest.approx(0.8, abs=1e-9)


def test_more_comparisons_find_less(found: Finding) -> None:
    """Rule: the hardest of m comparisons has alpha / m, over all scores and variants of the run."""
    more = NUMERIC.replace("  - {name: short}\n", "  - {name: short}\n  - {name: long}\n")
    more = more.replace("scorers:\n", "scorers:\n  - {plugin: label_match, name: correct, expected: label}\n")
    made = found(more + "comparison: {primary: rating}\n")
    assert made.comparisons == 4
    assert paired_power(made.lines[0].minimum_difference, 1.0, ROWS, 0.05 / 4) == pytest.approx(0.8, abs=1e-9)


def test_the_rows_needed_are_enough_for_the_target(found: Finding) -> None:
    """Rule: and none are named where rows differ on less than the target, which no dataset can mend."""
    needed = {one.discordant_share: one.rows_needed for one in found(target=0.1).lines}
    assert needed[0.05] is None
    assert mcnemar_power(0.1, 0.2, needed[0.2]) >= 0.8 > mcnemar_power(0.1, 0.2, needed[0.2] - 20)
    (numeric,) = found(NUMERIC, target=0.5).lines
    assert numeric.rows_needed == 34


def test_a_target_beyond_any_dataset_has_no_number_of_rows(found: Finding) -> None:
    """Rule: a hundred million rows are not proposed."""
    assert found(NUMERIC, target=1e-6).lines[0].rows_needed is None


def test_groups_give_two_ends(found: Finding) -> None:
    """Rule: rows of a group count as one each if they have nothing in common, and as one together if they are alike."""
    made = found(SUITE + "comparison: {group: author}\n")
    assert (made.method, made.groups) == ("clustered t-test", 39 + 5)  # five rows have no author
    for one in made.lines:
        spread = one.discordant_share**0.5
        assert paired_power(one.minimum_difference, spread, ROWS) == pytest.approx(0.8, abs=1e-9)
        assert one.minimum_by_group is None or one.minimum_by_group > one.minimum_difference


def test_repeats_are_compared_by_the_means_of_rows(found: Finding) -> None:
    """Rule: and add no rows."""
    made = found(SUITE + "repeats: 3\n")
    assert (made.repeats, made.rows, made.method) == (3, ROWS, "paired t-test")


@pytest.mark.parametrize(
    "suite", [SUITE.partition("scorers:")[0], SUITE.replace("  - {name: short}\n", "")], ids=["no score", "no variant"]
)
def test_what_compares_nothing_finds_nothing(found: Finding, suite: str) -> None:
    """Rule: then there is no power to speak of."""
    assert found(suite) is None


def test_a_judges_scores_are_counted_among_the_comparisons(found: Finding) -> None:
    """Rule: as in the evaluation, whose family they belong to."""
    judge = '  - {plugin: llm_judge, name: helpful, model: {deployment: tiny}, rubric: "Good?"}\n'
    made = found(SUITE.partition("scorers:")[0] + "judges:\n" + judge)
    assert (made.score, made.kind, made.comparisons) == ("helpful", "numeric", 1)
    assert found(SUITE + "judges:\n" + judge).comparisons == 2
