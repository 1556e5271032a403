"""How long the evaluation of 1,000,000 outcomes x 3 experiments takes, and where the time goes.

`python -m tests.bench evaluation` prints it. The scoring part runs at full size in a process of its own, so that its
peak memory is its own; the parts before and after it run on fewer rows and are scaled up.
"""

import json
import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

ROWS, SAMPLE_ROWS = 1_000_000, 20_000
EXPERIMENTS = ("plain", "think-first", "short")
RATINGS = {"plain": 5.0, "think-first": 5.1, "short": 4.9}
ROOT = Path(__file__).resolve().parents[2]


def measure() -> dict[str, str]:
    """Seconds and peak memory of the scoring part, and seconds of the parts around it, scaled to a million rows."""
    scoring = json.loads(
        subprocess.run(
            [sys.executable, "-c", "from tests.bench import evaluation; evaluation.print_scoring()"],
            check=True,
            cwd=ROOT,
            capture_output=True,
            text=True,
        ).stdout
    )
    figures = {f"scoring, {ROWS:,} rows: {part}": f"{value:.1f} s" for part, value in scoring["seconds"].items()}
    figures["scoring: peak memory of the process"] = f"{scoring['peak_mb']:.0f} MB"
    return {**figures, **_around()}


def print_scoring() -> None:
    """Metrics and comparisons of two scores in three experiments, as JSON; what the fresh process runs."""
    import numpy as np

    from assay.scoring.aggregates import summarise
    from assay.scoring.comparisons import adjust, compare
    from assay.scoring.paired_scores import Method, PairedScores

    clock = _Clock()
    columns = _columns(np.random.default_rng(7))
    clock.lap("making the columns (not part of an evaluation)")
    for (_, score), values in columns.items():
        summarise(values, "binary" if score == "correct" else "numeric")
    clock.lap("metrics")
    compared = []
    for score, kind in (("correct", "binary"), ("rating", "numeric")):
        for variant in EXPERIMENTS[1:]:
            pairs = PairedScores.of(columns["plain", score], columns[variant, score])
            method = Method(margin=0.05, comparisons=4)
            compared.append(compare(pairs, kind=kind, value_range=(0.0, 10.0), method=method))  # type: ignore[arg-type]
    clock.lap("comparisons")
    groups = np.arange(ROWS, dtype=np.int64) // 4
    pairs = PairedScores.of(columns["plain", "rating"], columns["short", "rating"], groups)
    compared.append(compare(pairs, kind="numeric", value_range=(0.0, 10.0), method=Method()))
    clock.lap("one more comparison, of 250,000 groups")
    adjust(compared)
    clock.lap("correction")
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": clock.seconds, "peak_mb": peak_mb}))


class _Clock:
    """Seconds between laps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now


def _columns(random):  # type: ignore[no-untyped-def]
    """A column per experiment and score; one row in a hundred lacks its scores."""
    import numpy as np

    columns = {}
    difficulty = random.random(ROWS)
    for name, level in RATINGS.items():
        missing = random.random(ROWS) < 0.01
        passes = (random.random(ROWS) < 0.5 + 0.4 * difficulty).astype(np.float64)
        ratings = np.clip(np.round(level + 3 * difficulty + random.normal(0, 1.5, ROWS)), 0, 10)
        columns[name, "correct"] = np.where(missing, np.nan, passes)
        columns[name, "rating"] = np.where(missing, np.nan, ratings)
    return columns


def _around() -> dict[str, str]:
    """The evaluation as it is, part by part, on fewer rows."""
    from tests.builders import LABEL_SCORER, RATING_SCORER, plan, run_header, suite

    from assay.records import Outcome
    from assay.reporting.evaluation import evaluate
    from assay.reporting.tables import write_results_csv, write_results_jsonl

    of = suite(EXPERIMENTS, (LABEL_SCORER, RATING_SCORER))
    with TemporaryDirectory() as folder:
        path = Path(folder)
        lines = [outcome.model_dump_json() for outcome in _outcomes(SAMPLE_ROWS)]
        outcomes = [Outcome.model_validate_json(line) for line in lines]
        groups = [outcomes[first : first + 300] for first in range(0, len(outcomes), 300)]
        planned = plan(of, SAMPLE_ROWS)
        parts: dict[str, Callable[[], object]] = {
            "parsing the outcomes, once (an evaluation does it three times)": lambda: deque(
                map(Outcome.model_validate_json, lines), maxlen=0
            ),
            "gathering columns and samples, and scoring": lambda: evaluate(
                run_header(of), of, planned, outcomes, (), 0
            ),
            "writing results.csv": lambda: write_results_csv(groups, of, path / "results.csv"),
            "writing results.jsonl": lambda: write_results_jsonl(groups, path / "results.jsonl"),
        }
        return {f"around it, scaled to {ROWS:,} rows: {name}": _scaled(part) for name, part in parts.items()}


def _scaled(part: Callable[[], object]) -> str:
    """Processor seconds, because these parts keep one core busy from end to end, and other work must not count."""
    began = time.process_time()
    part()
    return f"{(time.process_time() - began) * ROWS / SAMPLE_ROWS:.0f} s"


def _outcomes(rows: int) -> Iterator:  # type: ignore[type-arg]
    from tests.builders import outcome

    for number in range(1, rows + 1):
        for name, level in RATINGS.items():
            yield outcome(number, name, {"correct": float(number % 3 > 0), "rating": level + number % 4})
