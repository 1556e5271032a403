"""What is wrong with scorers, aggregators and comparers is told before a model is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.errors import SuiteError, UserError
from assay.planning.preflight import aggregators_of, checked_suite, comparers_of, scorers_of
from assay.scoring.experiments import AGGREGATORS
from assay.scoring.summing_up import run_aggregators, run_comparers
from assay.suite.models import PluginSettings
from views_of import view

SUITE = """\
version: 1
name: demo
defaults: {model: {deployment: m}, user: "{{ text }}"}
experiments:
  - {name: plain, baseline: true}
scorers:
  - {plugin: json_score, name: rating}
"""
LINE = SUITE.count("\n") + 1


def complaints(text: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        checked_suite(text, "s.yaml")
    return str(caught.value).splitlines()


class TestScorers:
    @pytest.mark.parametrize(
        ("scorer", "problem"),
        [
            (
                "{plugin: threshold, score: ratng, at_least: 5}",
                "no scorer gives 'ratng' (did you mean 'rating'?). Scores: rating, threshold",
            ),
            (
                "{plugin: threshold, score: threshold, at_least: 5}",
                "score 'threshold' is made of itself: threshold <- threshold",
            ),
            ("{plugin: threshold, score: rating}", "scorer 'threshold': give at_least, at_most or both"),
            (
                "{plugin: callable, call: no_such_module_here:run}",
                "scorer 'callable': option 'call': 'no_such_module_here:run': cannot import no_such_module_here: "
                "ModuleNotFoundError: No module named 'no_such_module_here'",
            ),
            ("{plugin: regex, pattern: '(a+)+'}", "scorer 'regex': '(a+)+' repeats a group that itself repeats"),
        ],
    )
    def test_a_mistake_is_told_with_its_line(self, scorer: str, problem: str):
        """Circles, missing sources, modules that are not there."""
        (found,) = complaints(f"{SUITE}  - {scorer}\n")
        assert found.startswith(f"s.yaml:{LINE}: {problem}")

    def test_a_judge_s_score_cannot_be_made_into_another(self):
        """It comes only after the trial's scores."""
        judge = "judges: [{plugin: llm_judge, name: kind, model: {deployment: m}, rubric: Be kind.}]\n"
        (found,) = complaints(f"{SUITE}  - {{plugin: threshold, score: kind, at_least: 4}}\n{judge}")
        assert found.startswith(f"s.yaml:{LINE}: score 'kind' is a judge's")

    def test_a_score_may_be_made_of_one_further_down(self):
        """The order in a suite is for its readers."""
        text = SUITE.replace("scorers:\n", "scorers:\n  - {plugin: threshold, score: rating, at_least: 5}\n")
        assert checked_suite(text).scorers[0].plugin == "threshold"


class TestExperimentPlugins:
    @pytest.mark.parametrize(
        ("written", "problem"),
        [
            (
                "aggregators: [{plugin: latancy}]",
                f"unknown aggregator 'latancy' (did you mean 'latency'?). Known: {', '.join(AGGREGATORS.names)}",
            ),
            (
                "aggregators: [{plugin: latency, quantile: [0.5]}]",
                "aggregator 'latency': unknown option 'quantile' (did you mean 'quantiles'?). Known: name, quantiles",
            ),
            (
                "aggregators: [{plugin: score_quantiles, score: ratings}]",
                "no scorer gives 'ratings' (did you mean 'rating'?). Scores: rating",
            ),
            (
                "aggregators: [{plugin: latency}, {plugin: latency}]",
                "aggregator 'latency' stands twice; give one of them another 'name'",
            ),
            ("comparers: [{plugin: win_rate}]", "comparer 'win_rate': option 'score' is missing"),
            (
                "comparers: [{plugin: win_rate, score: x}]",
                "no scorer gives 'x'. Scores: rating",
            ),
            (
                "comparers: [{plugin: callable, call: 'json:nothing'}]",
                "comparer 'callable': option 'call': 'json:nothing': json has no 'nothing'",
            ),
        ],
    )
    def test_a_mistake_is_told_with_its_line(self, written: str, problem: str):
        """As scorers' are."""
        assert complaints(f"{SUITE}{written}\n") == [f"s.yaml:{LINE}: {problem}"]

    def test_they_are_made_anew_each_time(self):
        """No state is shared between experiments or runs."""
        suite = checked_suite(
            SUITE
            + "aggregators: [{plugin: latency}, {plugin: latency, name: slow, quantiles: [0.99]}]\n"
            + "comparers: [{plugin: win_rate, score: rating}]\n"
        )
        assert [one.name for one in aggregators_of(suite)] == ["latency", "slow"]
        assert [one.name for one in comparers_of(suite)] == ["win_rate"]
        assert aggregators_of(suite)[0] is not aggregators_of(suite)[0]

    @pytest.mark.parametrize(("said", "wins"), [("", 1), (", goal: maximise", 0)])
    def test_a_comparer_has_the_suite_s_goal_unless_it_says_one(self, said: str, wins: int):
        """A score that is better when lower is so everywhere."""
        comparer = f"{{plugin: win_rate, score: rating{said}}}"
        text = f"{SUITE}comparison: {{goal: {{rating: minimise}}}}\ncomparers: [{comparer}]\n"
        found = run_comparers(comparers_of(checked_suite(text)), view({"rating": [3.0]}), view({"rating": [2.0]}))
        assert found["win_rate"]["wins"] == wins

    def test_what_is_missing_where_a_run_is_evaluated_costs_only_its_figures(self):
        """The suite was checked where it was there; the answers are paid for."""
        suite = checked_suite(SUITE)
        lacking = suite.model_copy(
            update={
                "aggregators": (PluginSettings(plugin="of_others"),),
                "comparers": (PluginSettings(plugin="callable", call="no_such_module_here:run", name="mine"),),
            }
        )
        seen = view({"rating": [1.0]})
        (aggregated,) = run_aggregators(aggregators_of(lacking), seen).values()
        (compared,) = run_comparers(comparers_of(lacking), seen, seen).values()
        assert "unknown aggregator 'of_others'" in str(aggregated["error"])
        assert "comparer 'callable': 'no_such_module_here:run': cannot import" in str(compared["error"])

    def test_a_scorer_that_is_missing_in_a_worker_is_an_error_that_stops_the_run(self):
        """Every other worker's answers would be scored, its own not."""
        lacking = checked_suite(SUITE).model_copy(update={"scorers": (PluginSettings(plugin="of_others"),)})
        with pytest.raises(UserError, match="unknown scorer 'of_others'"):
            scorers_of(lacking)
        wrong = checked_suite(SUITE).model_copy(update={"scorers": (PluginSettings(plugin="threshold", score="s"),)})
        with pytest.raises(UserError, match="scorer 'threshold': give at_least, at_most or both"):
            scorers_of(wrong)

    def test_packs_and_profiles_bring_them_along(self):
        """As they do scorers; the suite's own replace those of a pack by name."""
        text = (
            SUITE.replace("defaults: {", "defaults: {pack: usage, ")
            + "packs:\n  usage:\n    aggregators: [{plugin: latency}, {plugin: token_usage}]\n"
            + "aggregators: [{plugin: latency, quantiles: [0.5]}]\n"
        )
        made = checked_suite(text).aggregators
        assert [(one.plugin, "quantiles" in one.options) for one in made] == [("latency", True), ("token_usage", False)]

    def test_users_functions_are_found_beside_installed_ones(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
        """Wherever Python finds modules."""
        (tmp_path / "figures_of_a_user.py").write_text("def run(view):\n    return {'rows': view.rows}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        checked_suite(SUITE + "aggregators: [{plugin: callable, call: 'figures_of_a_user:run'}]\n")
