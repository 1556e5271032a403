"""How long the evaluation of 1,000,000 rows x 3 experiments takes, what memory it needs, and where the time goes.

`python -m tests.bench evaluation` prints it: from outcome files on the disk to the contents of the report and the four
result files, as the evaluate step works after its downloads, in a process of its own. `BENCH_ROWS` asks for fewer rows.
"""

import json
import os
import random
import resource
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
EXPERIMENTS = ("plain", "think-first", "short")
RATINGS = {"plain": 5.0, "think-first": 5.1, "short": 4.9}
CORES = 2
ROOT = Path(__file__).resolve().parents[2]


def measure() -> dict[str, str]:
    """Seconds by the clock and of processors, by phase, and the peak memory of the process."""
    with TemporaryDirectory() as folder:
        stored = _store(Path(folder))
        done = subprocess.run(
            [sys.executable, "-c", f"from tests.bench import evaluation; evaluation.print_evaluation({folder!r})"],
            check=True,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    found = json.loads(done.stdout)
    return {
        "outcomes": f"{3 * ROWS:,} in {stored['files']:,} files of together {stored['bytes'] / 1e9:.2f} GB",
        f"whole evaluation on {CORES} cores, by the clock": f"{found['seconds']:.1f} s",
        "processor time of all threads": f"{found['processor_seconds']:.1f} s",
        "peak memory of the process": f"{found['peak_mb']:.0f} MB",
        **{f"of that, {phase}": f"{seconds:.1f} s" for phase, seconds in found["phases"].items()},
        **{f"written: {name}": f"{size / 1e6:.0f} MB" for name, size in found["written"].items()},
    }


def print_evaluation(folder: str) -> None:
    """Evaluates what `measure` has stored, and prints figures as JSON; what the fresh process runs."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    from tests.builders import run_header

    from assay.reporting import evaluation, gathering, outcome_files, tables
    from assay.reporting.columns import BatchFigures
    from assay.reporting.finished_run import FinishedRun
    from assay.reporting.outcome_files import OutcomeFiles

    of = _suite()
    plan, results = _plan(), Path(folder) / "bundle"
    results.mkdir()
    phases = _Phases()
    phases.time(outcome_files.RawBatch, "parsed", "parsing lines (two threads)")
    phases.time(BatchFigures, "of", "numbers of trials (two threads)")
    phases.time(tables.Renderer, "render", "rendering cells (two threads)")
    phases.time(gathering.Gathered, "add", "filling columns, sums, samples")
    phases.time(tables.ResultFiles, "write", "writing the result files")
    phases.time(evaluation, "metrics_of", "metrics")
    phases.time(evaluation, "compared_scores", "comparisons")
    phases.time(evaluation, "_experiment_results", "results of experiments, metrics among them")
    phases.time(evaluation, "_disagreements", "telling rows")
    began, busy = time.perf_counter(), time.process_time()
    run = FinishedRun(run_header(of), of, OutcomeFiles(plan, Path(folder)))
    contents = evaluation.evaluate(run, results=results)
    (results / "summary.json").write_text(contents.model_dump_json(indent=1), encoding="utf-8")
    found = {
        "seconds": time.perf_counter() - began,
        "processor_seconds": time.process_time() - busy,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "phases": phases.seconds,
        "written": {path.name: path.stat().st_size for path in sorted(results.iterdir())},
    }
    print(json.dumps(found))


class _Phases:
    """Processor seconds by phase, over all threads that were in it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def time(self, owner: Any, name: str, phase: str) -> None:
        """Counts the time that a function or method of the owner takes for the phase."""
        plain = owner.__dict__[name]
        inner: Callable[..., Any] = plain.__func__ if isinstance(plain, classmethod) else plain
        self.seconds[phase] = 0.0

        @wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            began = time.thread_time()
            try:
                return inner(*args, **kwargs)
            finally:
                self.seconds[phase] += time.thread_time() - began

        setattr(owner, name, classmethod(timed) if isinstance(plain, classmethod) else timed)


def _suite() -> Any:
    from tests.builders import LABEL_SCORER, RATING_SCORER, suite

    return suite(EXPERIMENTS, (LABEL_SCORER, RATING_SCORER))


def _plan() -> Any:
    from tests.builders import plan

    from assay.planning.plan import rows_per_message

    of = _suite()
    return plan(of, ROWS, rows_per_message(of, ROWS))


def _store(folder: Path) -> dict[str, int]:
    """The outcomes as workers store them: one file per experiment and chunk."""
    from assay.reporting.outcome_files import OutcomeFiles

    plan, size = _plan(), 0
    files, draw = OutcomeFiles(plan, folder), random.Random(7)
    templates = {name: _template(name) for name in EXPERIMENTS}
    for at, rows in enumerate(plan.ranges):
        for name in EXPERIMENTS:
            numbers = range(rows.first_row, rows.first_row + rows.rows)
            content = "".join(_lines(templates[name], name, numbers, draw))
            size += files.file(name, at).write_text(content, encoding="utf-8")
    return {"files": len(plan.ranges) * len(EXPERIMENTS), "bytes": size}


def _template(name: str) -> str:
    """An outcome's line with a place for all that differs between rows."""
    from tests.builders import outcome, response

    answer = response(
        "ANSWER", input_tokens=700_001, output_tokens=700_002, cost_usd="0.7000001", latency_seconds=700_003.5
    )
    line = outcome(700_004, name, {"correct": 700_005.5, "helpfulness": 700_006.5}, answer).model_dump_json()
    places = {
        "T-700004": "%(id)s",
        "700004": "%(row)d",
        "ANSWER": "%(answer)s",
        "700001": "%(input)d",
        "700002": "%(output)d",
        "0.7000001": "%(cost)s",
        "700003.5": "%(seconds).4f",
        "700005.5": "%(correct)s",
        "700006.5": "%(rating)s",
    }
    line = line.replace("%", "%%")
    for found, place in places.items():
        line = line.replace(found, place)
    return line + "\n"


def _lines(template: str, name: str, numbers: range, draw: random.Random) -> Iterator[str]:
    for number in numbers:
        tokens, words = draw.randint(130, 320), draw.randint(9, 40)
        difficulty = draw.random()
        yield template % {
            "id": f"T-{number:07d}",
            "row": number,
            "answer": f'{{\\"queue\\": \\"billing\\", \\"why\\": \\"ticket {number}, {"words " * (words // 4)}\\"}}',
            "input": tokens,
            "output": words,
            "cost": f"0.{(tokens * 150 + words * 600):09d}",
            "seconds": 0.2 + difficulty,
            "correct": "1.0" if draw.random() < 0.5 + 0.4 * difficulty else "0.0",
            "rating": f"{min(10, max(0, round(RATINGS[name] + 3 * difficulty + draw.gauss(0, 1.5))))}.0",
        }
