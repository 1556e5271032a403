"""The report's page in a real Chromium: its table of trials works with hostile content and asks for nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from assay.reporting.html import render_html
from assay.reporting.trial_page import pack_trials
from assay.reporting.trial_table import trial_table
from builders import failed, outcome, plan, response, row, run_header, suite
from chromium import BINARY, Page, browser
from evaluations import evaluate, write_results

pytestmark = pytest.mark.skipif(not BINARY, reason="there is no Chromium on this machine")

HOSTILE = "</script><img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
ROWS = 60


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page whose row ids, fields, answers and messages attack it."""
    of, folder = suite(("plain", "short")), tmp_path_factory.mktemp("report")
    trials = [
        outcome(
            number,
            name,
            {"correct": float(number % 3 > 0) if name == "plain" else 1.0},
            response(f"{name} says {HOSTILE if number == 7 else number}", latency_seconds=number / 100),
            row_id=HOSTILE if number == 7 else f"T-{number}",
        )
        for number in range(1, ROWS)
        for name in ("plain", "short")
    ]
    trials += [outcome(ROWS, "plain", row_id=f"T-{ROWS}"), failed(ROWS, "short", message=HOSTILE)]
    planned, dataset = (
        plan(of, ROWS),
        [row(number, body=HOSTILE, secret=f"word{number}") for number in range(1, ROWS + 1)],
    )
    contents = evaluate(run_header(of), of, planned, trials, (), 0, dataset)
    write_results(trials, of, folder, planned)
    file = folder / "report.html"
    text = render_html(contents, pack_trials(trial_table(folder, contents), dataset, contents), f"name: {HOSTILE}")
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture(autouse=True)
def nothing_happens_behind_the_page(page: Page) -> Iterator[None]:
    """Rule: no error, no request for anything but the file, and no foreign text becomes script or element."""
    page.errors.clear()
    page.requests.clear()
    yield
    assert page.errors == []
    assert all(address.startswith(("file:", "about:")) for address in page.requests)
    assert "taken" not in page.evaluate("document.title")
    assert page.evaluate("document.images.length") == 0


def rows_of(page: Page) -> list[str]:
    return list(
        page.evaluate("[...document.querySelectorAll('tr.trial .of-row')].map((cell) => cell.innerText.trim())")
    )


def tally(page: Page) -> str:
    return str(page.evaluate("document.querySelector('[data-part=tally]').textContent"))


def set_filter(page: Page, name: str, value: str) -> None:
    page.evaluate(
        f"(() => {{ const control = document.querySelector('[data-state={name}]'); control.value = {value!r};"
        " control.dispatchEvent(new Event('input')); })()"
    )


def test_the_table_shows_a_page_of_all_trials_and_turns(page: Page, report: Path) -> None:
    """Rule: fifty trials at a time, in the order of the results."""
    page.open(report)

    assert tally(page) == "120 trials, 1 to 50 shown"
    assert rows_of(page)[:3] == ["T-1", "T-1", "T-2"]
    page.evaluate("document.querySelector('[data-turn=\"1\"]').click()")
    assert tally(page) == "120 trials, 51 to 100 shown"
    assert rows_of(page)[0] == "T-26"


def test_search_finds_answers_fields_and_failures(page: Page, report: Path) -> None:
    """Rule: every word must stand somewhere in the row or the trial; the slash leads to the field."""
    page.open(report)
    page.press("/", "/")
    assert page.evaluate("document.activeElement.dataset.state") == "q"

    found = {}
    for text in ("word31", "short WORD31", "server_error", "nowhere"):
        set_filter(page, "q", text)
        found[text] = tally(page)

    assert list(found.values()) == ["2 of 120 trials", "1 of 120 trials", "1 of 120 trials", "0 of 120 trials"]


def test_filters_narrow_by_experiment_status_and_baseline(page: Page, report: Path) -> None:
    """Rule: filters add up, and Clear takes them all away."""
    page.open(report)
    set_filter(page, "against", "higher")
    assert tally(page) == "19 of 120 trials"
    set_filter(page, "status", "failed")
    assert tally(page) == "0 of 120 trials"
    set_filter(page, "against", "")
    assert tally(page) == "1 of 120 trials"
    page.evaluate("document.querySelector('[data-part=clear]').click()")
    set_filter(page, "experiment", "0")
    set_filter(page, "to", "0.5")
    assert tally(page) == "19 of 120 trials"


def test_a_heading_sorts_both_ways_and_says_so(page: Page, report: Path) -> None:
    """Rule: a reader of the screen hears the order; trials without a value stand last."""
    page.open(report)
    heading = "document.querySelector('#trials [data-sort=time]')"

    page.evaluate(f"{heading}.click()")
    first = rows_of(page)[0], page.evaluate(f"{heading}.parentElement.ariaSort")
    page.evaluate(f"{heading}.click()")
    second = rows_of(page)[0], page.evaluate(f"{heading}.parentElement.ariaSort")

    assert first == ("T-1", "ascending")
    assert second == ("T-59", "descending")


def test_an_opened_row_shows_both_answers_side_by_side(page: Page, report: Path) -> None:
    """Rule: with the keyboard alone; hostile text is text."""
    page.open(report)
    page.evaluate("document.querySelector('[data-trial=\"12\"] .opener').focus()")
    page.press("ArrowDown")
    page.press("Enter")

    sides = page.evaluate("[...document.querySelectorAll('.detail .side')].map((side) => side.innerText)")
    assert len(sides) == 2
    assert sides[0].startswith("plain (baseline)") and f"plain says {HOSTILE}" in sides[0]
    assert sides[1].startswith("short") and f"short says {HOSTILE}" in sides[1]
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    assert HOSTILE in page.evaluate("document.querySelector('.detail .fields').innerText")


def test_the_address_holds_the_view(page: Page, report: Path) -> None:
    """Rule: a view can be shared as a link."""
    page.open(report, "#q=says&experiment=1&sort=-row&open=117")

    assert tally(page) == "59 of 120 trials, 1 to 50 shown"
    assert rows_of(page)[0] == "T-59"
    assert page.evaluate("document.querySelectorAll('tr.detail').length") == 1
    page.evaluate("document.querySelector('[data-part=clear]').click()")
    assert page.evaluate("location.hash") == "#trials"


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_sticks_out_of_the_page(width: int, report: Path) -> None:
    """Rule: no sideways scrolling of the page, on a phone or a desk, with a row open."""
    with browser(width) as page:
        page.open(report, "#open=13")

        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_dark_is_what_the_reader_or_the_switch_says(page: Page, report: Path) -> None:
    """Rule: the page follows the system until its own switch is used."""
    ground = "getComputedStyle(document.body).backgroundColor"
    page.open(report)
    light = page.evaluate(ground)
    page.emulate(prefers_color_scheme="dark")
    dark = page.evaluate(ground)
    page.evaluate("document.querySelector('#theme').click()")

    assert (light, dark) == ("rgb(250, 249, 246)", "rgb(20, 23, 26)")
    assert page.evaluate(ground) == light
    page.emulate(prefers_color_scheme="light")
