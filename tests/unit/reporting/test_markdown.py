"""The Markdown report: the same story for a pull request, in which foreign text can do nothing."""

import re
from functools import cache

import pytest

from assay.records import BadRow
from assay.reporting.contents import Contents
from assay.reporting.markdown import escaped, render_markdown
from builders import failed, outcome, plan, rating_run, response, run_header, suite, triage_run
from evaluations import evaluate

HOSTILE = (
    "| <img src=x> `code` @octocat #12 GH-7 [a](https://evil.example) www.evil.example\n\n# Heading\r\n- *item* \u202e"
)


@cache
def triage() -> Contents:
    run = triage_run()
    return evaluate(run.header, run.suite, run.plan, run.outcomes, run.bad_rows, 1, run.rows)


@cache
def hostile() -> Contents:
    of = suite(("plain", "other"), description=HOSTILE)
    header = run_header(of)
    dataset = header.dataset.model_copy(update={"file": HOSTILE})
    header = header.model_copy(update={"dataset": dataset, "versions": {"assay": HOSTILE}})
    answer = response(HOSTILE, model=HOSTILE, cost_usd=None)
    trials = [
        *(outcome(number, "plain", {"correct": 0.0}, answer, row_id=f"{HOSTILE}{number}") for number in range(1, 9)),
        *(outcome(number, "other", {"correct": 1.0}, answer, row_id=f"{HOSTILE}{number}") for number in range(1, 9)),
        failed(9, "plain", HOSTILE, HOSTILE, request_id=HOSTILE),
    ]
    return evaluate(header, of, plan(of, 10, bad_rows=1), trials, [BadRow(line=2, reason=HOSTILE)], 0)


def cells(line: str) -> list[str]:
    return re.split(r"(?<!\\)\|", line)[1:-1]


def tables(text: str) -> list[list[str]]:
    lines = text.splitlines()
    starts = [at for at, line in enumerate(lines) if re.fullmatch(r"\| (---:? \| )+---:? \|", line)]
    found = []
    for start in starts:
        end = start
        while end < len(lines) and lines[end].startswith("|"):
            end += 1
        found.append(lines[start - 1 : end])
    return found


def test_the_report_begins_with_the_headline_and_the_verdicts() -> None:
    """Rule: a reviewer reads what came out first."""
    contents = triage()
    text = render_markdown(contents)

    assert text.startswith(f"# {contents.headline}\n")
    assert "- ▲ think-first is better than plain on `correct`: +10.8 points (95 % interval +7.3 to +14.7)" in text
    assert "Whatever they would have scored" in text


def test_sections_stand_in_the_order_of_the_html_report() -> None:
    """Rule: both reports tell the same story."""
    headings = re.findall(r"^## (.*)$", render_markdown(triage()), re.MULTILINE)

    assert headings == [
        "Verdict",
        "Differences to plain",
        "Scores",
        "Cost and time",
        "Where they disagree",
        "What went wrong",
        "Provenance",
    ]


@pytest.mark.parametrize("make", [triage, hostile])
def test_every_table_line_has_as_many_cells_as_its_head(make) -> None:
    """Rule: no content breaks a table."""
    found = tables(render_markdown(make()))

    assert len(found) >= 5
    for table in found:
        assert len({len(cells(line)) for line in table}) == 1


def test_foreign_text_is_one_line_without_any_effect() -> None:
    """Rule: no HTML, formatting, link, heading, mention or reference survives."""
    text = escaped(HOSTILE, 1_000)

    assert "\n" not in text
    assert "<" not in text
    assert not re.search(r"(?<!\\)[`|*\[\]#]", text.replace("&#8203;", ""))
    assert not re.search(r"@\w|#\d|://|www\.|GH-\d", text.replace("&#8203;", "\u200b"))
    assert "\u202e" not in text


def test_hostile_content_mentions_nobody_and_heads_nothing() -> None:
    """Rule: wherever foreign text stands, it is escaped."""
    text = render_markdown(hostile())

    assert "@octocat" not in text
    assert "<img" not in text
    assert "https://evil" not in text
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert "\n- *item*" not in text


@pytest.mark.parametrize("text", ["- item", "+ item", "1. item", "12) item", "===", "---"])
def test_foreign_text_cannot_begin_a_list_or_a_heading(text: str) -> None:
    """Rule: what would structure the document at a line's start is escaped there."""
    assert re.match(r"\d*\\", escaped(text))


def test_ordinary_text_stays_as_it_is() -> None:
    """Rule: versions, sentences and names are not littered with backslashes."""
    text = "Version 0.1.0 (beta), 3.13: fine - really; it's 100 %."

    assert escaped(text) == text


def test_huge_text_is_cut() -> None:
    """Rule: a pull request's body has a limit."""
    text = render_markdown(hostile())

    assert len(escaped("x" * 100_000)) < 250
    assert len(text) < 12_000


def test_the_same_contents_give_the_same_text() -> None:
    """Rule: publishing twice changes nothing."""
    contents = triage()

    assert render_markdown(contents) == render_markdown(Contents.model_validate_json(contents.model_dump_json()))


def test_runs_without_anything_to_compare_are_reported() -> None:
    """Rule: degenerate runs give a report with what there is."""
    of = suite(("plain",), scorers=())
    alone = evaluate(run_header(of), of, plan(of, 3), [], (), 0)

    text = render_markdown(alone)

    assert text.startswith("# No trial was answered, so there is nothing to compare")
    assert "## Verdict" not in text
    assert "None" not in text


def test_numeric_runs_are_reported() -> None:
    """Rule: differences of numeric scores have no unit."""
    run = rating_run()

    text = render_markdown(evaluate(run.header, run.suite, run.plan, run.outcomes, (), 0))

    assert "| `helpfulness` | rubric | ▼ worse | −0.43 |" in text
