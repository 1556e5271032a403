"""The plan: every row once, the same bytes for the same inputs, and a refusal when too much is bad."""

import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assay.errors import DatasetError, SuiteError
from assay.planning.plan import MAX_RANGE_BYTES, MAX_ROWS_PER_MESSAGE, Planned, build_plan, rows_per_message
from assay.planning.preflight import checked_suite
from assay.records import BadRow, Row
from assay.run_records import Plan
from assay.sources.tabular import open_source

SUITE = """\
version: 1
name: demo
dataset: {id: id, max_bad_rows: 100%}
limits: {rows_per_message: auto}
defaults:
  model: {deployment: m}
  user: "{{ text }}"
experiments:
  - {name: variant}
  - {name: plain, baseline: true}
  - {name: short}
"""


class Rows:
    """A source of so many good rows, without a file."""

    columns = ("id", "text")
    place = "line"

    def __init__(self, count: int) -> None:
        self._count = count

    def rows(self) -> Iterator[Row | BadRow]:
        for number in range(1, self._count + 1):
            fields = {"id": f"T-{number}", "text": "é" * (number % 7)}
            yield Row(row_id=f"T-{number}", number=number, line=number + 1, fields=fields)


@pytest.fixture(name="planned")
def _planned(tmp_path: Path):
    def of(content: str | bytes, suite: str = SUITE, file: str = "data.csv", folder: str = "a") -> Planned:
        (tmp_path / folder).mkdir()
        dataset = tmp_path / folder / "dataset"
        dataset.write_bytes(content if isinstance(content, bytes) else content.encode())
        made = checked_suite(suite)
        source = open_source(dataset, file, made.dataset.id)
        return build_plan("demo-1", made, suite, source, file, tmp_path / folder)

    return of


def csv_of(rows: int, bad: int = 0) -> str:
    return "id,text\n" + "".join(f"{at},t{at}\n" for at in range(rows)) + "bad\n" * bad


def suite_with(rows_per_message: int | str = "auto", max_bad_rows: int | str = "100%") -> str:
    text = SUITE.replace("rows_per_message: auto", f"rows_per_message: {rows_per_message}")
    return text.replace("max_bad_rows: 100%", f"max_bad_rows: {max_bad_rows}")


def stored_rows(path: Path) -> list[Row]:
    return [Row.model_validate_json(line) for line in path.read_bytes().splitlines()]


class TestRanges:
    def test_the_same_inputs_give_the_same_bytes(self, planned):
        """A step that runs again writes what it wrote before."""
        content = csv_of(50, bad=3)
        first, second = planned(content, folder="a"), planned(content, folder="b")
        assert first.rows.read_bytes() == second.rows.read_bytes()
        assert first.bad_rows.read_bytes() == second.bad_rows.read_bytes()
        assert first.plan.model_dump_json() == second.plan.model_dump_json()

    @settings(max_examples=60, deadline=None)
    @given(count=st.integers(1, 300), size=st.integers(1, 320) | st.just("auto"))
    def test_every_row_is_in_one_range_whose_bytes_hold_it(self, tmp_path_factory, count: int, size: int | str):
        """Ranges follow each other without a gap or an overlap, in rows and in bytes."""
        folder, suite = tmp_path_factory.mktemp("plan"), suite_with(size)
        made = build_plan("demo-1", checked_suite(suite), suite, Rows(count), "data.csv", folder)
        content = made.rows.read_bytes()
        numbers: list[int] = []
        end = 0
        for at in made.plan.ranges:
            assert (at.offset, at.first_row) == (end, len(numbers) + 1)
            end = at.offset + at.length
            found = [Row.model_validate_json(line) for line in content[at.offset : end].splitlines()]
            assert len(found) == at.rows > 0
            numbers += [row.number for row in found]
        assert numbers == list(range(1, count + 1))
        assert end == len(content)

    @pytest.mark.parametrize(
        ("setting", "rows", "expected"),
        [
            ("auto", 1, 1),
            ("auto", 3, 1),
            ("auto", 4, 2),
            ("auto", 347, 18),
            ("auto", 100_000, 316),
            ("auto", 10**6, MAX_ROWS_PER_MESSAGE),
            ("auto", 0, 1),
            (1, 10**6, 1),
            (25, 7, 25),
        ],
    )
    def test_a_message_holds_as_many_rows_as_the_suite_says_or_the_root_of_all(
        self, setting: int | str, rows: int, expected: int
    ):
        """About as many rows in a message as there are messages, up to a bound that keeps a message short."""
        assert rows_per_message(checked_suite(suite_with(setting)), rows) == expected

    def test_long_rows_make_short_messages(self, planned):
        """What a worker has in memory of a chunk does not grow with its rows; a row is never cut."""
        text = "x" * 900_000
        long_rows = "".join(f'{{"id": {at}, "text": "{text}"}}\n' for at in range(40))
        made = planned(long_rows, suite_with(40), file="data.jsonl").plan
        assert [one.rows for one in made.ranges] == [18, 18, 4]
        assert max(one.length for one in made.ranges) <= MAX_RANGE_BYTES
        assert [one.first_row for one in made.ranges] == [1, 19, 37]

    def test_more_messages_for_an_experiment_than_a_plan_can_list_are_refused(self, planned, monkeypatch):
        """Everybody who works on a run has its whole plan in memory."""
        monkeypatch.setattr("assay.planning.plan.MAX_RANGES", 10)
        assert len(planned(csv_of(20), suite_with(2), folder="fits").plan.ranges) == 10
        with pytest.raises(SuiteError) as refused:
            planned(csv_of(21), suite_with(2), folder="too many")
        assert str(refused.value) == (
            "suite.yaml:4: 21 rows would be more than 10 messages for each experiment; at most 10 and in all 1,000,000 "
            "are made. Raise limits.rows_per_message, leave it out, or split the dataset"
        )

    def test_more_messages_than_can_be_watched_are_refused(self, planned):
        """Repeats and experiments count."""
        repeated = suite_with(1).replace("experiments:", "repeats: 100\nexperiments:")
        with pytest.raises(
            SuiteError, match=r"^suite.yaml:4: 3,334 rows .* and judges would be 1,000,200 messages; at most "
        ):
            planned(csv_of(3_334), repeated)


class TestMessages:
    def test_messages_go_by_range_with_the_baseline_first(self, planned):
        """All experiments meet the same rows at about the same time, so that a service's mood hits all alike."""
        made = planned(csv_of(5), suite_with(2)).plan
        messages = list(made.messages(0, made.chunks))
        order = [(message.chunk, message.experiment) for message in messages]
        assert order == [(at, name) for at in range(3) for name in ("plain", "variant", "short")]
        assert [message.rows for message in messages[::3]] == [2, 2, 1]

    @settings(max_examples=40, deadline=None)
    @given(rows=st.integers(1, 60), size=st.integers(1, 20), cuts=st.lists(st.integers(0, 200), max_size=5))
    def test_waves_of_messages_make_the_whole(self, tmp_path_factory, rows: int, size: int, cuts: list[int]):
        """However the dispatch cuts them, every message is sent once, and beyond the end there is none."""
        suite = suite_with(size)
        folder = tmp_path_factory.mktemp("plan")
        plan = build_plan("r", checked_suite(suite), suite, Rows(rows), "d.csv", folder).plan
        edges = [0, *sorted(min(cut, plan.chunks) for cut in cuts), plan.chunks + 5]
        waves = [message for first, last in pairwise(edges) for message in plan.messages(first, last)]
        assert waves == list(plan.messages(0, plan.chunks))
        assert sum(message.rows for message in waves) == plan.trials == rows * 3
        assert len({(message.chunk, message.experiment) for message in waves}) == plan.chunks

    def test_a_plan_survives_being_stored(self, planned):
        """Every step reads it again."""
        plan = planned(csv_of(10)).plan
        assert Plan.model_validate_json(plan.model_dump_json()) == plan


class TestColumns:
    def test_a_csv_without_a_needed_column_is_refused_before_a_row_is_read(self, planned):
        """The header is enough to know."""
        with pytest.raises(SuiteError) as caught:
            planned("id,txt\n1,a\n")
        assert str(caught.value).splitlines()[0] == (
            "suite.yaml:7: experiment 'variant': line 1 of the prompt uses column 'text' "
            "(did you mean 'txt'?), which data.csv does not have."
        )
        assert str(caught.value).splitlines()[-1] == "data.csv has: id, txt"

    def test_json_rows_that_lack_a_column_are_set_aside_and_numbers_have_no_gap(self, planned):
        """Each row of JSON brings its own keys, so each is checked."""
        lines = ['{"id": 1, "text": "a"}', '{"id": 2, "txt": "b"}', "oops", '{"id": 3, "text": "c"}', '{"id": 4}']
        made = planned("\n".join([*lines, '{"id": 5, "text": null}']), file="data.jsonl")
        rows = stored_rows(made.rows)
        assert [(row.row_id, row.number, row.line) for row in rows] == [("1", 1, 1), ("3", 2, 4), ("5", 3, 6)]
        bad = [BadRow.model_validate_json(line) for line in made.bad_rows.read_bytes().splitlines()]
        assert [(row.line, row.row_id, row.reason) for row in bad] == [
            (2, "2", "lacks 'text'; it has: id, txt"),
            (3, None, "not valid JSON: Expecting value at character 1"),
            (5, "4", "lacks 'text'; it has: id"),
        ]
        assert (made.plan.rows, made.plan.bad_rows) == (3, 3)


class TestTolerance:
    @pytest.mark.parametrize(("tolerated", "good", "bad"), [("10%", 90, 10), (2, 1, 2), ("50%", 1, 1), (0, 1, 0)])
    def test_as_many_bad_rows_as_the_suite_tolerates_are_set_aside(self, planned, tolerated, good: int, bad: int):
        """The run starts with the good ones."""
        plan = planned(csv_of(good, bad), suite_with(max_bad_rows=tolerated)).plan
        assert (plan.rows, plan.bad_rows) == (good, bad)

    @pytest.mark.parametrize(("tolerated", "good", "bad"), [("10%", 89, 10), (2, 100, 3), ("50%", 1, 2), ("0%", 9, 1)])
    def test_one_more_refuses_the_dataset(self, planned, tolerated, good: int, bad: int):
        """With how many, the first of them, and what to do."""
        with pytest.raises(DatasetError) as caught:
            planned(csv_of(good, bad), suite_with(max_bad_rows=tolerated))
        assert str(caught.value) == (
            f"data.csv: {bad} of {good + bad} rows are bad; the suite tolerates {tolerated}. "
            f"First: line {good + 2}: 1 field; expected 2. Mend the rows, or raise dataset.max_bad_rows."
        )

    def test_a_dataset_without_one_good_row_is_refused_whatever_is_tolerated(self, planned):
        """There is nothing to ask."""
        with pytest.raises(DatasetError) as caught:
            planned(csv_of(0, 3), suite_with(max_bad_rows="100%"))
        assert str(caught.value) == ("data.csv: not one of 3 rows can be used. First: line 2: 1 field; expected 2.")


def test_memory_does_not_grow_with_the_text(tmp_path: Path):
    """A dataset of 20 MB is planned in a tenth of it: rows are written as they are read."""
    dataset = tmp_path / "dataset"
    with dataset.open("w", encoding="utf-8") as stream:
        stream.write("id,text\n")
        stream.writelines(f"T-{at},{'word ' * 2_000}\n" for at in range(2_000))
    suite = checked_suite(SUITE)
    tracemalloc.start()
    made = build_plan("demo-1", suite, SUITE, open_source(dataset, "d.csv", "id"), "d.csv", tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made.plan.rows == 2_000
    assert dataset.stat().st_size > 20_000_000
    assert peak < 2_000_000
