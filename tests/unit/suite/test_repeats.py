"""Repeats: how often every row is asked, by suite and by experiment, and the plan that follows."""

import pytest

from assay.errors import SuiteError
from assay.planning.preflight import checked_suite
from assay.run_records import Plan
from assay.suite.loading import load_suite
from builders import plan
from builders import suite as built

SUITE = """\
version: 1
name: demo
repeats: 3
defaults: {model: {deployment: m}, user: u}
scorers: [{plugin: label_match, name: correct, expected: queue}]
experiments:
  - {name: plain, baseline: true}
  - {name: once, repeats: 1}
"""


def planned(*repeats: int, rows: int = 40) -> Plan:
    names = ("plain", "think-first", "short")
    return plan(built(names), rows=rows).model_copy(update={"repeats": repeats})


class TestSuite:
    def test_an_experiment_may_say_otherwise_than_its_suite(self):
        """The nearest counts."""
        suite = load_suite(SUITE)
        assert [one.repeats for one in suite.experiments] == [3, 1]
        assert suite.is_repeated

    def test_every_row_is_asked_once_unless_the_suite_says_otherwise(self):
        """Repeats cost money."""
        suite = load_suite(SUITE.replace("repeats: 3\n", ""))
        assert [one.repeats for one in suite.experiments] == [1, 1]
        assert not suite.is_repeated

    @pytest.mark.parametrize("value", ["0", "101", "two", "1.5"])
    def test_a_number_out_of_range_is_refused(self, value: str):
        """With its line."""
        with pytest.raises(SuiteError, match=r"s\.yaml:3: repeats: found "):
            load_suite(SUITE.replace("repeats: 3", f"repeats: {value}"), "s.yaml")

    def test_a_test_of_pass_or_fail_does_not_go_with_repeats(self):
        """A row's score is the mean of its repeats."""
        with pytest.raises(SuiteError, match=r"s\.yaml:9: test 'mcnemar_exact' is for pass or fail, and with repeats"):
            checked_suite(SUITE + "comparison: {test: mcnemar_exact}\n", "s.yaml")


class TestPlan:
    def test_every_row_is_put_to_an_experiment_as_often_as_it_says(self):
        """And chunks and trials count them all."""
        of = planned(3, 1, 2)
        messages = list(of.messages(0, of.chunks))
        asked = {name: sum(one.rows for one in messages if one.experiment == name) for name in of.experiments}
        assert asked == {"plain": 120, "think-first": 40, "short": 80}
        assert (of.trials, of.chunks) == (240, len(messages))

    def test_chunks_of_an_experiment_have_numbers_of_their_own(self):
        """An outcome blob is named for experiment and chunk, and its checkpoint too."""
        of = planned(3, 1, 2)
        keys = [(one.experiment, one.chunk) for one in of.messages(0, of.chunks)]
        assert len(set(keys)) == len(keys)
        assert sorted(chunk for name, chunk in keys if name == "plain") == list(range(9))

    def test_a_message_can_be_found_by_experiment_and_chunk(self):
        """A worker checks what it got against the plan."""
        of = planned(2, 1, 1)
        assert all(of.message(one.experiment, one.chunk) == one for one in of.messages(0, of.chunks))
        with pytest.raises(IndexError, match="experiment 'short' has no chunk 3"):
            of.message("short", 3)

    def test_a_range_is_asked_once_by_all_before_it_is_asked_again(self):
        """A run that is stopped early has whole comparisons."""
        of = planned(2, 1, 2)
        assert [(one.experiment, one.repeat, one.first_row) for one in of.messages(0, 6)] == [
            ("plain", 0, 1),
            ("think-first", 0, 1),
            ("short", 0, 1),
            ("plain", 1, 1),
            ("short", 1, 1),
            ("plain", 0, 19),
        ]

    def test_a_plan_of_before_has_one_repeat(self):
        """Plans that are written already go on."""
        of = planned()
        assert (of.chunks, of.trials, of.repeats_of("short")) == (9, 120, 1)
