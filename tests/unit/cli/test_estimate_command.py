"""`assay estimate`: what a run would take, as sentences or as one document, and what makes it say no."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from assay.planning.azure_prices import load_azure_prices

SUITE = """\
version: 1
name: demo
dataset: {id: id, max_bad_rows: 50%}
defaults:
  model: {deployment: gpt-4o-mini-eu, max_tokens: 10}
  user: "{{ text }}"
experiments:
  - {name: plain, baseline: true}
  - {name: twice, user: "{{ text }}{{ text }}"}
"""
QUOTA = "quota:\n  gpt-4o-mini-eu: {requests_per_minute: %d, tokens_per_minute: %d}\n"

Running = Callable[..., tuple[int, str, str]]


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "suite.yaml").write_text(SUITE)
    (tmp_path / "rows.csv").write_text("id,text\n1,abcdefgh\n2,ABCDEFGH\n3\n4,[/bold]1\n")
    return tmp_path


@pytest.fixture(name="run")
def _run(assay: Running) -> Running:
    return partial(assay, "estimate")


def test_a_table_and_sentences(run: Running, folder: Path) -> None:
    """Rows, figures per experiment and in total, the price that was used and its date, the time."""
    code, out, _ = run(folder)
    assert code == 0
    assert "3 good rows, 1 bad." in out
    assert "1 field; expected 2" in out
    assert ["plain", "3", "3", "18", "48", "0.000012", "0.000021"] in [line.split() for line in out.splitlines()]
    assert ["all", "6", "6", "42", "102", "0.000024", "0.000042"] in [line.split() for line in out.splitlines()]
    assert "'gpt-4o-mini-eu' is taken to run gpt-4o-mini: 0.15 USD per million prompt tokens" in out
    assert "list price of 20" in out
    assert "Time: Neither the suite nor ASSAY_QUOTA gives 'gpt-4o-mini-eu' a quota" in out


def test_tokens_as_the_bottleneck(run: Running, folder: Path) -> None:
    """With what would help: 102 tokens at 25 a minute, and half of 6 x 10 less."""
    (folder / "suite.yaml").write_text(SUITE + QUOTA % (60, 25))
    code, out, _ = run(folder)
    assert code == 0
    assert "Time: At least 4 min at the quota." in out
    assert "Tokens per minute are the bottleneck of 'gpt-4o-mini-eu': 4 min; requests would need 6 s." in out
    assert "Half of max_tokens would save 72 s" in out


def test_a_quota_of_the_settings_counts_where_the_suite_states_none(
    run: Running, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a run."""
    settings = {"gpt-4o-mini-eu": {"requests_per_minute": 1, "tokens_per_minute": 100_000}}
    monkeypatch.setenv("ASSAY_QUOTA", json.dumps(settings))
    assert "At least 6 min at the quota." in run(folder)[1]
    (folder / "suite.yaml").write_text(SUITE + QUOTA % (60, 25))
    assert "At least 4 min at the quota." in run(folder)[1]


def test_requests_as_the_bottleneck(run: Running, folder: Path) -> None:
    """Then shorter answers are not advised."""
    (folder / "suite.yaml").write_text(SUITE + QUOTA % (1, 100_000))
    _, out, _ = run(folder)
    assert "Requests per minute are the bottleneck of 'gpt-4o-mini-eu': 6 min; tokens would need less than 1 s." in out
    assert "would save" not in out


def test_an_unknown_price_is_said_to_be_unknown(run: Running, folder: Path) -> None:
    """And never shown as nothing."""
    code, out, _ = run(folder, "--model", "gpt-4o-mini-eu=house-model")
    assert code == 0
    assert ["all", "6", "6", "42", "102", "-", "-"] in [line.split() for line in out.splitlines()]
    assert "no list price of a model 'house-model', so the cost of 'gpt-4o-mini-eu' is unknown" in out


def test_json_is_one_document(run: Running, folder: Path) -> None:
    """Whatever is found, and nothing else on standard output."""
    code, out, _ = run(folder, "--json", "--rows", "2", "--answer-tokens", "3")
    document = json.loads(out)
    assert code == 0
    assert (document["ok"], document["problems"], document["dataset"]) == (True, [], "rows.csv")
    assert (document["rows"], document["rendered_rows"], document["bad_rows"]) == (3, 2, 1)
    assert document["experiments"][0]["likely_answer_tokens"] == 3
    assert document["total"]["likely_cost_usd"] < document["total"]["highest_cost_usd"]


def test_a_sample_is_said_to_be_one(run: Running, folder: Path) -> None:
    """A scaled figure must not pass for a counted one."""
    assert "Estimated from the first 2 good rows and scaled up." in run(folder, "--rows", "2")[1]
    assert "scaled up" not in run(folder, "--rows", "3")[1]


def test_a_request_above_the_quota_ends_with_2(run: Running, folder: Path) -> None:
    """The figures are still shown; the complaint names the suite's line."""
    (folder / "suite.yaml").write_text(SUITE + QUOTA % (60, 17))
    code, out, err = run(folder)
    assert code == 2
    assert "charged tokens" in out
    assert f"{folder}/suite.yaml:11: experiment 'twice' has 3 requests that can never be sent" in err


def test_a_request_above_the_quota_is_a_problem_in_json(run: Running, folder: Path) -> None:
    """In the one document, not in a second one."""
    (folder / "suite.yaml").write_text(SUITE + QUOTA % (60, 17))
    code, out, _ = run(folder, "--json")
    document = json.loads(out)
    assert (code, document["ok"], len(document["problems"])) == (2, False, 1)


def test_a_prompt_that_cannot_be_rendered_is_shown(run: Running, folder: Path) -> None:
    """With the first row that it fails for."""
    (folder / "suite.yaml").write_text(SUITE.replace("{{ text }}{{ text }}", "{{ 1 // (id | int - 2) }}"))
    code, out, _ = run(folder)
    assert code == 0
    assert "trials that will fail" in out
    assert "line 3: criterion 'answer'" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--model", "gpt-4o-mini"), "expected DEPLOYMENT=MODEL"),
        (("--model", "gpt-4o-mini-us=gpt-4o"), "no experiment asks 'gpt-4o-mini-us'"),
        (("--rows", "0"), "--rows"),
    ],
)
def test_wrong_options_end_with_2(run: Running, folder: Path, arguments: tuple[str, ...], complaint: str) -> None:
    """A mistyped deployment would silently leave the price as it was."""
    code, _, err = run(folder, *arguments)
    assert code == 2
    assert complaint in err


def test_the_file_may_be_left_out_only_when_there_is_one(run: Running, folder: Path) -> None:
    """Which of two is meant is not guessed."""
    (folder / "more.jsonl").write_text('{"id": 1, "text": "abcdefgh"}\n')
    code, _, err = run(folder)
    assert code == 2
    assert "found 2: more.jsonl, rows.csv" in err
    code, out, _ = run(folder / "suite.yaml", folder / "more.jsonl")
    assert code == 0
    assert "on more.jsonl: 1 good row, 0 bad." in out


@pytest.mark.parametrize("rows", ["", "id,wrong\n1,a\n", "id,text\n1\n2\n3,a\n"])
def test_a_dataset_that_a_run_would_refuse_ends_with_2(run: Running, folder: Path, rows: str) -> None:
    """Empty, without a column, with too many bad rows."""
    (folder / "rows.csv").write_text(rows)
    code, out, err = run(folder)
    assert code == 2
    assert out == ""
    assert "rows.csv" in err


def test_the_budget_stands_beside_the_cost(run: Running, folder: Path) -> None:
    """With what a run would do, and the price of both lanes."""
    (folder / "suite.yaml").write_text(SUITE + "limits: {budget_usd: 2.50}\n")
    code, out, _ = run(folder)
    assert code == 0
    assert "Budget: 2.50 USD, enforced: a run would start, whatever the answers are." in out
    assert "The service's batch lane would likely ask 0.000012 USD." in out


def test_a_run_over_budget_would_be_refused(run: Running, folder: Path) -> None:
    """Exit code 2, with the figures; a soft budget refuses nothing."""
    budget = "limits: {budget_usd: 0.00001, budget: %s}\n"
    (folder / "suite.yaml").write_text(SUITE + budget % "enforce")
    code, out, err = run(folder)
    assert (code, "a run would not start" in out) == (2, True)
    assert "the run would likely cost 0.000024 USD (0.000042 at most), and its budget is 0.000010 USD" in err

    (folder / "suite.yaml").write_text(SUITE + budget % "soft")
    code, out, _ = run(folder)
    assert (code, "soft: it warns, and never stops a run" in out) == (0, True)


def test_an_enforced_budget_needs_a_price(run: Running, folder: Path) -> None:
    """A guess on the command line is no price for the run; `priced_as` is."""
    text = SUITE.replace("gpt-4o-mini-eu", "chat-eu") + "limits: {budget_usd: 5}\n"
    (folder / "suite.yaml").write_text(text)
    code, _, err = run(folder, "--model", "chat-eu=gpt-4o-mini")
    assert (code, "there is no price of 'chat-eu'" in err) == (2, True)
    assert "model.priced_as" in err and "ASSAY_PRICES" in err

    (folder / "suite.yaml").write_text(text.replace("chat-eu,", "chat-eu, priced_as: gpt-4o-mini,"))
    code, out, _ = run(folder)
    assert (code, "'chat-eu' is taken to run gpt-4o-mini" in out) == (0, True)


def test_a_program_is_said_to_be_a_guess(run: Running, folder: Path) -> None:
    """Its calls are known to nobody, and a budget that is enough for the guess may still be used up."""
    text = SUITE.replace('user: "{{ text }}{{ text }}"', "program: 'string:capwords'").replace("-eu", "")
    (folder / "suite.yaml").write_text(text + "limits: {budget_usd: 5}\n")
    code, out, _ = run(folder)
    assert (code, "Not estimated: 'twice', by a program, whose calls nobody knows before the run." in out) == (0, True)
    assert "enforced: a run would start, and stop when it is used up." in out
    assert json.loads(run(folder, "--json")[1])["experiments"][1]["program"] == "string:capwords"


def test_deployments_that_share_the_work_share_the_time(run: Running, folder: Path) -> None:
    """Quotas of a spread add up; those of fallbacks do not count."""
    text = SUITE.replace("gpt-4o-mini-eu,", "gpt-4o-mini-eu, spread: [gpt-4o-mini-us], fallbacks: [gpt-4o],")
    quota = "quota:\n" + "".join(
        f"  {name}: {{requests_per_minute: {requests}, tokens_per_minute: 100000}}\n"
        for name, requests in (("gpt-4o-mini-eu", 1), ("gpt-4o-mini-us", 2), ("gpt-4o", 100))
    )
    (folder / "suite.yaml").write_text(text + quota)
    _, out, _ = run(folder)
    assert "bottleneck of 'gpt-4o-mini-eu', 'gpt-4o-mini-us': 2 min" in out


SCORERS = "scorers:\n  - {plugin: %s, name: score%s}\n"


def test_what_the_run_could_find_stands_at_the_end(run: Running, folder: Path) -> None:
    """Before it is paid for; with a target, the rows that it takes."""
    (folder / "suite.yaml").write_text(SUITE + SCORERS % ("label_match", ", expected: text"))
    code, out, _ = run(folder, "--detect", "0.1")
    assert code == 0
    assert "Power: the smallest true difference on 'score' that such a run finds in 80 % of cases, by the exact" in out
    assert "rows needed for 10.0 points" in out
    assert ["20", "%", "89", "%", "-", "168"] in [line.split() for line in out.splitlines()]

    (folder / "suite.yaml").write_text(SUITE + SCORERS % ("json_score", ""))
    _, out, _ = run(folder, "--detect", "0.5")
    assert "It is 3.26, in standard deviations of the rows' differences." in out
    assert "To find 0.5 deviations takes 34 rows." in out


def test_groups_and_repeats_are_explained(run: Running, folder: Path) -> None:
    """What the figures take for granted is said beside them."""
    more = "repeats: 2\ncomparison: {group: text}\n"
    (folder / "suite.yaml").write_text(SUITE + SCORERS % ("json_score", "") + more)
    _, out, _ = run(folder)
    assert "by the clustered t-test of 3 rows in 3 groups at alpha 0.05." in out
    assert "Repeats are no more rows." in out and "if groups mean nothing" in out

    (folder / "suite.yaml").write_text(SUITE + SCORERS % ("label_match", ", expected: text") + more)
    assert "if a group is all alike" in run(folder)[1]


def test_power_is_part_of_the_document(run: Running, folder: Path) -> None:
    """Empty where nothing is compared."""
    assert json.loads(run(folder, "--json")[1])["detectable"] is None
    (folder / "suite.yaml").write_text(SUITE + SCORERS % ("json_score", ""))
    found = json.loads(run(folder, "--json", "--detect", "0.5")[1])["detectable"]
    assert (found["rows"], found["lines"][0]["rows_needed"]) == (3, 34)


def test_a_difference_to_find_is_above_zero(run: Running, folder: Path) -> None:
    """No number of rows finds nothing."""
    code, _, err = run(folder, "--detect", "0")
    assert (code, "--detect 0: expected a number above 0" in err) == (2, True)


def test_a_run_that_takes_no_time_and_shows_no_difference_is_told_in_words(run: Running, folder: Path) -> None:
    """Three rows: the table has nothing but dashes, and says what these are."""
    (folder / "suite.yaml").write_text(SUITE + SCORERS % ("json_valid", "") + QUOTA % (60_000, 1_000_000))
    code, out, _ = run(folder)
    assert code == 0
    assert "Time: Less than 1 s at the quota." in out
    assert "A dash: if only so many rows differ, no difference is found that often" in out


def test_infrastructure_as_a_table(run: Running, folder: Path) -> None:
    """This run, larger ones and an idle month, with the date of the prices and what is not counted."""
    (folder / "suite.yaml").write_text(SUITE + QUOTA % (600, 100_000))
    code, out, _ = run(folder, "--infra", "--replicas", 1)
    assert code == 0
    assert ["this", "run", "6"] in [line.split()[:3] for line in out.splitlines()]
    assert ["a", "run", "of", "1,000,000", "1,000,000"] in [line.split()[:5] for line in out.splitlines()]
    assert "Idle, a month with one replica: " in out
    assert f"list prices of {load_azure_prices().as_of}, region eastus, ZRS storage" in out
    assert "Not counted: operations of Durable Functions" in out


def test_infrastructure_as_json(run: Running, folder: Path) -> None:
    """The same figures; without the option there are none, and without a quota there is no time to compute with."""
    assert "infrastructure" not in json.loads(run(folder, "--json")[1])
    found = json.loads(run(folder, "--infra", "--redundancy", "LRS", "--json")[1])["infrastructure"]
    assert (found["redundancy"], found["run"]["trials"], found["run"]["compute_usd"]) == ("LRS", 6, None)
    assert set(found["scaled"]) == {"100000", "1000000"}
