"""Same answers, same configuration: which bytes are then the same, in whatever process they are made."""

import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from assay.records import Outcome
from builders import triage_run
from evaluations import write_results

TESTS = Path(__file__).resolve().parents[2]

BUNDLE = """
import hashlib, pathlib, tempfile
from assay.reporting import evaluation, finished_run, html, markdown, trial_page, trial_table
from builders import triage_run
from evaluations import store

run = triage_run(rows=60)
with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    stored = store(run.outcomes, run.plan, folder)
    bundle = folder / "bundle"
    bundle.mkdir()
    finished = finished_run.FinishedRun(run.header, run.suite, stored, run.bad_rows)
    contents = evaluation.evaluate(finished, run.rows, bundle)
    trials = trial_page.pack_trials(trial_table.trial_table(bundle, contents), run.rows, contents)
    (bundle / "summary.json").write_text(contents.model_dump_json(indent=1), encoding="utf-8")
    (bundle / "report.html").write_text(html.render_html(contents, trials, "suite"), encoding="utf-8")
    (bundle / "report.md").write_text(markdown.render_markdown(contents), encoding="utf-8")
    for path in sorted(bundle.iterdir()):
        print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def digests(hash_seed: str) -> list[str]:
    """Name and digest of every file of a bundle that a new process makes."""
    done = subprocess.run(
        [sys.executable, "-c", BUNDLE],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_an_evaluation_gives_the_same_bytes_in_every_process() -> None:
    """Rule: neither the order of sets nor threads leave a trace in results, summary, report or plots."""
    first, second = digests("1"), digests("2")

    assert first == second
    assert [line.split()[0] for line in first] == [
        "report.html",
        "report.md",
        "results.csv",
        "results.jsonl",
        "results.parquet",
        "summary.json",
        "trials.parquet",
    ]


def test_a_run_whose_answers_come_from_the_cache_has_the_same_results(tmp_path: Path) -> None:
    """Rule: results.csv and results.parquet say what was answered, not where from nor what was paid this time."""
    run = triage_run(rows=60)
    written = []
    for name, outcomes in (("first", run.outcomes), ("again", map(from_cache, run.outcomes))):
        folder = tmp_path / name
        folder.mkdir()
        write_results(outcomes, run.suite, folder, run.plan)
        written.append({path.name: path.read_bytes() for path in folder.iterdir()})

    first, again = written
    assert {name for name in first if first[name] == again[name]} == {"results.csv", "results.parquet"}


def from_cache(one: Outcome) -> Outcome:
    """The trial as a second run has it: the answers free, without attempts."""
    changes = {"cached": True, "cost_usd": Decimal(0), "attempts": (), "request_id": None}
    return one.model_copy(
        update={"responses": tuple(response.model_copy(update=changes) for response in one.responses)}
    )
