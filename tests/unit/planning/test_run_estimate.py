"""What a run would take: figures that can be checked by hand, and a plain word where something is unknown."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from assay.errors import DatasetError
from assay.llm.pricing import Price, PriceTable
from assay.planning.estimate import KEPT_BAD_ROWS, Assumptions, Estimate, estimate_run, quota_complaints
from assay.planning.plan import build_plan
from assay.planning.preflight import checked_suite
from assay.sources.tabular import open_source

PRICES = PriceTable(
    as_of=date(2026, 1, 2),
    source="a list",
    prices={
        "tiny": Price(input=Decimal("10"), output=Decimal("100")),
        "tiny-pro": Price(input=Decimal("20"), output=Decimal("200")),
    },
)

# Of 8 characters each prompt: 8/4 + 4 around a message = 6 tokens; the system prompt of 5 characters: 2 + 4 = 6.
ROWS = "id,text\n1,abcdefgh\n2,ABCDEFGH\n"
SUITE = """\
version: 1
name: demo
dataset: {id: id, max_bad_rows: 50%}
defaults:
  model: {deployment: tiny, max_tokens: 10}
  user: "{{ text }}"
experiments:
  - name: two
    criteria:
      - {name: first}
      - {name: second, system: Hello}
  - {name: plain, baseline: true, model: {max_tokens: 5}}
"""

Estimating = Callable[..., Estimate]


@pytest.fixture(name="estimated")
def _estimated(tmp_path: Path) -> Estimating:
    def of(
        suite: str = SUITE, rows: str = ROWS, assumed: Assumptions | None = None, file: str = "data.csv"
    ) -> Estimate:
        (tmp_path / file).write_text(rows, encoding="utf-8")
        made = checked_suite(suite)
        planned = build_plan("estimate", made, suite, open_source(tmp_path / file, file, "id"), file, tmp_path)
        return estimate_run(made, planned, file, PRICES, assumed)

    return of


def with_quota(requests_per_minute: int, tokens_per_minute: int, suite: str = SUITE) -> str:
    quota = f"{{requests_per_minute: {requests_per_minute}, tokens_per_minute: {tokens_per_minute}}}"
    return f"{suite}quota:\n  tiny: {quota}\n"


def test_counts_are_those_of_the_rendered_prompts(estimated: Estimating) -> None:
    """Baseline first; every criterion of every row is a request, charged its prompt and all of max_tokens."""
    made = estimated()
    plain, two = made.experiments
    assert (made.rows, made.bad_rows, made.rendered_rows) == (2, 0, 2)
    assert (plain.experiment, plain.trials, plain.requests, plain.prompt_tokens) == ("plain", 2, 2, 12)
    assert plain.charged_tokens == 12 + 2 * 5
    assert (two.experiment, two.trials, two.requests, two.prompt_tokens) == ("two", 2, 4, 2 * 6 + 2 * 12)
    assert two.charged_tokens == 36 + 4 * 10
    total = made.total
    assert (total.trials, total.requests, total.prompt_tokens, total.charged_tokens) == (4, 6, 48, 98)


def test_costs_are_exact(estimated: Estimating) -> None:
    """The highest with all of max_tokens, the likely one with half of it, rounded up."""
    made = estimated()
    plain, two = made.experiments
    assert plain.highest_cost_usd == Decimal(12 * 10 + 10 * 100) / 1_000_000
    assert plain.likely_cost_usd == Decimal(12 * 10 + 2 * 3 * 100) / 1_000_000
    assert two.highest_cost_usd == Decimal(36 * 10 + 40 * 100) / 1_000_000
    assert two.likely_cost_usd == Decimal(36 * 10 + 20 * 100) / 1_000_000
    assert made.total.highest_cost_usd == Decimal("0.005480")
    assert made.total.likely_cost_usd == Decimal("0.003080")


def test_a_likely_answer_is_as_long_as_one_says_and_never_longer_than_max_tokens(estimated: Estimating) -> None:
    """An answer that is cut off costs max_tokens."""
    plain, two = estimated(assumed=Assumptions(answer_tokens=7)).experiments
    assert (plain.likely_answer_tokens, two.likely_answer_tokens) == (5, 7)
    assert plain.likely_cost_usd == plain.highest_cost_usd
    assert two.likely_cost_usd == Decimal(36 * 10 + 4 * 7 * 100) / 1_000_000


def test_a_model_without_a_price_makes_the_cost_unknown_and_nothing_else(estimated: Estimating) -> None:
    """A part of the cost would pass for the whole."""
    suite = SUITE.replace("baseline: true, model: {", "baseline: true, model: {deployment: mystery, ")
    made = estimated(suite)
    plain, two = made.experiments
    assert (plain.likely_cost_usd, plain.highest_cost_usd) == (None, None)
    assert two.highest_cost_usd is not None
    assert (made.total.likely_cost_usd, made.total.highest_cost_usd) == (None, None)
    assert made.total.charged_tokens == 98
    assert [(price.deployment, price.listed_as) for price in made.prices] == [("mystery", None), ("tiny", "tiny")]


def test_the_model_behind_a_deployment_decides_its_price(estimated: Estimating) -> None:
    """The name of a deployment is free; the estimate says which entry of which list it used."""
    made = estimated(assumed=Assumptions(models={"tiny": "tiny-pro-2025-01-01"}))
    [price] = made.prices
    assert (price.model, price.listed_as, price.output_usd_per_million_tokens) == (
        "tiny-pro-2025-01-01",
        "tiny-pro",
        Decimal(200),
    )
    assert made.total.highest_cost_usd == 2 * Decimal("0.005480")
    assert (made.prices_as_of, made.prices_source) == (date(2026, 1, 2), "a list")


def test_requests_bind_where_they_need_longer(estimated: Estimating) -> None:
    """6 requests at 2 a minute: 3 minutes; 98 tokens at 98 a minute: one. Shorter answers cannot help."""
    [time] = estimated(with_quota(2, 98)).deployments
    assert (time.seconds_for_requests, time.seconds_for_tokens, time.seconds) == (180, 60, 180)
    assert (time.bottleneck, time.seconds_saved_by_half_max_tokens) == ("requests", None)


def test_tokens_bind_where_they_need_longer(estimated: Estimating) -> None:
    """98 tokens at 49 a minute: 2 minutes. Halves save 4 x 5 tokens of `two` and 2 x 2 of `plain`."""
    [time] = estimated(with_quota(60, 49)).deployments
    assert (time.seconds_for_requests, time.seconds_for_tokens, time.seconds) == (6, 120, 120)
    assert time.bottleneck == "tokens"
    assert time.seconds_saved_by_half_max_tokens == pytest.approx(24 / 49 * 60)


def test_shorter_answers_save_no_more_than_requests_allow(estimated: Estimating) -> None:
    """218 tokens need 32.7 seconds; with the 134 of half answers 20.1, where 6 requests still need 22.5."""
    suite = with_quota(16, 400).replace("max_tokens: 10", "max_tokens: 40")
    [time] = estimated(suite).deployments
    tokens = 48 + 2 * 5 + 4 * 40
    assert time.seconds_for_requests == 22.5
    assert time.seconds_for_tokens == pytest.approx(tokens / 400 * 60)
    assert time.seconds_saved_by_half_max_tokens == pytest.approx(tokens / 400 * 60 - 22.5)


def test_deployments_run_side_by_side(estimated: Estimating) -> None:
    """The run takes as long as the slowest; one without a quota has no time."""
    suite = with_quota(4, 100_000).replace("baseline: true, model: {", "baseline: true, model: {deployment: other, ")
    made = estimated(suite + "  other: {requests_per_minute: 1, tokens_per_minute: 100000}\n")
    assert [(time.deployment, time.requests, time.seconds) for time in made.deployments] == [
        ("other", 2, 120),
        ("tiny", 4, 60),
    ]
    assert made.seconds == 120
    unlimited = estimated(suite)
    assert [time.seconds for time in unlimited.deployments] == [None, 60]
    assert unlimited.seconds == 60


def test_without_a_quota_there_is_no_time(estimated: Estimating) -> None:
    """What the service grants is not known here."""
    made = estimated()
    assert (made.seconds, made.deployments[0].bottleneck, made.deployments[0].charged_tokens) == (None, None, 98)


def test_bad_rows_are_counted_and_the_first_shown_and_not_asked(estimated: Estimating) -> None:
    """As a run would set them aside."""
    made = estimated(rows=ROWS + "3\n" + "4,abcd\n5,abcd\n6,abcd\n" + "1,again\n" + "7\n8\n")
    assert (made.rows, made.bad_rows, made.total.trials) == (5, 4, 10)
    assert len(made.first_bad_rows) == KEPT_BAD_ROWS
    assert [row.line for row in made.first_bad_rows] == [4, 8, 9]
    assert "expected 2" in made.first_bad_rows[0].reason


def test_too_many_bad_rows_are_refused_as_a_run_refuses_them(estimated: Estimating) -> None:
    """There is nothing to estimate: the run would not start."""
    with pytest.raises(DatasetError, match="3 of 5 rows are bad; the suite tolerates 50%"):
        estimated(rows=ROWS + "3\n4\n5\n")


def test_json_lines_that_lack_a_column_are_bad(estimated: Estimating) -> None:
    """They would not be asked either."""
    made = estimated(rows='{"id": 1, "text": "abcdefgh"}\n{"id": 2}\n', file="data.jsonl")
    assert (made.rows, made.bad_rows, made.total.requests) == (1, 1, 3)


def test_a_request_at_the_quota_can_be_sent(estimated: Estimating) -> None:
    """12 tokens of the prompt and 10 of max_tokens fit into 22 per minute."""
    suite = with_quota(60, 22)
    made = estimated(suite)
    assert quota_complaints(made, checked_suite(suite), suite) == []


def test_a_request_above_the_quota_is_a_complaint_at_the_line_of_the_quota(estimated: Estimating) -> None:
    """No wait could ever help it; only the experiment that makes it is named."""
    suite = with_quota(60, 21)
    made = estimated(suite)
    [complaint] = quota_complaints(made, checked_suite(suite), suite, "my/suite.yaml")
    assert [one.requests_above_quota for one in made.experiments] == [0, 2]
    assert complaint.startswith("my/suite.yaml:14: experiment 'two' has 2 requests that can never be sent")
    assert "criterion 'second' for data.csv:2, is charged 22 tokens (12 of the prompt, 10 of max_tokens)" in complaint
    assert "'tiny' grants 21 per minute" in complaint


def test_the_first_rows_speak_for_all(estimated: Estimating) -> None:
    """Trials are exact; what is measured is scaled up, and rounded up: 6 + 7 tokens of 2 rows are 20 of 3."""
    rows = "id,text\n1,abcdefgh\n2,abcdefghi\n3," + "x" * 1000 + "\n"
    made = estimated(rows=rows, assumed=Assumptions(rendered_rows=2))
    plain, _ = made.experiments
    assert (made.rows, made.rendered_rows) == (3, 2)
    assert (plain.trials, plain.requests) == (3, 3)
    assert plain.prompt_tokens == 20
    assert plain.charged_tokens == 20 + 3 * 5


def test_rows_beyond_the_sample_still_count(estimated: Estimating) -> None:
    """A sample larger than the dataset is the dataset."""
    assert estimated(assumed=Assumptions(rendered_rows=100)) == estimated()


def test_a_row_whose_prompt_cannot_be_rendered_is_not_asked_further(estimated: Estimating) -> None:
    """As in a run: the criteria before the faulty one are asked, the trial fails."""
    suite = SUITE.replace("system: Hello", 'user: "{{ 8 // (text | length - 4) }}"')
    made = estimated(suite, "id,text\n1,abcdefgh\n2,four\n")
    _, two = made.experiments
    assert (two.trials, two.requests, two.unrendered_trials) == (2, 3, 1)
    assert two.first_prompt_error is not None
    assert two.first_prompt_error.startswith("line 3: criterion 'second': ")


def test_repeats_are_asked_for_and_paid(estimated: Estimating) -> None:
    """Every figure of an experiment counts as often as its rows are asked."""
    once, often = estimated(), estimated(SUITE.replace("{name: plain,", "{name: plain, repeats: 3,"))

    assert (often.rows, [one.trials for one in often.experiments]) == (2, [6, 2])
    assert often.experiments[0].requests == 3 * once.experiments[0].requests
    assert often.experiments[0].highest_cost_usd == 3 * once.experiments[0].highest_cost_usd
    assert often.experiments[1] == once.experiments[1]


def test_an_estimate_survives_json(estimated: Estimating) -> None:
    """Money as text, so that no reader makes a float of it."""
    made = estimated(with_quota(60, 49))
    document = made.model_dump(mode="json")
    assert document["total"]["highest_cost_usd"] == "0.005480000"
    assert Estimate.model_validate(document) == made


def test_schemas_and_images_count_as_prompt(estimated: Estimating) -> None:
    """The model reads them too, and both are billed."""
    schema, image = "    schema: [a]\n", "    images: [{url: 'https://x.org/1', tokens: 50}]\n"
    more = SUITE.replace("  - name: two\n", "  - name: two\n" + schema + image)
    plain, two = estimated(more).experiments
    assert plain.prompt_tokens == 12
    told = '{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'
    assert two.prompt_tokens - 36 == 4 * (50 + 4) + 4 * (-(-len(told) // 4) + 4)
