"""The tables: same answers, same bytes; nothing in a cell can act; everything is in the JSONL."""

import csv
import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from assay.llm.pricing import load_prices
from assay.records import Attempt, Outcome, Usage
from assay.reporting.cells import cell_texts
from assay.suite.models import Suite
from builders import MODEL, BuiltRun, failed, outcome, response, suite, triage_run
from evaluations import write_results


def results_of(run: BuiltRun, folder: Path) -> dict[str, bytes]:
    folder.mkdir(exist_ok=True)
    write_results(run.outcomes, run.suite, folder, run.plan)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rows_of(folder: Path, *outcomes: Outcome, of: Suite | None = None) -> list[dict[str, str]]:
    write_results(outcomes, of or suite(), folder)
    with (folder / "results.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def text_of(text: str) -> str:
    """The cell that a text becomes."""
    found: str = cell_texts(pa.array(["plain", text]))[1].as_py()
    return found


def test_csv_has_one_line_per_trial_by_row_and_then_experiment(tmp_path: Path) -> None:
    """Rule: the order is row number first, then the plan's experiments, across ranges."""
    run = triage_run(rows=40)

    results_of(run, tmp_path)

    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as file:
        found = [(int(line["row"]), line["experiment"]) for line in csv.DictReader(file)]
    assert found == [(row, name) for row in range(1, 41) for name in ("plain", "think-first", "short")]


def test_csv_names_a_column_per_criterion_and_score(tmp_path: Path) -> None:
    """Rule: answers flatten to one column per criterion, scores to one per scorer."""
    of = suite(criteria=("queue", "mood"))

    write_results([outcome()], of, tmp_path)

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

    one, two = results_of(run, tmp_path / "one"), results_of(other, tmp_path / "two")
    assert {name for name in one if one[name] == two[name]} == {"results.csv", "results.parquet"}


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

    (line,) = rows_of(tmp_path, hostile)

    assert (line["answer.queue"], line["row_id"]) == (f"'{text}", f"'{text}")


@pytest.mark.parametrize("number", ["-5", "+7", "-0.25", "-1e-9", "12"])
def test_a_number_is_not_neutralised(number: str) -> None:
    """Rule: negative numbers stay numbers."""
    assert text_of(number) == number


def test_negative_scores_stay_numbers(tmp_path: Path) -> None:
    """Rule: scores are numbers, whatever their sign; whole ones have no trailing zero."""
    of = suite(scorers=({"plugin": "json_score", "name": "delta", "minimum": -9, "maximum": 9},))
    trials = [outcome(1, "plain", {"delta": -2.5}), outcome(2, "plain", {"delta": -3.0}), outcome(3, "plain", {})]

    assert [line["score.delta"] for line in rows_of(tmp_path, *trials, of=of)] == ["-2.5", "-3", ""]


def test_quotes_commas_and_line_breaks_survive(tmp_path: Path) -> None:
    """Rule: RFC 4180 quoting brings every text back, a lone carriage return and huge text included."""
    text = 'He said "no", twice\r\nand\rleft; ' + "x" * 100_000

    (line,) = rows_of(tmp_path, outcome(1, "plain", None, response(text)))

    assert line["answer.queue"] == text


def test_lines_end_with_a_line_feed_and_text_is_utf_8(tmp_path: Path) -> None:
    """Rule: the bytes do not depend on the platform."""
    write_results([outcome(1, "plain", None, response("Grüße"))], suite(), tmp_path)

    content = (tmp_path / "results.csv").read_bytes()

    assert b"\r" not in content
    assert "Grüße".encode() in content
    assert content.endswith(b"\n")


def test_a_null_character_does_not_reach_the_csv(tmp_path: Path) -> None:
    """Rule: readers that stop at NUL see the whole file."""
    (line,) = rows_of(tmp_path, outcome(1, "plain", None, response("a\x00b")))

    assert line["answer.queue"] == "a\ufffdb"


def test_a_failure_is_its_kind_in_the_csv_and_whole_in_the_jsonl(tmp_path: Path) -> None:
    """Rule: a message may name a request, so only the JSONL has it."""
    trial = failed(3, "plain", "server_error", "Request 0ab1 failed")

    (line,) = rows_of(tmp_path, trial)

    assert (line["status"], line["failure"], line["cost_usd"]) == ("failed", "server_error", "")
    assert "0ab1" not in (tmp_path / "results.csv").read_text(encoding="utf-8")
    assert "Request 0ab1 failed" in (tmp_path / "results.jsonl").read_text(encoding="utf-8")


def test_cost_is_the_plain_decimal_sum_and_empty_when_a_price_is_unknown(tmp_path: Path) -> None:
    """Rule: no exponents, no trailing zeros, and half a sum never passes for the whole."""
    cheap = response(cost_usd="0.000000050")
    known = outcome(1, "plain", None, cheap, response(criterion="mood", cost_usd="0.1"))
    unknown = outcome(2, "plain", None, cheap, response(criterion="mood", cost_usd=None))

    lines = rows_of(tmp_path, known, unknown)

    assert [line["cost_usd"] for line in lines] == ["0.10000005", ""]


def test_jsonl_holds_every_outcome_whole_with_its_rank(tmp_path: Path) -> None:
    """Rule: a JSONL line is the outcome's own JSON plus its rank, in the order of the CSV."""
    run = triage_run(rows=25)

    results_of(run, tmp_path)

    lines = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    ranks = [line.pop("rank") for line in lines]
    read = [Outcome.model_validate_json(json.dumps(line)) for line in lines]
    assert ranks == list(range(1, 76))
    assert [(one.row_number, one.experiment) for one in read[:4]] == [
        (1, "plain"), (1, "think-first"), (1, "short"), (2, "plain"),
    ]  # fmt: skip
    assert sorted(read, key=repr) == sorted(run.outcomes, key=repr)


def test_no_outcomes_give_a_table_with_a_header(tmp_path: Path) -> None:
    """Rule: an empty run still has readable tables."""
    write_results([], suite(), tmp_path)

    assert (tmp_path / "results.csv").read_text(encoding="utf-8").count("\n") == 1
    assert (tmp_path / "results.jsonl").read_bytes() == b""
    assert pyarrow.parquet.read_table(tmp_path / "results.parquet").num_rows == 0


def test_what_was_paid_for_answers_that_nobody_uses_is_not_in_the_csv(tmp_path: Path) -> None:
    """Rule: reruns, invalid answers and failures change the bill, which the report has, and not the results."""
    lost, usage = failed(1, "plain"), Usage(input_tokens=10, output_tokens=5)
    assert lost.failure is not None
    failure = lost.failure.model_copy(update={"cost_usd": Decimal("0.02"), "usage": usage})
    rerun = response(cost_usd="0.13", discarded=usage, discarded_usd="0.03", reruns=1, limit_sent=20)
    trial = lost.model_copy(update={"responses": (rerun,), "failure": failure})

    (line,) = rows_of(tmp_path, trial)

    assert (line["input_tokens"], line["output_tokens"], line["cost_usd"]) == ("180", "12", "0.1")


def test_a_cached_answer_has_the_price_that_it_had(tmp_path: Path) -> None:
    """Rule: where an answer came from changes no result; that it cost nothing now is in the report and the JSONL."""
    usage = {"input_tokens": 1_000_000, "output_tokens": 0}
    price = load_prices().price(MODEL)
    assert price is not None

    (line,) = rows_of(tmp_path, outcome(1, "plain", None, response(cost_usd=0, cached=True, **usage)))

    assert Decimal(line["cost_usd"]) == price.input


def test_the_csv_names_the_deployments_that_answered(tmp_path: Path) -> None:
    """Rule: after a fallback one sees whose answer it is."""
    answers = response(deployment="large@west"), response(criterion="mood", deployment="gpt-4o-mini")

    (line,) = rows_of(tmp_path, outcome(1, "plain", None, *answers))

    assert line["deployment"] == "large@west gpt-4o-mini"


def test_parquet_has_the_cells_of_the_csv_with_types(tmp_path: Path) -> None:
    """Rule: numbers are numbers, money is exact, an empty cell is null, and nothing is neutralised."""
    scored = outcome(1, "plain", {"correct": 1.0}, response("=1+1", cost_usd="0.000000050"))
    write_results([scored, failed(1, "short")], suite(("plain", "short")), tmp_path)

    table = pyarrow.parquet.read_table(tmp_path / "results.parquet")

    first, second = table.to_pylist()
    assert (first["row"], first["repeat"], first["answer.queue"], first["score.correct"]) == (1, 1, "=1+1", 1.0)
    assert first["cost_usd"] == Decimal("0.00000005")
    assert (second["answer.queue"], second["score.correct"], second["cost_usd"]) == (None, None, None)
    assert (second["status"], second["failure"]) == ("failed", "server_error")


def test_what_differs_between_runs_with_the_same_answers_is_in_a_table_of_its_own(tmp_path: Path) -> None:
    """Rule: times, attempts and messages stand in trials.parquet, line by line with the results."""
    late = outcome(1, "plain", None, response(latency_seconds=0.25), response(criterion="mood", latency_seconds=0.5))
    write_results([late, failed(1, "short", message="Boom")], suite(("plain", "short")), tmp_path)

    first, second = pyarrow.parquet.read_table(tmp_path / "trials.parquet").to_pylist()

    assert (first["experiment"], first["latency_seconds"], first["attempts"]) == ("plain", 0.75, 2)
    assert (second["experiment"], second["latency_seconds"], second["failure_message"]) == ("short", None, "Boom")


def test_a_trial_that_is_stored_twice_is_in_the_results_once(tmp_path: Path) -> None:
    """Rule: the first outcome counts, as in the report."""
    lines = rows_of(tmp_path, outcome(1, "plain", None, response("first")), outcome(1, "plain", None, response("next")))

    assert [line["answer.queue"] for line in lines] == ["first"]
    assert len((tmp_path / "results.jsonl").read_bytes().splitlines()) == 1
