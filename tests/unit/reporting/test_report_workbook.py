"""The workbook: every sheet is there, nothing in it computes, the same run gives the same bytes."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from openpyxl import Workbook, load_workbook

from assay.records import BadRow
from assay.reporting.contents import Contents
from assay.reporting.trial_table import TrialTable, trial_table
from assay.reporting.workbook import render_workbook
from builders import BuiltRun, failed, outcome, plan, response, row, run_header, suite, triage_run
from evaluations import evaluate, write_results

FORMULAS = ('=HYPERLINK("https://evil.example")', "+1+1", "-1+1", "@SUM(A1)", "#REF!", "\t=1", "a\x00b\x1b", "\ud7ff")


@pytest.fixture
def made(tmp_path: Path) -> tuple[Contents, TrialTable]:
    return of_run(triage_run(rows=40), tmp_path)


def of_run(run: BuiltRun, folder: Path) -> tuple[Contents, TrialTable]:
    contents = evaluate(run.header, run.suite, run.plan, run.outcomes, run.bad_rows, 0, run.rows)
    write_results(run.outcomes, run.suite, folder, run.plan)
    return contents, trial_table(folder, contents)


def opened(content: bytes) -> Workbook:
    return load_workbook(BytesIO(content))


def cells(book: Workbook) -> Iterator[Any]:
    return (cell for sheet in book for line in sheet.iter_rows() for cell in line if cell.value is not None)


def test_every_sheet_says_its_part(made: tuple[Contents, TrialTable]) -> None:
    """Rule: summary, experiments, comparisons, trials and failures, their heads frozen."""
    contents, table = made
    book = opened(render_workbook(contents, table))

    assert book.sheetnames == ["Summary", "Experiments", "Comparisons", "Trials", "Failures"]
    assert book["Summary"]["B1"].value == contents.headline.replace("`", "")
    assert [line[0].value for line in book["Experiments"].iter_rows(min_row=2)] == ["plain", "think-first", "short"]
    assert [line[1].value for line in book["Comparisons"].iter_rows(min_row=2)] == ["think-first", "short"]
    assert book["Trials"].max_row == 121
    assert book["Trials"].freeze_panes == "A2"
    assert book["Failures"].max_row >= 3


def test_numbers_are_numbers(made: tuple[Contents, TrialTable]) -> None:
    """Rule: a spreadsheet can go on computing with them."""
    contents, table = made
    sheet = opened(render_workbook(contents, table))["Comparisons"]
    head = [cell.value for cell in sheet[1]]

    assert sheet.cell(2, head.index("Difference") + 1).value == pytest.approx(contents.comparisons[0].result.difference)
    assert sheet.cell(2, head.index("Pairs") + 1).value == contents.comparisons[0].result.n_pairs


def test_foreign_text_is_never_a_formula(tmp_path: Path) -> None:
    """Rule: answers, ids, messages and rows are text, whatever they begin with."""
    of = suite(("plain",), description="=1+1")
    trials = [
        *(outcome(at, "plain", None, response(text), row_id=text) for at, text in enumerate(FORMULAS, 1)),
        failed(9, message="=1+1", request_id="=1+1"),
    ]
    planned, bad = plan(of, 9, bad_rows=1), [BadRow(line=2, reason="=1+1", found="=1+1", row_id="=1+1")]
    contents = evaluate(run_header(of), of, planned, trials, bad, 0, [row(1)])
    write_results(trials, of, tmp_path, planned)

    book = opened(render_workbook(contents, trial_table(tmp_path, contents)))

    answers = [line[7].value for line in book["Trials"].iter_rows(min_row=2)]
    assert {cell.data_type for cell in cells(book)} <= {"s", "n", "inlineStr"}
    assert all(cell.quotePrefix for cell in cells(book) if str(cell.value).startswith(("=", "+", "@", "#", "\t")))
    assert answers[:4] == list(FORMULAS[:4])
    assert answers[6] == "a\ufffdb\ufffd"


def test_the_same_run_gives_the_same_bytes(made: tuple[Contents, TrialTable], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule: neither the clock nor the order of anything shows."""
    contents, table = made
    first = render_workbook(contents, table)
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)

    assert render_workbook(contents, table) == first
    with ZipFile(BytesIO(first)) as parts:
        assert {part.date_time for part in parts.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert parts.read("docProps/core.xml").count(b"2026-11-20T09:30:00Z") == 2
