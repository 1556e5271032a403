"""Reading outcome files: a few ranges at a time, every line an outcome that the plan has, nothing passed over."""

from pathlib import Path

import pytest

from assay.errors import CheckFailed
from assay.records import Failure, Outcome, Record, Response, Score, Usage
from assay.reporting.outcome_files import OutcomeFiles
from assay.reporting.trials import SCHEMA
from assay.run_records import Plan, RowRange
from builders import failed, outcome, plan, response, suite
from evaluations import batch_of, store


def three_ranges(folder: Path) -> OutcomeFiles:
    """Two experiments whose names differ in case only."""
    ranges = tuple(RowRange(first_row=at * 2 + 1, rows=2, offset=0, length=1) for at in range(3))
    planned = Plan(run="r", rows=6, bad_rows=0, experiments=("Plain", "plain"), ranges=ranges)
    return store([outcome(row, name) for row in range(1, 7) for name in planned.experiments], planned, folder)


def test_outcomes_are_read_a_few_ranges_at_a_time(tmp_path: Path) -> None:
    """Rule: memory is bounded, whatever the run's size: later ranges are not touched before their turn."""
    files = three_ranges(tmp_path)
    batches = files.batches(most_bytes=1)
    first = next(batches).parsed()
    for experiment in files.plan.experiments:
        files.file(experiment, 2).unlink()

    assert (first.row[first.order].tolist(), first.experiment[first.order].tolist()) == ([1, 1, 2, 2], [0, 1, 0, 1])
    assert sorted(next(batches).parsed().row) == [3, 3, 4, 4]
    with pytest.raises(FileNotFoundError):
        next(batches)


def test_outcomes_can_be_read_as_often_as_needed(tmp_path: Path) -> None:
    """Rule: reading changes nothing; experiments whose names differ in case stay apart, on any disk."""
    files = three_ranges(tmp_path)

    assert [raw.contents for raw in files.batches()] == [raw.contents for raw in files.batches()]
    assert sum(len(raw.parsed()) for raw in files.batches()) == 12
    assert len({files.file(name, 0).name.casefold() for name in files.plan.experiments}) == 2


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"nonsense\n", "rows 1 to 2: not readable as outcomes"),
        (b'{"row_number": "one"}\n', "rows 1 to 2: not readable as outcomes"),
        (outcome(1).model_dump_json().encode() * 2 + b"\n", "4 outcomes in 3 lines"),
    ],
)
def test_a_line_that_is_no_outcome_is_an_error(line: bytes, found: str, tmp_path: Path) -> None:
    """Rule: a broken file never becomes a smaller result."""
    files = three_ranges(tmp_path)
    files.file("Plain", 0).write_bytes(line)

    with pytest.raises(CheckFailed, match=found):
        next(files.batches(most_bytes=1)).parsed()


@pytest.mark.parametrize(
    "stranger", [outcome(3, "Plain"), outcome(1, "plain"), outcome(1, "other"), outcome(1, repeat=1)]
)
def test_an_outcome_in_another_chunks_file_is_an_error(stranger: Outcome, tmp_path: Path) -> None:
    """Rule: each file holds its own experiment, repeat and rows; the message says which."""
    files = three_ranges(tmp_path)
    files.file("Plain", 0).write_text(stranger.model_dump_json() + "\n", encoding="utf-8")

    with pytest.raises(LookupError, match="not planned in the chunk of 'Plain', repeat 0, rows 1 to 2"):
        next(files.batches()).parsed()


def test_fields_of_a_newer_release_are_passed_over(tmp_path: Path) -> None:
    """Rule: numbers are made of what is known; the line itself goes into results.jsonl as it is."""
    files = three_ranges(tmp_path)
    line = outcome(1, "Plain").model_dump_json().replace('{"row_id"', '{"novel":{"deep":[1]},"row_id"')
    files.file("Plain", 0).write_text(line + "\n", encoding="utf-8")

    batch = next(files.batches(most_bytes=1)).parsed()

    assert len(batch) == 3
    assert b'"novel"' in batch.lines[0].as_py()


def test_a_file_without_a_last_line_feed_is_read_whole(tmp_path: Path) -> None:
    """Rule: two files never share a line."""
    files = three_ranges(tmp_path)
    path = files.file("Plain", 0)
    path.write_bytes(path.read_bytes().rstrip())

    assert len(next(files.batches()).parsed()) == 12


def test_the_columns_are_fields_of_the_records() -> None:
    """Rule: a field that is renamed or dropped in the records must not silently read as nothing."""
    trial = {field.name: field.type for field in SCHEMA}
    response_type, score_type = trial["responses"].value_type, trial["scores"].value_type
    shapes: list[tuple[type[Record], set[str]]] = [
        (Outcome, set(trial)),
        (Response, {field.name for field in response_type}),
        (Score, {field.name for field in score_type}),
        (Failure, {field.name for field in trial["failure"]}),
        (Usage, {field.name for field in trial["failure"].field("usage").type}),
    ]
    for record, names in shapes:
        assert names <= set(record.model_fields)


def test_nulls_characters_beyond_latin_and_huge_answers_come_back(tmp_path: Path) -> None:
    """Rule: any text of an answer is read as it was written."""
    text = 'a\x00b 😀 \\ " \r\n' + "x" * 3_000_000

    batch = batch_of(outcome(1, "plain", None, response(text)), failed(2), suite=suite())

    assert batch.responses.strings("text")[0].as_py() == text


def test_an_empty_run_has_one_empty_batch(tmp_path: Path) -> None:
    """Rule: nothing to read is no error."""
    files = store([], plan(rows=3), tmp_path)

    assert [len(raw.parsed()) for raw in files.batches()] == [0]
