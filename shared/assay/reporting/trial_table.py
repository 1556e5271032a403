"""The trials that the report's page shows row by row: all of a small run, a telling part of a large one.

Made from the bundle's own files, so that the report step can run again alone. `html.py` lays it out.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assay.reporting import wording
from assay.reporting.contents import Contents
from assay.reporting.samples import cut

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
    columns = _Columns(contents)
    for one in _outcomes(bundle):
        columns.see(one)
    chosen, choice = choose_rows(columns.unanswered, columns.differing, columns.rows, _most_rows(contents, most_trials))
    table = TrialTable(columns.experiments, tuple(columns.criteria), contents.scores, choice)
    table.answers = {name: [] for name in table.criteria}
    table.scores = {name: [] for name in table.score_names}
    table.reasons = {name: [] for name in table.score_names}
    for one in _outcomes(bundle):
        if one["row_number"] in chosen:
            _add(table, one, contents.primary, most_characters)
    return table


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


class _Columns:
    """What the choice looks at: which rows lack an answer, and on which the primary scores differ."""

    def __init__(self, contents: Contents) -> None:
        self.experiments = tuple(one.name for one in contents.experiments)
        self.rows = range(1, contents.run.rows + 1)
        self.criteria: dict[str, None] = {}
        self.unanswered: list[int] = []
        self.differing: list[int] = []
        self._primary, self._row = contents.primary, 0
        self._baseline: float | None = None

    def see(self, one: Mapping[str, Any]) -> None:
        self.criteria.update(dict.fromkeys(response["criterion"] for response in one["responses"]))
        row, score = one["row_number"], _score(one, self._primary)
        if one["status"] != "succeeded" and row not in self.unanswered[-1:]:
            self.unanswered.append(row)
        if row != self._row:
            self._row, self._baseline = row, score
        elif score != self._baseline and row not in self.differing[-1:]:
            self.differing.append(row)


def _most_rows(contents: Contents, most_trials: int) -> int:
    return max(1, most_trials * contents.run.rows // max(1, contents.run.trials))


def _outcomes(bundle: Path) -> Iterator[dict[str, Any]]:
    with (bundle / "results.jsonl").open("rb") as lines:
        for line in lines:
            yield json.loads(line)


def _score(one: Mapping[str, Any], name: str | None) -> float | None:
    return next((score["value"] for score in one["scores"] if score["name"] == name), None)


def _reason(one: Mapping[str, Any], name: str) -> str:
    return next((score["reason"] or "" for score in one["scores"] if score["name"] == name), "")


def _add(table: TrialTable, one: Mapping[str, Any], primary: str | None, most_characters: int) -> None:
    texts = {response["criterion"]: response["text"] for response in one["responses"]}
    costs = [response["cost_usd"] for response in one["responses"]]
    known = bool(costs) and None not in costs
    table.row_id.append(one["row_id"])
    table.row.append(one["row_number"])
    table.experiment.append(table.experiments.index(one["experiment"]))
    table.repeat.append(one["repeat"] + 1)
    table.status.append(table.statuses.index(one["status"]))
    for criterion, column in table.answers.items():
        column.append(cut(texts.get(criterion, ""), most_characters))
    for name, values in table.scores.items():
        values.append(_score(one, name))
        table.reasons[name].append(cut(_reason(one, name), most_characters))
    table.expected.append(
        next((score.get("expected") or "" for score in one["scores"] if score["name"] == primary), "")
    )
    table.failure.append(one["failure"]["kind"] if one["failure"] else "")
    table.failure_message.append(cut(one["failure"]["message"], most_characters) if one["failure"] else "")
    table.cost_usd.append(float(sum(map(float, costs))) if known else None)
    seconds = [response["latency_seconds"] for response in one["responses"]]
    table.latency_seconds.append(sum(seconds) if seconds else None)
