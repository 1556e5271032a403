"""Where every value of a resolved suite comes from, and what differs between two suites."""

from assay.suite.located import read_node
from assay.suite.origins import SHARED, Difference, Setting, differences, settings_of
from assay.suite.resolution import ResolvedSuite, WrittenSuite

SUITE = """\
version: 1
name: demo
packs:
  triage:
    model: {seed: 3}
    criteria:
      - {name: queue, user: "{{ text }}"}
defaults:
  model: {deployment: m, temperature: 0}
  system: Be short.
experiments:
  - name: plain
    baseline: true
    pack: triage
  - name: wide
    matrix: {models: [x]}
    user: hi
    model:
      max_tokens: 9
scorers:
  - plugin: label_match
    name: correct
    expected: queue
"""


def resolved(text: str = SUITE) -> ResolvedSuite:
    return WrittenSuite(read_node(text, "s.yaml"), text).resolve()


def origins(text: str = SUITE) -> dict[tuple[str, str], tuple[object, str]]:
    found = resolved(text)
    return {(one.owner, one.key): (one.value, one.origin) for one in settings_of(found.suite, found.source)}


class TestOrigins:
    def test_every_value_names_the_line_that_says_it(self):
        """The experiment's, the defaults', the pack's or the matrix's."""
        found = origins()
        assert found["plain", "model.temperature"] == (0.0, "s.yaml:9")
        assert found["plain", "model.seed"] == (3, "s.yaml:5")
        assert found["plain", "criteria.queue.user"] == ("{{ text }}", "s.yaml:7")
        assert found["plain", "criteria.queue.system"] == ("Be short.", "s.yaml:10")
        assert found["wide-x", "model.max_tokens"] == (9, "s.yaml:19")
        assert found["wide-x", "model.deployment"] == ("x", "s.yaml:16")
        assert found["wide-x", "criteria.answer.user"] == ("hi", "s.yaml:17")

    def test_rules_that_end_a_variant_name_their_lines_with_and_without_a_list(self):
        """Two of one plugin are two settings."""
        alone = origins(SUITE + "early_stop:\n  plugin: sequential\n  minimum_rows: 30\n")
        assert alone[SHARED, "early_stop.sequential.minimum_rows"] == (30, "s.yaml:26")
        listed = origins(
            SUITE + "early_stop:\n- {plugin: threshold, failure_rate: 0.2}\n- {plugin: threshold, block_rate: 0.1}\n"
        )
        assert listed[SHARED, "early_stop.threshold.failure_rate"] == (0.2, "s.yaml:25")
        assert listed[SHARED, "early_stop.threshold[1].block_rate"] == (0.1, "s.yaml:26")

    def test_another_plugin_in_a_profile_leaves_the_options_of_the_first_behind(self):
        """It would not know them."""
        text = (
            SUITE
            + "early_stop: {plugin: sequential, margin: 0.1}\n"
            + "profiles: {quick: {early_stop: {plugin: threshold, failure_rate: 0.2}}}\n"
        )
        rule = WrittenSuite(read_node(text, "s.yaml"), text).resolve("quick").suite.early_stop[0]
        assert (rule.plugin, rule.options) == ("threshold", {"failure_rate": 0.2})

    def test_what_nobody_says_is_a_default(self):
        """Of the format itself."""
        found = origins()
        assert found[SHARED, "limits.attempts"] == (6, "default")
        assert found["plain", "model.max_tokens"] == (400, "default")

    def test_things_in_lists_go_by_their_names(self):
        """A number in a list tells a reader nothing."""
        assert origins()[SHARED, "scorers.correct.expected"] == ("queue", "s.yaml:23")

    def test_the_suite_comes_first_then_the_baseline(self):
        """As a run asks them."""
        found = resolved()
        owners = list(dict.fromkeys(one.owner for one in settings_of(found.suite, found.source)))
        assert owners == [SHARED, "plain", "wide-x"]
        assert isinstance(settings_of(found.suite, found.source)[0], Setting)


class TestDifferences:
    def test_how_a_value_came_about_does_not_count(self):
        """A matrix and its experiments written by hand mean the same."""
        by_hand = SUITE.replace("name: wide\n    matrix: {models: [x]}", "name: wide-x").replace(
            "max_tokens: 9", "max_tokens: 9\n      deployment: x"
        )
        assert differences(resolved().suite, resolved(by_hand).suite) == []

    def test_what_changed_is_named_with_both_values(self):
        """Also what only one of them has."""
        after = (
            SUITE.replace("Be short.", "Be long.").replace("models: [x]", "models: [y]").replace("seed: 3", "seed: 4")
        )
        found = differences(resolved().suite, resolved(after).suite)
        assert found[:2] == [
            Difference("plain", "model.seed", 3, 4),
            Difference("plain", "criteria.queue.system", "Be short.", "Be long."),
        ]
        assert Difference("wide-y", "model.deployment", None, "y") in found
        assert Difference("wide-x", "model.deployment", "x", None) in found
