"""What judges would take: their requests, the answers in their prompts, their cost at their own quota."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from assay.llm.pricing import Price, PriceTable
from assay.planning.estimate import Assumptions, Estimate, estimate_run, quota_complaints, unpriced_deployments
from assay.planning.plan import build_plan
from assay.planning.preflight import checked_suite
from assay.sources.tabular import open_source

PRICES = PriceTable(
    as_of=date(2026, 1, 2),
    source="a list",
    prices={
        "tiny": Price(input=Decimal("10"), output=Decimal("100")),
        "wise": Price(input=Decimal("20"), output=Decimal("200")),
    },
)
ROWS = "id,text\n1,abcdefgh\n2,ABCDEFGH\n3,12345678\n"
SUITE = """\
version: 1
name: demo
dataset: {id: id}
defaults:
  model: {deployment: tiny, max_tokens: 100}
  user: "{{ text }}"
experiments:
  - {name: plain, baseline: true}
  - {name: short, model: {max_tokens: 40}, repeats: 2}
judges:
  - {plugin: llm_judge, name: helpful, model: {deployment: wise, max_tokens: 30}, rubric: "Kind? {{ text }}"}
  - {plugin: pairwise_judge, name: preferred, model: {deployment: wise, max_tokens: 30}, rubric: "Which?"}
quota:
  tiny: {requests_per_minute: 60, tokens_per_minute: 60000}
  wise: {requests_per_minute: 6, tokens_per_minute: 600000}
"""

Estimating = Callable[..., Estimate]


@pytest.fixture(name="estimated")
def _estimated(tmp_path: Path) -> Estimating:
    def of(suite: str = SUITE, assumed: Assumptions | None = None) -> Estimate:
        (tmp_path / "data.csv").write_text(ROWS, encoding="utf-8")
        made = checked_suite(suite)
        source = open_source(tmp_path / "data.csv", "data.csv", "id")
        return estimate_run(made, build_plan("e", made, suite, source, "d", tmp_path), "data.csv", PRICES, assumed)

    return of


def test_every_judged_trial_is_asked_about_once_and_every_pair_twice(estimated: Estimating) -> None:
    """Each repeat is judged; pairs only as far as both sides were asked. The total holds all of it."""
    made = estimated()
    helpful, preferred = made.judges
    assert (helpful.experiment, helpful.deployment, helpful.trials, helpful.requests) == ("judge helpful", "wise", 9, 9)
    assert (preferred.experiment, preferred.trials, preferred.requests) == ("judge preferred", 3, 6)
    asked = (*made.experiments, *made.judges)
    assert made.total.requests == sum(one.requests for one in asked) == 9 + 9 + 6
    assert made.total.likely_cost_usd == sum(one.likely_cost_usd or 0 for one in asked)


def test_a_longer_answer_makes_a_longer_prompt_for_its_judge(estimated: Estimating) -> None:
    """Ten more tokens in each answer are ten in each of the 9 prompts with one of them, and 20 in those with two."""
    few, more = (estimated(assumed=Assumptions(answer_tokens=tokens)) for tokens in (10, 20))
    longer = [after.prompt_tokens - before.prompt_tokens for before, after in zip(few.judges, more.judges, strict=True)]
    assert longer == [9 * 10, 6 * 20]


def test_the_highest_cost_is_that_of_the_longest_answers(estimated: Estimating) -> None:
    """They fill the judge's prompts too: 3 of `plain` could be 50 tokens longer than likely, 6 of `short` 20."""
    helpful = estimated().judges[0]
    assert helpful.likely_cost_usd is not None and helpful.highest_cost_usd is not None
    prompts = (3 * 50 + 6 * 20) * Decimal(20)
    answers = 9 * 15 * Decimal(200)
    assert helpful.highest_cost_usd - helpful.likely_cost_usd == (prompts + answers) / 1_000_000


def test_the_judges_quota_may_be_what_a_run_waits_for(estimated: Estimating) -> None:
    """15 questions at 6 a minute; both judges share one deployment."""
    made = estimated()
    assert [(one.deployment, one.requests, one.seconds) for one in made.deployments] == [
        ("tiny", 9, pytest.approx(9.0)),
        ("wise", 15, pytest.approx(150.0)),
    ]
    assert made.seconds == pytest.approx(150.0)


def test_a_judges_request_that_no_quota_can_grant_is_a_complaint(estimated: Estimating) -> None:
    """As any other, at the line of the quota."""
    text = SUITE.replace("tokens_per_minute: 600000", "tokens_per_minute: 100")
    (complaint,) = {one.partition(": ")[0] for one in quota_complaints(estimated(text), checked_suite(text), text)}
    assert complaint == "suite.yaml:15"


def test_a_judge_without_a_price_is_named() -> None:
    """A budget could not be kept."""
    unpriced = checked_suite(SUITE.replace("wise,", "unheard-of,").replace("  wise:", "  unheard-of:"))
    assert unpriced_deployments(unpriced, PRICES) == ["unheard-of"]


def test_a_rubric_that_cannot_be_rendered_counts_as_unrendered(estimated: Estimating) -> None:
    """The rows whose judgement will fail are told before the run."""
    made = estimated(SUITE.replace("Kind? {{ text }}", "Kind? {{ 1 // 0 if text == 'abcdefgh' else text }}"))
    assert made.judges[0].unrendered_trials == 3
    assert made.judges[0].first_prompt_error is not None and "judge" not in (
        made.experiments[0].first_prompt_error or ""
    )
