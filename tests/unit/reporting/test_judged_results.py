"""Judges in results: their scores beside the others, what they cost, how far they agree with people and themselves."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from assay.planning.judges.catalogue import judgements_of
from assay.planning.preflight import scores_given
from assay.records import Failure, Outcome, Row, Score, TrialStatus
from assay.reporting.evaluation import evaluate
from assay.reporting.finished_run import FinishedRun
from assay.reporting.judge_records import JudgeFacts
from assay.reporting.judged_files import add_judged_scores
from assay.reporting.judges import judge_facts, judging_plan
from assay.reporting.outcome_files import OutcomeFiles
from assay.run_records import NOT_JUDGED, Plan
from assay.suite.models import Suite
from builders import failed, outcome, plan, response, row, row_id, run_header, suite
from evaluations import store

MODEL = {"deployment": "gpt-4o"}
GRADES = {"plugin": "llm_judge", "name": "helpful", "model": MODEL, "rubric": "Kind?", "human": "grade"}
CHOICE = {"plugin": "pairwise_judge", "name": "preferred", "model": MODEL, "rubric": "Which?", "human": "choice"}
VALUES = {"variant": 1.0, "baseline": 0.0, "tie": 0.5, "position bias": 0.5, "equal answers": 0.5}
ROWS = 12


def judged_suite(**changes: Any) -> Suite:
    return suite(("plain", "short"), judges=[GRADES, CHOICE], **changes)


def planned(of: Suite, rows: int = ROWS) -> Plan:
    return plan(of, rows, rows_per_range=5).model_copy(update={"judgements": judgements_of(of)})


def grade(number: int, experiment: str, value: float | None) -> Outcome:
    score = Score(name="helpful", value=value, reason=None if value else "the judge declined to answer")
    made = outcome(number, f"helpful~{experiment}", None, response("{}", "helpful"))
    return made.model_copy(update={"scores": (score,)})


def choice(number: int, verdict: str) -> Outcome:
    score = Score(name="preferred", value=VALUES[verdict], reason=f"{verdict}: so", label=verdict)
    made = outcome(number, "preferred~short", None, response("{}", "baseline-first"))
    return made.model_copy(update={"scores": (score,)})


def unjudged(number: int, name: str) -> Outcome:
    failure = Failure(kind=NOT_JUDGED, message="There is no answer to judge: ...")
    return Outcome(
        row_id=row_id(number), row_number=number, experiment=name, status=TrialStatus.SKIPPED, failure=failure
    )


def stored(of: Plan, outcomes: Iterable[Outcome], folder: Path) -> OutcomeFiles:
    """The outcomes as local files of a plan; chunks without any are empty."""
    folder.mkdir(exist_ok=True)
    return store(outcomes, of, folder)


def asked(rows: int = ROWS) -> list[Outcome]:
    return [outcome(number, name) for number in range(1, rows + 1) for name in ("plain", "short")]


def facts(judged: Iterable[Outcome], folder: Path, rows: Iterable[Row] = (), **changes: Any) -> tuple[JudgeFacts, ...]:
    of = judged_suite(**changes)
    return judge_facts(of, stored(judging_plan(planned(of)), judged, folder), rows)


def people(cells: Mapping[int, tuple[Any, Any]]) -> list[Row]:
    return [row(number, grade=cells[number][0], choice=cells[number][1]) for number in cells]


class TestScores:
    def test_a_judges_score_stands_beside_the_others(self, tmp_path: Path) -> None:
        """As if a scorer had given it: whatever reads outcomes finds it there."""
        of = planned(judged_suite())
        answers = stored(of, asked(), tmp_path / "asked")
        judged = stored(judging_plan(of), [grade(2, "short", 4.0), choice(2, "variant")], tmp_path / "judged")

        add_judged_scores(of, answers.file, judged.file)

        (found,) = answers.outcomes("short", [2])
        assert [(one.name, one.value) for one in found.scores] == [
            ("correct", 1.0),
            ("helpful", 4.0),
            ("preferred", 1.0),
        ]
        (other,) = answers.outcomes("short", [3])
        assert other == outcome(3, "short")

    def test_answers_that_look_like_outcomes_change_nothing(self, tmp_path: Path) -> None:
        """Scores are put in at an outcome's own keys, whatever its answers or failures quote."""
        trap = '"scores":[],"failure":null,"row_number":7,'
        of = planned(judged_suite())
        before = [outcome(1, "plain", {}, response(trap)), failed(2, "plain", message=trap)]
        answers = stored(of, before, tmp_path / "asked")
        judged = [grade(1, "plain", 2.0), unjudged(2, "helpful~plain")]

        add_judged_scores(of, answers.file, stored(judging_plan(of), judged, tmp_path / "judged").file)

        one, two = answers.outcomes("plain", [1, 2])
        assert one.responses == before[0].responses and [score.value for score in one.scores] == [2.0]
        assert two == before[1]

    def test_grades_and_preferences_are_compared_like_scores(self, tmp_path: Path) -> None:
        """A preference by the sign test, half for each side when nobody is preferred; the baseline has no metric."""
        of = judged_suite(comparison={"primary": "preferred"})
        made = planned(of)
        answers = stored(made, asked(), tmp_path / "asked")
        verdicts = ["variant"] * 9 + ["baseline", "tie", "position bias"]
        judged = [choice(number, verdict) for number, verdict in enumerate(verdicts, start=1)]
        judged += [
            grade(number, name, 3.0 + (name == "short")) for number in range(1, 13) for name in ("plain", "short")
        ]
        files = stored(judging_plan(made), judged, tmp_path / "judged")
        add_judged_scores(made, answers.file, files.file)

        found = evaluate(FinishedRun(run_header(of), of, answers, judges=judge_facts(of, files)))

        assert [one.name for one in scores_given(of)] == ["correct", "helpful", "preferred"]
        preferred = found.comparisons[0]
        assert (preferred.score, preferred.primary, preferred.result.test) == ("preferred", True, "sign test")
        assert preferred.result.p_value == pytest.approx(2 * 11 / 1024)  # 9 of 10: 2 * (1 + 10) / 2**10
        assert preferred.result.difference == pytest.approx(2 * 10 / 12 - 1)
        assert found.experiments[0].metrics["preferred"].n_trials == 0
        assert found.experiments[1].metrics["helpful"].mean == 4.0
        assert found.cost_usd == sum(one.cost_usd for one in found.experiments) + sum(
            one.money.spent_usd for one in found.judges
        )
        assert found.money.spent_usd == found.cost_usd


class TestFacts:
    def test_what_judges_did_is_counted_apart(self, tmp_path: Path) -> None:
        """Given, skipped, failed, unusable; money and models of the judge's own answers."""
        judged = [grade(number, "plain", 4.0) for number in (1, 2, 3)]
        judged += [unjudged(4, "helpful~plain"), failed(5, "helpful~plain", "timeout"), grade(6, "plain", None)]
        grades, pairs = facts(judged, tmp_path)

        plain = grades.experiments[0]
        assert (plain.judged, plain.failed, plain.unusable) == (3, 1, 1)
        assert plain.skipped == ROWS - 5  # those without an outcome were not judged either
        assert [(one.kind, one.count) for one in grades.failures] == [("timeout", 1)]
        assert (grades.money.answers, grades.judged, grades.deployment) == (4, 3, "gpt-4o")
        assert (pairs.judged, pairs.failures) == (0, ())

    def test_grades_are_held_against_peoples(self, tmp_path: Path) -> None:
        """Only rows that both judged; a cell that holds no grade says nothing."""
        judged = [grade(number, "plain", float(value)) for number, value in enumerate((1, 2, 3, 4), start=1)]
        rows = people({1: ("1", ""), 2: ("3", ""), 3: ("3", ""), 4: ("", ""), 5: ("good", "")})
        grades, _ = facts(judged, tmp_path, rows)

        agreement = grades.experiments[0].agreement
        assert agreement is not None and grades.experiments[1].agreement is not None
        assert (agreement.n, agreement.exact.estimate) == (3, pytest.approx(2 / 3))
        assert agreement.mean_difference == pytest.approx(-1 / 3)
        assert grades.experiments[1].agreement.n == 0
        assert grades.agreement == agreement

    def test_preferences_are_held_against_peoples_by_name(self, tmp_path: Path) -> None:
        """A verdict that fell to position bias counts as the tie that it became."""
        judged = [choice(1, "variant"), choice(2, "baseline"), choice(3, "position bias"), choice(4, "tie")]
        rows = people({1: ("", "variant"), 2: ("", "Variant"), 3: ("", "tie"), 4: ("", "?")})
        _, pairs = facts(judged, tmp_path, rows)

        assert pairs.agreement is not None
        assert (pairs.agreement.n, pairs.agreement.exact.estimate) == (3, pytest.approx(2 / 3))
        assert pairs.agreement.weights == "none"

    def test_position_bias_is_the_share_of_pairs_whose_verdict_flipped(self, tmp_path: Path) -> None:
        """Of those that were asked: equal answers were not."""
        verdicts = ["variant"] * 4 + ["position bias"] * 2 + ["tie"] * 2 + ["equal answers"] * 3
        _, pairs = facts([choice(number, one) for number, one in enumerate(verdicts, start=1)], tmp_path)

        positions = pairs.experiments[0].positions
        assert positions is not None
        assert (positions.pairs, positions.equal) == (8, 3)
        assert (positions.flipped.estimate, positions.ties.estimate) == (0.25, 0.25)

    def test_facts_are_json_and_read_back_the_same(self, tmp_path: Path) -> None:
        """They are part of `summary.json`."""
        for one in facts([grade(1, "plain", 4.0), choice(1, "tie")], tmp_path, people({1: (4, "tie")})):
            assert JudgeFacts.model_validate_json(one.model_dump_json()) == one
            assert json.loads(one.model_dump_json())["name"] == one.name

    def test_a_suite_without_people_reads_no_rows(self, tmp_path: Path) -> None:
        """The dataset may be large."""

        def unread() -> Iterable[Row]:
            raise AssertionError("the rows were read")
            yield

        of = suite(("plain", "short"), judges=[{**GRADES, "human": None}])
        files = stored(judging_plan(planned(of)), [grade(1, "plain", 4.0)], tmp_path)
        assert judge_facts(of, files, unread())[0].agreement is None
