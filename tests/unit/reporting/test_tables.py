"""The tables: same answers, same bytes; nothing in a cell can act; everything is in the JSONL."""

import csv
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from assay.llm.pricing import load_prices
from assay.records import Attempt, Outcome, Usage
from assay.reporting.tables import cell_text, in_order, write_results_csv, write_results_jsonl
from builders import MODEL, BuiltRun, failed, in_groups, outcome, plan, response, suite, triage_run


def csv_of(run: BuiltRun, path: Path) -> bytes:
    write_results_csv(run.groups, run.suite, path)
    return path.read_bytes()


def rows_of(path: Path, *outcomes: Outcome) -> list[dict[str, str]]:
    of = suite()
    write_results_csv(in_groups(plan(of, 40), outcomes), of, path)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_one_line_per_trial_by_row_and_then_experiment(tmp_path: Path) -> None:
    """Rule: the order is row number first, then the plan's experiments, across ranges."""
    run = triage_run(rows=40)

    write_results_csv(run.groups, run.suite, tmp_path / "results.csv")

    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        found = [(int(line["row"]), line["experiment"]) for line in csv.DictReader(file)]
    assert found == [(row, name) for row in range(1, 41) for name in ("plain", "think-first", "short")]


def test_csv_names_a_column_per_criterion_and_score(tmp_path: Path) -> None:
    """Rule: answers flatten to one column per criterion, scores to one per scorer."""
    of = suite(criteria=("queue", "mood"))

    write_results_csv([[outcome()]], of, tmp_path / "results.csv")

    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as lines:
        header = next(csv.reader(lines))
    assert ",".join(header) == (
        "row_id,row,experiment,status,answer.queue,answer.mood,score.correct,"
        "input_tokens,output_tokens,cost_usd,model,deployment,finish_reason,failure"
    )


def test_csv_says_nothing_that_differs_between_two_runs_with_the_same_answers(tmp_path: Path) -> None:
    """Rule: retries, request ids, times and the order of arrival leave no trace in the CSV."""
    run = triage_run(rows=30)
    other = BuiltRun(
        run.header,
        run.suite,
        run.plan,
        tuple(tuple(sorted(map(retried, group), key=lambda one: -one.row_number)) for group in run.groups),
        run.rows,
    )

    assert csv_of(run, tmp_path / "one.csv") == csv_of(other, tmp_path / "two.csv")


def retried(one: Outcome) -> Outcome:
    """The same outcome, arrived at the hard way."""
    attempts = (Attempt(number=1, error="rate_limited", status=429, request_id="x", wait_seconds=3.5),)
    changes = {"latency_seconds": 9.9, "request_id": "other", "attempts": attempts, "quota_wait_seconds": 4.0}
    responses = tuple(response.model_copy(update=changes) for response in one.responses)
    failure = one.failure and one.failure.model_copy(update={"message": "request 77 failed", "request_id": "77"})
    return one.model_copy(update={"responses": responses, "failure": failure})


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", '=HYPERLINK("x")']
)
def test_a_cell_that_could_be_a_formula_is_neutralised(text: str, tmp_path: Path) -> None:
    """Rule: a spreadsheet shows hostile answers and ids as text."""
    hostile = outcome(1, "plain", None, response(text), row_id=text)

    (line,) = rows_of(tmp_path / "results.csv", hostile)

    assert (line["answer.queue"], line["row_id"]) == (f"'{text}", f"'{text}")


@pytest.mark.parametrize("number", ["-5", "+7", "-0.25", "-1e-9", "12"])
def test_a_number_is_not_neutralised(number: str) -> None:
    """Rule: negative numbers stay numbers."""
    assert cell_text(number) == number


def test_negative_scores_stay_numbers(tmp_path: Path) -> None:
    """Rule: scores are numbers, whatever their sign; whole ones have no trailing zero."""
    of = suite(scorers=({"plugin": "json_score", "name": "delta", "minimum": -9, "maximum": 9},))
    trials = [outcome(1, "plain", {"delta": -2.5}), outcome(2, "plain", {"delta": -3.0}), outcome(3, "plain", {})]

    write_results_csv([trials], of, tmp_path / "results.csv")

    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        assert [line["score.delta"] for line in csv.DictReader(file)] == ["-2.5", "-3", ""]


def test_quotes_commas_and_line_breaks_survive(tmp_path: Path) -> None:
    """Rule: RFC 4180 quoting brings every text back, a lone carriage return and huge text included."""
    text = 'He said "no", twice\r\nand\rleft; ' + "x" * 100_000

    (line,) = rows_of(tmp_path / "results.csv", outcome(1, "plain", None, response(text)))

    assert line["answer.queue"] == text


def test_lines_end_with_a_line_feed_and_text_is_utf_8(tmp_path: Path) -> None:
    """Rule: the bytes do not depend on the platform."""
    write_results_csv([[outcome(1, "plain", None, response("Grüße"))]], suite(), tmp_path / "results.csv")

    content = (tmp_path / "results.csv").read_bytes()

    assert b"\r" not in content
    assert "Grüße".encode() in content
    assert content.endswith(b"\n")


def test_a_null_character_does_not_reach_the_csv(tmp_path: Path) -> None:
    """Rule: readers that stop at NUL see the whole file."""
    (line,) = rows_of(tmp_path / "results.csv", outcome(1, "plain", None, response("a\x00b")))

    assert line["answer.queue"] == "a\ufffdb"


def test_a_failure_is_its_kind_in_the_csv_and_whole_in_the_jsonl(tmp_path: Path) -> None:
    """Rule: a message may name a request, so only the JSONL has it."""
    trial = failed(3, "plain", "server_error", "Request 0ab1 failed")

    (line,) = rows_of(tmp_path / "results.csv", trial)
    write_results_jsonl([[trial]], tmp_path / "results.jsonl")

    assert (line["status"], line["failure"], line["cost_usd"]) == ("failed", "server_error", "")
    assert "0ab1" not in (tmp_path / "results.csv").read_text(encoding="utf-8")
    assert "Request 0ab1 failed" in (tmp_path / "results.jsonl").read_text(encoding="utf-8")


def test_cost_is_the_plain_decimal_sum_and_empty_when_a_price_is_unknown(tmp_path: Path) -> None:
    """Rule: no exponents, no trailing zeros, and half a sum never passes for the whole."""
    cheap = response(cost_usd="0.000000050")
    known = outcome(1, "plain", None, cheap, response(criterion="mood", cost_usd="0.1"))
    unknown = outcome(2, "plain", None, cheap, response(criterion="mood", cost_usd=None))

    lines = rows_of(tmp_path / "results.csv", known, unknown)

    assert [line["cost_usd"] for line in lines] == ["0.10000005", ""]


def test_jsonl_holds_every_outcome_whole_with_its_rank(tmp_path: Path) -> None:
    """Rule: a JSONL line is the outcome's own JSON plus its rank, in the order of the CSV."""
    run = triage_run(rows=25)

    write_results_jsonl(run.groups, tmp_path / "results.jsonl")

    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    ranks = [line.pop("rank") for line in lines]
    read = [Outcome.model_validate_json(json.dumps(line)) for line in lines]
    assert ranks == list(range(1, 76))
    assert [(one.row_number, one.experiment) for one in read[:4]] == [
        (1, "plain"), (1, "think-first"), (1, "short"), (2, "plain"),
    ]  # fmt: skip
    assert sorted(read, key=repr) == sorted(run.outcomes, key=repr)


def test_tables_ask_for_one_group_at_a_time() -> None:
    """Rule: a group is only asked for when the one before it is used up."""
    asked: list[int] = []

    def groups() -> Iterator[list[Outcome]]:
        for number in (1, 2):
            asked.append(number)
            yield [outcome(number, "plain"), outcome(number, "short")]

    lines = in_order(groups())

    assert [next(lines).experiment, next(lines).experiment, asked] == ["plain", "short", [1]]


def test_no_outcomes_give_a_table_with_a_header(tmp_path: Path) -> None:
    """Rule: an empty run still has readable tables."""
    write_results_csv([], suite(), tmp_path / "results.csv")
    write_results_jsonl([], tmp_path / "results.jsonl")

    assert (tmp_path / "results.csv").read_text(encoding="utf-8").count("\n") == 1
    assert (tmp_path / "results.jsonl").read_bytes() == b""


def test_what_was_paid_for_answers_that_nobody_uses_is_not_in_the_csv(tmp_path: Path) -> None:
    """Rule: reruns, invalid answers and failures change the bill, which the report has, and not the results."""
    lost, usage = failed(1, "plain"), Usage(input_tokens=10, output_tokens=5)
    assert lost.failure is not None
    failure = lost.failure.model_copy(update={"cost_usd": Decimal("0.02"), "usage": usage})
    rerun = response(cost_usd="0.13", discarded=usage, discarded_usd="0.03", reruns=1, limit_sent=20)
    trial = lost.model_copy(update={"responses": (rerun,), "failure": failure})

    (line,) = rows_of(tmp_path / "results.csv", trial)

    assert (line["input_tokens"], line["output_tokens"], line["cost_usd"]) == ("180", "12", "0.1")


def test_a_cached_answer_has_the_price_that_it_had(tmp_path: Path) -> None:
    """Rule: where an answer came from changes no result; that it cost nothing now is in the report and the JSONL."""
    usage = {"input_tokens": 1_000_000, "output_tokens": 0}
    price = load_prices().price(MODEL)
    assert price is not None

    (line,) = rows_of(tmp_path / "results.csv", outcome(1, "plain", None, response(cost_usd=0, cached=True, **usage)))

    assert Decimal(line["cost_usd"]) == price.input


def test_the_csv_names_the_deployments_that_answered(tmp_path: Path) -> None:
    """Rule: after a fallback one sees whose answer it is."""
    answers = response(deployment="large@west"), response(criterion="mood", deployment="gpt-4o-mini")

    (line,) = rows_of(tmp_path / "results.csv", outcome(1, "plain", None, *answers))

    assert line["deployment"] == "large@west gpt-4o-mini"
