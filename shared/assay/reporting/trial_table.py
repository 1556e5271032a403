"""The trials that the report's page shows row by row: all of a small run, a telling part of a large one.

Made from the bundle's own files, so that the report step can run again alone. `html.py` lays it out.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from assay.reporting import wording
from assay.reporting.contents import Contents
from assay.reporting.samples import cut
from assay.storage.bundle_names import RESULTS_PARQUET, TRIALS_PARQUET

MOST_TRIALS = 20_000
MOST_CHARACTERS = 600


@dataclass
class TrialTable:
    """Columns of equal length, one entry per shown trial: by row, experiment (the baseline first) and repeat.

    `experiment` and `status` are places in `experiments` and `statuses`; `repeat` counts from 1. `answers` are by
    criterion, cut when long; `scores` by name, None without one. `expected` is what the primary score's scorer was
    told was right, "" where nothing was. `reasons` are the scorers' own words, by score. `cost_usd` is what the answers
    cost, None when a price is unknown.
    """

    experiments: tuple[str, ...]
    criteria: tuple[str, ...]
    score_names: tuple[str, ...]
    choice: str
    statuses: tuple[str, ...] = ("succeeded", "failed", "blocked", "skipped")
    row_id: list[str] = field(default_factory=list)
    row: list[int] = field(default_factory=list)
    experiment: list[int] = field(default_factory=list)
    repeat: list[int] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    scores: dict[str, list[float | None]] = field(default_factory=dict)
    expected: list[str] = field(default_factory=list)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    failure: list[str] = field(default_factory=list)
    failure_message: list[str] = field(default_factory=list)
    cost_usd: list[float | None] = field(default_factory=list)
    latency_seconds: list[float | None] = field(default_factory=list)

    @property
    def trials(self) -> int:
        return len(self.row)


def trial_table(
    bundle: Path, contents: Contents, most_trials: int = MOST_TRIALS, most_characters: int = MOST_CHARACTERS
) -> TrialTable:
    """The trials of the bundle in a folder, at most about `most_trials`; answers are cut at `most_characters`.

    Whole rows are chosen, with all their trials. The same bundle gives the same table.
    """
    primary = contents.primary
    facts = _read(bundle / RESULTS_PARQUET, ["row", "status", *([f"score.{primary}"] if primary else [])])
    rows = facts["row"].to_numpy()
    unanswered = _numbers(rows[pc.not_equal(facts["status"], "succeeded").to_numpy()])
    differing = _numbers(rows[_differs(rows, facts[f"score.{primary}"].to_numpy())]) if primary else []
    most_rows = max(1, most_trials * contents.run.rows // max(1, contents.run.trials))
    chosen, choice = choose_rows(unanswered, differing, range(1, contents.run.rows + 1), most_rows)
    shown = np.isin(rows, sorted(chosen))
    results, trials = _filtered(bundle / RESULTS_PARQUET, shown), _filtered(bundle / TRIALS_PARQUET, shown)
    return _table(results, trials, contents, choice, most_characters)


def choose_rows(
    unanswered: Sequence[int], differing: Sequence[int], rows: Sequence[int], most: int, seed: int = 0
) -> tuple[frozenset[int], str]:
    """At most `most` row numbers, and the sentence that says which.

    Two fifths are for rows with a trial that has no answer, two fifths for rows on which a variant's primary score
    differs from the baseline's, the rest for any others; what one of them leaves over goes to the next. Where there
    are more than that, a sample is drawn, the same for the same seed.
    """
    if len(rows) <= most:
        return frozenset(rows), "All trials are shown."
    draw = random.Random(seed)  # noqa: S311 - a sample for readers, no secret
    chosen: set[int] = set()
    for wanted, share in ((unanswered, 2 * most // 5), (differing, 4 * most // 5), (rows, most)):
        left = [row for row in wanted if row not in chosen]
        chosen.update(draw.sample(left, min(len(left), share - len(chosen))))
    return frozenset(chosen), (
        f"{wording.count(len(chosen))} of {wording.noun(len(rows), 'row')} are shown: first rows without an answer and"
        " rows on which experiments differ, then a random sample. The files of the results hold every trial."
    )


def _table(results: pa.Table, trials: pa.Table, contents: Contents, choice: str, most: int) -> TrialTable:
    experiments = tuple(one.name for one in contents.experiments)
    criteria = tuple(name.removeprefix("answer.") for name in results.column_names if name.startswith("answer."))
    primary = f"expected.{contents.primary}"
    return TrialTable(
        experiments=experiments,
        criteria=criteria,
        score_names=contents.scores,
        choice=choice,
        row_id=results["row_id"].to_pylist(),
        row=results["row"].to_pylist(),
        experiment=pc.index_in(results["experiment"], pa.array(experiments)).to_pylist(),
        repeat=results["repeat"].to_pylist(),
        status=pc.index_in(results["status"], pa.array(TrialTable.statuses)).to_pylist(),
        answers={name: [cut(text, most) for text in _texts(results[f"answer.{name}"])] for name in criteria},
        scores={name: results[f"score.{name}"].to_pylist() for name in contents.scores},
        expected=_texts(results[primary]) if contents.primary else [""] * len(results),
        reasons={name: _texts(results[f"reason.{name}"]) for name in contents.scores},
        failure=_texts(results["failure"]),
        failure_message=_texts(trials["failure_message"]),
        cost_usd=results["cost_usd"].cast(pa.float64()).to_pylist(),
        latency_seconds=trials["latency_seconds"].to_pylist(),
    )


def _numbers(rows: npt.NDArray[np.int64]) -> list[int]:
    """Each once, in order."""
    numbers: list[int] = np.unique(rows).tolist()
    return numbers


def _differs(rows: npt.NDArray[np.int64], scores: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which trials have another score than the first one of their row, which is the baseline's; NaN: none."""
    first = np.searchsorted(rows, rows)
    both_lack = np.isnan(scores) & np.isnan(scores[first])
    differs: npt.NDArray[np.bool_] = (scores != scores[first]) & ~both_lack
    return differs


def _read(path: Path, columns: list[str]) -> pa.Table:
    return pyarrow.parquet.read_table(path, columns=columns)


def _filtered(path: Path, shown: npt.NDArray[np.bool_]) -> pa.Table:
    """The lines that are to be shown; one row group in memory at a time."""
    with pyarrow.parquet.ParquetFile(path) as file:
        parts, first = [file.schema_arrow.empty_table()], 0
        for at in range(file.num_row_groups):
            last = first + file.metadata.row_group(at).num_rows
            if shown[first:last].any():
                parts.append(file.read_row_group(at).filter(pa.array(shown[first:last])))
            first = last
    return pa.concat_tables(parts)


def _texts(column: pa.ChunkedArray) -> list[str]:
    texts: list[str] = column.fill_null("").to_pylist()
    return texts
