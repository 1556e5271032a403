"""How large the report of 20,000 trials is, and how soon a browser has it ready. `python -m tests.bench report`."""

import json
import string
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where tests find the builders too

EXPERIMENTS = (
    "plain",
    "think-first",
    "short",
    "mini-with-examples-and-a-long-name-of-40",
    "structured-output",
    "expensive-model",
)
QUEUES = ("billing", "cancellation", "delivery", "technical")
SKILLS = (0.80, 0.86, 0.80, 0.78, 0.81, 0.90)
ROWS = 3_333
NOISE = f"{string.printable}äöüßéèñ漢字仮名"
SUITE = "version: 1\nname: support-triage\n# </pre></script>\n"
HOSTILE = (
    "</script><script>document.title='taken'</script>",
    "<img src=x onerror=\"document.title='taken'\">",
    '=HYPERLINK("https://evil.example")',
    "\u202egnp.exe",
    "{{ 7*7 }} ${7*7} `tick` \u2028 \x00 \U0001f680",
)


def measure() -> dict[str, str]:
    """Size, time to render, and the median time of five visits, with texts as usual and with texts of noise."""
    contents, table, rows = made()
    figures = _measured("", contents, table, rows)
    noise = Random(7)
    table.answers = {name: [_noise(noise, 600) for _ in column] for name, column in table.answers.items()}
    noisy = [one.model_copy(update={"fields": {"body": _noise(noise, 3_000)}}) for one in rows]
    return figures | _measured(", texts of noise", contents, table, noisy)


def _measured(of: str, contents: Any, table: Any, rows: Sequence[Any]) -> dict[str, str]:
    from assay.reporting.html import render_html
    from assay.reporting.trial_page import pack_trials

    began = time.perf_counter()
    text = render_html(contents, pack_trials(table, rows, contents), SUITE)
    seconds = time.perf_counter() - began
    return {
        f"report.html of {table.trials:,} trials{of}": f"{len(text.encode()) / 1e6:.2f} MB",
        f"rendering it{of}": f"{seconds:.1f} s",
        **_opened(of, text),
    }


def _opened(of: str, text: str) -> dict[str, str]:
    """Medians of five visits, from navigation to what a reader waits for."""
    from chromium import BINARY, browser

    if not BINARY:
        return {f"opening it{of}": "no Chromium on this machine"}
    with TemporaryDirectory() as folder, browser() as page:
        file = Path(folder) / "report.html"
        file.write_text(text, encoding="utf-8")
        visits = [_visit(page, file) for _ in range(5)]
    names = ("first content", "table of trials ready", "a search over all texts")
    return {
        f"{name}{of}": f"{median(each):.0f} ms" for name, each in zip(names, zip(*visits, strict=True), strict=True)
    }


def _noise(draw: Random, characters: int) -> str:
    return "".join(draw.choices(NOISE, k=characters))


def _visit(page: Any, file: Path) -> tuple[float, float, float]:
    page.open(file)
    ready = float(page.evaluate("document.querySelector('#trials').dataset.ready"))
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0")
    search = page.evaluate(
        "(() => { const field = document.querySelector('[data-state=q]'), began = performance.now();"
        " field.value = 'nowhere'; field.dispatchEvent(new Event('input')); return performance.now() - began; })()"
    )
    return float(paint), ready, float(search)


def made(rows: int = ROWS) -> tuple[Any, Any, Sequence[Any]]:
    """Contents, table of trials and rows of a run with long names, three scores and answers that attack."""
    from assay.reporting.trial_table import trial_table
    from builders import LABEL_SCORER, RATING_SCORER, experiment, plan, row, run_header, suite
    from evaluations import evaluate, write_results

    ratings = [RATING_SCORER | {"name": name, "criterion": "queue"} for name in ("helpfulness", "politeness")]
    of = suite([experiment(name, baseline=name == "plain") for name in EXPERIMENTS], (LABEL_SCORER, *ratings))
    outcomes = list(_outcomes(rows))
    dataset = [row(number, **_fields(number)) for number in range(1, rows + 1)]
    planned = plan(of, rows, bad_rows=2)
    contents = evaluate(run_header(of), of, planned, outcomes, (), 0, dataset)
    with TemporaryDirectory() as folder:
        write_results(outcomes, of, Path(folder), planned)
        return contents, trial_table(Path(folder), contents), dataset


def _fields(number: int) -> dict[str, Any]:
    draw = Random(f"row:{number}")
    return {
        "queue": draw.choice(QUEUES),
        "subject": f"{HOSTILE[number % len(HOSTILE)]} {_words(draw, 8)}" if number % 11 == 0 else _words(draw, 8),
        "body": _words(draw, 60),
    }


def _words(draw: Random, count: int) -> str:
    words = (
        "invoice",
        "parcel",
        "refund",
        "the",
        "my",
        "account",
        "locked",
        "again",
        "please",
        "late",
        "charged",
        "twice",
    )
    return " ".join(f"{draw.choice(words)}{draw.randrange(100) if draw.random() < 0.3 else ''}" for _ in range(count))


def _outcomes(rows: int) -> Iterator[Any]:
    for number in range(1, rows + 1):
        for at, name in enumerate(EXPERIMENTS):
            yield _outcome(number, at, name)


def _outcome(number: int, at: int, name: str) -> Any:
    from builders import blocked, failed, outcome, response

    shared, own = Random(f"{number}"), Random(f"{number}:{name}")
    if number % 97 == 0:
        return blocked(number, name)
    if own.random() < 0.01:
        return failed(number, name, message=HOSTILE[number % len(HOSTILE)])
    right = 0.7 * shared.random() + 0.3 * own.random() < SKILLS[at] - 0.05
    helpful = min(10.0, max(0.0, round(shared.triangular(0, 10, 7) + own.gauss(at / 10, 1.1))))
    said = HOSTILE[number % len(HOSTILE)] if number % 7 == 0 else _words(own, 45)
    text = json.dumps({"reason": said, "queue": own.choice(QUEUES)}, ensure_ascii=False)
    scores = {"correct": float(right), "helpfulness": helpful, "politeness": round(own.random(), 2)}
    answer = response(
        text,
        cost_usd=str(round(0.00003 * (1 + at * at / 3), 8)),
        latency_seconds=round(own.lognormvariate(-0.9 + at / 8, 0.4), 3),
    )
    return outcome(number, name, scores, answer, row_id=f"T-{number:05d}{HOSTILE[0] if number % 500 == 0 else ''}")
