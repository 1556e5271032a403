"""What a suite's `early_stop` means, and what is wrong with it before anything is asked; the shuffled rows."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from assay.errors import SuiteError
from assay.planning.early_stop import begin_courses, sequential_alpha, sequential_rule, stopping_rules
from assay.planning.preflight import checked_suite
from assay.planning.shuffling import shuffle_lines

SUITE = """\
version: 1
name: demo
defaults: {{model: {{deployment: m}}, user: "{{{{ text }}}}"}}
experiments:
  - {{name: plain, baseline: true}}
  - {{name: short}}
  - {{name: long}}
scorers:
  - {{plugin: label_match, name: correct, path: label, expected: label}}
  - {{plugin: json_score, name: rating, minimum: 1, maximum: 5}}
{more}
early_stop: {rule}
"""


def suite(rule: str, more: str = "") -> str:
    return SUITE.format(rule=rule, more=more)


def complaint(text: str) -> str:
    with pytest.raises(SuiteError) as caught:
        checked_suite(text, "suite.yaml")
    return str(caught.value)


def test_one_rule_or_a_list_of_them() -> None:
    """A single section is a list of one."""
    one = checked_suite(suite("{plugin: sequential}"))
    two = checked_suite(suite("[{plugin: threshold, failure_rate: 0.1}, {plugin: sequential}]"))
    assert [rule.name for rule in stopping_rules(one)] == ["sequential"]
    assert [rule.name for rule in stopping_rules(two)] == ["threshold", "sequential"]


def test_variants_share_alpha_in_equal_parts() -> None:
    """Two variants get half of comparison.alpha each, or half of the rule's own."""
    made = checked_suite(suite("{plugin: sequential}", "comparison: {alpha: 0.1}"))
    own = checked_suite(suite("{plugin: sequential, alpha: 0.02}", "comparison: {alpha: 0.1}"))
    for one, alpha in ((made, 0.05), (own, 0.01)):
        rule = sequential_rule(one)
        assert rule is not None
        assert sequential_alpha(one, rule) == alpha


def test_every_score_with_a_range_is_followed() -> None:
    """Each in parts of its own range; the primary one decides."""
    made = checked_suite(suite("{plugin: sequential}", "comparison: {goal: {correct: minimise}}"))
    courses = begin_courses(made, ["short", "long"])
    assert list(courses) == ["short", "long"]
    course = courses["short"]
    assert (course.primary, course.goal) == ("correct", "minimise")
    assert {name: one.width for name, one in course.scores.items()} == {"correct": 1, "rating": 4}
    heuristic = checked_suite(suite("{plugin: threshold, failure_rate: 0.1}"))
    assert begin_courses(heuristic, ["short"])["short"].scores["correct"].sequence is None


@pytest.mark.parametrize(
    ("rule", "more", "said"),
    [
        ("{plugin: sequental}", "", "unknown stopping rule 'sequental' (did you mean 'sequential'?)"),
        ("{plugin: sequential, alfa: 0.1}", "", "unknown option 'alfa' (did you mean 'alpha'?)"),
        (
            "{plugin: sequential, look_every: 0}",
            "",
            "option 'look_every': found 0; expected greater than or equal to 1",
        ),
        ("{plugin: threshold}", "", "it would never stop; give one or more of failure_rate, block_rate"),
        ("[{plugin: sequential}, {plugin: sequential}]", "", "'sequential' stands twice"),
        ("{plugin: sequential}", "comparison: {group: text}", "takes rows for independent"),
        ("{plugin: sequential}", "comparison: {test: sign}", "is the test of 'correct'; comparison.test says 'sign'"),
        ("{plugin: threshold, mean_below: 1, score: ratng}", "", "no scorer gives 'ratng' (did you mean 'rating'?)"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(rule: str, more: str, said: str) -> None:
    """Before anything is asked."""
    found = complaint(suite(rule, more))
    assert found.startswith("suite.yaml:12: ")
    assert said in found


def test_a_run_without_variants_has_nothing_to_stop() -> None:
    """The baseline alone is never ended."""
    text = suite("{plugin: sequential}").replace("  - {name: short}\n  - {name: long}\n", "")
    assert "early stop ends variants, and the suite has none beside the baseline" in complaint(text)


def test_a_test_needs_a_score_with_a_range() -> None:
    """Without scorers there is nothing to test."""
    text = suite("{plugin: sequential}")
    start, end = text.index("scorers:"), text.index("early_stop:")
    assert "tests the primary score, and the suite scores nothing" in complaint(text[:start] + text[end:])


def test_shuffling_keeps_every_line_whole(tmp_path: Path) -> None:
    """The same seed gives the same order, another seed another one; lengths follow their lines."""
    lines = [f"row {number} {'ü' * (number % 5)}\n".encode() for number in range(500)]
    orders = []
    for seed in (1, 1, 2):
        file = tmp_path / "rows.jsonl"
        file.write_bytes(b"".join(lines))
        lengths = shuffle_lines(file, array("Q", map(len, lines)), seed)
        found = file.read_bytes().splitlines(keepends=True)
        assert sorted(found) == sorted(lines)
        assert list(lengths) == [len(line) for line in found]
        orders.append(found)
    assert orders[0] == orders[1] != orders[2]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
