"""Suites: strict keys and types, defaults that reach every experiment, complaints with lines."""

import pytest

from assay.errors import SuiteError
from assay.suite.loading import load_suite, prompt_path, source_map, suite_digest
from assay.suite.models import DatasetSettings, ModelSettings, Suite

MINIMAL = """\
version: 1
name: demo
defaults:
  model: {deployment: gpt-4o-mini}
  user: "Which queue? {{ text }}"
experiments:
  - {name: plain, baseline: true}
"""


def complaints(text: str) -> list[str]:
    with pytest.raises(SuiteError) as caught:
        load_suite(text, "demo/suite.yaml")
    return str(caught.value).splitlines()


def experiments(*lines: str, defaults: str = "model: {deployment: m}") -> str:
    """A suite of these experiments; the first stands on line 5."""
    listed = "\n".join(f"  - {line}" for line in lines)
    return f"version: 1\nname: demo\ndefaults: {{{defaults}}}\nexperiments:\n{listed}\n"


class TestMeaning:
    def test_what_is_left_out_has_its_default(self):
        """The smallest suite is complete."""
        suite = load_suite(MINIMAL)
        assert (suite.seed, suite.scorers, suite.quota) == (0, (), {})
        assert suite.dataset == DatasetSettings(id=None, columns=(), max_bad_rows="10%")
        assert (suite.comparison.alpha, suite.comparison.primary) == (0.05, None)
        assert (suite.limits.rows_per_message, suite.limits.attempts) == ("auto", 6)

    def test_a_prompt_without_criteria_makes_the_criterion_answer(self):
        """`user` alone is enough for one question."""
        (criterion,) = load_suite(MINIMAL).baseline.criteria
        assert (criterion.name, criterion.system, criterion.user) == ("answer", None, "Which queue? {{ text }}")

    def test_an_experiment_overrides_single_model_settings(self):
        """What an experiment leaves out of `model` comes from the defaults."""
        text = experiments(
            "{name: a, baseline: true, user: u}",
            "{name: b, user: u, model: {temperature: 1, stop: [END]}}",
            defaults="model: {deployment: m, temperature: 0, max_tokens: 9, json: true}",
        )
        model = load_suite(text).experiment("b").model
        assert (model.deployment, model.temperature, model.max_tokens) == ("m", 1, 9)
        assert (model.json_answer, model.stop) == (True, ("END",))

    def test_json_is_the_name_of_the_setting_in_the_file(self):
        """The field has another name in code; the file knows only `json`."""
        (found,) = complaints(MINIMAL.replace("gpt-4o-mini}", "m, json_answer: true}"))
        assert found == (
            "demo/suite.yaml:4: unknown key 'json_answer'. "
            "Known here: deployment, spread, fallbacks, priced_as, temperature, reasoning_effort, max_tokens, "
            "seed, json, stop, stream"
        )

    def test_a_suite_that_says_no_effort_means_what_it_meant_before_there_were_efforts(self):
        """Its digest, which run ids are made of, and its frozen copy do not know the key."""
        silent, said = load_suite(MINIMAL), load_suite(MINIMAL.replace("gpt-4o-mini}", "m, reasoning_effort: none}"))
        assert "reasoning_effort" not in silent.model_dump_json()
        assert said.model_dump(mode="json")["experiments"][0]["model"]["reasoning_effort"] == "none"
        assert suite_digest(said) != suite_digest(load_suite(MINIMAL.replace("gpt-4o-mini}", "m}")))

    def test_an_effort_that_nobody_knows_is_refused_with_those_that_there_are(self):
        """Which of them a model knows is for the service to say."""
        (found,) = complaints(MINIMAL.replace("gpt-4o-mini}", "m, reasoning_effort: most}"))
        assert "demo/suite.yaml:4" in found and "'xhigh'" in found

    def test_criteria_take_missing_prompts_from_their_experiment_then_the_defaults(self):
        """The nearest prompt wins."""
        text = experiments(
            "{name: a, baseline: true, user: own, criteria: [{name: x}, {name: y, user: nearest, system: s}]}",
            "{name: b}",
            defaults="model: {deployment: m}, system: all, user: far, criteria: [{name: z}]",
        )
        suite = load_suite(text)
        assert [(one.name, one.system, one.user) for one in suite.experiment("a").criteria] == [
            ("x", "all", "own"),
            ("y", "s", "nearest"),
        ]
        assert [(one.name, one.system, one.user) for one in suite.experiment("b").criteria] == [("z", "all", "far")]

    def test_the_baseline_comes_first(self):
        """Wherever the baseline stands in the file, it is asked first; the variants keep their order."""
        text = experiments("{name: b, user: u}", "{name: a, user: u, baseline: true}", "{name: c, user: u}")
        assert [one.name for one in load_suite(text).ordered] == ["a", "b", "c"]

    def test_anchors_and_merge_keys_share_what_experiments_have_in_common(self):
        """`<<: *name` is the usual way to repeat a part of YAML."""
        text = experiments(
            "&first {name: a, baseline: true, user: u, system: s}", "{<<: *first, name: b, baseline: no}"
        )
        suite = load_suite(text)
        assert suite.experiment("b").criteria == suite.experiment("a").criteria

    def test_a_resolved_suite_survives_its_snapshot(self):
        """A run's header holds the suite as JSON; the worker reads the same suite from it."""
        suite = load_suite(MINIMAL.replace("gpt-4o-mini}", "m, json: true}"))
        again = Suite.model_validate(suite.model_dump(mode="json", by_alias=True))
        assert again == suite
        assert again.baseline.model.json_answer


class TestDigest:
    def test_layout_and_comments_do_not_count(self):
        """The digest is of what the suite means."""
        assert suite_digest(load_suite(MINIMAL)) == suite_digest(load_suite(f"# note\n{MINIMAL}\nseed: 0\n"))

    @pytest.mark.parametrize("change", ["seed: 1\n", "description: x\n", "dataset: {id: key}\n"])
    def test_every_setting_counts(self, change: str):
        """Another setting is another suite."""
        assert suite_digest(load_suite(MINIMAL)) != suite_digest(load_suite(MINIMAL + change))


class TestKeys:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            (MINIMAL + "experimants: []\n", "8: unknown key 'experimants' (did you mean 'experiments'?). Known here: "),
            (
                MINIMAL + "dataset: {coloumns: []}\n",
                "8: unknown key 'coloumns' (did you mean 'columns'?). Known here: ",
            ),
            (MINIMAL + "limits:\n  attemps: 3\n", "9: unknown key 'attemps' (did you mean 'attempts'?). Known here: "),
            (MINIMAL + "comparison: {alfa: 0.1}\n", "8: unknown key 'alfa' (did you mean 'alpha'?). Known here: "),
            (
                MINIMAL + "quota:\n  gpt-4o-mini:\n    request_per_minute: 1\n    tokens_per_minute: 1\n",
                "10: unknown key 'request_per_minute' (did you mean 'requests_per_minute'?). Known here: ",
            ),
            (
                MINIMAL.replace("{deployment:", "{temprature: 0, deployment:"),
                "4: unknown key 'temprature' (did you mean 'temperature'?). Known here: deployment, spread, ",
            ),
            (
                MINIMAL.replace("plain,", "plain, base_line: 1,"),
                "7: unknown key 'base_line' (did you mean 'baseline'?). Known here: model, system, user, ",
            ),
            (
                MINIMAL + "  - name: b\n    criteria:\n      - name: x\n        usr: y\n",
                "11: unknown key 'usr' (did you mean 'user'?). Known here: name, system, user",
            ),
            (MINIMAL + "zzz: 1\n", "8: unknown key 'zzz'. Known here: version, name, description, seed, dataset, "),
        ],
    )
    def test_an_unknown_key_is_named_with_its_line_the_closest_and_the_known_ones(self, text: str, expected: str):
        """At every depth: a mistyped key must not be ignored."""
        found = complaints(text)
        assert any(one.startswith(f"demo/suite.yaml:{expected}") for one in found), found

    def test_a_missing_key_names_where_it_is_missing(self):
        """The line is that of what should hold the key."""
        assert complaints("version: 1\nname: demo\nexperiments:\n  - baseline: true\n") == [
            "demo/suite.yaml:4: 'name' is missing in experiments.0"
        ]
        assert complaints("name: demo\n") == [
            "demo/suite.yaml:1: 'version' is missing",
            "demo/suite.yaml:1: 'experiments' is missing",
        ]


class TestValues:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("seed: soon", "seed: found 'soon'; expected a whole number"),
            ("seed: -1", "seed: found -1; expected greater than or equal to 0"),
            ("seed: 1.5", "seed: found 1.5; expected a whole number"),
            ("seed: true", "seed: found True; expected a whole number"),
            (
                "description: 5",
                "description: found 5; expected text; put it in quotes if YAML takes it for something else",
            ),
            (
                "description: [a, b]",
                "description: found a list of 2; expected text; put it in quotes if YAML takes it ",
            ),
            ("scorers:", "scorers: found nothing; expected a list"),
            ("scorers: {plugin: x}", "scorers: found a mapping; expected a list"),
            ("dataset: tickets.csv", "dataset: found 'tickets.csv'; expected a mapping of keys to values"),
            ("quota: [1]", "quota: found a list of 1; expected a mapping of keys to values"),
            ("comparison: {alpha: .nan}", "comparison.alpha: found nan; expected a finite number"),
            ("comparison: {alpha: 1}", "comparison.alpha: found 1; expected less than 1"),
            ("comparison: {alpha: low}", "comparison.alpha: found 'low'; expected a number"),
            ("limits: {request_timeout_seconds: .inf}", "limits.request_timeout_seconds: found inf; expected a finite"),
            ("limits: {attempts: 21}", "limits.attempts: found 21; expected less than or equal to 20"),
            ("limits: {rows_per_message: 0}", "found 0; expected 'auto' or a number from 1 to 10000"),
            ("limits: {rows_per_message: true}", "found True; expected 'auto' or a number from 1 to 10000"),
            ("limits: {rows_per_message: all}", "found 'all'; expected 'auto' or a number from 1 to 10000"),
            ("dataset: {max_bad_rows: -1}", "found -1; expected a count such as 3, or a share from '0%' to '100%'"),
            (
                "dataset: {max_bad_rows: 101%}",
                "found '101%'; expected a count such as 3, or a share from '0%' to '100%'",
            ),
            (
                "dataset: {max_bad_rows: 2.5%}",
                "found '2.5%'; expected a count such as 3, or a share from '0%' to '100%'",
            ),
            ("dataset: {max_bad_rows: few}", "found 'few'; expected a count such as 3, or a share from '0%' to '100%'"),
            ("dataset: {max_bad_rows: yes}", "found True; expected a count such as 3, or a share from '0%' to '100%'"),
        ],
    )
    def test_a_wrong_value_is_named_with_what_was_found_and_expected(self, line: str, expected: str):
        """One complaint per value, in words for people who write suites."""
        (found,) = complaints(f"{MINIMAL}{line}\n")
        assert found.startswith("demo/suite.yaml:8: ")
        assert expected in found

    @pytest.mark.parametrize(("version", "shown"), [("2", "2"), ("'1'", "'1'"), ("", "nothing")])
    def test_only_version_1_is_read(self, version: str, shown: str):
        """A later format must not be half understood."""
        assert complaints(MINIMAL.replace("version: 1", f"version: {version}")) == [
            f"demo/suite.yaml:1: version: found {shown}; expected 1, the only version there is"
        ]

    @pytest.mark.parametrize("name", ["Demo", "a", "-demo", "de_mo", "d" * 41, "demo/../x", "dé", '"demo\\n"'])
    def test_a_suite_name_is_lower_case_letters_digits_and_dashes(self, name: str):
        """The name is a folder's."""
        (found,) = complaints(MINIMAL.replace("name: demo", f"name: {name}"))
        assert found.startswith("demo/suite.yaml:2: name: found ")
        assert found.endswith("expected 2 to 40 lower-case letters, digits and dashes, with no dash at the start")

    @pytest.mark.parametrize("name", ["-x", "a b", "a/b", "x" * 41, '"é"'])
    def test_an_experiment_name_can_stand_in_a_path(self, name: str):
        """The names of experiments are parts of blob names."""
        (found,) = complaints(MINIMAL.replace("plain", name))
        assert found.startswith("demo/suite.yaml:7: experiments.0.name: found ")
        assert "expected 1 to 40 letters, digits, dashes and underscores" in found

    @pytest.mark.parametrize(
        ("text", "shown"), [("- a\n", "a list of 1"), ("", "nothing"), ("just text", "'just text'"), ("5", "5")]
    )
    def test_a_file_that_is_no_mapping_is_refused(self, text: str, shown: str):
        """An empty file, a list or a text is no suite."""
        expected = f"demo/suite.yaml:1: expected a mapping with version, name and experiments; found {shown}"
        assert complaints(text) == [expected]

    def test_an_empty_prompt_is_refused(self):
        """A model cannot be asked nothing."""
        assert complaints(MINIMAL.replace('"Which queue? {{ text }}"', '""')) == [
            "demo/suite.yaml:5: defaults.user: found nothing; expected some text"
        ]

    def test_an_empty_list_of_experiments_is_refused(self):
        """There must be something to compare."""
        assert complaints("version: 1\nname: demo\nexperiments: []\n") == [
            "demo/suite.yaml:3: experiments: found a list of 0; expected at least one"
        ]

    def test_all_complaints_come_at_once_sorted_by_line(self):
        """One look at the file mends everything that single values show."""
        text = MINIMAL.replace("name: demo", "nam: demo").replace("gpt-4o-mini", "''") + "seed: x\ndataset: {idd: k}\n"
        assert [one.split(": ")[0] for one in complaints(text)] == [
            "demo/suite.yaml:1",
            "demo/suite.yaml:2",
            "demo/suite.yaml:4",
            "demo/suite.yaml:8",
            "demo/suite.yaml:9",
        ]


class TestContradictions:
    def test_one_experiment_must_be_the_baseline(self):
        """Without a baseline nothing can be compared."""
        assert complaints(experiments("{name: a, user: u}")) == [
            "demo/suite.yaml:4: exactly one experiment must have 'baseline: true'; found none"
        ]

    def test_only_one_experiment_may_be_the_baseline(self):
        """Two baselines are named."""
        found = complaints(experiments("{name: a, user: u, baseline: true}", "{name: b, user: u, baseline: true}"))
        assert found == ["demo/suite.yaml:4: exactly one experiment must have 'baseline: true'; found 2: a, b"]

    def test_an_experiment_name_stands_once(self):
        """Outcomes are kept by the experiment's name."""
        found = complaints(experiments("{name: a, user: u, baseline: true}", "{name: a, user: v}"))
        assert found == ["demo/suite.yaml:6: experiment 'a' stands twice"]

    def test_a_criterion_name_stands_once_in_its_experiment(self):
        """Responses are kept by the criterion's name."""
        found = complaints(experiments("{name: a, user: u, baseline: true, criteria: [{name: x}, {name: x}]}"))
        assert found == ["demo/suite.yaml:5: criterion 'x' stands twice"]

    def test_every_experiment_has_a_prompt(self):
        """Neither the experiment nor the defaults say what to ask."""
        assert complaints(experiments("{name: a, baseline: true}")) == [
            "demo/suite.yaml:5: experiment 'a' has no prompt: "
            "give 'user', 'criteria' with a 'user' each, or a 'program'"
        ]

    def test_every_criterion_has_a_prompt(self):
        """The criterion is named where it is written: here in the defaults, on line 3."""
        text = experiments("{name: a, baseline: true}", defaults="model: {deployment: m}, criteria: [{name: x}]")
        assert complaints(text) == ["demo/suite.yaml:3: criterion 'x' has no 'user' prompt in experiment 'a'"]

    def test_every_experiment_has_a_deployment(self):
        """Somebody has to answer."""
        found = complaints(experiments("{name: a, user: u, baseline: true}", defaults="model: {temperature: 0}"))
        assert found == ["demo/suite.yaml:5: experiment 'a' has no model.deployment, and defaults have none"]

    def test_a_prompt_that_no_criterion_uses_is_refused(self):
        """Silently asking another prompt than the one that was just written would spoil the experiment."""
        text = experiments(
            "{name: a, baseline: true}",
            "{name: b, user: mine}",
            defaults="model: {deployment: m}, criteria: [{name: x, user: u}]",
        )
        assert complaints(text) == [
            "demo/suite.yaml:6: 'user' of experiment 'b' is never used, because each of its criteria has its own; "
            "take one of them away"
        ]

    def test_a_quota_for_a_deployment_that_nobody_asks_is_refused(self):
        """A mistyped name would leave the deployment without a limiter."""
        found = complaints(MINIMAL + "quota:\n  gpt4o-mini: {requests_per_minute: 1, tokens_per_minute: 1}\n")
        assert found == [
            "demo/suite.yaml:9: no experiment asks 'gpt4o-mini' (did you mean 'gpt-4o-mini'?). Deployments: gpt-4o-mini"
        ]


class TestPromptPath:
    TEXT = experiments(
        "name: own-criteria\n    baseline: true\n    criteria:\n      - name: x\n        user: deep",
        "name: own-prompt\n    user: near",
        "name: inherits",
        defaults="model: {deployment: m}, user: far, criteria: [{name: z, system: s}]",
    )

    @pytest.mark.parametrize(
        ("experiment", "role", "line"),
        [(0, "user", 9), (1, "user", 11), (1, "system", 3), (2, "user", 3), (2, "system", 3)],
    )
    def test_leads_to_the_prompt_that_is_asked(self, experiment: int, role: str, line: int):
        """A complaint about a prompt names the line on which that prompt is written."""
        load_suite(self.TEXT)
        source = source_map(self.TEXT)
        assert source.line(prompt_path(source, experiment, 0, role)) == line

    def test_criteria_of_the_defaults_do_not_count_for_an_experiment_with_its_own(self):
        """The first experiment has no system prompt, although the defaults' criterion has one."""
        assert load_suite(self.TEXT).baseline.criteria[0].system is None
        assert prompt_path(source_map(self.TEXT), 0, 0, "system") == ("experiments", 0)


class TestTolerance:
    @pytest.mark.parametrize(
        ("most", "bad", "all_rows", "tolerated"),
        [
            ("5%", 5, 100, True),
            ("5%", 6, 100, False),
            ("5%", 1, 20, True),
            ("5%", 1, 19, False),
            ("0%", 0, 9, True),
            ("0%", 1, 9, False),
            ("100%", 9, 10, True),
            (3, 3, 4, True),
            (3, 4, 1_000, False),
            (0, 0, 1, True),
            (0, 1, 1_000, False),
        ],
    )
    def test_the_boundary_itself_is_tolerated(self, most: int | str, bad: int, all_rows: int, tolerated: bool):
        """A share is of all rows, a count is a count; both include the number they name."""
        assert DatasetSettings(max_bad_rows=most).tolerates(bad, all_rows) is tolerated


def test_a_deployment_is_priced_as_the_suite_says_else_as_it_is_named():
    """`priced_as` speaks of the deployment and its spread, which run one model; endpoints are no part of a model."""
    model = ModelSettings(deployment="chat", spread=("chat@west",), fallbacks=("gpt-4o@west",), priced_as="gpt-4.1")
    assert [model.priced_as_of(one) for one in model.deployments] == ["gpt-4.1", "gpt-4.1", "gpt-4o"]
    assert ModelSettings(deployment="gpt-4o@west").priced_as_of("gpt-4o@west") == "gpt-4o"
